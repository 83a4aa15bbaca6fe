//! Reading the audit entries. They are written by [`crate::WriteTx::commit`] and checked by [`crate::verify`].

use tenantry_domain::Timestamp;
use tenantry_domain::audit::{Category, Entry, Hash, Outcome};
use tenantry_pg::{Row, Sql, ToSql, Type};
use uuid::Uuid;

use crate::chain::word;
use crate::columns::{digest, get};
use crate::cursor::Binding;
use crate::scope::Subject;
use crate::{Page, PageRequest, Reader, StoreError};

/// An entry as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    /// Whose chain.
    pub subject: Subject,
    /// Its number.
    pub seq: i64,
    /// What it says.
    pub entry: Entry,
    /// The text that was hashed.
    pub canonical: String,
    /// Its hash.
    pub hash: Hash,
}

/// Which entries. All that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of one chain; absent for all chains of the environment.
    pub subject: Option<Subject>,
    /// With this action.
    pub action: Option<String>,
    /// Of this kind.
    pub category: Option<Category>,
    /// With this end.
    pub outcome: Option<Outcome>,
    /// By this actor, `operator:…`.
    pub actor: Option<String>,
    /// Of this chain of requests.
    pub correlation_id: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

fn read(row: &Row) -> Result<AuditRow, StoreError> {
    let canonical: String = get(row, "entry")?;
    Ok(AuditRow {
        subject: Subject::from_uuid(get(row, "subject")?),
        seq: get(row, "seq")?,
        entry: serde_json::from_str(&canonical).map_err(|_| StoreError::Unreadable { what: "entry" })?,
        hash: digest(row, "hash")?,
        canonical,
    })
}

/// Keys of a place in the list: moment in microseconds, subject, number.
fn keys(at: Timestamp, row: &AuditRow) -> [u8; 32] {
    let mut keys = [0; 32];
    keys[..8].copy_from_slice(&at.as_microsecond().to_be_bytes());
    keys[8..24].copy_from_slice(row.subject.uuid().as_bytes());
    keys[24..].copy_from_slice(&row.seq.to_be_bytes());
    keys
}

fn place(keys: &[u8; 32]) -> Option<(Timestamp, Uuid, i64)> {
    let at = i64::from_be_bytes(keys[..8].try_into().ok()?);
    let subject = Uuid::from_slice(&keys[8..24]).ok()?;
    Some((Timestamp::from_microsecond(at).ok()?, subject, i64::from_be_bytes(keys[24..].try_into().ok()?)))
}

/// A statement that grows by conditions.
struct Query<'a> {
    sql: Sql,
    params: Vec<(&'a (dyn ToSql + Sync), Type)>,
}

impl<'a> Query<'a> {
    fn add(&mut self, condition: &'static str, param: &'a (dyn ToSql + Sync), kind: Type) {
        self.params.push((param, kind));
        let place = i64::try_from(self.params.len()).unwrap_or(i64::MAX);
        self.sql = self.sql.clone().push(condition).push("$").int(place);
    }
}

impl Reader {
    /// Entries, newest first.
    ///
    /// # Errors
    /// The page token's, or the database's.
    pub async fn audit(&self, filter: &AuditFilter, page: &PageRequest<'_>) -> Result<Page<AuditRow>, StoreError> {
        let binding = Binding::new(&self.store, "audit", &self.environment, filter, page);
        let after = binding.open(page)?.and_then(|keys| place(&keys));
        let env = self.environment.as_str();
        let subject = filter.subject.map(Subject::uuid);
        let category = filter.category.as_ref().map(word);
        let outcome = filter.outcome.as_ref().map(word);
        let mut query = Query {
            sql: Sql::new("SELECT subject, seq, entry, hash, at FROM tenantry.audit WHERE env = $1"),
            params: vec![(&env, Type::TEXT)],
        };
        for (condition, text) in [
            (" AND action = ", &filter.action),
            (" AND category = ", &category),
            (" AND outcome = ", &outcome),
            (" AND actor = ", &filter.actor),
            (" AND correlation_id = ", &filter.correlation_id),
        ] {
            if let Some(text) = text {
                query.add(condition, text, Type::TEXT);
            }
        }
        for (condition, moment) in [(" AND at >= ", &filter.since), (" AND at < ", &filter.until)] {
            if let Some(moment) = moment {
                query.add(condition, moment, Type::TIMESTAMPTZ);
            }
        }
        if let Some(subject) = &subject {
            query.add(" AND subject = ", subject, Type::UUID);
        }
        match (&after, subject.is_some()) {
            // A chain is in the order of its numbers, whatever a clock said.
            (Some((_, _, seq)), true) => query.add(" AND seq < ", seq, Type::INT8),
            (Some((at, subject, seq)), false) => {
                query.add(" AND (at, subject, seq) < (", at, Type::TIMESTAMPTZ);
                query.add(", ", subject, Type::UUID);
                query.add(", ", seq, Type::INT8);
                query.sql = query.sql.push(")");
            }
            (None, _) => {}
        }
        let order = if subject.is_some() {
            " ORDER BY seq DESC LIMIT "
        } else {
            " ORDER BY at DESC, subject DESC, seq DESC LIMIT "
        };
        let sql = query.sql.push(order).int(i64::from(page.size.get()) + 1);
        let rows = self.store.query_built(&sql, &query.params).await?;
        let found = rows.iter().map(|row| Ok((get(row, "at")?, read(row)?))).collect::<Result<Vec<_>, StoreError>>()?;
        let found = binding.page(found, page, |(at, row)| keys(*at, row));
        Ok(Page { items: found.items.into_iter().map(|(_, row)| row).collect(), next: found.next })
    }

    /// The entries of one chain from a number on, in order: for exports and tails.
    ///
    /// # Errors
    /// The database's.
    pub async fn audit_chain(&self, subject: Subject, from_seq: i64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let sql = "
            SELECT subject, seq, entry, hash FROM tenantry.audit
            WHERE env = $1 AND subject = $2 AND seq >= $3 ORDER BY seq LIMIT $4";
        let params: [&(dyn ToSql + Sync); 4] =
            [&self.environment.as_str(), &subject.uuid(), &from_seq, &i64::from(limit)];
        self.store.query(sql, &params).await?.iter().map(read).collect()
    }
}
