//! What the door does at its limits, and what it always says.

use std::time::Duration;

use tenantry_server::Options;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::World;

#[tokio::test]
async fn every_answer_carries_ids_and_guards() {
    let world = World::quiet().await;
    for (path, status) in
        [("/livez", 200), ("/readyz", 200), ("/startupz", 200), ("/openapi.json", 200), ("/nothing", 401)]
    {
        let reply = world.bare("GET", path).header("x-correlation-id", "deploy-4711").send().await;
        assert_eq!(reply.status.as_u16(), status, "{path}");
        assert_eq!(reply.header("x-correlation-id"), "deploy-4711");
        assert!(reply.header("x-request-id").starts_with("req_"));
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(reply.header(name), value, "{path}");
        }
    }
    // What cannot be a chain is replaced, not repeated.
    for bad in ["a b", "<script>", "\"x\"", &"x".repeat(129)] {
        let reply = world.bare("GET", "/livez").header("x-correlation-id", bad).send().await;
        assert_eq!(reply.header("x-correlation-id"), reply.header("x-request-id"), "{bad}");
    }
    let metrics = world.bare("GET", "/metrics").bearer().send().await;
    assert!(
        metrics.text.contains("tenantry_http_request_seconds_count{route=\"/livez\",method=\"GET\",status=\"200\"}"),
        "{}",
        metrics.text
    );
    assert!(!metrics.text.contains("route=\"/nothing\""));
    let document = world.bare("GET", "/openapi.json").send().await.json();
    assert_eq!(document, tenantry_server::openapi::document());
    world.end().await;
}

#[tokio::test]
async fn a_full_house_turns_callers_away_and_stays_healthy() {
    let door =
        Options { in_flight: 2, queue: Duration::from_millis(50), drain_delay: Duration::ZERO, ..Options::default() };
    let world = World::with(door).await;
    let made = world.post("tenants").keyed().json(&active("acme")).send().await;
    let path = format!("/v1/operations/{}?wait=3s", made.header("operation-id"));
    // Two callers that wait for what never ends take both places.
    let (a, b) = (world.bare("GET", &path).bearer().send(), world.bare("GET", &path).bearer().send());
    let others = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let shed = world.get("tenants").send().await;
        let health = world.bare("GET", "/livez").send().await;
        let ready = world.bare("GET", "/readyz").send().await;
        (shed, health, ready)
    };
    let (a, b, (shed, health, ready)) = tokio::join!(a, b, others);
    assert_eq!((a.status.as_u16(), b.status.as_u16()), (200, 200));
    assert_eq!(shed.status, 503, "{shed:?}");
    shed.problem("TEN-0040");
    let after: u64 = shed.header("retry-after").parse().unwrap();
    assert!((1..=3).contains(&after));
    assert_eq!((health.status.as_u16(), ready.status.as_u16()), (200, 200));
    assert!(world.bare("GET", "/metrics").bearer().send().await.text.contains("tenantry_http_shed_total 1"));
    world.end().await;
}

fn active(slug: &str) -> serde_json::Value {
    let mut body = crate::world::manifest(slug);
    body["spec"]["state"] = serde_json::json!("active");
    body
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_ended() {
    let door = Options { request: Duration::from_millis(300), drain_delay: Duration::ZERO, ..Options::default() };
    let world = World::with(door).await;
    // The head is complete, the body never comes.
    let mut socket = TcpStream::connect(world.url.strip_prefix("http://").unwrap()).await.unwrap();
    let head = format!(
        "POST /v1/environments/{}/tenants HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nidempotency-key: 0123456789abcdef\r\ncontent-type: application/json\r\ncontent-length: 100\r\nconnection: close\r\n\r\n{{",
        world.environment, world.token
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(Duration::from_secs(5), socket.read_to_string(&mut answer)).await;
    assert!(read.is_ok(), "the connection stays open: {answer}");
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("TEN-0031") && answer.contains("retry-after"),
        "{answer}"
    );
    world.end().await;
}

#[tokio::test]
async fn slow_and_huge_heads_are_cut_off() {
    let door = Options { head_time: Duration::from_millis(300), drain_delay: Duration::ZERO, ..Options::default() };
    let world = World::with(door).await;
    let address = world.url.strip_prefix("http://").unwrap().to_owned();
    let mut slow = TcpStream::connect(&address).await.unwrap();
    slow.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), slow.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "a connection that says nothing is held");
    let mut huge = TcpStream::connect(&address).await.unwrap();
    let head = format!("GET /livez HTTP/1.1\r\nhost: x\r\nx-filler: {}\r\n\r\n", "x".repeat(200_000));
    let _ = huge.write_all(head.as_bytes()).await;
    let mut answer = String::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), huge.read_to_string(&mut answer))
        .await
        .expect("it is not cut off");
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(world.bare("GET", "/livez").send().await.status, 200);
    world.end().await;
}

#[tokio::test]
async fn a_panic_costs_its_own_request_only() {
    use axum::middleware::{from_fn, from_fn_with_state};
    use tenantry_server::middleware::{ids, panics, render};
    use tower::ServiceExt as _;
    let world = World::quiet().await;
    let boom = || async {
        if std::hint::black_box(true) {
            panic!("a secret of ours")
        }
    };
    let routes: axum::Router = axum::Router::new()
        .route("/boom", axum::routing::get(boom))
        .layer(from_fn_with_state(world.state.clone(), panics::catch))
        .layer(from_fn(render::problems))
        .layer(from_fn_with_state(world.state.clone(), ids::assign));
    let request = axum::http::Request::get("/boom").body(axum::body::Body::empty()).unwrap();
    let response = routes.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 500);
    let id = response.headers()["x-correlation-id"].to_str().unwrap().to_owned();
    let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&problem["code"], &problem["correlationId"]), (&"TEN-0032".into(), &id.into()));
    assert!(!problem.to_string().contains("secret"));
    assert!(world.state.metrics().render().contains("tenantry_http_panics_total 1"));
    world.end().await;
}
