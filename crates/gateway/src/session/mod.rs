//! One client, from its login to its end.
//!
//! A session waits for its client's next statement ([`Session::idle`]), takes a server session for it, and relays until that
//! can go back ([`Session::relay`]). INVARIANT: whoever ends a turn in any other way than by `release` closes the server
//! session with it; a statement that may have run is never sent again.

mod answer;
mod ask;
mod client;
mod expect;
mod refuse;
mod relay;
mod retry;
mod shared;
mod turn;
mod unfinished;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tenantry_dataplane::Door;
use tenantry_domain::Timestamp;
use tenantry_domain::gateway::{Access, Mode};
use tenantry_wire::server::Severity;
use tokio::sync::OwnedSemaphorePermit;

use crate::pipe::Pipe;
use crate::pool::Pool;
use crate::profile::Profile;
use crate::seats::Seat;
use crate::socket::Stream;
use crate::standby::Watch;
use crate::table::{Login, Route, Slot};
use crate::worker::Worker;
use client::ClientState;
pub use refuse::Refused;
pub use shared::{Doing, Kick, Shared};
pub use unfinished::AllUnfinished;

/// A client that has logged in.
pub struct Arrival {
    /// Its socket, parked.
    pub stream: Stream,
    /// By which login.
    pub login: Arc<Login>,
    /// Which tenant.
    pub slot: Arc<Slot>,
    /// Settings that it began with.
    pub settings: Vec<(String, String)>,
    /// Bytes of the secret by which it cancels: 4, or 32 from protocol 3.2 on.
    pub secret: usize,
    /// From where.
    pub peer: std::net::SocketAddr,
    /// From when on its token is no longer valid, if it has one. The login's own end is the login's.
    pub expires: Option<Timestamp>,
    /// Counts it among its login's clients while it lives.
    pub seat: Seat,
    /// Counts it among the gateway's clients while it lives.
    pub permit: OwnedSemaphorePermit,
}

/// Why a session is over.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// The client said so.
    #[error("the client went")]
    Bye,
    /// The client's connection is gone.
    #[error("the client's connection failed: {0}")]
    Client(io::Error),
    /// The gateway ended it.
    #[error("ended: {0:?}")]
    Kicked(Kick),
    /// The client does not keep to the protocol.
    #[error("protocol violation: {0}")]
    Fault(#[from] ask::Fault),
    /// The server's session failed in the middle of an answer.
    #[error("the server's session failed in the middle of an answer")]
    Torn,
    /// The server's session is gone, and with it what the client had in it.
    #[error("{0}")]
    Lost(Refused),
    /// It was refused.
    #[error("{0}")]
    Refused(Refused),
}

impl End {
    /// One word for metrics and logs.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Bye => "client_left",
            Self::Client(_) => "client_lost",
            Self::Kicked(Kick::Closed) => "tenant_shut",
            Self::Kicked(Kick::Login) => "login_revoked",
            Self::Kicked(Kick::Expired) => "login_expired",
            Self::Kicked(Kick::Stopping) => "gateway_stops",
            Self::Kicked(Kick::Killed) => "killed",
            Self::Kicked(Kick::IdleInTransaction) => "idle_in_transaction",
            Self::Kicked(Kick::Stuck) => "stuck",
            Self::Kicked(Kick::Unfinished) => "unfinished",
            Self::Fault(_) => "protocol",
            Self::Torn | Self::Lost(_) => "server_lost",
            Self::Refused(_) => "refused",
        }
    }
}

/// The tenant's door, and the route for which it was made.
#[derive(Clone)]
pub struct Way {
    pub(crate) route: Arc<Route>,
    pub(crate) door: Rc<Door>,
    pub(crate) pool: Rc<RefCell<Pool>>,
    /// The watch of the standby that it leads to.
    pub(crate) standby: Option<Rc<Watch>>,
    /// When a better one is looked for; absent if this one is good for as long as the route is the same.
    pub(crate) until: Option<Instant>,
}

impl Way {
    /// Whether it still leads to where the login wants to be, as far as that can change while the route stays.
    fn holds(&self, staleness: std::time::Duration) -> bool {
        if self.until.is_none() && self.standby.is_none() {
            return true;
        }
        let now = Instant::now();
        self.until.is_none_or(|until| now < until)
            && self.standby.as_ref().is_none_or(|watch| watch.is_fit(now, staleness))
    }
}

/// See the module.
pub struct Session {
    worker: Rc<Worker>,
    shared: Rc<Shared>,
    stream: Stream,
    inbox: Pipe,
    answers: Pipe,
    client: ClientState,
    login: Arc<Login>,
    slot: Arc<Slot>,
    tenant: String,
    way: Option<Way>,
    /// Until when it goes without standbys, because one did not let it in.
    avoids: Option<Instant>,
    /// After an error of ours, messages are left out up to a Sync.
    is_skipping: bool,
    /// Bytes of a long message that is left out.
    skip: usize,
    /// Why the messages were refused that are left out, as long as a `BEGIN` among them would begin a transaction.
    refused: Option<Box<Refused>>,
}

impl Session {
    /// Serves an arrival until it ends.
    pub async fn serve(worker: Rc<Worker>, arrival: Arrival, shared: Rc<Shared>) -> End {
        let Arrival { mut stream, login, slot, settings, permit: _permit, seat: _seat, .. } = arrival;
        if let Err(error) = stream.unpark() {
            return End::Client(error);
        }
        let mut profile = Rc::new(Profile::default());
        for (name, value) in &settings {
            profile.set(name, value);
        }
        let tenant = slot.tenant().uuid().to_string();
        let mut session = Self {
            worker,
            shared,
            stream,
            inbox: Pipe::default(),
            answers: Pipe::default(),
            client: ClientState::new(profile),
            login,
            slot,
            tenant,
            way: None,
            avoids: None,
            is_skipping: false,
            skip: 0,
            refused: None,
        };
        // What was revoked or shut between the login and here was told to nobody yet.
        let is_known = session.worker.knows(&session.login);
        // Boxed, because it happens once, and what an idle client takes is what its longest await needs.
        let end = match if is_known { Box::pin(session.welcome()).await } else { Err(End::Kicked(Kick::Login)) } {
            Ok(()) => session.run().await,
            Err(end) => end,
        };
        // Boxed as well: it happens once.
        Box::pin(session.farewell(&end)).await;
        end
    }

    async fn run(&mut self) -> End {
        loop {
            // However the last turn ended.
            if self.shared.doing().0 != Doing::Idle {
                self.shared.does(Doing::Idle, Instant::now());
            }
            let turned = match self.idle().await {
                Ok(()) => self.relay().await,
                Err(end) => return end,
            };
            if let Err(end) = turned {
                return end;
            }
        }
    }

    fn keeps_session(&self) -> bool {
        self.login.mode == Mode::Session
    }

    fn is_read_only(&self) -> bool {
        self.login.access == Access::ReadOnly
    }

    /// Tells the client why it ends, if that can be told.
    async fn farewell(&mut self, end: &End) {
        let refused = match end {
            End::Bye | End::Client(_) | End::Torn => return,
            End::Kicked(kick) => Refused::of_kick(*kick),
            End::Fault(fault) => Refused::new("08P01", fault.to_string()),
            End::Lost(refused) | End::Refused(refused) => refused.clone(),
        };
        refused.put(self.answers.fill(), Severity::Fatal);
        // Whoever does not read does not learn it.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(200), self.flush()).await;
        // Closing on what the client sends at this moment would throw the farewell away.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(100), self.leave()).await;
    }

    async fn leave(&mut self) -> io::Result<()> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        self.stream.shutdown().await?;
        let (mut scrap, mut left) = ([0; 4096], 64 * 1024_usize);
        while left > 0 {
            let count = self.stream.read(&mut scrap).await?;
            if count == 0 {
                break;
            }
            left = left.saturating_sub(count);
        }
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.answers.poll_write(&mut self.stream, cx)).await
    }
}

#[cfg(test)]
mod tests {
    use super::turn::Turn;
    use super::*;

    fn size_of_future<A, B, C, F: Future>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_client_takes_little() {
        let size = size_of_future(Session::serve);
        // Beside it an idle client has its task, its socket's registration and what others see of it: some 1 KiB.
        assert!(size <= 4096, "{size} bytes");
        assert!(
            size_of::<Turn>() <= 512 && size_of::<Shared>() <= 512,
            "{} {}",
            size_of::<Turn>(),
            size_of::<Shared>()
        );
    }
}
