//! WebSockets of a tenant.
//!
//! INVARIANT: the socket belongs to a task of ours, and the application has channels to it. So it is closed when the
//! tenant's access ends, also while the application is busy with something else: code 1008, and one second later the
//! application's future is dropped.

use std::future::Future;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use crate::context;
use crate::span;
use crate::watch::Watch;
use crate::web::extract::CurrentTenant;

/// Policy violation (RFC 6455, section 7.4.1): the peer is not welcome any more.
const CLOSE: u16 = 1008;
/// How long an application has to finish after its channel was closed.
const GRACE: Duration = Duration::from_secs(1);
/// Messages that are kept between socket and application, each way.
const WAITING: usize = 16;

/// The channel is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the channel is closed")]
pub struct Closed;

/// The application's end of a WebSocket.
#[derive(Debug)]
pub struct TenantSocket {
    incoming: mpsc::Receiver<Message>,
    outgoing: mpsc::Sender<Message>,
}

impl TenantSocket {
    /// The next message; nothing once the channel is closed.
    pub async fn recv(&mut self) -> Option<Message> {
        self.incoming.recv().await
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn send(&self, message: Message) -> Result<(), Closed> {
        self.outgoing.send(message).await.map_err(|_| Closed)
    }
}

impl CurrentTenant {
    /// Answers a WebSocket handshake, and serves the channel while the tenant is open.
    pub fn upgrade<F>(
        &self,
        upgrade: WebSocketUpgrade,
        serve: impl FnOnce(TenantSocket) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (watch, tenant) = (self.watch(), self.tenant().clone());
        let span = span::request(&tenant, "CONNECT", None);
        upgrade.on_upgrade(move |socket| {
            let channel = async move {
                let (to_app, incoming) = mpsc::channel(WAITING);
                let (outgoing, from_app) = mpsc::channel(WAITING);
                let app = serve(TenantSocket { incoming, outgoing });
                let pump = pump(socket, watch, to_app, from_app);
                tokio::pin!(app, pump);
                tokio::select! {
                    // Its channels are closed with it; what it sent before still leaves.
                    () = &mut app => pump.await,
                    () = &mut pump => { let _ = tokio::time::timeout(GRACE, app).await; }
                }
            };
            context::scope(Some(tenant), channel).instrument(span)
        })
    }
}

/// Carries messages until one side or the tenant's access ends.
async fn pump(socket: WebSocket, watch: Watch, to_app: mpsc::Sender<Message>, mut from_app: mpsc::Receiver<Message>) {
    let (mut sink, mut stream) = socket.split();
    let ended = watch.ended();
    tokio::pin!(ended);
    loop {
        // What came and was not taken yet holds back the next one, not the end.
        let next = async {
            let room = to_app.reserve().await.ok()?;
            let message = stream.next().await?.ok()?;
            room.send(message);
            Some(())
        };
        tokio::select! {
            biased;
            _ = &mut ended => break,
            message = from_app.recv() => {
                let Some(message) = message else {
                    let _ = tokio::time::timeout(GRACE, sink.close()).await;
                    return;
                };
                tokio::select! {
                    biased;
                    _ = &mut ended => break,
                    sent = sink.send(message) => if sent.is_err() {
                        return;
                    },
                }
            }
            got = next => if got.is_none() {
                return;
            },
        }
    }
    let frame = CloseFrame { code: CLOSE, reason: "TenantNotOpen".into() };
    let _ = tokio::time::timeout(GRACE, sink.send(Message::Close(Some(frame)))).await;
}
