//! What a transaction may do with tenants.
//!
//! A locked row is the truth until the end of the transaction, so it is changed in memory and written once, by the
//! commit. Only what must be unique is written at once, because the caller wants to hear of a collision by name.

use std::collections::BTreeMap;

use tenantry_domain::audit::GENESIS;
use tenantry_domain::id::TenantId;
use tenantry_domain::placement::Placement;
use tenantry_domain::tenant::Slug;
use tenantry_domain::tenant::lifecycle::State;
use tenantry_domain::workflow::Cause;
use uuid::Uuid;

use crate::StoreError;
use crate::chain::Head;
use crate::columns::{get, slug};
use crate::line::Statement;
use crate::row::{self, Columns, row_arrays, row_names, tenant_columns, uuids};
use crate::tenants::{Condition, Finding, NewTenant, StateChange, TenantChange, TenantKey, TenantRow, Tenants};
use crate::write::{Locked, Made};

macro_rules! of_ids {
    () => {
        concat!(
            "SELECT ",
            tenant_columns!(),
            " FROM tenantry.tenant AS t WHERE t.env = $1 AND t.id = ANY ($2) ORDER BY t.id"
        )
    };
}

const LOCK: &str = concat!(of_ids!(), " FOR NO KEY UPDATE");
const SEE: &str = of_ids!();

macro_rules! of_id {
    () => {
        concat!("SELECT ", tenant_columns!(), " FROM tenantry.tenant AS t WHERE t.env = $1 AND t.id = $2")
    };
}

const LOCK_ONE: &str = concat!(of_id!(), " FOR NO KEY UPDATE");
const SEE_ONE: &str = of_id!();

const IDS: &str = "
    SELECT t.id FROM tenantry.tenant AS t WHERE t.env = $1 AND t.slug = ANY ($2) AND t.phase <> 'deleted' ORDER BY t.id";

const LOCK_SLUG: &str = concat!(
    "SELECT ",
    tenant_columns!(),
    " FROM tenantry.tenant AS t WHERE t.env = $1 AND t.slug = $2 AND t.phase <> 'deleted' FOR NO KEY UPDATE"
);

const LOCK_EXTERNAL: &str = concat!(
    "SELECT ",
    tenant_columns!(),
    " FROM tenantry.tenant AS t WHERE t.env = $1 AND t.id = (
        SELECT tenant FROM tenantry.tenant_external_id WHERE env = $1 AND system = $2 AND external_id = $3
    ) FOR NO KEY UPDATE"
);

const LOCK_ALIAS: &str = concat!(
    "SELECT ",
    tenant_columns!(),
    " FROM tenantry.tenant AS t WHERE t.env = $1 AND t.id = (
        SELECT tenant FROM tenantry.tenant_alias WHERE env = $1 AND alias = $2
    ) FOR NO KEY UPDATE"
);

/// Rows that collide are left out, which tells who collides without aborting the transaction. Each gets the newest version of
/// its plan, which is held so that the same is still the newest at the commit.
const CREATE: &str = concat!(
    "WITH n AS (SELECT * FROM ",
    row_arrays!(),
    ", $35::text[], $36::text[]) AS n (",
    row_names!(),
    ", action, correlation_id)), held AS (
        SELECT c.name, c.version FROM tenantry.catalog AS c
        WHERE c.env = $1 AND c.kind = 'plan' AND c.name IN (SELECT plan FROM n) ORDER BY c.name FOR SHARE OF c
    ), made AS (
        INSERT INTO tenantry.tenant (env, created_at, updated_at, created_by, plan_version, ",
    row_names!(),
    ")
        SELECT $1, $2, $2, $3, coalesce((SELECT h.version FROM held AS h WHERE h.name = n.plan), 0), ",
    row_names!(),
    " FROM n
        ON CONFLICT DO NOTHING RETURNING id, plan_version
    ), history AS (
        INSERT INTO tenantry.tenant_version (env, tenant, version, slug, spec, author, action, at, correlation_id)
        SELECT $1, id, version, slug, spec, $3, action, $2, correlation_id FROM n JOIN made USING (id)
    )
    SELECT id, plan_version FROM made"
);

impl Tenants<'_> {
    /// Locks a tenant until the end of the transaction.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::OutOfScope`], or the database's.
    pub async fn lock(&mut self, key: impl Into<TenantKey>) -> Result<TenantRow, StoreError> {
        let key = key.into();
        if let TenantKey::Id(id) = &key
            && let Some(locked) = self.tx.locked.get(id)
        {
            return Ok(locked.row.clone());
        }
        let env = self.tx.env();
        let statement = match key {
            TenantKey::Id(id) => Statement::new(self.tx.text(LOCK_ONE, SEE_ONE)).bind(env).bind(id.uuid()),
            TenantKey::Slug(slug) => Statement::new(LOCK_SLUG).bind(env).bind(String::from(slug)),
            TenantKey::External { system, id } => Statement::new(LOCK_EXTERNAL).bind(env).bind(system).bind(id),
            TenantKey::Alias(alias) => Statement::new(LOCK_ALIAS).bind(env).bind(alias),
        };
        let rows = self.tx.rows(statement).await?;
        let row = rows.first().ok_or(StoreError::NotFound)?;
        self.keep(row)
    }

    /// The ids of the living tenants with these slugs, in the order of the ids, as this transaction sees them; none is locked.
    ///
    /// # Errors
    /// The database's.
    pub async fn ids(&mut self, slugs: &[Slug]) -> Result<Vec<TenantId>, StoreError> {
        let slugs: Vec<String> = slugs.iter().map(|slug| slug.as_str().to_owned()).collect();
        let rows = self.tx.rows(Statement::new(IDS).bind(self.tx.env()).bind(slugs)).await?;
        rows.iter().map(|row| Ok(TenantId::from_uuid(get(row, "id")?))).collect()
    }

    /// Locks many, in the order of their ids; those that do not exist are left out.
    ///
    /// # Errors
    /// [`StoreError::OutOfScope`], or the database's.
    pub async fn lock_many(&mut self, ids: &[TenantId]) -> Result<Vec<TenantRow>, StoreError> {
        let statement = Statement::new(self.tx.text(LOCK, SEE)).bind(self.tx.env()).bind(uuids(ids));
        let rows = self.tx.rows(statement).await?;
        rows.iter().map(|row| self.keep(row)).collect()
    }

    /// Makes tenants, as drafts without a place, and locks them.
    ///
    /// # Errors
    /// [`StoreError::SlugTaken`], [`StoreError::SlugQuarantined`], [`StoreError::ExternalIdTaken`],
    /// [`StoreError::AliasTaken`]: the first collision; nothing can be committed then.
    pub async fn create_many(&mut self, new: &[NewTenant]) -> Result<Vec<TenantRow>, StoreError> {
        if self.tx.scope.tenant.is_some_and(|only| new.iter().any(|new| new.id != only)) {
            return Err(StoreError::OutOfScope);
        }
        let mut rows: Vec<TenantRow> = new.iter().map(|new| self.draft(new)).collect();
        let given = if self.tx.looks_ahead() { self.foresee(&rows).await? } else { self.insert(&rows, new).await? };
        for row in &mut rows {
            row.plan_version = given.get(&row.id.uuid()).copied().unwrap_or(0);
        }
        self.first_names(&rows).await?;
        for row in &rows {
            self.tx.heads.insert(row.id.into(), Head { audit_seq: 0, hash: GENESIS, event_seq: 0 });
            let made = Some(Made { version: row.version, history: None });
            self.tx.locked.insert(row.id, Locked { row: row.clone(), made, is_dirty: false, rename: None });
        }
        Ok(rows)
    }

    /// Writes the rows of new tenants; gives the version of its plan that each was given.
    async fn insert(&mut self, rows: &[TenantRow], new: &[NewTenant]) -> Result<BTreeMap<Uuid, i64>, StoreError> {
        let create = Statement::new(CREATE).bind(self.tx.env()).bind(self.tx.now).bind(self.tx.actor.to_string());
        let create = Columns::of_many(create)
            .rows(&rows.iter().collect::<Vec<_>>())
            .add(new.iter().map(|new| new.action.clone()))
            .add(new.iter().map(|new| new.correlation_id.clone()))
            .into_statement();
        let wanted: Vec<(TenantId, &Slug)> = rows.iter().map(|row| (row.id, &row.slug)).collect();
        let quarantined = self.quarantined(&wanted);
        let answers = self.tx.run(vec![create, quarantined]).await?;
        self.tx.wrote = true;
        let made = answers[0].iter().map(|row| Ok((get(row, "id")?, get(row, "plan_version")?)));
        let made: BTreeMap<Uuid, i64> = made.collect::<Result<_, StoreError>>()?;
        if made.len() < rows.len() {
            self.tx.abort();
            let missing = rows.iter().find(|row| !made.contains_key(&row.id.uuid())).ok_or(StoreError::Aborted)?;
            return Err(StoreError::SlugTaken { slug: missing.slug.clone() });
        }
        if let Some(row) = answers[1].first() {
            self.tx.abort();
            return Err(StoreError::SlugQuarantined { slug: slug(row)?, until: get(row, "until")? });
        }
        Ok(made)
    }

    /// The tenants that this transaction changes, as the commit leaves them. Until then queries find them as they were.
    pub fn written(&self) -> impl Iterator<Item = &TenantRow> {
        self.tx.locked.values().filter(|locked| locked.is_dirty).map(|locked| &locked.row)
    }

    /// Gives a locked tenant a new version, at most one in a transaction. With another plan it gets that one's newest version.
    ///
    /// # Errors
    /// [`StoreError::StaleVersion`], [`StoreError::NotLocked`], and the collisions of [`Self::create_many`]. A taken
    /// slug shows at commit.
    pub async fn apply(&mut self, change: &TenantChange) -> Result<TenantRow, StoreError> {
        let locked = self.tx.locked.get(&change.id).ok_or(StoreError::NotLocked)?;
        if locked.made.is_some() || locked.row.version != change.from_version {
            return Err(StoreError::StaleVersion { current: locked.row.version });
        }
        let old = locked.row.clone();
        self.exchange_names(change.id, &old.spec, &change.spec).await?;
        if old.spec.plan != change.spec.plan {
            let held = self.tx.catalog().hold_plan(change.spec.plan.as_str()).await?;
            self.give_plan(change.id, held.map_or(0, |held| held.version))?;
        }
        if let Some(rename) = &change.rename {
            self.rename(change.id, rename)?;
        }
        let now = self.tx.now;
        let locked = self.tx.locked.get_mut(&change.id).ok_or(StoreError::NotLocked)?;
        locked.row.version += 1;
        locked.row.spec = change.spec.clone();
        locked.row.updated_at = now;
        let history = Some((change.action.clone(), change.correlation_id.clone()));
        locked.made = Some(Made { version: locked.row.version, history });
        locked.is_dirty = true;
        let new = locked.row.clone();
        self.exchange_words(&old, &new);
        Ok(new)
    }

    /// Records what is in effect now; clears a recorded failure of a version that is in effect after all.
    ///
    /// # Errors
    /// [`StoreError::NotLocked`].
    pub fn set_state(&mut self, change: &StateChange) -> Result<TenantRow, StoreError> {
        self.edit(change.id, |row| {
            if let State::Active { since, .. } = &change.state {
                row.activated_at.get_or_insert(*since);
            }
            match change.state.placement() {
                Some(placement) => {
                    row.placement_generation = row.placement_generation.max(placement.generation);
                    row.placement = Some(placement.clone());
                }
                None if matches!(change.state, State::Deleted { .. }) => row.placement = None,
                None => {}
            }
            row.state = change.state.clone();
            row.observed_version = change.observed_version;
            row.app_version = change.app_version;
            row.conditions = change.conditions.clone();
            row.failure = row.failure.take().filter(|(version, _)| *version > change.observed_version);
        })
    }

    /// Records a place before the tenant is active, or takes it away again. Count it with
    /// [`crate::WriteTx::cells`].
    ///
    /// # Errors
    /// [`StoreError::NotLocked`].
    pub fn set_placement(&mut self, id: TenantId, placement: Option<&Placement>) -> Result<TenantRow, StoreError> {
        self.edit(id, |row| {
            if let Some(placement) = placement {
                row.placement_generation = row.placement_generation.max(placement.generation);
            }
            row.placement = placement.cloned();
        })
    }

    /// Records that a version was tried and unwound.
    ///
    /// # Errors
    /// [`StoreError::NotLocked`].
    pub fn mark_failed(
        &mut self,
        id: TenantId,
        version: i64,
        cause: &Cause,
        conditions: Vec<Condition>,
    ) -> Result<TenantRow, StoreError> {
        self.edit(id, |row| {
            row.failure = Some((version, cause.clone()));
            row.conditions = conditions;
        })
    }

    /// Forgets that a version failed, so that it is tried again.
    ///
    /// # Errors
    /// [`StoreError::NotLocked`].
    pub fn forget_failure(&mut self, id: TenantId) -> Result<TenantRow, StoreError> {
        self.edit(id, |row| row.failure = None)
    }

    /// Records what the drift check found; an empty list when all is well again.
    ///
    /// # Errors
    /// [`StoreError::NotLocked`].
    pub fn set_findings(
        &mut self,
        id: TenantId,
        findings: Vec<Finding>,
        conditions: Vec<Condition>,
    ) -> Result<TenantRow, StoreError> {
        self.edit(id, |row| {
            row.findings = findings;
            row.conditions = conditions;
        })
    }

    fn keep(&mut self, row: &tenantry_pg::Row) -> Result<TenantRow, StoreError> {
        let hash = row::head(row)?;
        let row = row::read(row)?;
        if self.tx.scope.tenant.is_some_and(|only| only != row.id) {
            return Err(StoreError::OutOfScope);
        }
        if let Some(locked) = self.tx.locked.get(&row.id) {
            // It was locked before and may have been changed since.
            return Ok(locked.row.clone());
        }
        let head = Head { audit_seq: row.audit_seq, hash, event_seq: row.event_seq };
        self.tx.heads.insert(row.id.into(), head);
        self.tx.locked.insert(row.id, Locked { row: row.clone(), made: None, is_dirty: false, rename: None });
        Ok(row)
    }

    fn edit(&mut self, id: TenantId, edit: impl FnOnce(&mut TenantRow)) -> Result<TenantRow, StoreError> {
        let now = self.tx.now;
        let locked = self.tx.locked.get_mut(&id).ok_or(StoreError::NotLocked)?;
        edit(&mut locked.row);
        locked.row.updated_at = now;
        locked.is_dirty = true;
        Ok(locked.row.clone())
    }

    fn draft(&self, new: &NewTenant) -> TenantRow {
        TenantRow {
            environment: self.tx.environment().clone(),
            id: new.id,
            slug: new.slug.clone(),
            version: 1,
            spec: new.spec.clone(),
            plan_version: 0,
            state: State::Draft,
            placement: None,
            placement_generation: 0,
            observed_version: new.observed_version,
            app_version: 0,
            conditions: new.conditions.clone(),
            failure: None,
            findings: Vec::new(),
            created_at: self.tx.now,
            updated_at: self.tx.now,
            activated_at: None,
            created_by: self.tx.actor.to_string(),
            audit_seq: 0,
            event_seq: 0,
        }
    }
}
