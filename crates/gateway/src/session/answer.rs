//! What a server says, one message at a time: what of it goes to the client, and what it tells us.
//!
//! INVARIANT: no answer to a statement of ours reaches the client, and `enter` counts only if the server names the tenant
//! whom we asked for.

use std::rc::Rc;

use tenantry_wire::frame;
use tenantry_wire::server::{self, Status};

use super::client::ClientState;
use super::expect::{Expect, Pass};
use super::turn::{Entry, Refusal, Turn, Unnamed};
use crate::pipe::{CHUNK, Pipe};
use crate::profile::Profile;

/// The longest message that is held as a whole: errors, notices, settings, tags.
const WHOLE: usize = 1024 * 1024;
/// The longest message at all; PostgreSQL's own bound is the same.
const LONGEST: usize = 0x4000_0000;

/// The server said something that cannot be; its session is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutOfStep {
    /// A message that nothing asked for.
    #[error("the server sent an unexpected message of type `{0}`")]
    Unexpected(char),
    /// A message that cannot be read.
    #[error("the server sent a malformed message of type `{0}`")]
    Malformed(char),
    /// A message that is too long to be held.
    #[error("the server sent a message that is too long")]
    Long,
    /// `enter` let in another tenant, or said nothing.
    #[error("the session was entered for another tenant")]
    Tenant,
}

/// The server's side of a turn.
pub struct Answering<'a> {
    /// The turn.
    pub turn: &'a mut Turn,
    /// What the client has prepared and set.
    pub client: &'a mut ClientState,
    /// What goes to the client.
    pub answers: &'a mut Pipe,
    /// The tenant's uuid as text.
    pub tenant: &'a str,
    /// Whether notifications are the client's.
    pub keeps_session: bool,
}

impl Answering<'_> {
    /// Takes everything that has come, as long as the client's buffer has room.
    ///
    /// # Errors
    /// See [`OutOfStep`].
    pub fn take(&mut self, room: usize) -> Result<(), OutOfStep> {
        self.locals();
        let Some(backend) = self.turn.lease.backend() else { return Ok(()) };
        let mut inbox = std::mem::take(&mut backend.inbox);
        let mut taken = 0;
        let outcome = loop {
            let bytes = inbox.bytes().get(taken..).unwrap_or_default();
            if bytes.is_empty() || self.answers.len() >= room || matches!(self.turn.entry, Entry::Left(_)) {
                break Ok(());
            }
            match self.one(bytes) {
                Ok(0) => break Ok(()),
                Ok(count) => taken += count,
                Err(error) => break Err(error),
            }
        };
        inbox.advance(taken);
        if let Some(backend) = self.turn.lease.backend() {
            backend.inbox = inbox;
        }
        outcome
    }

    /// One message, or a piece of a long one; how many bytes it was. 0: more is needed.
    fn one(&mut self, bytes: &[u8]) -> Result<usize, OutOfStep> {
        let (left, pass) = self.turn.incoming;
        if left > 0 {
            let piece = &bytes[..left.min(bytes.len())];
            if pass {
                self.answers.fill().extend_from_slice(piece);
            }
            self.turn.incoming.0 -= piece.len();
            return Ok(piece.len());
        }
        let header = frame::header(bytes, LONGEST).map_err(|_| OutOfStep::Long)?;
        let Some(header) = header else { return Ok(0) };
        if let Some(message) = bytes.get(..header.len) {
            if self.message(header.tag, message)? == Pass::On {
                self.answers.fill().extend_from_slice(message);
            }
            self.locals();
            return Ok(header.len);
        }
        // Rows, COPY data and descriptions go on as they come; the rest is held.
        let is_ours = self.turn.owed.head().is_none_or(|head| head.pass() == Pass::Not);
        let goes_on = matches!(header.tag, b'D' | b'd' | b'T' | b'V') && header.len > CHUNK
            || matches!(header.tag, b'N' | b'E') && header.len > WHOLE && bytes.len() > CHUNK;
        if is_ours || !goes_on {
            return if header.len > WHOLE && !matches!(header.tag, b'N' | b'E') { Err(OutOfStep::Long) } else { Ok(0) };
        }
        // Of an error its code is needed, which stands at its beginning.
        let begun = if header.tag == b'E' { bytes } else { &[] };
        let pass = self.message(header.tag, begun)? == Pass::On;
        if pass {
            self.answers.fill().extend_from_slice(bytes);
        }
        self.turn.incoming = (header.len - bytes.len(), pass);
        Ok(bytes.len())
    }

    /// What a message tells, and whether the client gets it.
    fn message(&mut self, tag: u8, message: &[u8]) -> Result<Pass, OutOfStep> {
        let body = message.get(frame::HEADER..).unwrap_or_default();
        let is_refused = !matches!(self.turn.entry, Entry::Fine);
        match tag {
            b'N' => return Ok(if is_refused { Pass::Not } else { self.pass_of_head() }),
            b'A' => return Ok(if self.keeps_session { Pass::On } else { Pass::Not }),
            b'S' => return self.parameter(body),
            b'E' if is_refused => {
                self.turn.skip();
                return Ok(Pass::Not);
            }
            b'E' => return Ok(self.error(body)),
            b'Z' => return self.ready(body),
            _ => {}
        }
        let head = self.turn.owed.head().filter(|head| head.has(tag)).ok_or(OutOfStep::Unexpected(char::from(tag)))?;
        let pass = head.pass();
        match (head, tag) {
            (Expect::Enter, b'D') => {
                let mut row = server::row(body).map_err(|_| OutOfStep::Malformed('D'))?;
                self.turn.has_entered = row.next().flatten() == Some(self.tenant.as_bytes());
            }
            (Expect::Enter, b'C') => self.entered()?,
            (Expect::Hidden, b'C') => {}
            (_, b'C') => self.command(server::command(body).map_err(|_| OutOfStep::Malformed('C'))?),
            (_, b'G' | b'W') => self.copy_begins(),
            _ => {}
        }
        if self.turn.owed.head().is_some_and(|head| head.ends_with(tag))
            && let Some(Expect::Named(_)) = self.turn.owed.pop()
        {
            self.client.confirmed();
        }
        Ok(if is_refused { Pass::Not } else { pass })
    }

    fn pass_of_head(&self) -> Pass {
        self.turn.owed.head().map_or(Pass::On, Expect::pass)
    }

    fn entered(&mut self) -> Result<(), OutOfStep> {
        if !self.turn.has_entered {
            return Err(OutOfStep::Tenant);
        }
        self.turn.is_entering = false;
        self.turn.has_run = true;
        // In session mode a turn goes on: what comes next is another transaction, with tries of its own.
        self.turn.tries = 0;
        self.turn.has_flushed = false;
        self.turn.preamble.clear();
        self.client.keep();
        Ok(())
    }

    /// Answers that are ours to give, when their turn has come.
    fn locals(&mut self) {
        // After an error nothing is answered up to the Sync.
        while !self.turn.has_failed
            && let Some(Expect::Local(tag)) = self.turn.owed.head()
        {
            let out = self.answers.fill();
            match tag {
                b'1' => {
                    server::put_parse_complete(out);
                    self.client.confirmed();
                }
                _ => server::put_close_complete(out),
            }
            self.turn.owed.pop();
        }
    }

    /// The server takes data now; a Sync that it reads meanwhile is nothing to it.
    fn copy_begins(&mut self) {
        self.turn.is_copying = true;
        if matches!(self.turn.owed.head(), Some(Expect::Execute)) {
            self.turn.owed.forget_syncs();
            self.turn.is_bounded = false;
            self.turn.is_unsynced = true;
        }
    }

    fn parameter(&mut self, body: &[u8]) -> Result<Pass, OutOfStep> {
        let (name, value) = server::parameter(body).map_err(|_| OutOfStep::Malformed('S'))?;
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        let pass = self.pass_of_head();
        let is_clients = pass == Pass::On && Profile::follows(&name) && self.client.profile.get(&name) != Some(&*value);
        if is_clients {
            self.client.profile.set(&name, &value);
        }
        if let Some(backend) = self.turn.lease.backend() {
            backend.report(&name, &value);
            if is_clients {
                backend.profile = Some(Rc::clone(&self.client.profile));
            }
        }
        Ok(pass)
    }

    fn error(&mut self, body: &[u8]) -> Pass {
        let code = server::sqlstate(body).unwrap_or_default();
        if is_fatal(body) {
            // The client does not lose its connection with the server's.
            self.turn.fatal = Some(refusal(body));
            return Pass::Not;
        }
        if self.pass_of_head() == Pass::Not && matches!(self.turn.owed.head(), Some(Expect::Enter | Expect::Hidden)) {
            self.turn.entry = Entry::Refused(refusal(body));
            self.turn.skip();
            return Pass::Not;
        }
        if matches!(code, b"26000" | b"0A000")
            && let Some(backend) = self.turn.lease.backend()
        {
            // Deallocated by SQL, or its table has other columns now: it is prepared anew for whoever needs it next.
            backend.statements.clear();
            self.turn.is_tainted = true;
        }
        self.turn.has_failed = true;
        self.turn.is_copying = false;
        self.turn.known_sets = 0;
        if self.turn.skip() {
            self.turn.is_ignored = true;
            self.turn.is_unsynced = true;
            self.turn.is_bounded = false;
        }
        self.client.failed();
        Pass::On
    }

    fn ready(&mut self, body: &[u8]) -> Result<Pass, OutOfStep> {
        let status = server::ready(body).map_err(|_| OutOfStep::Malformed('Z'))?;
        let head = self.turn.owed.pop().filter(Expect::is_boundary).ok_or(OutOfStep::Unexpected('Z'))?;
        self.turn.status = status;
        self.turn.is_between = false;
        if let Entry::Refused(refusal) = &self.turn.entry {
            self.turn.entry = Entry::Left(refusal.clone());
            return Ok(Pass::Not);
        }
        self.turn.is_bounded = false;
        self.turn.is_copying = false;
        let ended_by = self.turn.ended_by.take();
        let has_failed = std::mem::take(&mut self.turn.has_failed);
        if status == Status::Idle {
            self.turn.may_begin = false;
            self.turn.ended();
            self.settle(ended_by.unwrap_or(!has_failed));
        } else if ended_by.is_some() && status == Status::Open {
            // AND CHAIN, or a savepoint: entering once more does no harm.
            self.turn.needs_enter = true;
        }
        self.turn.known_sets = 0;
        if matches!(head, Expect::Query) && self.turn.hidden > 0 {
            if !has_failed {
                self.turn.hidden -= 1;
                return Ok(Pass::Not);
            }
            // What would have followed in the client's message is not run.
            self.turn.dropped = std::mem::take(&mut self.turn.hidden);
        }
        Ok(head.pass())
    }

    fn settle(&mut self, committed: bool) {
        if self.client.unsettled.is_empty() {
            return;
        }
        self.client.settle(committed);
        if let Some(backend) = self.turn.lease.backend() {
            backend.profile = Some(Rc::clone(&self.client.profile));
        }
    }

    /// What a command leaves behind, by its tag.
    fn command(&mut self, tag: &[u8]) {
        let first = tag.split(|byte| *byte == b' ').next().unwrap_or_default();
        match first {
            b"SELECT" | b"INSERT" | b"UPDATE" | b"DELETE" | b"BEGIN" | b"START" | b"FETCH" | b"COPY" | b"MERGE" => {}
            b"COMMIT" => self.turn.ended_by = Some(true),
            b"ROLLBACK" => self.turn.ended_by = Some(false),
            b"SAVEPOINT" | b"RELEASE" | b"SHOW" | b"CLOSE" | b"MOVE" | b"EXPLAIN" | b"LOCK" | b"NOTIFY" => {}
            b"SET" | b"RESET" if self.turn.known_sets > 0 => self.turn.known_sets -= 1,
            b"DISCARD" => {
                self.turn.is_tainted = true;
                // The seal's binding is kept in sequences; plans and temporary tables are nothing to us.
                let (is_all, unbinds) = (tag == b"DISCARD ALL", matches!(tag, b"DISCARD ALL" | b"DISCARD SEQUENCES"));
                if is_all {
                    self.forget_statements();
                    self.client.clear();
                }
                if unbinds && let Some(backend) = self.turn.lease.backend() {
                    backend.bound = None;
                    if is_all {
                        backend.profile = None;
                    }
                }
            }
            b"DEALLOCATE" => {
                self.forget_statements();
                self.turn.is_tainted = true;
            }
            _ => self.turn.is_tainted = true,
        }
    }

    fn forget_statements(&mut self) {
        self.turn.unnamed = Unnamed::Other;
        if let Some(backend) = self.turn.lease.backend() {
            backend.statements.clear();
        }
    }
}

/// Code and message of an error.
fn refusal(body: &[u8]) -> Refusal {
    let mut refusal = Refusal { code: String::new(), message: String::new() };
    for (field, value) in server::fields(body) {
        match field {
            b'C' => refusal.code = String::from_utf8_lossy(value).into_owned(),
            b'M' => refusal.message = String::from_utf8_lossy(value).into_owned(),
            _ => {}
        }
    }
    refusal
}

/// Whether the server closes the session with this error. `V` is not translated.
fn is_fatal(body: &[u8]) -> bool {
    server::fields(body).any(|(field, value)| field == b'V' && matches!(value, b"FATAL" | b"PANIC"))
}
