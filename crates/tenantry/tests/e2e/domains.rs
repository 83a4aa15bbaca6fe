//! `tenantry domains`: the record to set, the proof, and what a host names before and after.

use std::time::Instant;

use serde_json::Value;
use tenantry_testkit::dns::{DnsServer, Says};

use crate::program::{Dev, Home, PATIENCE};

const CHAT: &str = "chat.globex.example";

/// Gives globex these domains.
async fn wish(home: &Home, domains: &str) -> crate::program::Ended {
    let shown = home.json(&["get", "tenant", "globex"]).await;
    let mut manifest = shown.clone();
    manifest["spec"]["domains"] = serde_json::from_str::<Value>(domains).unwrap();
    let path = home.path("globex.json");
    std::fs::write(&path, manifest.to_string()).unwrap();
    home.run(&["apply", "-f", path.to_str().unwrap()]).await
}

/// CTX-06 by the command line, against a DNS server that the program is told of.
#[tokio::test]
async fn a_custom_domain_names_its_tenant_once_its_ownership_is_proven() {
    let (home, dns) = (Home::new(), DnsServer::start());
    let server = dns.address().to_string();
    let dev: Dev = home.dev(&["--dns-server", &server]).await;
    // The example's own wish.
    let example = home.json(&["domains", "list", "globex"]).await;
    assert_eq!((&example["items"][0]["domain"], &example["items"][0]["status"]), (&CHAT.into(), &"pending".into()));
    assert_eq!(wish(&home, "[]").await.code, 0);
    let none = home.run(&["domains", "verify", "globex"]).await;
    assert!(none.code == 2 && none.err.contains("spec.domains"), "{none:?}");
    assert_eq!(home.run(&["domains", "list", "hooli"]).await.code, 3);
    for (wrong, field) in [
        (r#"["globex.localhost"]"#, "spec.domains[0]"),
        (r#"["chat.globex.example", "10.0.0.1"]"#, "spec.domains[1]"),
        (r#"["chat.globex.example."]"#, "spec.domains[0]"),
        (r#"["bücher.example"]"#, "spec.domains[0]"),
    ] {
        let refused = wish(&home, wrong).await;
        assert!(refused.code == 2 && refused.err.contains(field), "{wrong}: {refused:?}");
    }
    let applied = wish(&home, r#"["chat.globex.example"]"#).await;
    assert_eq!(applied.code, 0, "{applied:?}");

    let listed = home.json(&["domains", "list", "globex"]).await;
    let record = listed["items"][0]["record"].clone();
    assert_eq!(record["name"], "_tenantry-challenge.chat.globex.example");
    let early = home.run(&["domains", "verify", "globex"]).await;
    assert_eq!(early.code, 1, "{early:?}");
    let value = record["value"].as_str().unwrap();
    for part in ["pending", "there is no TXT record", value] {
        assert!(early.out.contains(part), "{part}: {}", early.out);
    }
    let nobody = home.run(&["resolve", "--host", CHAT]).await;
    assert!(nobody.code == 2 && nobody.err.contains("TEN-0044"), "{nobody:?}");
    assert_eq!(home.run(&["domains", "verify", "globex", "--domain", "other.example"]).await.code, 3);
    assert_eq!(home.run(&["domains", "verify", "globex", "--domain", "Not A Domain"]).await.code, 2);

    dns.say(record["name"].as_str().unwrap(), Says::txt(value));
    let proven = home.run(&["domains", "verify", "globex", "--domain", CHAT]).await;
    assert!(proven.code == 0 && proven.out.contains("verified") && !proven.out.contains(value), "{proven:?}");
    let began = Instant::now();
    let found = loop {
        let found = home.run(&["resolve", "--host", CHAT, "-o", "json"]).await;
        if found.code == 0 {
            break found;
        }
        assert!(began.elapsed() < PATIENCE, "{found:?}");
    };
    let found: Value = serde_json::from_str(&found.out).unwrap();
    assert_eq!((&found["slug"], &found["sources"]), (&"globex".into(), &serde_json::json!(["host"])));
    let differs = home.run(&["resolve", "--host", CHAT, "--claim", "acme"]).await;
    assert!(differs.err.contains("TEN-0043"), "{differs:?}");

    assert_eq!(wish(&home, "[]").await.code, 0);
    let began = Instant::now();
    while home.run(&["resolve", "--host", CHAT]).await.code == 0 {
        assert!(began.elapsed() < PATIENCE);
    }
    assert!(home.json(&["audit", "verify"]).await["findings"].as_array().unwrap().is_empty());
    assert_eq!(dev.stop().await, 0);
}
