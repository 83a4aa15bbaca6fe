//! The operator's rules over HTTP: what they hold up, how it is approved, and that nobody who cannot be asked allows anything.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tenantry_control::governance::Governance;
use tenantry_domain::policy::{Action, Effect};
use tenantry_policy::{Decider, Opa, OpaSettings};
use tenantry_server::right;

use crate::world::{Reply, World, manifest, rules};

const FOUR_EYES: &str = "[settings.fourEyes]\nenabled = true\n";

/// Somebody with a token that names the person.
struct Person {
    token: String,
    principal: String,
}

impl Person {
    async fn new(world: &World, name: &str) -> Self {
        let body = json!({ "name": name, "kind": "operator", "person": name, "roles": ["admin"] });
        Self::of(&world.post("tokens").keyed().json(&body).send().await.json())
    }

    /// A token that this one made.
    async fn makes(&self, world: &World, name: &str) -> Self {
        let body = json!({ "name": name, "kind": "operator", "person": name, "roles": ["admin"] });
        Self::of(&self.ask(world, "POST", "tokens", Some(&body)).await.json())
    }

    fn of(made: &Value) -> Self {
        let text = |part: &Value| part.as_str().unwrap().to_owned();
        Self { token: text(&made["text"]), principal: format!("operator:{}", text(&made["token"]["id"])) }
    }

    async fn ask(&self, world: &World, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let path = format!("/v1/environments/{}/{path}", world.environment);
        let ask = world.bare(method, &path).header("authorization", &format!("Bearer {}", self.token)).keyed();
        let ask = ask.header("if-match", "*");
        match body {
            Some(body) => ask.json(body).send().await,
            None => ask.send().await,
        }
    }

    async fn approves(&self, world: &World, action: &str, tenant: Option<&str>, holder: &Person) -> Reply {
        let mut body =
            json!({ "action": action, "holder": holder.principal, "reason": "The contract has ended, SUP-815" });
        if let Some(tenant) = tenant {
            body["tenant"] = json!(tenant);
        }
        self.ask(world, "POST", "approvals", Some(&body)).await
    }

    async fn deletes(&self, world: &World, slug: &str) -> Reply {
        self.ask(world, "DELETE", &format!("tenants/{slug}?confirm={slug}&reason=removal+request"), None).await
    }
}

fn rule(reply: &Reply, code: &str) -> String {
    reply.problem(code)["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_takes_something_away_needs_somebody_else_and_once_is_once() {
    let world = World::ruled(FOUR_EYES).await;
    for slug in ["acme", "globex"] {
        world.draft(slug).await;
    }
    let (olga, petra) = (Person::new(&world, "olga").await, Person::new(&world, "petra").await);
    let before = world.rows().await;
    assert!(rule(&olga.deletes(&world, "acme").await, "TEN-0022").contains("`four-eyes`"));
    assert_eq!(world.rows().await, before, "nothing changed");
    // Nobody approves for itself, and a machine for nobody.
    assert!(
        rule(&olga.approves(&world, "tenant.delete", Some("acme"), &olga).await, "TEN-0022").contains("two-people")
    );
    let machine =
        json!({ "action": "tenant.delete", "tenant": "acme", "holder": olga.principal, "reason": "because I say so" });
    world.post("approvals").keyed().json(&machine).send().await.problem("TEN-0022");
    let given = petra.approves(&world, "tenant.delete", Some("acme"), &olga).await;
    assert_eq!(given.status, 201, "{given:?}");
    let given = given.json();
    assert_eq!(
        (&given["status"], &given["person"], &given["tenantVersion"]),
        (&json!("open"), &json!("petra"), &json!(1))
    );
    // It is for one tenant, one action, one principal.
    olga.deletes(&world, "globex").await.problem("TEN-0022");
    petra.deletes(&world, "acme").await.problem("TEN-0022");
    assert_eq!(olga.deletes(&world, "acme").await.status, 202);
    // What is done to the environment has no version, and yet once is once.
    let plan = "apiVersion: tenantry.dev/v1\nkind: Plan\nmetadata: { name: spare }\nspec: { isolation: shared }\n";
    assert_eq!(world.post("manifests:apply").keyed().yaml(plan).send().await.status, 200);
    assert_eq!(petra.approves(&world, "catalog.delete", None, &olga).await.status, 201);
    let removed = olga.ask(&world, "DELETE", "plans/spare", None).await;
    assert!(removed.status.is_success(), "{removed:?}");
    olga.ask(&world, "DELETE", "plans/starter", None).await.problem("TEN-0022");
    let id = given["id"].as_str().unwrap();
    let used = olga.ask(&world, "GET", &format!("approvals/{id}"), None).await.json();
    assert_eq!(used["status"], "used");
    let audit = world.get("tenants/acme/audit?pageSize=200").send().await;
    assert!(audit.text.contains("acme/7+sha256:") && audit.text.contains("approval.give"), "{audit:?}");
    let status = world.get("policy").send().await.json();
    assert_eq!((&status["decider"], &status["approved"]), (&json!("builtin"), &json!(2)), "{status}");
    assert!(status["active"].as_str().unwrap().starts_with("acme/7+sha256:") && status["refused"].as_u64() >= Some(4));
    world.end().await;
}

#[tokio::test]
async fn an_approval_is_for_what_was_seen_and_can_be_taken_back() {
    let world = World::ruled(FOUR_EYES).await;
    world.draft("acme").await;
    let (olga, petra) = (Person::new(&world, "olga").await, Person::new(&world, "petra").await);
    petra.approves(&world, "tenant.delete", Some("acme"), &olga).await;
    let patch = json!({ "spec": { "displayName": "Acme AG" } });
    let changed = olga.ask(&world, "PATCH", "tenants/acme", Some(&patch)).await;
    assert_eq!(changed.status, 202, "{changed:?}");
    olga.deletes(&world, "acme").await.problem("TEN-0022");
    let again = petra.approves(&world, "tenant.delete", Some("acme"), &olga).await.json();
    let path = format!("approvals/{}", again["id"].as_str().unwrap());
    assert_eq!(petra.ask(&world, "DELETE", &path, None).await.json()["status"], "withdrawn");
    olga.deletes(&world, "acme").await.problem("TEN-0022");
    let listed = world.get("approvals?tenant=acme").send().await.json();
    let standings: Vec<_> = listed["items"].as_array().unwrap().iter().map(|one| one["status"].clone()).collect();
    assert_eq!(standings, ["withdrawn", "open"]);
    for wrong in [
        json!({ "action": "tenant.read" }),
        json!({ "action": "tenant.no-such" }),
        json!({ "holder": "olga" }),
        json!({ "expiresIn": "25h" }),
        json!({ "reason": "ok" }),
        json!({ "person": "rita" }),
    ] {
        let mut body = json!({ "action": "tenant.delete", "tenant": "acme", "holder": olga.principal, "reason": "removal request 815" });
        for (key, value) in wrong.as_object().unwrap() {
            body[key] = value.clone();
        }
        let reply = petra.ask(&world, "POST", "approvals", Some(&body)).await;
        assert_eq!(reply.status, 422, "{wrong}: {reply:?}");
    }
    world.end().await;
}

/// One person's tokens are no second person, and neither are those that it made.
#[tokio::test]
async fn approvals_are_of_somebody_elses_hands() {
    let world = World::ruled(FOUR_EYES).await;
    world.draft("acme").await;
    let (olga, again) = (Person::new(&world, "olga").await, Person::new(&world, "OLGA").await);
    let (anna, ben) = (olga.makes(&world, "anna").await, olga.makes(&world, "ben").await);
    for second in [&ben, &again, &olga] {
        let refused = second.approves(&world, "tenant.delete", Some("acme"), &anna).await;
        assert!(rule(&refused, "TEN-0022").contains("two-people"), "{refused:?}");
    }
    let rita = Person::new(&world, "rita").await;
    assert_eq!(rita.approves(&world, "tenant.delete", Some("acme"), &anna).await.status, 201);
    assert_eq!(anna.deletes(&world, "acme").await.status, 202);
    world.end().await;
}

/// A word is worth as much as its giver: with the token it is taken back.
#[tokio::test]
async fn an_approval_ends_with_the_token_that_gave_it() {
    let world = World::ruled(FOUR_EYES).await;
    world.draft("acme").await;
    let (olga, vera) = (Person::new(&world, "olga").await, Person::new(&world, "vera").await);
    assert_eq!(vera.approves(&world, "tenant.delete", Some("acme"), &olga).await.status, 201);
    // By hand, so that it comes back: taking a token back is something that the rule holds up as well.
    let sql = "UPDATE tenantry.token SET {} WHERE person = 'vera'";
    for (ends, comes_back) in [("revoked_at = now()", "revoked_at = NULL"), ("expires_at = now()", "expires_at = NULL")]
    {
        execute(&world, &sql.replace("{}", ends)).await;
        assert!(rule(&olga.deletes(&world, "acme").await, "TEN-0022").contains("`four-eyes`"), "{ends}");
        execute(&world, &sql.replace("{}", comes_back)).await;
    }
    assert_eq!(olga.deletes(&world, "acme").await.status, 202);
    world.end().await;
}

/// Whoever gives the same word again and again hides nobody else's.
#[tokio::test]
async fn many_words_of_one_are_one_and_hide_nobody_elses() {
    let world = World::ruled("[settings.fourEyes]\nenabled = true\nneeded = 2\n").await;
    world.draft("acme").await;
    let (olga, vera, paul) =
        (Person::new(&world, "olga").await, Person::new(&world, "vera").await, Person::new(&world, "paul").await);
    for _ in 0..11 {
        assert_eq!(vera.approves(&world, "tenant.delete", Some("acme"), &olga).await.status, 201);
    }
    let current = world.get("approvals?tenant=acme&current=true").send().await.json();
    assert_eq!(current["items"].as_array().unwrap().len(), 1, "{current}");
    // Also where they were all left open, as before there was such a rule.
    execute(&world, "UPDATE tenantry.approval SET withdrawn_at = NULL").await;
    olga.deletes(&world, "acme").await.problem("TEN-0022");
    assert_eq!(paul.approves(&world, "tenant.delete", Some("acme"), &olga).await.status, 201);
    assert_eq!(olga.deletes(&world, "acme").await.status, 202);
    let audit = world.get("tenants/acme/audit?action=approval.give&pageSize=200").send().await.json();
    let replaced = audit["items"].as_array().unwrap().iter().filter(|entry| entry["changes"]["replaces"] != json!([]));
    assert_eq!(replaced.count(), 10, "{audit}");
    world.end().await;
}

async fn execute(world: &World, sql: &str) {
    let conn = world.deps.store().pool().get().await.unwrap();
    conn.client().batch_execute(sql).await.unwrap();
    conn.release();
}

#[tokio::test]
async fn a_manifest_is_no_way_round() {
    let world = World::running_ruled(FOUR_EYES).await;
    let mut wanted = manifest("acme");
    wanted["spec"]["state"] = json!("active");
    let made = world.post("tenants?wait=30s").keyed().json(&wanted).send().await;
    assert_eq!(made.json()["status"]["state"], "active", "{made:?}");
    (wanted["apiVersion"], wanted["kind"]) = (json!("tenantry.dev/v1"), json!("Tenant"));
    wanted["spec"]["state"] = json!("suspended");
    wanted["spec"]["suspension"] = json!({ "reason": "commercial" });
    for path in ["manifests:plan", "manifests:apply"] {
        let reply = world.post(path).keyed().yaml(&wanted.to_string()).send().await;
        assert!(rule(&reply, "TEN-0022").contains("`four-eyes`"), "{path}: {reply:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn data_lies_where_it_is_encrypted_or_nowhere() {
    let world = World::ruled("[settings.encryption]\nenabled = true\n").await;
    let mut wanted = manifest("acme");
    wanted["spec"]["state"] = json!("active");
    let refused = world.post("tenants").keyed().json(&wanted).send().await;
    assert!(rule(&refused, "TEN-0022").contains("`encryption-required`"), "{refused:?}");
    let mut document = wanted.clone();
    (document["apiVersion"], document["kind"]) = (json!("tenantry.dev/v1"), json!("Tenant"));
    let document = document.to_string();
    for path in ["manifests:plan", "manifests:apply"] {
        let refused = world.post(path).keyed().yaml(&document).send().await;
        assert!(rule(&refused, "TEN-0022").contains("`encryption-required`"), "{path}: {refused:?}");
    }
    let cell = "apiVersion: tenantry.dev/v1\nkind: Cell\nmetadata: { name: eu-west-1 }\nspec:\n  region: eu-west\n  \
        database: { urlFrom: { env: CELL_URL } }\n  capacity: { shared: 1000, schema: 100, database: 50 }\n  encryption: ";
    for (kind, planned, status) in [("none", 403, 403), ("atRest", 200, 202)] {
        // A cell of the same set counts as it is declared there.
        let both = format!("{cell}{kind}\n---\n{document}\n");
        let reply = world.post("manifests:plan").yaml(&both).send().await;
        assert_eq!(reply.status, planned, "{kind}: {reply:?}");
        let applied = world.post("manifests:apply").keyed().yaml(&format!("{cell}{kind}\n")).send().await;
        assert_eq!(applied.status, 200, "{applied:?}");
        let reply = world.post("tenants").keyed().json(&wanted).send().await;
        assert_eq!(reply.status, status, "{kind}: {reply:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn phases_windows_and_holds_are_kept() {
    let settings = "[settings.states]\nenabled = true\ndraft = [\"tenant.create\", \"tenant.activate\", \"tenant.delete\"]\n\
        [settings.patchWindows]\nenabled = true\n";
    let world = World::ruled(settings).await;
    world.draft("acme").await;
    let patch = json!({ "spec": { "displayName": "Acme AG" } });
    let refused = world.ask("PATCH", "tenants/acme").keyed().header("if-match", "*").json(&patch).send().await;
    assert!(rule(&refused, "TEN-0022").contains("`allowed-in-draft`"), "{refused:?}");
    let mut held = manifest("globex");
    held["metadata"]["labels"] = json!({ "legal-hold": "true" });
    assert_eq!(world.post("tenants").keyed().json(&held).send().await.status, 202);
    let path = "tenants/globex?confirm=globex&reason=removal+request";
    let refused = world.ask("DELETE", path).keyed().header("if-match", "*").send().await;
    assert!(rule(&refused, "TEN-0022").contains("`legal-hold`"), "{refused:?}");
    // A new version of an app is on its way as soon as it is applied.
    let app = "apiVersion: tenantry.dev/v1\nkind: App\nmetadata: { name: chat }\nspec:\n  migrations: { files: [\
        { name: 0001_init.sql, sql: \"create table notes (tenant_id uuid not null, id bigint not null, body text, primary key (tenant_id, id))\" }, \
        { name: 0002_more.sql, sql: \"alter table notes add column title text\" }] }\n  tenantKey: tenant_id\n";
    let run = world.post("manifests:apply").keyed().yaml(app).send().await;
    assert!(rule(&run, "TEN-0022").contains("`patch-window`"), "{run:?}");
    world.post("apps/chat:rollout").keyed().send().await.problem("TEN-0022");
    world.end().await;
}

#[tokio::test]
async fn who_cannot_be_asked_allows_nothing() {
    let governance = rules("");
    let world = World::governed(governance.clone()).await;
    world.draft("acme").await;
    let _ = governance.clone().awaiting();
    let before = world.rows().await;
    world.post("tenants").keyed().json(&manifest("globex")).send().await.problem("TEN-0075");
    world.post("tokens").keyed().json(&json!({ "name": "x", "roles": ["admin"] })).send().await.problem("TEN-0075");
    assert_eq!(world.get("tenants/acme").send().await.status, 200, "looking goes on");
    assert_eq!(world.rows().await, before);
    governance.ready();
    world.draft("globex").await;
    world.end().await;
}

/// POL-01: every route that changes something is tried with the bodies of the API document while a rule refuses everything.
#[tokio::test]
async fn every_route_that_changes_something_is_held_up() {
    let point = Point::start().await;
    let world = World::governed(point.governance()).await;
    world.draft("acme").await;
    for (path, body) in [
        (
            "tenants/acme/members",
            json!({ "issuer": "https://login.example.com", "subject": "1", "email": "o@acme.example", "role": "owner" }),
        ),
        ("gateway-logins", json!({ "name": "shop", "tenant": "acme" })),
        ("tenants/acme/invitations", json!({ "email": "p@acme.example", "role": "admin", "delivery": "link" })),
    ] {
        let made = world.post(path).keyed().json(&body).send().await;
        assert!(made.status.is_success(), "{path}: {made:?}");
    }
    point.mood.store(REFUSES, Ordering::Relaxed);
    point.asked.lock().unwrap().clear();
    let before = world.rows().await;
    let document = tenantry_server::openapi::document();
    let (mut held, mut others) = (Vec::new(), Vec::new());
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(method, _)| *method != "get") {
            let verb = axum::http::Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let action = right(&verb, path);
            let is_change = action.and_then(Action::find).is_some_and(|action| action.effect != Effect::Read);
            if !is_change || !path.contains("/environments/{environment}/") {
                continue;
            }
            let name = match path.split("/{name}").next().and_then(|head| head.rsplit('/').next()) {
                Some("gateway-logins") => "shop",
                Some("plans") => "starter",
                Some("apps") => "chat",
                Some("cells") => "eu-west-1",
                Some("regions") => "eu-west",
                _ => "chats",
            };
            let mut concrete = path.replace("{environment}", world.environment.as_str()).replace("{tenant}", "acme");
            concrete = concrete.replace("{name}", name).replace("{quota}", "users");
            for parameter in operation["parameters"].as_array().into_iter().flatten().filter(|p| p["in"] == "path") {
                let example =
                    parameter["example"].as_str().map_or_else(|| parameter["example"].to_string(), str::to_owned);
                concrete = concrete.replace(&format!("{{{}}}", parameter["name"].as_str().unwrap()), &example);
            }
            let content = operation["requestBody"]["content"].as_object();
            let example = content.and_then(|content| content.values().next()).map(|body| body["example"].clone());
            if verb == axum::http::Method::DELETE && path.ends_with("/tenants/{tenant}") {
                concrete.push_str("?confirm=acme&reason=removal+request");
            }
            let ask = world.bare(verb.as_str(), &concrete).bearer().keyed().header("if-match", "*");
            let reply = match example {
                Some(body) if content.is_some_and(|content| content.contains_key("application/yaml")) => {
                    ask.yaml(body.as_str().unwrap_or_default()).send().await
                }
                Some(body) => ask.json(&body).send().await,
                None => ask.send().await,
            };
            // Where there is nothing to change, that is the answer.
            assert!(!reply.status.is_server_error(), "{method} {path}: {reply:?}");
            let is_held = reply.status == 403 && reply.text.contains("opa:tenantry/main");
            let list = if is_held { &mut held } else { &mut others };
            list.push(format!("{} {method} {path} {}", reply.status.as_u16(), action.unwrap_or_default()));
        }
    }
    assert_eq!(world.rows().await, before, "something changed");
    let asked = point.asked.lock().unwrap().len();
    println!("{} routes held up, {asked} questions; {} stopped before that:", held.len(), others.len());
    println!("{}", others.join("\n"));
    // The rest is about things that are not there. The list only shrinks.
    assert!(held.len() >= 20 && asked >= held.len(), "{others:#?}");
    world.end().await;
}

#[tokio::test]
async fn a_decision_point_outside_is_asked_and_its_silence_is_no() {
    let point = Point::start().await;
    let world = World::governed(point.governance()).await;
    world.draft("acme").await;
    let mood = &point.mood;
    mood.store(REFUSES, Ordering::Relaxed);
    let refused = world.post("tenants").keyed().json(&manifest("globex")).send().await;
    assert!(rule(&refused, "TEN-0022").contains("`opa:tenantry/main`"), "{refused:?}");
    assert!(refused.text.contains("Not on Fridays."), "{refused:?}");
    mood.store(FAILS, Ordering::Relaxed);
    let before = world.rows().await;
    world.post("tenants").keyed().json(&manifest("globex")).send().await.problem("TEN-0075");
    assert_eq!((world.rows().await, world.get("tenants/acme").send().await.status.as_u16()), (before, 200));
    let status = world.get("policy").send().await.json();
    assert_eq!((&status["decider"], &status["unavailable"]), (&json!("opa"), &json!(1)), "{status}");
    let metrics = world.bare("GET", "/metrics").bearer().send().await.text;
    assert!(metrics.contains("tenantry_policy_decisions_total{verdict=\"unavailable\"} 1"), "{metrics}");
    world.end().await;
}

/// A preview that waits for the decision point holds up nobody who changes what it looks at.
#[tokio::test]
async fn nobody_waits_for_a_preview() {
    let point = Point::start().await;
    let world = World::governed(point.governance()).await;
    for slug in ["acme", "globex"] {
        world.draft(slug).await;
    }
    let document = |slug: &str, name: &str, state: &str| {
        let mut body = manifest(slug);
        (body["apiVersion"], body["kind"]) = (json!("tenantry.dev/v1"), json!("Tenant"));
        (body["spec"]["displayName"], body["spec"]["state"]) = (json!(name), json!(state));
        body.to_string()
    };
    let plan = "apiVersion: tenantry.dev/v1\nkind: Plan\nmetadata: { name: standard }\n\
        spec: { isolation: schema, quotas: { users: 200 }, backup: { retention: 30d } }";
    let documents = [plan.to_owned(), document("acme", "Acme AG", "draft"), document("globex", "Globex", "active")];
    let text = documents.join("\n---\n");
    point.mood.store(HOLDS, Ordering::Relaxed);
    let others = async {
        let began = Instant::now();
        while !point.asked.lock().unwrap().iter().any(|action| action == "tenant.activate") {
            assert!(began.elapsed() < Duration::from_secs(10), "the preview does not ask");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let patch = json!({ "spec": { "displayName": "Acme SE" } });
        let changed = world.ask("PATCH", "tenants/acme").keyed().header("if-match", "*").json(&patch).send().await;
        let applied = world.post("manifests:apply").keyed().yaml(plan).send().await;
        world.draft("initech").await;
        point.mood.store(ALLOWS, Ordering::Relaxed);
        (changed, applied)
    };
    let (planned, (changed, applied)) = tokio::join!(world.post("manifests:plan").yaml(&text).send(), others);
    assert!(changed.status.is_success() && applied.status.is_success(), "{changed:?} {applied:?}");
    assert_eq!(planned.status, 200, "{planned:?}");
    let outcomes: Vec<_> =
        planned.json()["objects"].as_array().unwrap().iter().map(|object| object["outcome"].clone()).collect();
    assert_eq!(outcomes, ["change"; 3], "it is of the moment at which it was asked for");
    world.end().await;
}

const ALLOWS: u8 = 0;
const REFUSES: u8 = 1;
const FAILS: u8 = 2;
/// Does not answer about activations until the mood is another one.
const HOLDS: u8 = 3;

/// A server that speaks OPA's data API, in one mood or another.
struct Point {
    url: String,
    mood: Arc<AtomicU8>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Point {
    async fn start() -> Self {
        let (mood, asked) = (Arc::new(AtomicU8::new(ALLOWS)), Arc::<Mutex<Vec<String>>>::default());
        let (feeling, heard) = (Arc::clone(&mood), Arc::clone(&asked));
        let answer = async move |axum::Json(question): axum::Json<Value>| {
            heard.lock().unwrap().push(question["input"]["action"].as_str().unwrap().to_owned());
            while question["input"]["action"] == "tenant.activate" && feeling.load(Ordering::Relaxed) == HOLDS {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let body = match feeling.load(Ordering::Relaxed) {
                ALLOWS | HOLDS => json!({ "result": { "allow": true } }),
                REFUSES => json!({ "result": { "allow": false, "reasons": ["Not on Fridays."] } }),
                _ => return Err(axum::http::StatusCode::INTERNAL_SERVER_ERROR),
            };
            Ok(axum::Json(body))
        };
        let router = axum::Router::new().route("/v1/data/tenantry/main", axum::routing::post(answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, mood, asked }
    }

    fn governance(&self) -> Governance {
        // Longer than anybody waits for a lock.
        let settings = OpaSettings { timeout: Duration::from_secs(15), ..OpaSettings::new(&self.url, "tenantry/main") };
        let opa = Opa::new(settings).unwrap();
        Governance::new(Decider::Opa(Arc::new(opa)))
    }
}
