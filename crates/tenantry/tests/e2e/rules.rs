//! The operator's rules at a running server: a signed bundle from a web server, tried, in force, and what replaces it.

use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};

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

/// Serves one file to whoever asks, under any path.
fn web(file: Arc<Mutex<Vec<u8>>>) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let _ = stream.read(&mut [0; 4096]);
            let body = file.lock().unwrap().clone();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    port
}

/// A bundle of the shipped rules with settings, signed and packed by the program itself.
async fn bundle(home: &Home, version: &str, settings: &str, key: Option<&str>) -> Vec<u8> {
    let folder = home.path(version);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("policy.toml"), format!("name = 'acme'\nversion = '{version}'\n{settings}")).unwrap();
    if let Some(key) = key {
        let signed = home.run(&["policy", "sign", version, "--key-file", key]).await;
        assert_eq!(signed.code, 0, "{signed:?}");
    }
    let archive = format!("{version}.tar.gz");
    let packed = home.run(&["policy", "pack", version, "--output-file", &archive]).await;
    assert_eq!(packed.code, 0, "{packed:?}");
    std::fs::read(home.path(&archive)).unwrap()
}

/// An Ed25519 pair, by the program that operators make theirs with.
fn keys(home: &Home, name: &str) {
    let openssl = |arguments: &[&str]| {
        let ended = std::process::Command::new("openssl").args(arguments).current_dir(home.path("")).output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
    };
    let (private, public) = (format!("{name}.pem"), format!("{name}.pub"));
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", &private]);
    openssl(&["pkey", "-in", &private, "-pubout", "-out", &public]);
}

#[tokio::test]
async fn rules_come_signed_over_the_network_and_bad_ones_never_replace_good_ones() {
    let home = Home::new();
    let database = tenantry_testkit::pg::server().database();
    for (what, file) in [("root-key", "root.key"), ("token", "admin.token")] {
        assert_eq!(home.run(&["secret", what, "--output-file", file]).await.code, 0);
    }
    keys(&home, "ours");
    keys(&home, "theirs");
    let four_eyes = "[settings.fourEyes]\nenabled = true\n";
    let file = Arc::new(Mutex::new(bundle(&home, "one", four_eyes, Some("ours.pem")).await));
    let source = format!("http://127.0.0.1:{}/acme.tar.gz", web(Arc::clone(&file)));
    let token = std::fs::read_to_string(home.path("admin.token")).unwrap().trim().to_owned();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let serve = |more: &[(&str, &str)]| {
        let mut serve = home.command(&["serve", "--migrate", "--listen", &address, "--drain-delay", "0s"]);
        serve
            .env("TENANTRY_DATABASE_URL", database.url())
            .env("TENANTRY_ROOT_KEY_FILE", home.path("root.key"))
            .env("TENANTRY_BOOTSTRAP_TOKEN_FILE", home.path("admin.token"))
            .env("TENANTRY_POLICY_EVERY", "1s")
            .env("TENANTRY_POLICY_FOLDER", home.path("kept"));
        serve.envs(more.iter().copied());
        serve
    };
    // Without a key it does not even start.
    let unsigned = finish(serve(&[("TENANTRY_POLICY_SOURCE", &source)])).await;
    assert!(unsigned.code == 2 && unsigned.err.contains("signed"), "{unsigned:?}");
    let public = home.path("ours.pub").display().to_string();
    let settings = [("TENANTRY_POLICY_SOURCE", source.as_str()), ("TENANTRY_POLICY_KEYS_FILE", public.as_str())];
    let mut server = serve(&settings).spawn().unwrap();
    eventually("it listens", || listens(port)).await;
    let tenantry = async |arguments: &[&str]| -> Ended {
        let mut command = home.command(arguments);
        command.env("TENANTRY_URL", format!("http://{address}")).env("TENANTRY_TOKEN", &token);
        finish(command).await
    };
    let active = async || -> String {
        let status = tenantry(&["policy", "status", "-o", "json"]).await;
        serde_json::from_str::<Value>(&status.out).unwrap()["active"].as_str().unwrap_or_default().to_owned()
    };
    assert!(active().await.starts_with("acme/one+sha256:"));
    std::fs::write(home.path("all.yaml"), TENANT).unwrap();
    let applied = tenantry(&["apply", "-f", "all.yaml"]).await;
    assert_eq!(applied.code, 0, "{applied:?}");
    let delete = ["delete", "tenant", "acme", "--confirm", "acme", "--reason", "removal request 815", "--no-wait"];
    let refused = tenantry(&delete).await;
    assert!(
        refused.code != 0 && refused.err.contains("four-eyes") && refused.err.contains("approvals give"),
        "{refused:?}"
    );

    // A bundle of somebody else, one that is broken, and one that fails its own tests.
    let foreign = bundle(&home, "two", "", Some("theirs.pem")).await;
    let nobodys = bundle(&home, "three", "", None).await;
    let mut torn = foreign.clone();
    torn.truncate(torn.len() / 2);
    for bad in [foreign, nobodys, torn, b"<html>".to_vec()] {
        *file.lock().unwrap() = bad;
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        assert!(active().await.starts_with("acme/one+sha256:"));
    }
    assert!(tenantry(&delete).await.err.contains("four-eyes"));

    // Killed, and its source gone: what was in force is in force again.
    server.kill().await.unwrap();
    *file.lock().unwrap() = Vec::new();
    let mut server = serve(&settings).spawn().unwrap();
    eventually("it listens again", || listens(port)).await;
    assert!(active().await.starts_with("acme/one+sha256:"));
    assert!(tenantry(&delete).await.err.contains("four-eyes"));

    // A new one is in force within a moment, and the audit says by which rules each change was allowed.
    *file.lock().unwrap() = bundle(&home, "four", "", Some("ours.pem")).await;
    let mut tries = 0;
    while !active().await.starts_with("acme/four+sha256:") {
        tries += 1;
        assert!(tries < 100, "the new bundle is not taken");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let deleted = tenantry(&delete).await;
    assert_eq!(deleted.code, 0, "{deleted:?}");
    let audit = tenantry(&["audit", "list", "-o", "json"]).await;
    assert!(audit.out.contains("acme/one+sha256:") && audit.out.contains("acme/four+sha256:"), "{audit:?}");
    let pid = i32::try_from(server.id().unwrap()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    let ended = tokio::time::timeout(PATIENCE, server.wait()).await.expect("it drains").unwrap();
    assert!(ended.success());
}
