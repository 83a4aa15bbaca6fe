//! `tenantry logins`: one login from its making to its end, on a server that knows where its gateway is.

use rustix::process::Signal;
use serde_json::Value;

use crate::program::{Ended, Home, PATIENCE, eventually, finish, listens};

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
spec: { isolation: shared }
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
async fn a_login_from_its_making_to_its_end() {
    let home = Home::new();
    let database = tenantry_testkit::pg::server().database();
    for (what, file) in [("root-key", "root.key"), ("token", "admin.token")] {
        assert_eq!(home.run(&["secret", what, "--output-file", file]).await.code, 0);
    }
    let token = std::fs::read_to_string(home.path("admin.token")).unwrap().trim().to_owned();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let serve = |gateway: &str| {
        let mut command = home.command(&[
            "serve",
            "--migrate",
            "--listen",
            &address,
            "--drain-delay",
            "0s",
            "--gateway-url",
            gateway,
        ]);
        command
            .env("TENANTRY_DATABASE_URL", database.url())
            .env("TENANTRY_ROOT_KEY_FILE", home.path("root.key"))
            .env("TENANTRY_BOOTSTRAP_TOKEN_FILE", home.path("admin.token"));
        command
    };
    let wrong = finish(serve("https://db.example.com")).await;
    assert!(wrong.code == 2 && wrong.err.contains("postgres://"), "{wrong:?}");
    let mut server = serve("postgres://db.example.com:6432?sslmode=verify-full").spawn().unwrap();
    eventually("it listens", || listens(port)).await;
    let tenantry = async |arguments: &[&str]| -> Ended {
        let mut command = home.command(arguments);
        command.env("TENANTRY_URL", format!("http://{address}")).env("TENANTRY_TOKEN", &token);
        finish(command).await
    };
    let json = async |arguments: &[&str]| -> Value {
        let ended = tenantry(&[arguments, &["-o", "json"]].concat()).await;
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        serde_json::from_str(&ended.out).unwrap()
    };
    std::fs::write(home.path("all.yaml"), TENANT).unwrap();
    let applied = tenantry(&["apply", "-f", "all.yaml"]).await;
    assert_eq!(applied.code, 0, "{applied:?}");

    let made = json(&["logins", "create", "acme-reports", "--tenant", "acme", "--read-only", "--expires", "90d"]).await;
    let password = made["password"].as_str().unwrap().to_owned();
    let url = format!("postgres://acme-reports:{password}@db.example.com:6432/acme?sslmode=verify-full");
    assert_eq!(made["url"], url.as_str());
    assert_eq!((&made["login"]["access"], &made["login"]["slug"]), (&"read-only".into(), &"acme".into()));
    let days = made["login"]["expiresAt"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let days = days.duration_since(jiff::Timestamp::now()).as_hours() / 24;
    assert!((89..=90).contains(&days), "{days}");
    let service =
        tenantry(&["logins", "create", "chat-api", "--app", "chat", "--only", "acme", "--access-token"]).await;
    assert!(
        service.code == 0 && service.out.contains("1 of app chat") && service.out.contains("/TENANT?"),
        "{service:?}"
    );

    let listed = tenantry(&["logins", "list"]).await;
    for part in ["acme-reports", "read-only", "chat-api", "token", "active"] {
        assert!(listed.out.contains(part), "{part}: {}", listed.out);
    }
    assert!(!listed.out.contains(&password), "{listed:?}");
    assert_eq!(json(&["logins", "list", "--app", "chat"]).await["items"].as_array().unwrap().len(), 1);
    let shown = tenantry(&["logins", "show", "acme-reports"]).await;
    assert!(
        shown.code == 0 && shown.out.contains("enters        acme") && !shown.out.contains("password"),
        "{shown:?}"
    );

    let rotated = tenantry(&["logins", "rotate", "acme-reports", "--grace", "2h"]).await;
    assert!(rotated.code == 0 && rotated.out.contains("good until") && !rotated.out.contains(&password), "{rotated:?}");
    assert!(rotated.err.contains("not shown again"), "{rotated:?}");
    let revoked = tenantry(&["logins", "revoke", "acme-reports"]).await;
    assert_eq!((revoked.code, revoked.out.trim()), (0, "login acme-reports is revoked"));
    assert_eq!(json(&["logins", "show", "acme-reports"]).await["status"], "revoked");
    assert_eq!(json(&["logins", "list"]).await["items"].as_array().unwrap().len(), 1);

    // Mistakes: each with its code, and none of them made anything.
    for (arguments, code, part) in [
        (&["logins", "create", "x1y"][..], 2, "--tenant"),
        (&["logins", "create", "x1y", "--tenant", "acme", "--app", "chat"], 2, "cannot be used with"),
        (&["logins", "create", "x1y", "--tenant", "acme", "--only", "acme"], 2, "cannot be used with"),
        (&["logins", "create", "Bad", "--tenant", "acme"], 2, "name"),
        (&["logins", "create", "x1y", "--tenant", "acme", "--expires", "soon"], 2, "90d"),
        (&["logins", "create", "x1y", "--tenant", "hooli"], 3, "TEN-0005"),
        (&["logins", "create", "chat-api", "--tenant", "acme"], 5, "TEN-0053"),
        (&["logins", "rotate", "acme-reports"], 5, "TEN-0054"),
        (&["logins", "rotate", "chat-api"], 2, "access token"),
        (&["logins", "rotate", "x1y"], 3, "TEN-0006"),
        (&["logins", "revoke", "x1y"], 3, "TEN-0006"),
    ] {
        let ended = tenantry(arguments).await;
        assert!(ended.code == code && ended.err.contains(part), "{arguments:?}: {ended:?}");
    }
    assert!(json(&["audit", "verify"]).await["findings"].as_array().unwrap().is_empty());
    let pid = i32::try_from(server.id().unwrap()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    let ended = tokio::time::timeout(PATIENCE, server.wait()).await.expect("it drains").unwrap();
    assert!(ended.success());
}
