//! Names that only one tenant of an environment can have: slug, external ids, aliases. And labels and words, which follow
//! the same changes.
//!
//! Whether a name is free is decided by a unique constraint alone; a look beforehand would only be a guess. Names
//! that collide are left out of the insert, which tells which ones they are without a failed statement. A look ahead inserts
//! nothing and has to guess ([`crate::ahead`]).

use std::collections::{BTreeMap, BTreeSet};

use tenantry_domain::Timestamp;
use tenantry_domain::id::TenantId;
use tenantry_domain::tenant::{Slug, Spec};
use uuid::Uuid;

use crate::columns::{get, slug};
use crate::line::Statement;
use crate::tenants::{Rename, TenantRow, Tenants};
use crate::{StoreError, row};

/// Run as a statement of its own behind the insert: whoever waited there for the release of a slug must see its
/// quarantine.
const QUARANTINED: &str = "
    SELECT q.until, n.slug FROM tenantry.slug_quarantine AS q
    JOIN unnest($2::text[], $3::text[], $4::uuid[]) AS n (skeleton, slug, id) ON n.skeleton = q.slug_skeleton
    WHERE q.env = $1 AND q.until > $5 AND q.tenant <> n.id LIMIT 1";

const QUARANTINE: &str = "
    INSERT INTO tenantry.slug_quarantine AS q (env, slug_skeleton, slug, tenant, until) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT ON CONSTRAINT slug_quarantine_pkey DO UPDATE
    SET slug = excluded.slug, tenant = excluded.tenant, until = greatest(q.until, excluded.until)";

const TAKE_EXTERNAL: &str = "
    INSERT INTO tenantry.tenant_external_id (env, system, external_id, tenant)
    SELECT $1, * FROM unnest($2::text[], $3::text[], $4::uuid[]) ON CONFLICT DO NOTHING RETURNING system, external_id";

const TAKE_ALIAS: &str = "
    INSERT INTO tenantry.tenant_alias (env, alias, tenant)
    SELECT $1, * FROM unnest($2::text[], $3::uuid[]) ON CONFLICT DO NOTHING RETURNING alias";

const GIVE_EXTERNAL: &str = "
    DELETE FROM tenantry.tenant_external_id AS e USING unnest($3::text[], $4::text[]) AS n (system, id)
    WHERE e.env = $1 AND e.tenant = $2 AND e.system = n.system AND e.external_id = n.id";

const GIVE_ALIAS: &str = "DELETE FROM tenantry.tenant_alias WHERE env = $1 AND tenant = $2 AND alias = ANY ($3)";

/// Each wish for a domain begins without proof and with a challenge of its own.
const WANT_DOMAIN: &str = "
    INSERT INTO tenantry.domain (env, tenant, domain, since, next_look_at)
    SELECT $1, *, $4::timestamptz, $4::timestamptz FROM unnest($2::uuid[], $3::text[]) ON CONFLICT DO NOTHING";

/// The proof goes with the wish.
const GIVE_DOMAIN: &str = "DELETE FROM tenantry.domain WHERE env = $1 AND tenant = $2 AND domain = ANY ($3)";

const ADD_LABELS: &str = "
    INSERT INTO tenantry.tenant_label (env, tenant, key, value)
    SELECT $1, * FROM unnest($2::uuid[], $3::text[], $4::text[])";

const ADD_WORDS: &str = "
    INSERT INTO tenantry.tenant_word (env, tenant, word) SELECT $1, * FROM unnest($2::uuid[], $3::text[])";

const REMOVE_WORDS: &str = "DELETE FROM tenantry.tenant_word WHERE env = $1 AND tenant = $2 AND word = ANY ($3)";

/// Slugs that living tenants have, by what the eye reads.
const LIVING: &str = "
    SELECT t.slug_skeleton FROM tenantry.tenant AS t
    WHERE t.env = $1 AND t.slug_skeleton = ANY ($2) AND t.phase <> 'deleted'";

const FREE_EXTERNAL: &str = "
    SELECT n.system, n.external_id FROM unnest($2::text[], $3::text[], $4::uuid[]) AS n (system, external_id, tenant)
    WHERE NOT EXISTS (
        SELECT FROM tenantry.tenant_external_id AS e
        WHERE e.env = $1 AND e.system = n.system AND e.external_id = n.external_id
    )";

const FREE_ALIAS: &str = "
    SELECT n.alias FROM unnest($2::text[], $3::uuid[]) AS n (alias, tenant)
    WHERE NOT EXISTS (SELECT FROM tenantry.tenant_alias AS a WHERE a.env = $1 AND a.alias = n.alias)";

/// A name besides the slug.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    /// An id in another system.
    External {
        /// The other system.
        system: String,
        /// The id there.
        id: String,
    },
    /// An id of an adopted system.
    Alias(String),
}

impl Name {
    fn taken(self) -> StoreError {
        match self {
            Self::External { system, id } => StoreError::ExternalIdTaken { system, id },
            Self::Alias(alias) => StoreError::AliasTaken { alias },
        }
    }
}

fn names(spec: &Spec) -> impl Iterator<Item = Name> + '_ {
    let external =
        spec.external_ids.iter().map(|(system, id)| Name::External { system: system.clone(), id: id.clone() });
    external.chain(spec.aliases.iter().cloned().map(Name::Alias))
}

impl Tenants<'_> {
    /// Gives up everything that only one tenant can have: external ids, aliases, domains, logins of the gateway,
    /// webhooks and people at once, the slug after a quarantine. For a tenant that is set to deleted in the same transaction.
    ///
    /// # Errors
    /// [`StoreError::NotLocked`].
    pub fn release(&mut self, id: TenantId, quarantine_until: Timestamp) -> Result<(), StoreError> {
        let slug = self.tx.locked.get(&id).ok_or(StoreError::NotLocked)?.row.slug.clone();
        for sql in [
            "DELETE FROM tenantry.tenant_external_id WHERE env = $1 AND tenant = $2",
            "DELETE FROM tenantry.tenant_alias WHERE env = $1 AND tenant = $2",
            "DELETE FROM tenantry.domain WHERE env = $1 AND tenant = $2",
            "DELETE FROM tenantry.gateway_login WHERE env = $1 AND tenant = $2",
            "WITH gone AS (DELETE FROM tenantry.webhook_endpoint WHERE env = $1 AND subject = $2 RETURNING id)
            DELETE FROM tenantry.webhook_dead AS d USING gone WHERE d.env = $1 AND d.endpoint = gone.id",
            "DELETE FROM tenantry.invitation WHERE env = $1 AND tenant = $2",
            // Whoever takes one of them in elsewhere at the same time waits, or is seen by the next statement.
            "SELECT FROM tenantry.user_account AS u JOIN tenantry.member AS m ON m.env = u.env AND m.user_id = u.id
            WHERE m.env = $1 AND m.tenant = $2 ORDER BY u.issuer, u.pool, u.subject FOR UPDATE OF u",
            "WITH gone AS (DELETE FROM tenantry.member WHERE env = $1 AND tenant = $2 RETURNING user_id)
            DELETE FROM tenantry.user_account AS u USING gone WHERE u.env = $1 AND u.id = gone.user_id AND NOT EXISTS (
                SELECT FROM tenantry.member AS m WHERE m.env = u.env AND m.user_id = u.id AND m.tenant <> $2)",
            "DELETE FROM tenantry.directory WHERE env = $1 AND tenant = $2",
            "DELETE FROM tenantry.scim_group WHERE env = $1 AND tenant = $2",
            "DELETE FROM tenantry.scim_user WHERE env = $1 AND tenant = $2",
            "DELETE FROM tenantry.member_role WHERE env = $1 AND tenant = $2",
        ] {
            let statement = Statement::new(sql).bind(self.tx.env()).bind(id.uuid());
            self.tx.queue(statement);
        }
        self.quarantine(id, &slug, quarantine_until);
        Ok(())
    }

    /// Takes another slug; the old one waits in quarantine. The commit checks both constraint and quarantine.
    pub(super) fn rename(&mut self, id: TenantId, rename: &Rename) -> Result<(), StoreError> {
        let old = self.tx.locked.get(&id).ok_or(StoreError::NotLocked)?.row.slug.clone();
        if old == rename.slug {
            return Ok(());
        }
        self.quarantine(id, &old, rename.quarantine_until);
        let locked = self.tx.locked.get_mut(&id).ok_or(StoreError::NotLocked)?;
        locked.row.slug = rename.slug.clone();
        locked.rename = Some(rename.slug.clone());
        Ok(())
    }

    /// The statement that gives one of the slugs that are in quarantine, if any is.
    pub(super) fn quarantined(&self, wanted: &[(TenantId, &Slug)]) -> Statement {
        Statement::new(QUARANTINED)
            .bind(self.tx.env())
            .bind(wanted.iter().map(|(_, slug)| slug.skeleton()).collect::<Vec<_>>())
            .bind(wanted.iter().map(|(_, slug)| slug.as_str().to_owned()).collect::<Vec<_>>())
            .bind(wanted.iter().map(|(id, _)| id.uuid()).collect::<Vec<_>>())
            .bind(self.tx.now)
    }

    /// What writing the rows of new tenants would come to: the version of its plan that each would be given.
    pub(super) async fn foresee(&mut self, rows: &[TenantRow]) -> Result<BTreeMap<Uuid, i64>, StoreError> {
        let skeletons: Vec<String> = rows.iter().map(|row| row.slug.skeleton()).collect();
        let living = Statement::new(LIVING).bind(self.tx.env()).bind(skeletons);
        let wanted: Vec<(TenantId, &Slug)> = rows.iter().map(|row| (row.id, &row.slug)).collect();
        let quarantined = self.quarantined(&wanted);
        let answers = self.tx.run(vec![living, quarantined]).await?;
        let taken = answers[0].iter().map(|row| get(row, "slug_skeleton"));
        let mut taken: BTreeSet<String> = taken.collect::<Result<_, StoreError>>()?;
        if let Some(row) = rows.iter().find(|row| !taken.insert(row.slug.skeleton())) {
            return Err(StoreError::SlugTaken { slug: row.slug.clone() });
        }
        if let Some(row) = answers[1].first() {
            return Err(StoreError::SlugQuarantined { slug: slug(row)?, until: get(row, "until")? });
        }
        let mut newest = BTreeMap::<&str, i64>::new();
        let mut given = BTreeMap::new();
        for row in rows {
            let plan = row.spec.plan.as_str();
            if !newest.contains_key(plan) {
                let held = self.tx.catalog().hold_plan(plan).await?;
                newest.insert(plan, held.map_or(0, |held| held.version));
            }
            given.insert(row.id.uuid(), newest.get(plan).copied().unwrap_or_default());
        }
        Ok(given)
    }

    /// Takes the names and labels of new tenants.
    pub(super) async fn first_names(&mut self, rows: &[TenantRow]) -> Result<(), StoreError> {
        let mut wanted = BTreeMap::new();
        for row in rows {
            for name in names(&row.spec) {
                if let Some(twin) = wanted.insert(name.clone(), row.id).filter(|owner| *owner != row.id) {
                    tracing::debug!(first = %twin, second = %row.id, "two tenants of one request want one name");
                    self.tx.abort();
                    return Err(name.taken());
                }
            }
        }
        self.add_labels(rows.iter().map(|row| (row.id, &row.spec)));
        self.want_domains(rows.iter().flat_map(|row| row.spec.domains.iter().map(|domain| (row.id, domain.clone()))));
        self.add_words(rows.iter().flat_map(|row| row::words_of(row).into_iter().map(|word| (row.id, word))));
        self.take(wanted).await
    }

    /// Gives up and takes what differs between two specs of a tenant.
    pub(super) async fn exchange_names(&mut self, id: TenantId, old: &Spec, new: &Spec) -> Result<(), StoreError> {
        let before: Vec<Name> = names(old).collect();
        let after: Vec<Name> = names(new).collect();
        let (mut systems, mut ids, mut aliases) = (Vec::new(), Vec::new(), Vec::new());
        let gone: Vec<Name> = before.iter().filter(|name| !after.contains(name)).cloned().collect();
        if let Some(ahead) = &mut self.tx.ahead {
            ahead.give_up(gone.iter().cloned());
        }
        for name in gone {
            match name {
                Name::External { system, id } => {
                    systems.push(system);
                    ids.push(id);
                }
                Name::Alias(alias) => aliases.push(alias),
            }
        }
        if !systems.is_empty() {
            let statement = Statement::new(GIVE_EXTERNAL).bind(self.tx.env()).bind(id.uuid()).bind(systems).bind(ids);
            self.tx.queue(statement);
        }
        if !aliases.is_empty() {
            let statement = Statement::new(GIVE_ALIAS).bind(self.tx.env()).bind(id.uuid()).bind(aliases);
            self.tx.queue(statement);
        }
        if old.domains != new.domains {
            self.exchange_domains(id, old, new);
        }
        if old.labels != new.labels {
            let sql = "DELETE FROM tenantry.tenant_label WHERE env = $1 AND tenant = $2";
            let statement = Statement::new(sql).bind(self.tx.env()).bind(id.uuid());
            self.tx.queue(statement);
            self.add_labels(std::iter::once((id, new)));
        }
        self.take(after.into_iter().filter(|name| !before.contains(name)).map(|name| (name, id)).collect()).await
    }

    /// Makes a tenant findable by the words of its new row.
    pub(super) fn exchange_words(&mut self, old: &TenantRow, new: &TenantRow) {
        let (before, after) = (row::words_of(old), row::words_of(new));
        let gone: Vec<String> = before.difference(&after).cloned().collect();
        if !gone.is_empty() {
            let statement = Statement::new(REMOVE_WORDS).bind(self.tx.env()).bind(old.id.uuid()).bind(gone);
            self.tx.queue(statement);
        }
        self.add_words(after.difference(&before).map(|word| (new.id, word.clone())));
    }

    async fn take(&mut self, wanted: BTreeMap<Name, TenantId>) -> Result<(), StoreError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let mut external = (Vec::new(), Vec::new(), Vec::<Uuid>::new());
        let mut alias = (Vec::new(), Vec::<Uuid>::new());
        for (name, owner) in &wanted {
            match name {
                Name::External { system, id } => {
                    external.0.push(system.clone());
                    external.1.push(id.clone());
                    external.2.push(owner.uuid());
                }
                Name::Alias(text) => {
                    alias.0.push(text.clone());
                    alias.1.push(owner.uuid());
                }
            }
        }
        let (of_external, of_alias) =
            (self.tx.text(TAKE_EXTERNAL, FREE_EXTERNAL), self.tx.text(TAKE_ALIAS, FREE_ALIAS));
        let external =
            Statement::new(of_external).bind(self.tx.env()).bind(external.0).bind(external.1).bind(external.2);
        let alias = Statement::new(of_alias).bind(self.tx.env()).bind(alias.0).bind(alias.1);
        let answers = self.tx.run(vec![external, alias]).await?;
        self.tx.wrote = true;
        let all: Vec<Name> = wanted.keys().cloned().collect();
        let mut missing = wanted;
        for row in &answers[0] {
            missing.remove(&Name::External { system: get(row, "system")?, id: get(row, "external_id")? });
        }
        for row in &answers[1] {
            missing.remove(&Name::Alias(get(row, "alias")?));
        }
        let missing = match &mut self.tx.ahead {
            Some(ahead) => ahead.take(all, &missing.into_keys().collect()),
            None => missing.into_keys().next(),
        };
        match missing {
            None => Ok(()),
            Some(name) => {
                self.tx.abort();
                Err(name.taken())
            }
        }
    }

    fn exchange_domains(&mut self, id: TenantId, old: &Spec, new: &Spec) {
        let gone: Vec<String> = old.domains.iter().filter(|domain| !new.domains.contains(domain)).cloned().collect();
        if !gone.is_empty() {
            let statement = Statement::new(GIVE_DOMAIN).bind(self.tx.env()).bind(id.uuid()).bind(gone);
            self.tx.queue(statement);
        }
        let wanted = new.domains.iter().filter(|domain| !old.domains.contains(domain));
        self.want_domains(wanted.map(|domain| (id, domain.clone())));
    }

    fn want_domains(&mut self, domains: impl Iterator<Item = (TenantId, String)>) {
        let (tenants, domains): (Vec<Uuid>, Vec<String>) = domains.map(|(id, domain)| (id.uuid(), domain)).unzip();
        if !domains.is_empty() {
            let statement = Statement::new(WANT_DOMAIN).bind(self.tx.env()).bind(tenants).bind(domains);
            let statement = statement.bind(self.tx.now);
            self.tx.queue(statement);
        }
    }

    fn quarantine(&mut self, id: TenantId, slug: &Slug, until: Timestamp) {
        let statement =
            Statement::new(QUARANTINE).bind(self.tx.env()).bind(slug.skeleton()).bind(slug.as_str().to_owned());
        self.tx.queue(statement.bind(id.uuid()).bind(until));
    }

    fn add_labels<'s>(&mut self, specs: impl Iterator<Item = (TenantId, &'s Spec)>) {
        let mut labels = (Vec::new(), Vec::new(), Vec::new());
        for (id, spec) in specs {
            for (key, value) in &spec.labels {
                labels.0.push(id.uuid());
                labels.1.push(key.clone());
                labels.2.push(value.clone());
            }
        }
        if !labels.0.is_empty() {
            let statement = Statement::new(ADD_LABELS).bind(self.tx.env()).bind(labels.0).bind(labels.1).bind(labels.2);
            self.tx.queue(statement);
        }
    }
    fn add_words(&mut self, words: impl Iterator<Item = (TenantId, String)>) {
        let (tenants, words): (Vec<Uuid>, Vec<String>) = words.map(|(id, word)| (id.uuid(), word)).unzip();
        if !words.is_empty() {
            let statement = Statement::new(ADD_WORDS).bind(self.tx.env()).bind(tenants).bind(words);
            self.tx.queue(statement);
        }
    }
}
