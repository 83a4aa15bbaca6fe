//! Channels end with their tenant's access: a real client of server-sent events and a real WebSocket.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::service::{Service, everywhere};
use crate::world::{LEVELS, World};

/// From the first word of the change to the end of every channel: what is promised is one second after the change.
const BOUND: Duration = Duration::from_millis(1_000);

#[tokio::test]
async fn event_streams_and_sockets_end_within_a_second_of_a_suspension() {
    let world = World::new().await;
    let tenantry = world.tenantry();
    for level in LEVELS {
        let made = world.named(&tenantry, &format!("one-{level}"), level, "active").await;
        let other = world.named(&tenantry, &format!("two-{level}"), level, "active").await;
        let service = Service::start(&tenantry, everywhere()).await;
        let host = format!("{}.app.example.com", made.tenant.slug());
        let other_host = format!("{}.app.example.com", other.tenant.slug());

        let mut events = service.request("/events", &[("host", &host)]).send().await.unwrap().bytes_stream();
        let first = String::from_utf8(events.next().await.unwrap().unwrap().to_vec()).unwrap();
        assert_eq!(first.trim(), format!("data: 0 {}", made.tenant.slug()), "made with the tenant as the current one");
        let mut others = service.request("/events", &[("host", &other_host)]).send().await.unwrap().bytes_stream();
        others.next().await.unwrap().unwrap();

        let tcp = TcpStream::connect(service.address).await.unwrap();
        let mut request = format!("ws://{}/socket", service.address).into_client_request().unwrap();
        request.headers_mut().insert("host", host.parse().unwrap());
        let (mut socket, _) = tokio_tungstenite::client_async(request, tcp).await.unwrap();
        socket.send(Message::text("hello")).await.unwrap();
        let echo = socket.next().await.unwrap().unwrap();
        assert_eq!(echo.into_text().unwrap().as_str(), format!("{} hello", made.tenant.slug()));

        // Another instance suspends, so that its looks do not help the channels' own.
        let elsewhere = world.tenantry();
        let factory = world.factory(&elsewhere);
        let suspending = async {
            factory.suspend(&made).await.unwrap();
            Instant::now()
        };
        let streaming = async {
            while events.next().await.is_some_and(|chunk| chunk.is_ok()) {}
            Instant::now()
        };
        let reading = async {
            let mut code = None;
            while let Some(Ok(message)) = socket.next().await {
                if let Message::Close(Some(frame)) = message {
                    code = Some(u16::from(frame.code));
                }
            }
            (Instant::now(), code)
        };
        let all = async { tokio::join!(suspending, streaming, reading) };
        let (done, streamed, (read, code)) =
            tokio::time::timeout(Duration::from_secs(30), all).await.expect("they end");
        let (streamed, read) = (streamed.saturating_duration_since(done), read.saturating_duration_since(done));
        eprintln!("channel: {level}: events ended {streamed:?}, the socket {read:?} after the suspension was seen");
        assert!(streamed < BOUND && read < BOUND, "{streamed:?} {read:?}");
        assert_eq!(code, Some(1008));
        others.next().await.unwrap().unwrap();

        // No new one is opened.
        assert_eq!(service.get("/events", &[("host", &host)]).await.reason, "TenantSuspended");
        let tcp = TcpStream::connect(service.address).await.unwrap();
        let mut request = format!("ws://{}/socket", service.address).into_client_request().unwrap();
        request.headers_mut().insert("host", host.parse().unwrap());
        assert!(tokio_tungstenite::client_async(request, tcp).await.is_err());
    }
    world.end().await;
}

#[tokio::test]
async fn a_channel_ends_when_its_tenant_is_deleted_and_stays_while_nobody_can_tell() {
    let world = World::new().await;
    let tenantry = world.tenantry();
    let made = world.named(&tenantry, "acme", "shared", "active").await;
    let watch = tenantry.watch(&made.tenant);
    world.set_line(false);
    assert!(tokio::time::timeout(Duration::from_millis(1_500), watch.ended()).await.is_err());
    world.set_line(true);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let elsewhere = world.tenantry();
    world.factory(&elsewhere).remove(&made).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), watch.ended()).await.unwrap();
    assert_eq!(watch.has_ended(), Some(ended));
    // A stream that never says anything ends too.
    let mut silent = tenantry.scope(&made.tenant, futures_util::stream::pending::<()>());
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), silent.next()).await.unwrap(), None);
    world.end().await;
}
