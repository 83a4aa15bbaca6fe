//! `tenantry quotas`: what a tenant has and uses, as an operator sees it, and the rates that a server is started with.

use crate::served::Served;

const TENANT: &str = "apiVersion: tenantry.dev/v1
kind: App
metadata: { name: chat }
spec:
  migrations: { files: [{ name: 0001_init.sql, sql: \"create table notes (tenant_id uuid not null, id bigint not null, primary key (tenant_id, id))\" }] }
  tenantKey: tenant_id
---
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: starter }
spec: { isolation: shared, quotas: { seats: 5, storage: { limit: 1Gi, mode: soft }, trials: { mode: off } } }
---
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: business }
spec: { isolation: shared, quotas: { seats: 50 } }
---
apiVersion: tenantry.dev/v1
kind: Region
metadata: { name: here }
---
apiVersion: tenantry.dev/v1
kind: Tenant
metadata: { name: acme }
spec: { displayName: Acme, app: chat, plan: starter, state: draft, residency: { allowedRegions: [here] } }
";

#[tokio::test]
async fn quotas_are_listed_taken_and_put_right() {
    let served = Served::start().await;
    let tenantry = async |arguments: &[&str]| served.run(arguments).await;
    let json = async |arguments: &[&str]| served.json(arguments).await;
    served.apply(TENANT).await;

    assert_eq!(json(&["quotas", "take", "acme", "seats", "--amount", "4"]).await["remaining"], 1);
    let listed = tenantry(&["quotas", "list", "acme"]).await;
    for part in ["QUOTA", "seats", "5", "hard", "warning", "storage", "1Gi", "soft", "trials", "off"] {
        assert!(listed.out.contains(part), "{part}: {}", listed.out);
    }
    let refused = tenantry(&["quotas", "take", "acme", "seats", "--amount", "2"]).await;
    assert_eq!(refused.code, 6, "{refused:?}");
    for part in ["TEN-0056", "4 of 5 used", "`business`", "allows 50"] {
        assert!(refused.err.contains(part), "{part}: {}", refused.err);
    }
    let made = json(&["quotas", "reserve", "acme", "seats", "--for", "1h"]).await;
    let id = made["id"].as_str().unwrap();
    assert_eq!(tenantry(&["quotas", "take", "acme", "seats"]).await.code, 6);
    assert_eq!(json(&["quotas", "commit", "acme", id]).await["used"], 5);
    assert_eq!(tenantry(&["quotas", "cancel", "acme", id]).await.code, 3);
    assert_eq!(json(&["quotas", "release", "acme", "seats", "--amount", "2"]).await["used"], 3);
    assert_eq!(json(&["quotas", "recount", "acme", "seats", "--used", "1"]).await["used"], 1);
    let unknown = tenantry(&["quotas", "take", "acme", "desks"]).await;
    assert!(unknown.code == 3 && unknown.err.contains("TEN-0057"), "{unknown:?}");
    assert_eq!(tenantry(&["quotas", "take", "acme", "seats", "--amount", "0"]).await.code, 2);
    // What Tenantry counts itself is for nobody else to take.
    let counted = tenantry(&["quotas", "take", "acme", "connections"]).await;
    assert!(counted.code != 0 && counted.err.contains("sessions at the gateway"), "{counted:?}");

    assert!(json(&["audit", "verify"]).await["findings"].as_array().unwrap().is_empty());
    served.stop().await;
}
