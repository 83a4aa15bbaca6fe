//! `tenantry flags` and what-if questions of `tenantry place`, on a server of its own.

use crate::served::Served;

const CATALOG: &str = "apiVersion: tenantry.dev/v1
kind: App
metadata: { name: chat }
spec:
  migrations: { files: [{ name: 0001_init.sql, sql: \"create table notes (tenant_id uuid not null, id bigint not null, primary key (tenant_id, id))\" }] }
  tenantKey: tenant_id
---
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: starter }
spec: { isolation: shared, price: { currency: EUR, monthlyMinor: 0 }, features: { ai: false } }
---
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: team }
spec: { isolation: schema, price: { currency: EUR, monthlyMinor: 900 }, features: { ai: true } }
---
apiVersion: tenantry.dev/v1
kind: Region
metadata: { name: here }
---
apiVersion: tenantry.dev/v1
kind: Region
metadata: { name: there }
spec: { distances: { here: 90 } }
---
apiVersion: tenantry.dev/v1
kind: Cell
metadata: { name: here-1 }
spec: { region: here, database: { urlFrom: { env: CELL_URL } }, capacity: { shared: 10, schema: 5 } }
---
apiVersion: tenantry.dev/v1
kind: Cell
metadata: { name: there-1 }
spec: { region: there, database: { urlFrom: { env: CELL_URL } }, capacity: { shared: 10 } }
---
apiVersion: tenantry.dev/v1
kind: Tenant
metadata: { name: acme }
spec: { displayName: Acme, app: chat, plan: starter, state: draft, residency: { allowedRegions: [here] } }
";

#[tokio::test]
async fn features_and_places_from_the_command_line() {
    let served = Served::with(|serve, database| {
        serve.env("CELL_URL", database);
    })
    .await;
    let tenantry = async |arguments: &[&str]| served.run(arguments).await;
    let json = async |arguments: &[&str]| served.json(arguments).await;
    served.apply(CATALOG).await;

    assert_eq!(json(&["flags", "of", "acme"]).await["features"]["ai"]["source"], "plan");
    let rolled = tenantry(&["flags", "rollout", "ai", "--percent", "100"]).await;
    assert!(rolled.code == 0 && rolled.out.contains("true for 100 %"), "{rolled:?}");
    let of = tenantry(&["flags", "of", "acme"]).await;
    assert!(of.out.contains("ai") && of.out.contains("rollout"), "{of:?}");
    let set = json(&["flags", "set", "ai", "--description", "Assistant", "--cell", "here-1=false"]).await;
    assert_eq!((&set["spec"]["rollout"]["percent"], &set["version"]), (&100.into(), &2.into()), "what was said stays");
    let off = tenantry(&["flags", "off", "ai", "--reason", "it burns"]).await;
    assert!(off.code == 0 && off.out.contains("OFF for everybody: it burns"), "{off:?}");
    let of = tenantry(&["flags", "of", "acme"]).await;
    assert!(of.out.contains("switch") && of.out.contains("it burns"), "{of:?}");
    assert_eq!(tenantry(&["flags", "on", "ai"]).await.code, 0);
    let text = json(&["flags", "set", "theme", "--default", "plain", "--off-value", "none"]).await;
    assert_eq!(text["spec"]["default"], "plain");
    let listed = tenantry(&["flags", "list"]).await;
    assert!(listed.out.contains("theme") && listed.out.contains("100 %"), "{listed:?}");
    assert_eq!(tenantry(&["flags", "delete", "theme"]).await.out.trim(), "flag theme is removed");
    assert_eq!(json(&["flags", "usage", "acme"]).await["totals"], serde_json::json!({}));
    assert_eq!(json(&["flags", "levels"]).await["items"], serde_json::json!([]));

    let what_if = ["place", "--explain", "--plan", "starter", "--regions", "here,there", "--origin", "there"];
    let placed = tenantry(&what_if).await;
    assert!(placed.code == 0 && placed.out.contains("would be put in there-1"), "{placed:?}");
    let preferred = tenantry(&[&what_if[..], &["--prefer", "here"]].concat()).await;
    assert!(preferred.out.contains("would be put in here-1"), "{preferred:?}");
    let acme = tenantry(&["place", "acme", "--explain", "--plan", "team"]).await;
    assert!(acme.out.contains("would be put in here-1 (here) as schema"), "{acme:?}");
    assert!(acme.out.contains("refused: its region there is not allowed"), "{acme:?}");
    let full = tenantry(&["place", "--explain", "--level", "schema", "--regions", "there"]).await;
    assert!(full.code == 6 && full.err.contains("TEN-0015") && full.err.contains("0 of 0 places"), "{full:?}");

    for (arguments, code, part) in [
        (&["flags", "show", "nothing"][..], 3, "TEN-0006"),
        (&["flags", "off", "ai"], 2, "--reason"),
        (&["flags", "rollout", "ai", "--percent", "101"], 2, "101"),
        (&["flags", "set", "ai", "--cell", "nonsense"], 2, "CELL=VALUE"),
        (&["flags", "set", "ai", "--cell", "mars-1=true"], 2, "TEN-0004"),
        (&["flags", "set", "ai", "--default", "blue"], 2, "offValue"),
        (&["flags", "of", "hooli"], 3, "TEN-0005"),
        (&["flags", "usage", "acme", "--from", "soon"], 2, "from"),
        (&["place", "--explain"], 2, "TENANT"),
        (&["place", "--regions", "here"], 2, "plan"),
        (&["place", "--regions", "mars", "--plan", "starter"], 2, "TEN-0004"),
    ] {
        let ended = tenantry(arguments).await;
        assert!(ended.code == code && ended.err.contains(part), "{arguments:?}: {ended:?}");
    }
    assert!(json(&["audit", "verify"]).await["findings"].as_array().unwrap().is_empty());
    served.stop().await;
}
