//! `tenantry members`, `roles`, `invitations`: people of a tenant from the command line.

use serde_json::json;

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
spec: { isolation: shared, quotas: { users: 4 } }
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

const PEOPLE: &str = "issuer,subject,email,name,role,remove
https://login.example,anna,anna@example.com,\"Lee, Anna\",member,
https://login.example,bert,bert@example.com,,support,
https://login.example,eve,eve-at-example.com,,member,
";

#[tokio::test]
async fn people_of_a_tenant_from_the_command_line() {
    let served = Served::start().await;
    let tenantry = async |arguments: &[&str]| served.run(arguments).await;
    let json = async |arguments: &[&str]| served.json(arguments).await;
    served.apply(TENANT).await;

    let add = ["members", "add", "acme", "--issuer", "https://login.example", "--subject", "olga", "--email"];
    let olga = json(&[&add[..], &["olga@example.com", "--role", "owner"]].concat()).await["user"].clone();
    let olga = olga.as_str().unwrap();
    let role = tenantry(&["roles", "set", "acme", "support", "--permission", "feature:exports"]).await;
    assert!(role.code == 0 && role.out.contains("support") && role.out.contains("feature:exports"), "{role:?}");
    let roles = tenantry(&["roles", "list", "acme"]).await;
    assert!(roles.out.contains("readonly") && roles.out.contains("feature:exports"), "{roles:?}");

    std::fs::write(served.home.path("people.csv"), PEOPLE).unwrap();
    let tried = tenantry(&["members", "import", "acme", "people.csv", "--dry-run"]).await;
    assert!(tried.out.contains("would be 2 added") && tried.out.contains("name@example.com"), "{tried:?}");
    let done = tenantry(&["members", "import", "acme", "people.csv"]).await;
    assert!(done.code == 2 && done.out.contains("2 added") && done.err.contains("1 of 3"), "{done:?}");
    let again = tenantry(&["members", "import", "acme", "people.csv"]).await;
    assert!(again.out.contains("0 added, 0 changed, 0 removed, 2 unchanged, 1 refused"), "{again:?}");
    let listed = tenantry(&["members", "list", "acme"]).await;
    for part in ["olga@example.com", "owner", "Lee, Anna", "support"] {
        assert!(listed.out.contains(part), "{part}: {listed:?}");
    }

    let invited = tenantry(&["members", "invite", "acme", "carl@example.com", "--link", "--acting-user", olga]).await;
    assert!(
        invited.code == 0 && invited.out.contains("token") && invited.err.contains("not shown again"),
        "{invited:?}"
    );
    let open = json(&["invitations", "list", "acme"]).await;
    let invitation = open["items"][0]["id"].as_str().unwrap();
    assert_eq!(open["items"][0]["status"], json!("open"));
    let withdrawn = tenantry(&["invitations", "withdraw", "acme", invitation]).await;
    assert!(withdrawn.code == 0 && withdrawn.out.contains("is withdrawn"), "{withdrawn:?}");
    assert_eq!(json(&["invitations", "list", "acme", "--over"]).await["items"][0]["status"], json!("withdrawn"));
    let anna = json(&["members", "list", "acme", "--role", "member"]).await["items"][0]["user"].clone();
    let anna = anna.as_str().unwrap();
    let raised = tenantry(&["members", "role", "acme", anna, "admin", "--acting-user", olga]).await;
    assert!(raised.code == 0 && raised.out.contains("as admin"), "{raised:?}");
    assert_eq!(tenantry(&["members", "remove", "acme", anna, "--acting-user", anna]).await.code, 0);

    for (arguments, code, part) in [
        (&["members", "remove", "acme", olga][..], 5, "TEN-0062"),
        (&["members", "remove", "acme", anna], 3, "TEN-0064"),
        (&["members", "list", "hooli"], 3, "TEN-0005"),
        (&["members", "invite", "acme", "carl@example.com"], 2, "delivery"),
        (&["members", "invite", "acme", "OLGA+x@example.com", "--link"], 5, "TEN-0063"),
        (&["members", "import", "acme", "none.csv"], 2, "none.csv"),
        (&["roles", "set", "acme", "owner", "--permission", "tenant:data:read"], 2, "TEN-0027"),
        (&["roles", "set", "acme", "x", "--permission", "tenant:all"], 2, "tenant:data:read"),
        (&["roles", "delete", "acme", "support"], 5, "TEN-0036"),
        (&["invitations", "resend", "acme", invitation, "--link"], 3, "TEN-0066"),
    ] {
        let ended = tenantry(arguments).await;
        assert!(ended.code == code && ended.err.contains(part), "{arguments:?}: {ended:?}");
    }
    assert!(json(&["audit", "verify"]).await["findings"].as_array().unwrap().is_empty());
    served.stop().await;
}
