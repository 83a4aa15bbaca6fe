//! The client against a server that misbehaves on purpose.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::SecretString;
use tenantry_api::client::{Client, ClientError, Expected, Retry};
use tenantry_domain::code::Kind;
use tenantry_domain::name::EnvironmentName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A server that gives one answer per connection and keeps the requests.
struct Script {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

async fn script(answers: Vec<&'static str>) -> Script {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    tokio::spawn(async move {
        for answer in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut buffer = vec![0; 64 * 1024];
            let mut length = 0;
            while !String::from_utf8_lossy(&buffer[..length]).contains("\r\n\r\n") {
                let read = socket.read(&mut buffer[length..]).await.unwrap();
                if read == 0 {
                    break;
                }
                length += read;
            }
            seen.lock().unwrap().push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            if !answer.is_empty() {
                socket.write_all(answer.replace('\n', "\r\n").as_bytes()).await.unwrap();
            }
        }
    });
    Script { url, requests }
}

fn client(url: &str) -> Client {
    let retry = Retry { base: Duration::from_millis(5), ..Retry::default() };
    let environment = EnvironmentName::parse("prod").unwrap();
    Client::new(url, SecretString::from("ten_live_secret"), environment).unwrap().with_retry(retry)
}

const BUSY: &str = "HTTP/1.1 503 Busy\nretry-after: 0\nconnection: close\ncontent-length: 0\n\n";
const OPERATION: &str = "{\"id\":\"op_1\",\"environment\":\"prod\",\"kind\":\"x\",\"status\":\"completed\",\"createdAt\":\"2026-01-01T00:00:00Z\",\"requestedBy\":\"x\",\"targets\":{\"total\":1,\"done\":1,\"failed\":0},\"workflows\":[]}";

fn header<'r>(request: &'r str, name: &str) -> Option<&'r str> {
    request.lines().find_map(|line| {
        line.split_once(": ").filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    })
}

#[tokio::test]
async fn a_keyed_request_is_repeated_under_one_key_also_when_the_connection_breaks() {
    let done: &'static str = Box::leak(
        format!("HTTP/1.1 200 OK\nconnection: close\ncontent-length: {}\n\n{OPERATION}", OPERATION.len())
            .into_boxed_str(),
    );
    let server = script(vec![BUSY, "", done]).await;
    let operation = client(&server.url).cancel("op_1").await.unwrap();
    assert!(operation.is_completed());
    let requests = server.requests.lock().unwrap();
    assert_eq!(requests.len(), 3);
    let keys: Vec<_> = requests.iter().map(|request| header(request, "idempotency-key").unwrap().to_owned()).collect();
    assert!(keys[0].len() >= 16 && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert!(requests[0].starts_with("POST /v1/operations/op_1:cancel HTTP/1.1"), "{}", requests[0]);
    assert_eq!(header(&requests[0], "authorization"), Some("Bearer ten_live_secret"));
}

#[tokio::test]
async fn patience_ends_and_the_last_answer_is_told() {
    let server = script(vec![BUSY, BUSY, BUSY, BUSY]).await;
    let error = client(&server.url).operation("op_1", None).await.unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (Kind::Unavailable, 7));
    assert_eq!(server.requests.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn problems_arrive_as_they_are_and_are_not_repeated() {
    let server = script(vec![
        "HTTP/1.1 412 X\ncontent-type: application/problem+json\nconnection: close\n\n{\"type\":\"https://docs.tenantry.dev/errors/TEN-0009\",\"code\":\"TEN-0009\",\"title\":\"t\",\"status\":412,\"detail\":\"the current version is 8\",\"hint\":\"Read again.\",\"correlationId\":\"c\"}",
    ])
    .await;
    let error = client(&server.url).tenant_verb("acme", "activate", Expected::Version(7), None).await.unwrap_err();
    assert_eq!(error.exit_code(), 5);
    assert_eq!(error.hint(), "Read again.");
    assert_eq!(error.to_string(), "TEN-0009: the current version is 8");
    let requests = server.requests.lock().unwrap();
    assert_eq!(header(&requests[0], "if-match"), Some("\"v7\""));
    assert!(requests[0].starts_with("POST /v1/environments/prod/tenants/acme:activate "));
}

#[tokio::test]
async fn a_stream_goes_on_where_it_broke() {
    let running = OPERATION.replace("completed", "running");
    let first: &'static str = Box::leak(
        format!("HTTP/1.1 200 OK\ncontent-type: text/event-stream\nconnection: close\n\n: hello\n\nid: 4\nevent: operation\ndata: {running}\n\n").into_boxed_str(),
    );
    let second: &'static str = Box::leak(
        format!("HTTP/1.1 200 OK\ncontent-type: text/event-stream\nconnection: close\n\nid: 5\ndata: {OPERATION}\n\n")
            .into_boxed_str(),
    );
    let server = script(vec![first, second]).await;
    let mut watch = client(&server.url).watch("op_1").unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap().status, "running");
    assert!(watch.next().await.unwrap().unwrap().is_completed());
    assert_eq!(watch.next().await.unwrap(), None);
    assert_eq!(header(&server.requests.lock().unwrap()[1], "last-event-id"), Some("4"));
}

#[tokio::test]
async fn nobody_listens() {
    let error = client("http://127.0.0.1:9").tenant("acme").await.unwrap_err();
    assert!(matches!(error, ClientError::Transport { .. }));
    assert_eq!(error.exit_code(), 7);
    assert!(!format!("{error:?} {error} {:?}", client("http://127.0.0.1:9")).contains("ten_live_secret"));
    let error = client("http://127.0.0.1:9").tenant("acme/../x").await.unwrap_err();
    assert_eq!(error.exit_code(), 2);
}
