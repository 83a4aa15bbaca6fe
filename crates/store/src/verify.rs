//! Checking the audit chains against their subjects.
//!
//! Nets, from the innermost: each entry's hash and its link to the one before; whose entry its text says it is; the
//! columns that searches go by; count and newest hash in the subject's row; the subject's version against the
//! mutations recorded; chains and histories without a subject. Who may write everywhere can still rewrite a chain
//! from one point to its end together with the subject's row: only a copy of a hash outside of this database shows
//! that, and a commit's [`crate::Receipt`] is one.

use serde::Deserialize;
use tenantry_domain::Timestamp;
use tenantry_domain::audit::{Link, Tampering, Verifier};
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::policy::Actor;
use tenantry_pg::{Row, Tx, TxMode};
use uuid::Uuid;

use crate::chain::sha256;
use crate::columns::get;
use crate::scope::Subject;
use crate::{Store, StoreError};

/// What was found in one chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The partition.
    pub environment: EnvironmentName,
    /// Whose chain.
    pub subject: Subject,
    /// What is wrong.
    pub tampering: Tampering,
}

/// The outcome of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// Chains looked at.
    pub subjects: u64,
    /// Entries looked at.
    pub entries: u64,
    /// Everything that is wrong; at most one per chain and net.
    pub findings: Vec<Finding>,
}

/// Entries are read in pages of so many.
const ENTRIES_PAGE: i64 = 4_000;
/// Subjects are read in pages of so many.
const SUBJECTS_PAGE: i64 = 2_000;

const ENTRIES: &str = "
    SELECT subject, seq, entry, hash, at, action, category, outcome, actor, correlation_id FROM tenantry.audit
    WHERE env = $1 AND (subject, seq) > ($2, $3) AND ($4::uuid IS NULL OR subject = $4) ORDER BY subject, seq LIMIT $5";

const SUBJECTS: &str = "
    SELECT id, version, audit_seq, audit_head FROM tenantry.tenant
    WHERE env = $1 AND id > $2 AND ($3::uuid IS NULL OR id = $3) ORDER BY id LIMIT $4";

const ENVIRONMENT: &str = "
    SELECT '00000000-0000-0000-0000-000000000000'::uuid AS id, NULL::bigint AS version, audit_seq, audit_head
    FROM tenantry.environment WHERE name = $1";

/// Tenants that something remembers while their row is gone. Each table is left through its key from one tenant to
/// the next, so that the price is that of the tenants and not of all that happened to them.
const FORGOTTEN: &str = "
    WITH RECURSIVE versions AS (
        (SELECT tenant AS id FROM tenantry.tenant_version
            WHERE env = $1 AND ($2::uuid IS NULL OR tenant = $2) ORDER BY tenant LIMIT 1)
        UNION ALL
        SELECT (SELECT v.tenant FROM tenantry.tenant_version AS v
            WHERE v.env = $1 AND v.tenant > s.id AND ($2::uuid IS NULL OR v.tenant = $2) ORDER BY v.tenant LIMIT 1)
        FROM versions AS s WHERE s.id IS NOT NULL
    ), events AS (
        (SELECT subject AS id FROM tenantry.outbox
            WHERE env = $1 AND subject > '00000000-0000-0000-0000-000000000000' AND ($2::uuid IS NULL OR subject = $2)
            ORDER BY subject LIMIT 1)
        UNION ALL
        SELECT (SELECT o.subject FROM tenantry.outbox AS o
            WHERE o.env = $1 AND o.subject > s.id AND ($2::uuid IS NULL OR o.subject = $2) ORDER BY o.subject LIMIT 1)
        FROM events AS s WHERE s.id IS NOT NULL
    )
    SELECT id FROM (SELECT id FROM versions UNION SELECT id FROM events) AS known
    WHERE id IS NOT NULL AND NOT EXISTS (SELECT FROM tenantry.tenant AS t WHERE t.env = $1 AND t.id = known.id)
    ORDER BY id";

/// What an entry's text says of its searchable columns.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Searchable<'a> {
    at: Timestamp,
    #[serde(borrow)]
    action: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    category: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    outcome: std::borrow::Cow<'a, str>,
    actor: Actor,
    #[serde(borrow)]
    correlation_id: std::borrow::Cow<'a, str>,
}

/// The rows of all chains, in order, page by page.
struct Entries<'a> {
    tx: &'a Tx,
    environment: &'a EnvironmentName,
    only: Option<Uuid>,
    page: std::vec::IntoIter<Row>,
    after: (Uuid, i64),
    is_last_page: bool,
}

impl<'a> Entries<'a> {
    fn new(tx: &'a Tx, environment: &'a EnvironmentName, only: Option<Uuid>) -> Self {
        let after = (only.unwrap_or(Uuid::nil()), 0);
        Self { tx, environment, only, page: Vec::new().into_iter(), after, is_last_page: false }
    }

    /// The next row, if it belongs to a subject that `wanted` accepts.
    async fn next_if(&mut self, wanted: impl Fn(Uuid) -> bool) -> Result<Option<Row>, StoreError> {
        if self.page.as_slice().is_empty() && !self.is_last_page {
            let (subject, seq) = self.after;
            let rows = self
                .tx
                .query(ENTRIES, &[&self.environment.as_str(), &subject, &seq, &self.only, &ENTRIES_PAGE])
                .await?;
            self.is_last_page = i64::try_from(rows.len()).unwrap_or(i64::MAX) < ENTRIES_PAGE;
            if let Some(last) = rows.last() {
                self.after = (get(last, "subject")?, get(last, "seq")?);
            }
            self.page = rows.into_iter();
        }
        match self.page.as_slice().first() {
            Some(row) if wanted(get(row, "subject")?) => Ok(self.page.next()),
            _ => Ok(None),
        }
    }
}

impl Store {
    /// Checks one chain, all chains of an environment, or everything, in one snapshot and constant memory.
    ///
    /// # Errors
    /// The database's. Tampering is no error but the answer.
    pub async fn verify_audit(
        &self,
        environment: Option<&EnvironmentName>,
        subject: Option<Subject>,
    ) -> Result<Verification, StoreError> {
        let environments = match environment {
            Some(only) => vec![only.clone()],
            None => self.environments().await?.into_iter().map(|row| row.name).collect(),
        };
        let tx = self.inner.pool.begin_with(TxMode::RepeatableReadReadOnly).await?;
        let mut verification = Verification::default();
        for environment in &environments {
            verify_environment(&tx, environment, subject.map(Subject::uuid), &mut verification).await?;
        }
        tx.rollback().await?;
        Ok(verification)
    }
}

async fn verify_environment(
    tx: &Tx,
    environment: &EnvironmentName,
    only: Option<Uuid>,
    verification: &mut Verification,
) -> Result<(), StoreError> {
    let mut entries = Entries::new(tx, environment, only);
    let mut after = Uuid::nil();
    let mut heads = if only.is_none_or(|id| id.is_nil()) {
        tx.query(ENVIRONMENT, &[&environment.as_str()]).await?
    } else {
        Vec::new()
    };
    loop {
        for head in &heads {
            let id: Uuid = get(head, "id")?;
            orphans(&mut entries, environment, |subject| subject < id, verification).await?;
            verify_subject(&mut entries, environment, head, verification).await?;
        }
        if only.is_some_and(|id| id.is_nil()) {
            return Ok(());
        }
        heads = tx.query(SUBJECTS, &[&environment.as_str(), &after, &only, &SUBJECTS_PAGE]).await?;
        match heads.last() {
            Some(last) => after = get(last, "id")?,
            None => break,
        }
    }
    orphans(&mut entries, environment, |_| true, verification).await?;
    for row in tx.query(FORGOTTEN, &[&environment.as_str(), &only]).await? {
        let subject = Subject::from_uuid(get(&row, "id")?);
        let is_known = verification
            .findings
            .iter()
            .any(|finding| finding.subject == subject && finding.environment == *environment);
        if !is_known {
            report(verification, environment, subject, Tampering::Orphaned { found: 0 });
        }
    }
    Ok(())
}

/// Counts entries whose subject is gone, and reports each such subject.
async fn orphans(
    entries: &mut Entries<'_>,
    environment: &EnvironmentName,
    wanted: impl Fn(Uuid) -> bool,
    verification: &mut Verification,
) -> Result<(), StoreError> {
    while let Some(first) = entries.next_if(&wanted).await? {
        let id: Uuid = get(&first, "subject")?;
        let mut found = 1;
        while entries.next_if(|subject| subject == id).await?.is_some() {
            found += 1;
        }
        verification.entries += u64::try_from(found).unwrap_or(0);
        report(verification, environment, Subject::from_uuid(id), Tampering::Orphaned { found });
    }
    Ok(())
}

async fn verify_subject(
    entries: &mut Entries<'_>,
    environment: &EnvironmentName,
    head: &Row,
    verification: &mut Verification,
) -> Result<(), StoreError> {
    let id: Uuid = get(head, "id")?;
    let subject = Subject::from_uuid(id);
    let mut verifier = Verifier::new(environment, subject.tenant());
    let (mut broken, mut columns, mut mutations) = (None, None, 0);
    while let Some(row) = entries.next_if(|subject| subject == id).await? {
        verification.entries += 1;
        let link = Link { seq: get(&row, "seq")?, canonical: get(&row, "entry")?, hash: get(&row, "hash")? };
        if broken.is_none() {
            broken = verifier.step(&link, sha256).err();
        }
        match serde_json::from_str::<Searchable<'_>>(link.canonical) {
            Ok(said) => {
                mutations += i64::from(said.category == "mutation" && said.outcome == "success");
                if columns.is_none() && !agrees(&row, &said)? {
                    columns = Some(Tampering::Columns { seq: link.seq });
                }
            }
            Err(_) => columns = columns.or(Some(Tampering::Columns { seq: link.seq })),
        }
    }
    verification.subjects += 1;
    let (counted, hash): (i64, &[u8]) = (get(head, "audit_seq")?, get(head, "audit_head")?);
    // A changed text disagrees with its columns as well; that is the same finding.
    let columns = columns.filter(|_| broken.is_none());
    let found = broken.or_else(|| verifier.finish(counted, hash).err());
    for tampering in found.into_iter().chain(columns) {
        report(verification, environment, subject, tampering);
    }
    if let Some(version) = get::<Option<i64>>(head, "version")?
        && version != mutations
    {
        report(verification, environment, subject, Tampering::Version { version, mutations });
    }
    Ok(())
}

fn agrees(row: &Row, said: &Searchable<'_>) -> Result<bool, StoreError> {
    Ok(get::<&str>(row, "action")? == said.action
        && get::<&str>(row, "category")? == said.category
        && get::<&str>(row, "outcome")? == said.outcome
        && get::<&str>(row, "actor")? == said.actor.to_string()
        && get::<&str>(row, "correlation_id")? == said.correlation_id
        && get::<Timestamp>(row, "at")?.as_microsecond() == said.at.as_microsecond())
}

fn report(verification: &mut Verification, environment: &EnvironmentName, subject: Subject, tampering: Tampering) {
    verification.findings.push(Finding { environment: environment.clone(), subject, tampering });
}
