//! `tenantry plans` on a server of its own: versions, an upgrade of a share, refusals, and the way back.

use serde_json::Value;

use crate::served::Served;

const CATALOG: &str = "apiVersion: tenantry.dev/v1
kind: App
metadata: { name: chat }
spec:
  migrations: { files: [{ name: 0001_init.sql, sql: \"create table notes (tenant_id uuid not null, id bigint not null, primary key (tenant_id, id))\" }] }
  tenantKey: tenant_id
---
apiVersion: tenantry.dev/v1
kind: Region
metadata: { name: here }
";

fn plan(features: &str) -> String {
    format!(
        "apiVersion: tenantry.dev/v1\nkind: Plan\nmetadata: {{ name: team }}\nspec: {{ isolation: shared, tenants: keep, {features} }}\n"
    )
}

fn tenant(slug: &str, settings: &str) -> String {
    format!(
        "---\napiVersion: tenantry.dev/v1\nkind: Tenant\nmetadata: {{ name: {slug} }}\n\
         spec: {{ displayName: {slug}, app: chat, plan: team, state: draft, residency: {{ allowedRegions: [here] }}, \
         settings: {{ {settings} }} }}\n"
    )
}

#[tokio::test]
async fn versions_of_plans_from_the_command_line() {
    let served = Served::start().await;
    let tenantry = async |arguments: &[&str]| served.run(arguments).await;
    let json = async |arguments: &[&str]| served.json(arguments).await;
    let apply = async |text: &str| served.apply(text).await;
    let names: Vec<String> = (0..54).map(|number| format!("team-{number:02}")).collect();
    let tenants: String = names.iter().map(|slug| tenant(slug, "")).collect();
    apply(&format!("{CATALOG}---\n{}{tenants}{}", plan("features: { ai: false }"), tenant("acme", "locale: de"))).await;
    apply(&plan("features: { ai: true }, customization: { class: none }")).await;

    let versions = tenantry(&["plans", "versions", "team"]).await;
    assert!(
        versions.code == 0 && versions.out.contains("features.ai") && versions.out.contains("customization"),
        "{versions:?}"
    );
    let counts = async || -> Vec<(i64, i64)> {
        let all = json(&["plans", "versions", "team"]).await;
        let one = |item: &Value| (item["version"].as_i64().unwrap(), item["tenants"].as_i64().unwrap());
        all["items"].as_array().unwrap().iter().map(one).collect()
    };
    assert_eq!(counts().await, [(2, 0), (1, 55)]);
    assert_eq!(json(&["flags", "of", "team-01"]).await["features"]["ai"]["value"], false);

    let dry = tenantry(&["plans", "upgrade", "team", "--tenant", "team-01", "--tenant", "acme", "--dry-run"]).await;
    assert!(dry.code == 1 && dry.out.contains("1 tenant(s) would be moved to version 2 of plan team"), "{dry:?}");
    assert!(dry.out.contains("acme") && dry.out.contains("TEN-0073"), "{dry:?}");
    assert_eq!(counts().await, [(2, 0), (1, 55)]);
    let one = tenantry(&["plans", "upgrade", "team", "--tenant", "team-01"]).await;
    assert!(one.code == 0 && one.out.contains("1 tenant(s) moved to version 2"), "{one:?}");
    assert_eq!(json(&["flags", "of", "team-01"]).await["features"]["ai"]["value"], true);
    let share = tenantry(&["plans", "upgrade", "team", "--share", "30"]).await;
    let (new, _) = (counts().await[0].1, share);
    assert!((2..40).contains(&new), "{new}");

    // All that are left, in more than one batch; acme is named and has what it had.
    let all = tenantry(&["plans", "upgrade", "team"]).await;
    assert!(all.code == 1 && all.out.contains("acme") && all.out.contains("locale"), "{all:?}");
    assert_eq!(counts().await, [(2, 54), (1, 1)]);
    let again: Value = serde_json::from_str(&tenantry(&["plans", "upgrade", "team", "-o", "json"]).await.out).unwrap();
    assert_eq!((again["moved"].as_array().unwrap().len(), &again["refused"][0]["slug"]), (0, &"acme".into()));
    let back = tenantry(&["plans", "upgrade", "team", "--from", "2", "--to", "1"]).await;
    assert!(back.code == 0 && back.out.contains("54 tenant(s) moved to version 1"), "{back:?}");
    assert!(back.err.contains("50 moved, 0 refused, going on"), "progress is told: {back:?}");
    assert_eq!(counts().await, [(2, 0), (1, 55)]);

    for (arguments, code, part) in [
        (&["plans", "versions", "nothing"][..], 3, "TEN-0006"),
        (&["plans", "upgrade", "team", "--share", "101"], 2, "101"),
        (&["plans", "upgrade", "team", "--to", "9"], 3, "version"),
        (&["plans", "upgrade", "team", "--tenant", "hooli"], 3, "TEN-0005"),
        (&["plans", "upgrade", "team", "--tenant", "team-01", "--share", "5"], 2, "--share"),
    ] {
        let ended = tenantry(arguments).await;
        assert!(ended.code == code && ended.err.contains(part), "{arguments:?}: {ended:?}");
    }
    assert!(json(&["audit", "verify"]).await["findings"].as_array().unwrap().is_empty());
    served.stop().await;
}
