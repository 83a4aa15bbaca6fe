//! Holds what was committed against what arrived.

use std::collections::BTreeMap;

use tenantry_domain::id::TenantId;
use uuid::Uuid;

use crate::farm::{Hears, Post};
use crate::world::World;

/// Everything that was committed of tenants: number and type, by tenant.
pub struct Committed(BTreeMap<String, Vec<(i64, String)>>);

impl Committed {
    /// Reads the outbox.
    pub async fn read(world: &World) -> Self {
        let sql = "SELECT subject, sequence, type FROM tenantry.outbox WHERE subject <> $1 ORDER BY subject, sequence";
        let mut found: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
        for row in world.control.query(sql, &[&Uuid::nil()]).await.unwrap() {
            let tenant = TenantId::from_uuid(row.get(0)).to_string();
            found.entry(tenant).or_default().push((row.get(1), row.get(2)));
        }
        Self(found)
    }

    /// The newest number of each tenant.
    pub fn newest(&self) -> BTreeMap<String, i64> {
        self.0.iter().map(|(tenant, events)| (tenant.clone(), events.last().map_or(0, |event| event.0))).collect()
    }

    /// How much there is behind `base`.
    pub fn count(&self, base: &BTreeMap<String, i64>) -> usize {
        self.0.iter().map(|(tenant, events)| events.iter().filter(|event| event.0 > base[tenant]).count()).sum()
    }

    /// Tenants whose numbers are not 1, 2, 3, …
    pub fn gaps(&self) -> Vec<String> {
        let is_whole = |events: &[(i64, String)]| events.iter().map(|event| event.0).eq((1..).take(events.len()));
        self.0.iter().filter(|(_, events)| !is_whole(events)).map(|(tenant, _)| tenant.clone()).collect()
    }

    /// What an endpoint should have taken behind `base` and did not, at most twenty; and how much it should have.
    pub fn missing(&self, post: &Post, base: &BTreeMap<String, i64>) -> (Vec<String>, usize) {
        let wants = |tenant: &str, kind: &str| match &post.hears {
            Hears::Tenant(own) => own == tenant,
            Hears::InOrder(wanted) => *wanted == kind,
        };
        post.look(|seen| {
            let (mut missing, mut count) = (Vec::new(), 0);
            for (tenant, events) in &self.0 {
                let due = events.iter().filter(|(number, kind)| *number > base[tenant] && wants(tenant, kind));
                for (sequence, kind) in due {
                    count += 1;
                    if !seen.has(tenant, *sequence) && missing.len() < 20 {
                        missing.push(format!("{tenant} {sequence} {kind}"));
                    }
                }
            }
            (missing, count)
        })
    }
}
