//! The decision point outside: a real Rego evaluator behind the data API, and one that misbehaves in every way.
//!
//! The evaluator needs Python and its package registry. Without them that test says so and passes on a developer's
//! machine; where `CI` is set it fails.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use secrecy::SecretString;
use tenantry_policy::{Decider, Opa, OpaError, OpaSettings, PrincipalKind, Stage, governance};

use crate::sample::{question, set, strict};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

/// A virtual environment with the evaluator, kept between runs.
fn environment() -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rego-venv");
    let done = venv.join("installed");
    if done.exists() {
        return Some(venv);
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&venv);
    let mut fill = Command::new(venv.join("bin/pip"));
    fill.args(["install", "--quiet", "--disable-pip-version-check", "regopy==1.5.2"]);
    for mut command in [make, fill] {
        let ended = command.output();
        if !ended.as_ref().is_ok_and(|output| output.status.success()) {
            assert!(std::env::var_os("CI").is_none(), "Python or its packages cannot be had: {ended:?}");
            eprintln!("SKIPPED: Python or its packages cannot be had: {ended:?}");
            return None;
        }
    }
    std::fs::write(done, "").unwrap();
    Some(venv)
}

struct Rego {
    child: Child,
    url: String,
}

impl Drop for Rego {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Rego {
    fn start() -> Option<Self> {
        let venv = environment()?;
        let mut command = Command::new(venv.join("bin/python"));
        command.arg(format!("{FIXTURES}/opa.py")).arg(format!("{FIXTURES}/policy.rego")).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut port = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Some(Self { child, url: format!("http://127.0.0.1:{}", port.trim()) })
    }

    fn opa(&self, path: &str) -> Opa {
        let timeout = Duration::from_secs(10);
        Opa::new(OpaSettings { timeout, ..OpaSettings::new(self.url.as_str(), path) }).unwrap()
    }
}

#[tokio::test]
async fn a_rego_evaluator_decides() {
    let Some(rego) = Rego::start() else { return };
    let main = rego.opa("tenantry/main");
    let yes = main.ask(&question("tenant.suspend")).await.unwrap();
    assert_eq!((yes.allowed, yes.rules.as_slice()), (true, &["opa:tenantry/main".to_owned()][..]));
    assert_eq!(yes.fingerprint, "opa:tenantry/main@r7");

    let mut machine = question("tenant.suspend");
    machine.principal.kind = PrincipalKind::Service;
    let no = main.ask(&machine).await.unwrap();
    assert!(!no.allowed);
    assert_eq!(no.remedy.as_deref(), Some("production tenants are suspended by people only"));

    let mut away = question("tenant.move");
    away.context.regions = set(&["us-east"]);
    assert_eq!(main.ask(&away).await.unwrap().remedy.as_deref(), Some("region us-east is not allowed"));

    // A plain boolean, and a rule without a value.
    assert!(rego.opa("tenantry/allow").ask(&question("tenant.suspend")).await.unwrap().allowed);
    let undefined = rego.opa("tenantry/nothing").ask(&question("tenant.suspend")).await.unwrap_err();
    assert!(matches!(undefined, OpaError::Undefined(path) if path == "tenantry/nothing"));

    // Both: each can refuse, and the rules in process are asked first.
    let both = |stage: Stage| Decider::Both(Arc::new(stage), Arc::new(rego.opa("tenantry/main")));
    let open = both(Stage::new(governance::builtin().unwrap().engine));
    let joined = open.decide(&question("tenant.suspend")).await.unwrap();
    assert!(joined.allowed && joined.rules == ["baseline", "opa:tenantry/main"], "{joined:?}");
    assert!(joined.fingerprint.starts_with("governance/1+") && joined.fingerprint.ends_with(" opa:tenantry/main@r7"));
    assert_eq!(open.decide(&machine).await.unwrap().rules, ["opa:tenantry/main"]);
    let shut = both(Stage::new(strict("1").compile().unwrap().engine));
    assert_eq!(shut.decide(&question("tenant.suspend")).await.unwrap().rules, ["no-suspend"]);

    // It dies.
    drop(rego);
    let error = open.decide(&question("tenant.suspend")).await.unwrap_err();
    assert_eq!(error.code().to_string(), "TEN-0075");
    assert!(!shut.decide(&question("tenant.suspend")).await.unwrap().allowed, "decided without it");
}

type Reply = Arc<Mutex<Box<dyn Fn() -> Response + Send>>>;

/// A server that answers as it is told; gives its address and counts calls.
async fn server(reply: Reply) -> (String, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let app = Router::new().fallback(move |request: Request<Body>| {
        let (reply, counted) = (Arc::clone(&reply), Arc::clone(&counted));
        async move {
            counted.fetch_add(1, Ordering::SeqCst);
            assert_eq!(request.uri().path(), "/v1/data/tenantry/main");
            assert_eq!(request.headers()["authorization"], "Bearer letmein");
            let response = (reply.lock().unwrap())();
            if response.status() == StatusCode::REQUEST_TIMEOUT {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            response
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, calls)
}

fn says(status: u16, text: &'static str) -> Box<dyn Fn() -> Response + Send> {
    Box::new(move || Response::builder().status(status).body(Body::from(text)).unwrap())
}

fn opa(url: &str) -> Opa {
    let settings =
        OpaSettings { token: Some(SecretString::from("letmein")), ..OpaSettings::new(url, "/tenantry/main/") };
    Opa::new(settings).unwrap()
}

#[tokio::test]
async fn whatever_is_not_a_yes_is_no_yes() {
    let reply: Reply = Arc::new(Mutex::new(says(200, "{}")));
    let (url, _) = server(Arc::clone(&reply)).await;
    let long: &'static str =
        Box::leak(format!("{{\"result\": true, \"x\": \"{}\"}}", "x".repeat(100_000)).into_boxed_str());
    for (status, text) in [
        (200, ""),
        (200, "{}"),
        (200, "{\"result\": null}"),
        (200, "{\"result\": \"true\"}"),
        (200, "{\"result\": 1}"),
        (200, "{\"result\": {}}"),
        (200, "{\"result\": {\"allow\": \"yes\"}}"),
        (200, "{\"result\": {\"allowed\": true}}"),
        (200, "<html>"),
        (200, long),
        (204, ""),
        (302, ""),
        (401, "{\"result\": true}"),
        (500, "{\"result\": true}"),
    ] {
        *reply.lock().unwrap() = says(status, text);
        // One that was not left alone yet.
        let answer = opa(&url).ask(&question("tenant.move")).await;
        assert!(answer.is_err(), "{status} {text}: {answer:?}");
    }
    for (text, allowed) in
        [("{\"result\": true}", true), ("{\"result\": false}", false), ("{\"result\": {\"allow\": false}}", false)]
    {
        *reply.lock().unwrap() = says(200, text);
        let answer = opa(&url).ask(&question("tenant.move")).await.unwrap();
        assert_eq!((answer.allowed, answer.remedy.is_some()), (allowed, !allowed));
    }
}

/// One caller's questions without a value are no outage for everybody else's.
#[tokio::test]
async fn an_odd_answer_is_an_answer() {
    let reply: Reply = Arc::new(Mutex::new(says(200, "{}")));
    let (url, _) = server(Arc::clone(&reply)).await;
    let opa = opa(&url);
    for text in ["{}", "{\"result\": 1}", "<html>"] {
        *reply.lock().unwrap() = says(200, text);
        for _ in 0..6 {
            assert!(!matches!(opa.ask(&question("tenant.move")).await, Ok(_) | Err(OpaError::Open)), "{text}");
        }
    }
    *reply.lock().unwrap() = says(200, "{\"result\": true}");
    assert!(opa.ask(&question("tenant.suspend")).await.unwrap().allowed);
    *reply.lock().unwrap() = says(503, "");
    for _ in 0..6 {
        assert!(opa.ask(&question("tenant.move")).await.is_err());
    }
    assert!(
        matches!(opa.ask(&question("tenant.move")).await, Err(OpaError::Open)),
        "a server that fails is left alone"
    );
}

#[tokio::test]
async fn a_service_that_hangs_costs_half_a_second_and_soon_nothing() {
    let reply: Reply = Arc::new(Mutex::new(says(408, "")));
    let (url, calls) = server(Arc::clone(&reply)).await;
    let decider = Decider::Opa(Arc::new(opa(&url)));
    let began = Instant::now();
    assert!(decider.decide(&question("tenant.move")).await.is_err());
    assert!((400..3_000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    for _ in 0..4 {
        assert!(decider.decide(&question("tenant.move")).await.is_err());
    }
    assert_eq!(calls.load(Ordering::SeqCst), 5);
    let began = Instant::now();
    for _ in 0..100 {
        let error = decider.decide(&question("tenant.move")).await.unwrap_err();
        assert!(matches!(error.source, OpaError::Open));
    }
    assert!(began.elapsed() < Duration::from_millis(400));
    assert_eq!(calls.load(Ordering::SeqCst), 5, "it is left alone");

    // Well again: one trial after the pause, and it is asked as before.
    *reply.lock().unwrap() = says(200, "{\"result\": true}");
    let until = Instant::now() + Duration::from_secs(20);
    while decider.decide(&question("tenant.move")).await.is_err() {
        assert!(Instant::now() < until, "it is never asked again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(decider.decide(&question("tenant.move")).await.unwrap().allowed);
}

#[test]
fn only_safe_addresses_are_asked() {
    for (url, path) in [
        ("http://opa.example.com", "a"),
        ("https://opa.example.com?x=1", "a"),
        ("https://user:secret@opa.example.com", "a"),
        ("https://opa.example.com", ""),
        ("https://opa.example.com", "a/../b"),
        ("https://opa.example.com", "a b"),
        ("nonsense", "a"),
    ] {
        assert!(Opa::new(OpaSettings::new(url, path)).is_err(), "{url} {path}");
    }
    assert!(Opa::new(OpaSettings::new("https://opa.example.com/prefix/", "tenantry/main")).is_ok());
}
