//! What has changed lately, for those who keep answers in memory.

use std::collections::BTreeMap;

use tenantry_domain::Timestamp;
use tenantry_pg::ToSql;

use crate::columns::get;
use crate::scope::Subject;
use crate::{Reader, StoreError};

/// What an environment's audit says of a stretch of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// What changed, with the number of its newest entry. The environment itself stands for all on which many tenants
    /// depend: plans, cells, apps.
    pub subjects: BTreeMap<Subject, i64>,
    /// Whether there were more entries than were asked for: then anything may have changed.
    pub is_cut: bool,
}

impl Reader {
    /// The subjects of the changes since a moment; attempts and accesses change nothing, and neither does the progress of
    /// what concerns the environment as a whole, such as a rollout: what it does to tenants has entries of theirs. An
    /// entry becomes visible when its transaction ends, so a caller looks again at the moments before its last look.
    ///
    /// # Errors
    /// The database's.
    pub async fn changed_since(&self, since: Timestamp, most: u32) -> Result<Changed, StoreError> {
        let sql = "SELECT subject, max(seq) AS seq, count(*) AS entries FROM (
                SELECT subject, seq FROM tenantry.audit
                WHERE env = $1 AND at > $2 AND category NOT IN ('refusal', 'access')
                    AND NOT (category = 'workflow' AND subject = $4) LIMIT $3
            ) AS recent GROUP BY subject";
        let limit = i64::from(most) + 1;
        let environment = Subject::Environment.uuid();
        let params: [&(dyn ToSql + Sync); 4] = [&self.environment.as_str(), &since, &limit, &environment];
        let rows = self.store.query(sql, &params).await?;
        let (mut changed, mut entries) = (Changed::default(), 0_i64);
        for row in &rows {
            changed.subjects.insert(Subject::from_uuid(get(row, "subject")?), get(row, "seq")?);
            entries = entries.saturating_add(get(row, "entries")?);
        }
        changed.is_cut = entries >= limit;
        Ok(changed)
    }
}
