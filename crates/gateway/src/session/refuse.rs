//! What a client is told when its statement cannot be run, and what becomes of the rest of its message.

use bytes::BytesMut;
use tenantry_dataplane::Gate;
use tenantry_wire::server::{self, Report, Severity, Status};
use tenantry_wire::{client, frame, words};

use super::shared::Kick;
use super::turn::Refusal;
use super::{End, Session};
use crate::pool::AcquireError;
use crate::server::ConnectError;

/// The longest message of a client; PostgreSQL's own bound is the same.
pub(super) const LONGEST: usize = 0x4000_0000;

/// An error of ours: code, message, and what to do next.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// SQLSTATE.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do next.
    pub hint: Option<&'static str>,
}

impl Refused {
    /// Without a hint.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), hint: None }
    }

    /// With a hint.
    #[must_use]
    pub const fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// Why a session was ended.
    #[must_use]
    pub fn of_kick(kick: Kick) -> Self {
        match kick {
            Kick::Closed => Self::new("57P01", "the tenant is not open any more"),
            Kick::Login => Self::new("57P01", "the login was revoked"),
            Kick::Expired => {
                Self::new("57P01", "the login or its token is no longer valid").hint("Connect with a new one.")
            }
            Kick::Stopping => Self::new("57P01", "the gateway stops").hint("Connect again."),
            Kick::Killed => Self::new("57P01", "the connection was ended by an administrator"),
            Kick::Stuck => Self::new("57014", "the statement did not end in time")
                .hint("Send all of it, and read its answer, within the time that a statement has."),
            Kick::Unfinished => Self::new("08P01", "the rest of a message did not come in time")
                .hint("Send messages as a whole; long values can be sent in pieces by COPY."),
            Kick::IdleInTransaction => {
                Self::new("25P03", "the transaction was idle for too long").hint("Commit before you wait for anything.")
            }
        }
    }

    /// Why a tenant is not let in.
    #[must_use]
    pub fn of_gate(gate: Gate) -> Self {
        match gate {
            Gate::Suspended => Self::new("TN002", "the tenant is suspended"),
            Gate::Archived => Self::new("TN002", "the tenant is archived"),
            Gate::Preparing | Gate::Open => {
                Self::new("57P03", "the tenant is being prepared").hint("Try again in a moment.")
            }
        }
    }

    /// Whose tenant is gone.
    #[must_use]
    pub fn gone() -> Self {
        Self::new("TN003", "the tenant does not exist any more")
    }

    /// Why there is no server session.
    #[must_use]
    pub fn of_acquire(error: AcquireError) -> Self {
        match error {
            AcquireError::Busy => Self::new("53300", "all connections of the tenant are in use")
                .hint("Shorten transactions, or raise `quotas.connections` of its plan."),
            AcquireError::Full => Self::new("53300", "all connections of the tenant's server are in use")
                .hint("Try again in a moment; its operator may raise the gateway's bound, and the server's."),
            AcquireError::Crowded => Self::new("53300", "too many clients of the tenant wait for a connection")
                .hint("Try again later; more clients make it slower, not faster."),
            AcquireError::Settings { code, message } => {
                Self { code, message, hint: Some("A setting of the connection.") }
            }
            // A login of the tenant's own is switched off while it is not open.
            AcquireError::Server(ConnectError::Refused { code, .. }) if code == "28000" => {
                Self::of_gate(Gate::Suspended)
            }
            AcquireError::Server(error) => {
                tracing::warn!(error = %error, "no session of a cell's server");
                Self::new("57P03", "the tenant's database cannot be reached").hint("Try again in a moment.")
            }
        }
    }

    /// What the server said to `enter`.
    #[must_use]
    pub fn of_refusal(refusal: Refusal) -> Self {
        Self { code: refusal.code, message: refusal.message, hint: None }
    }

    /// As a message.
    pub fn put(&self, out: &mut BytesMut, severity: Severity) {
        let report = Report { severity, code: &self.code, message: &self.message, detail: None, hint: self.hint };
        server::put_error(out, &report);
    }
}

/// How long a message may be that begins a transaction and is looked for among those that are left out.
const BEGIN: usize = 4096;

impl Session {
    /// Answers the message at the front of the inbox, and what belongs to it, with an error. INVARIANT: a client whose
    /// transaction was refused ends; what it sent behind the `BEGIN` without waiting would be run outside of it.
    pub(super) fn refuse(&mut self, refused: &Refused, status: Status) -> Result<(), End> {
        self.shared.tally.add(|counts| counts.refused += 1);
        tracing::debug!(code = refused.code, message = refused.message, "refused");
        let simple = matches!(self.inbox.bytes().first(), Some(b'Q' | b'F'));
        if simple && status == Status::Idle && self.begins_first() {
            return Err(End::Refused(refused.clone()));
        }
        refused.put(self.answers.fill(), Severity::Error);
        if !simple {
            self.is_skipping = true;
            self.refused = (status == Status::Idle).then(|| Box::new(refused.clone()));
            return self.leave_out(status);
        }
        if let Some(header) =
            frame::header(self.inbox.bytes(), LONGEST).map_err(|_| super::ask::Fault::Malformed('Q'))?
        {
            self.drop_frame(header.len);
        }
        server::put_ready(self.answers.fill(), status);
        Ok(())
    }

    /// Leaves out messages up to a Sync, which is answered.
    pub(super) fn leave_out(&mut self, status: Status) -> Result<(), End> {
        while self.is_skipping && self.skip == 0 {
            let header = frame::header(self.inbox.bytes(), LONGEST).map_err(|_| super::ask::Fault::Malformed('?'))?;
            let Some(header) = header else { break };
            if header.tag == b'X' {
                return Err(End::Bye);
            }
            if self.refused.is_some() && matches!(header.tag, b'P' | b'B' | b'E' | b'S') {
                let is_there = self.inbox.len() >= header.len;
                if !is_there && header.len <= BEGIN {
                    break;
                }
                let begins = is_there && self.begins_first();
                // Whatever was to be run first has failed, and a `BEGIN` behind it would not have been heard by a server.
                let refused = self.refused.take_if(|_| begins || matches!(header.tag, b'E' | b'S'));
                if let Some(refused) = refused.filter(|_| begins) {
                    return Err(End::Refused(*refused));
                }
            }
            self.drop_frame(header.len);
            if header.tag == b'S' {
                self.is_skipping = false;
                server::put_ready(self.answers.fill(), status);
            }
        }
        Ok(())
    }

    /// Whether the message at the front of the inbox begins a transaction, or prepares a statement that does. Of a query that
    /// is not all there that is not known.
    fn begins_first(&self) -> bool {
        let bytes = self.inbox.bytes();
        let Ok(Some(header)) = frame::header(bytes, LONGEST) else { return false };
        let Some(message) = bytes.get(..header.len) else { return header.tag == b'Q' };
        let body = message.get(frame::HEADER..).unwrap_or_default();
        match header.tag {
            b'Q' => client::query(body).is_ok_and(|sql| words::statements(sql).any(begins)),
            b'P' => client::parse(body).is_ok_and(|parse| begins(parse.query)),
            b'B' => client::bind(body)
                .is_ok_and(|bind| self.client.statement(bind.statement).is_some_and(|parsed| parsed.begins)),
            _ => false,
        }
    }

    /// Forgets a message of which not everything may have come.
    pub(super) fn drop_frame(&mut self, len: usize) {
        let there = len.min(self.inbox.len());
        self.inbox.advance(there);
        self.skip = len - there;
    }

    /// Forgets what came of a message that is left out.
    pub(super) fn drop_rest(&mut self) {
        let there = self.skip.min(self.inbox.len());
        self.inbox.advance(there);
        self.skip -= there;
    }
}

fn begins(sql: &[u8]) -> bool {
    matches!(words::lead(sql), words::Lead::Begin)
}
