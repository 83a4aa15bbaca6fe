//! `LISTEN` on a connection of its own, which is opened again whenever it is lost.
//!
//! What was sent while there was no connection is gone; the listener says so ([`Notification::Resumed`]) and the
//! receiver looks at everything. A notification is a hint to look, never the news itself.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio_postgres::{AsyncMessage, Client};

use crate::retry::pause;
use crate::target::Startup;
use crate::{Ident, PgError, Sql, Target};

/// A receiver that is this many behind stops the reading, not the memory.
const QUEUE: usize = 1024;
/// Beyond it a lost server is asked again every quarter of a second.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// What a [`Listener`] hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notification {
    /// Somebody sent this.
    Sent {
        /// The channel's name.
        channel: String,
        /// The payload, often empty.
        payload: String,
    },
    /// The connection was lost and is there again: something may have been missed.
    Resumed,
}

/// Hears notifications until it is dropped.
pub struct Listener {
    heard: mpsc::Receiver<Notification>,
    task: AbortHandle,
}

impl Listener {
    /// Connects and listens. Later losses of the connection are repaired without a word but [`Notification::Resumed`].
    ///
    /// # Errors
    /// The first connection did not succeed, or a channel's name is not usable.
    pub async fn connect(target: Target, channels: &[&'static str]) -> Result<Self, PgError> {
        let mut listen = Sql::new("");
        for channel in channels {
            listen = listen.push("LISTEN ").ident(&Ident::new(channel).map_err(PgError::unusable)?).push(";");
        }
        let (send, heard) = mpsc::channel(QUEUE);
        let mut line = Line::open(&target, &listen, send.clone()).await?;
        let task = tokio::spawn(async move {
            loop {
                line.lost.notified().await;
                line = again(&target, &listen, &send).await;
                if send.send(Notification::Resumed).await.is_err() {
                    return;
                }
            }
        });
        Ok(Self { heard, task: task.abort_handle() })
    }

    /// Waits for the next one. May be cancelled without losing any.
    pub async fn next(&mut self) -> Notification {
        match self.heard.recv().await {
            Some(notification) => notification,
            // Only while the runtime is being shut down does the task end before its listener.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection. The client is kept because the connection ends with it.
struct Line {
    _client: Client,
    reader: AbortHandle,
    lost: Arc<Notify>,
}

impl Line {
    async fn open(target: &Target, listen: &Sql, send: mpsc::Sender<Notification>) -> Result<Self, PgError> {
        let lost = Arc::new(Notify::new());
        let alarm = Alarm(Arc::clone(&lost));
        let on_message = move |message: AsyncMessage| {
            let _ends_with_the_reader = &alarm;
            let send = send.clone();
            async move {
                if let AsyncMessage::Notification(sent) = message {
                    let (channel, payload) = (sent.channel().to_owned(), sent.payload().to_owned());
                    let _ = send.send(Notification::Sent { channel, payload }).await;
                }
            }
        };
        let startup = Startup { application: "tenantry listener", settings: "", limit: CONNECT_LIMIT };
        let (client, reader) = target.connect(&startup, on_message).await?;
        let line = Self { _client: client, reader, lost };
        line._client.batch_execute(listen.as_str()).await?;
        Ok(line)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Rings when the reader's closure goes, which is when the connection has ended for whatever reason.
struct Alarm(Arc<Notify>);

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

async fn again(target: &Target, listen: &Sql, send: &mpsc::Sender<Notification>) -> Line {
    let jitter = RandomState::new();
    let mut attempt = 1;
    loop {
        if let Ok(line) = Line::open(target, listen, send.clone()).await {
            return line;
        }
        tokio::time::sleep(pause(attempt, jitter.hash_one(attempt))).await;
        attempt = attempt.saturating_add(1);
    }
}
