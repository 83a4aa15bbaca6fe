//! `tenantry webhooks`: an endpoint from the command line, from its secret to its removal.

use serde_json::json;
use tenantry_testkit::receivers::{Mood, Receiver};
use tenantry_webhooks::verify::{TOLERANCE, Verifier};

use crate::program::eventually;
use crate::served::Served;

fn manifests(display_name: &str) -> String {
    format!(
        "apiVersion: tenantry.dev/v1
kind: App
metadata: {{ name: chat }}
spec:
  migrations: {{ files: [{{ name: 0001_init.sql, sql: \"create table notes (tenant_id uuid not null, id bigint not null, primary key (tenant_id, id))\" }}] }}
  tenantKey: tenant_id
---
apiVersion: tenantry.dev/v1
kind: Plan
metadata: {{ name: starter }}
spec: {{ isolation: shared }}
---
apiVersion: tenantry.dev/v1
kind: Region
metadata: {{ name: here }}
---
apiVersion: tenantry.dev/v1
kind: Tenant
metadata: {{ name: acme }}
spec: {{ displayName: {display_name}, app: chat, plan: starter, state: draft, residency: {{ allowedRegions: [here] }} }}
"
    )
}

/// Whether what arrived last is signed by this secret.
fn is_signed(receiver: &Receiver, secret: &str) -> bool {
    let got = receiver.got().pop().expect("something arrived");
    let now = jiff::Timestamp::try_from(got.at).unwrap().as_second();
    let parts = (got.id.as_str(), got.timestamp.as_str(), got.signature.as_str());
    Verifier::parse([secret]).unwrap().verify(parts, &got.body, now, TOLERANCE).is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_from_the_command_line() {
    let served = Served::with(|serve, _| {
        serve.args(["--webhooks-lab", "--laboratory"]);
    })
    .await;
    let tenantry = async |arguments: &[&str]| served.run(arguments).await;
    let json = async |arguments: &[&str]| served.json(arguments).await;
    let apply = async |display_name: &str| served.apply(&manifests(display_name)).await;
    apply("Acme").await;

    let receiver = Receiver::start(Mood::Ok).await;
    let url = receiver.url();
    let made = json(&["webhooks", "create", &url, "--tenant", "acme", "--types", "tenant.*"]).await;
    let (id, first) = (made["endpoint"]["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert_eq!(made["endpoint"]["slug"], json!("acme"));
    let tested = tenantry(&["webhooks", "test", id]).await;
    assert!(tested.code == 0 && tested.out.contains("200"), "{tested:?}");
    assert!(is_signed(&receiver, first));

    let rotated = json(&["webhooks", "rotate", id, "--overlap", "1h"]).await;
    let second = rotated["secret"].as_str().unwrap();
    assert_eq!(tenantry(&["webhooks", "test", id]).await.code, 0);
    assert!(first != second && is_signed(&receiver, first) && is_signed(&receiver, second), "both sign");
    let last = json(&["webhooks", "rotate", id, "--overlap", "0s"]).await;
    assert_eq!(tenantry(&["webhooks", "test", id]).await.code, 0);
    assert!(is_signed(&receiver, last["secret"].as_str().unwrap()) && !is_signed(&receiver, first));

    apply("Acme One").await;
    eventually("the change is delivered", || async {
        let log = json(&["webhooks", "attempts", id]).await;
        log["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["type"] == "tenant.updated" && one["outcome"] == "delivered")
    })
    .await;
    receiver.set(Mood::Status(410));
    apply("Acme Two").await;
    eventually("the endpoint is disabled", || async {
        json(&["webhooks", "list"]).await["items"][0]["disabledReason"] == "gone"
    })
    .await;
    let dead = json(&["webhooks", "deadletters", id]).await;
    assert_eq!(dead["items"].as_array().unwrap().len(), 1, "{dead}");
    assert_eq!((&dead["items"][0]["cause"], &dead["items"][0]["status"]), (&json!("disabled"), &json!(410)));
    let failed = tenantry(&["webhooks", "attempts", id, "--failed"]).await;
    assert!(failed.out.contains("gone") && failed.out.contains("410"), "{failed:?}");

    for (arguments, code, part) in [
        (&["webhooks", "redrive", id, "--all"][..], 5, "TEN-0091"),
        (&["webhooks", "test", id], 5, "TEN-0091"),
        (&["webhooks", "create", "http://10.0.0.1/in"], 2, "TEN-0090"),
        (&["webhooks", "create", &url, "--tenant", "hooli"], 3, "TEN-0005"),
        (&["webhooks", "rotate", id, "--overlap", "8d"], 2, "7d"),
        (&["webhooks", "show", "whe_01jd8x3v9mfk2t5h7q0w4z6y8c"], 3, "TEN-"),
    ] {
        let ended = tenantry(arguments).await;
        assert!(ended.code == code && ended.err.contains(part), "{arguments:?}: {ended:?}");
    }

    receiver.set(Mood::Ok);
    assert_eq!(tenantry(&["webhooks", "enable", id]).await.code, 0);
    assert_eq!(json(&["webhooks", "redrive", id, "--all"]).await["count"], json!(1));
    let lost = dead["items"][0]["event"].as_str().unwrap();
    eventually("the dead letter is delivered", || async {
        receiver.got().iter().any(|one| one.is_taken && one.id == lost)
    })
    .await;
    eventually("and is none any more", || async {
        json(&["webhooks", "deadletters", id]).await["items"].as_array().unwrap().is_empty()
    })
    .await;
    let before = receiver.count();
    assert_eq!(tenantry(&["webhooks", "replay", id, "--after", "0"]).await.code, 0);
    eventually("the past comes again", || async { receiver.count() >= before + 2 }).await;

    let gone = tenantry(&["webhooks", "delete", id]).await;
    assert!(gone.code == 0 && gone.out.contains("is removed"), "{gone:?}");
    assert_eq!(tenantry(&["webhooks", "show", id]).await.code, 3);
    assert!(json(&["audit", "verify"]).await["findings"].as_array().unwrap().is_empty());
    served.stop().await;
}
