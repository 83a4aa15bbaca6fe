//! What gauges tell of rollouts: the newest one of each app, and how its targets stand.

use std::collections::BTreeMap;

use tenantry_domain::name::{AppName, EnvironmentName};
use tenantry_domain::rollout::{Status, TargetStatus};

use crate::columns::{count, parse, parse_opt};
use crate::{Store, StoreError};

/// The newest rollout of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutGauge {
    /// The app's environment.
    pub environment: EnvironmentName,
    /// The app.
    pub app: AppName,
    /// How the rollout stands.
    pub status: Status,
    /// How many of its targets stand how; a way in which none stands is left out.
    pub targets: BTreeMap<TargetStatus, u64>,
}

/// By two descents of an index for each app, so that the past costs nothing.
const GAUGES: &str = "
    SELECT c.env, c.name AS app, r.status, g.status AS target, coalesce(g.n, 0) AS n
    FROM tenantry.catalog AS c
    CROSS JOIN LATERAL (
        SELECT o.id, o.status FROM tenantry.rollout AS o WHERE o.env = c.env AND o.app = c.name
        ORDER BY o.created_at DESC, o.id DESC LIMIT 1
    ) AS r
    LEFT JOIN LATERAL (
        SELECT t.status, count(*) AS n FROM tenantry.rollout_target AS t
        WHERE t.env = c.env AND t.rollout = r.id GROUP BY t.status
    ) AS g ON true
    WHERE c.kind = 'app' ORDER BY c.env, c.name";

impl Store {
    /// The newest rollout of each app of all environments; apps that never had one are left out.
    ///
    /// # Errors
    /// The database's.
    pub async fn rollout_gauges(&self) -> Result<Vec<RolloutGauge>, StoreError> {
        let mut found: Vec<RolloutGauge> = Vec::new();
        for row in self.query(GAUGES, &[]).await? {
            let (environment, app): (EnvironmentName, AppName) = (parse(&row, "env")?, parse(&row, "app")?);
            let is_same = found.last().is_some_and(|last| last.environment == environment && last.app == app);
            if !is_same {
                found.push(RolloutGauge { environment, app, status: parse(&row, "status")?, targets: BTreeMap::new() });
            }
            if let (Some(last), Some(target)) = (found.last_mut(), parse_opt(&row, "target")?) {
                last.targets.insert(target, count(&row, "n")?);
            }
        }
        Ok(found)
    }
}
