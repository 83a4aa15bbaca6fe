//! One turn of a client at a server session: from its first statement to the moment when the session can go back.
//!
//! INVARIANT: while [`Turn::needs_enter`] holds, nothing that reads or writes is sent without `enter` in front. While
//! [`Turn::is_entering`] holds, what was sent is still in the client's inbox, unchanged, and nothing of it has run unless the
//! server says that the tenant was let in.

use std::rc::Rc;
use std::time::Instant;

use tenantry_wire::server::Status;

use super::expect::{Expect, Owed};
use crate::pool::Lease;
use crate::server::{Effect, Parsed};

/// What the server's unnamed statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unnamed {
    /// The one that the client parsed last.
    Client,
    /// Ours, by which the tenant is let in. Nothing but the protocol replaces it, and all of that passes here, so that it need
    /// not be parsed again; a named one could be replaced by SQL.
    Enter,
    /// Another one, or none.
    Other,
}

/// Why a tenant was not let in.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// SQLSTATE.
    pub code: String,
    /// The server's words.
    pub message: String,
}

/// Where the answer to a failed `enter` stands.
#[derive(Debug, Clone)]
pub enum Entry {
    /// Nothing was asked, or the tenant is in.
    Fine,
    /// The server refused; what it still says is not for the client.
    Refused(Refusal),
    /// The same, and the session has said everything: it can be left.
    Left(Refusal),
}

/// A named portal whose statement matters.
#[derive(Debug)]
struct Portal {
    name: Box<[u8]>,
    parsed: Rc<Parsed>,
}

/// How many named portals are remembered; more are taken for ordinary ones.
const PORTALS: usize = 64;

/// See the module.
#[derive(Debug)]
pub struct Turn {
    /// The server session.
    pub lease: Lease,
    /// When it began.
    pub since: Instant,
    /// Whether the client keeps the server session beyond it.
    pub is_session: bool,
    /// How often `enter` was sent.
    pub entered: u32,
    /// Whether the tenant was let in at least once, so that the session may hold something of the client's.
    pub has_run: bool,
    /// Whether anything was taken from the client.
    pub has_begun: bool,
    /// What it owes.
    pub owed: Owed,
    /// Where its transaction stands, as it said last.
    pub status: Status,
    /// Whether a COMMIT or ROLLBACK was sent since it said so.
    pub is_between: bool,
    /// Whether something was sent that may have begun a transaction, since it said last that none is open.
    pub may_begin: bool,
    /// Whether the tenant has to be let in before anything is done.
    pub needs_enter: bool,
    /// Whether `enter` is on its way.
    pub is_entering: bool,
    /// Whether the server named the right tenant.
    pub has_entered: bool,
    /// What became of `enter`.
    pub entry: Entry,
    /// Bytes at the front of the client's inbox that were sent and may have to be sent again.
    pub sent: usize,
    /// Statements that set up the present transaction and came before `enter`.
    pub preamble: Vec<Box<[u8]>>,
    /// Bytes of a long message of the client's that are still to be passed on.
    pub passing: usize,
    /// Bytes of a long message of the server's that are still to come, and what is done with them.
    pub incoming: (usize, bool),
    /// Whether a Sync or a query was sent that is not answered.
    pub is_bounded: bool,
    /// Whether something was sent since the last Sync or query.
    pub is_unsynced: bool,
    /// Whether an error was answered and the server ignores everything up to a Sync that has not come yet.
    pub is_ignored: bool,
    /// What the server's unnamed statement is.
    pub unnamed: Unnamed,
    /// Whether the server takes COPY data.
    pub is_copying: bool,
    /// Whether the client's query was split and this many ReadyForQuery are not for it.
    pub hidden: usize,
    /// How many messages at the front of the client's inbox are left out, because one before them failed.
    pub dropped: usize,
    /// How often what is sent was refused before.
    pub tries: u32,
    /// SET statements on their way of which we know what they set.
    pub known_sets: usize,
    /// Whether a Flush was sent since `enter`, so that its answer comes.
    pub has_flushed: bool,
    /// Whether a Flush was sent because too many answers are owed, and nothing since.
    pub is_urged: bool,
    /// How many of its transactions, beyond the first, were let in by the tenant's rate.
    pub paid: u32,
    /// When the tenant's rate lets the next one in, of which the place is taken.
    pub due: Option<Instant>,
    /// Whether the next one has to wait.
    pub must_wait: bool,
    /// Whether the answer to the present query was an error.
    pub has_failed: bool,
    /// Whether a COMMIT or ROLLBACK was answered since the last ReadyForQuery, and whether it was a COMMIT.
    pub ended_by: Option<bool>,
    /// What the server said before it closed the session.
    pub fatal: Option<Refusal>,
    /// Whether the client may have left something in the session.
    pub is_tainted: bool,
    /// Whether a cancel request of the client may still reach the session, at a moment that is not known.
    pub is_unsafe: bool,
    portals: Vec<Portal>,
    unnamed_portal: Option<Rc<Parsed>>,
}

impl Turn {
    /// Begins one.
    #[must_use]
    pub fn new(mut lease: Lease) -> Self {
        // Unless the turn ends well, nothing is known of it afterwards.
        let has_enter = lease.backend().is_some_and(|backend| std::mem::take(&mut backend.has_enter));
        Self {
            lease,
            since: Instant::now(),
            is_session: false,
            entered: 0,
            has_run: false,
            has_begun: false,
            owed: Owed::default(),
            status: Status::Idle,
            is_between: false,
            may_begin: false,
            needs_enter: true,
            is_entering: false,
            has_entered: false,
            entry: Entry::Fine,
            sent: 0,
            preamble: Vec::new(),
            passing: 0,
            incoming: (0, false),
            is_bounded: false,
            is_unsynced: false,
            is_ignored: false,
            unnamed: if has_enter { Unnamed::Enter } else { Unnamed::Other },
            is_copying: false,
            hidden: 0,
            dropped: 0,
            tries: 0,
            known_sets: 0,
            has_flushed: false,
            is_urged: false,
            paid: 0,
            due: None,
            must_wait: false,
            has_failed: false,
            ended_by: None,
            fatal: None,
            is_tainted: false,
            is_unsafe: false,
            portals: Vec::new(),
            unnamed_portal: None,
        }
    }

    /// Whether the server session can go back.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.has_begun
            && self.status == Status::Idle
            && self.owed.is_empty()
            && !self.is_unsynced
            && !self.is_bounded
            && self.passing == 0
            && self.incoming.0 == 0
            && self.sent == 0
            && !self.is_copying
            && self.hidden == 0
            // What follows a piece that failed is still in the inbox, and must not be taken for another turn's.
            && self.dropped == 0
    }

    /// Whether this message would begin a transaction that is not the first one: a client can send several without a Sync, and
    /// keep its server session between them.
    #[must_use]
    pub fn goes_on_with(&self, tag: u8) -> bool {
        self.entered > 0
            && self.needs_enter
            && (self.status == Status::Idle || self.is_between)
            && !self.is_entering
            && matches!(tag, b'Q' | b'P' | b'B' | b'D' | b'E' | b'F')
    }

    /// Notes what is behind a portal.
    pub fn bind(&mut self, portal: &[u8], parsed: Option<Rc<Parsed>>) {
        if portal.is_empty() {
            self.unnamed_portal = parsed;
            return;
        }
        self.portals.retain(|known| &*known.name != portal);
        let matters = parsed.filter(|parsed| parsed.effect != Effect::Work && self.portals.len() < PORTALS);
        if let Some(parsed) = matters {
            self.portals.push(Portal { name: portal.into(), parsed });
        }
    }

    /// What is behind a portal, as far as it matters.
    #[must_use]
    pub fn portal(&self, portal: &[u8]) -> Option<Rc<Parsed>> {
        if portal.is_empty() {
            return self.unnamed_portal.clone();
        }
        self.portals.iter().find(|known| &*known.name == portal).map(|known| Rc::clone(&known.parsed))
    }

    /// A simple query does away with the unnamed statement.
    pub fn queried(&mut self) {
        if self.unnamed == Unnamed::Enter {
            self.unnamed = Unnamed::Other;
        }
    }

    /// The transaction is over.
    pub fn ended(&mut self) {
        self.needs_enter = true;
        self.due = None;
        self.preamble.clear();
        self.portals.clear();
        self.unnamed_portal = None;
    }

    /// What the server skips after an error: statements which were not prepared after all. Whether it goes on skipping what
    /// is still to be sent.
    pub fn skip(&mut self) -> bool {
        let mut lost: Vec<Rc<Parsed>> = Vec::new();
        let goes_on = self.owed.skip(|expect| {
            if let Expect::Named(parsed) | Expect::Again(parsed) = expect {
                lost.push(parsed);
            }
        });
        if let Some(backend) = self.lease.backend() {
            for parsed in lost {
                backend.statements.remove(&parsed);
            }
        }
        self.unnamed = Unnamed::Other;
        goes_on
    }
}
