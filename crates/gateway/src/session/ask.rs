//! What a client sends, one message at a time: what is sent on for it, and what the server owes for that.
//!
//! Pure but for the buffers it fills. Nothing here waits. Long because there is a function for each of the nine messages.

use std::rc::Rc;

use bytes::{BufMut as _, BytesMut};
use tenantry_wire::client::{self, Kind};
use tenantry_wire::server::{self, Status};
use tenantry_wire::words;

use super::client::ClientState;
use super::expect::Expect;
use super::turn::{Turn, Unnamed};
use crate::pipe::Pipe;
use crate::server::{Effect, Facts, Parsed, Setting};

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is on its way, or answered.
    Done,
    /// It is several transactions in one message; these take its place.
    Split(Vec<Vec<u8>>),
}

/// Why a message cannot be taken; the conversation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its form is wrong.
    #[error("malformed message of type `{0}`")]
    Malformed(char),
    /// It is out of place.
    #[error("unexpected message of type `{0}`")]
    Unexpected(char),
    /// It is too long to be read as a whole.
    #[error("message of type `{0}` is too long")]
    Long(char),
    /// Too many statements are prepared.
    #[error("too many statements are prepared, or set up one transaction")]
    TooMany,
}

/// The client's side of a turn.
pub struct Asking<'a> {
    /// The turn.
    pub turn: &'a mut Turn,
    /// What the client has prepared and set.
    pub client: &'a mut ClientState,
    /// What goes to the client.
    pub answers: &'a mut Pipe,
    /// Whether its transactions are read only.
    pub is_read_only: bool,
}

/// Sent in front of a transaction.
const ENTER: &[u8] = b"SELECT seal.enter()";
/// The same on a standby, which keeps no binding.
const ENTER_STANDBY: &[u8] = b"SELECT seal.enter_standby($1::int, $2::uuid, $3::bigint, $4::bytea)";
/// Sent in front of that, for logins that may not write. Once `enter` has run it cannot be taken back.
const READ_ONLY: &[u8] = b"SET TRANSACTION READ ONLY";
/// Said in place of a LISTEN that would be forgotten at the end of its transaction. The server refuses it, in its turn.
const NO_LISTEN: &[u8] = b"DO $$BEGIN RAISE EXCEPTION USING ERRCODE = '0A000', \
    MESSAGE = 'LISTEN needs a login in session mode', \
    HINT = 'A login made with --session keeps one server session, at the levels schema and database.'; END$$";
/// How many settings of one transaction are noted.
const UNSETTLED: usize = 256;
/// How many statements may set up a transaction before its first query.
const PREAMBLE: usize = 256;
/// A statement that nobody has, so that the server says that it is missing.
const MISSING: &[u8] = b"tn_none";

impl Asking<'_> {
    /// Takes one whole message.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn take(&mut self, tag: u8, frame: &[u8]) -> Result<Asked, Fault> {
        if self.turn.preamble.len() > PREAMBLE {
            return Err(Fault::TooMany);
        }
        let body = frame.get(tenantry_wire::frame::HEADER..).unwrap_or_default();
        let bad = |_| Fault::Malformed(char::from(tag));
        match tag {
            b'Q' => return self.query(client::query(body).map_err(bad)?, frame),
            b'P' => self.parse(client::parse(body).map_err(bad)?, frame)?,
            b'B' => self.bind(client::bind(body).map_err(bad)?, frame.len()),
            b'D' => self.describe(client::named(body).map_err(bad)?, frame),
            b'E' => self.execute(client::execute(body).map_err(bad)?, frame),
            b'C' => self.close(client::named(body).map_err(bad)?, frame),
            // The server does not heed them while it takes data, and owes nothing for them.
            b'S' | b'H' if self.turn.is_copying => {}
            b'S' => {
                self.send(frame);
                self.bounded(Expect::Sync);
            }
            b'H' => self.send(frame),
            b'F' => {
                self.enter();
                self.send(frame);
                self.bounded(Expect::Query);
            }
            b'd' => self.send(frame),
            b'c' | b'f' => {
                self.send(frame);
                self.turn.is_copying = false;
            }
            _ => return Err(Fault::Unexpected(char::from(tag))),
        }
        Ok(Asked::Done)
    }

    fn out(&mut self) -> Option<&mut BytesMut> {
        self.turn.lease.backend().map(|backend| backend.outbox.fill())
    }

    fn send(&mut self, frame: &[u8]) {
        if let Some(out) = self.out() {
            out.extend_from_slice(frame);
        }
    }

    fn bounded(&mut self, expect: Expect) {
        self.turn.owed.push(expect);
        self.turn.is_bounded = true;
        self.turn.is_unsynced = false;
    }

    /// Lets the tenant in, in front of what follows.
    pub fn enter(&mut self) {
        if !self.turn.needs_enter || self.turn.status == Status::Failed {
            return;
        }
        let is_read_only = self.is_read_only;
        let is_parsed = self.turn.unnamed == Unnamed::Enter && !is_read_only;
        let Some(backend) = self.turn.lease.backend() else { return };
        let out = backend.outbox.fill();
        if is_read_only {
            put_statement(out, READ_ONLY);
        }
        if let Some(pass) = &backend.pass {
            client::put_parse(out, b"", ENTER_STANDBY, &[]);
            let params = pass.params.each_ref().map(|text| Some(text.as_bytes()));
            client::put_bind_params(out, b"", b"", &params, &[]);
            client::put_execute(out, b"");
        } else if is_parsed {
            client::put_bind(out, b"", b"");
            client::put_execute(out, b"");
        } else {
            put_statement(out, ENTER);
        }
        if is_read_only {
            self.turn.owed.push(Expect::Hidden);
        }
        self.turn.owed.push(Expect::Enter);
        self.turn.needs_enter = false;
        self.turn.is_entering = true;
        self.turn.entered = self.turn.entered.saturating_add(1);
        self.turn.has_entered = false;
        self.turn.unnamed = Unnamed::Enter;
        self.client.begin();
    }

    /// In front of a statement that is run: the tenant, or a note of what was said before it.
    fn prepare(&mut self, effect: Effect, sql: &[u8]) {
        match effect {
            Effect::Work => self.enter(),
            Effect::SetUp if self.turn.needs_enter => self.turn.preamble.push(sql.into()),
            Effect::SetUp | Effect::End | Effect::Alone => {}
        }
    }

    /// In front of a statement that is looked at: its names mean something only in the tenant's schema.
    fn enter_for(&mut self, parsed: &Parsed) {
        if parsed.effect == Effect::Work {
            self.enter();
        }
    }

    fn query(&mut self, sql: &[u8], frame: &[u8]) -> Result<Asked, Fault> {
        let single = is_single(sql);
        if !single {
            let pieces = pieces(sql);
            if pieces.len() > 1 {
                return Ok(Asked::Split(pieces));
            }
        }
        let facts = if single { Facts::of(sql) } else { of_all(sql) };
        if facts.listens && !self.turn.is_session {
            let mut refused = BytesMut::new();
            client::put_query(&mut refused, NO_LISTEN);
            self.enter();
            self.send(&refused);
            self.bounded(Expect::Query);
            self.turn.queried();
            self.client.remove(b"");
            return Ok(Asked::Done);
        }
        if let Some(name) = facts.deallocates
            && self.deallocate(name.as_deref())
        {
            return Ok(Asked::Done);
        }
        self.turn.may_begin |= facts.begins;
        self.note_setting(facts.setting, facts.sets);
        self.prepare(facts.effect, sql);
        self.send(frame);
        self.bounded(Expect::Query);
        self.turn.queried();
        self.client.remove(b"");
        Ok(Asked::Done)
    }

    /// Notes what a statement will have set when it is answered.
    fn note_setting(&mut self, setting: Option<Setting>, sets: bool) {
        if self.client.unsettled.len() >= UNSETTLED {
            // It is not known then, and the session is emptied afterwards.
            return;
        }
        self.turn.known_sets += usize::from(sets);
        self.client.unsettled.extend(setting);
    }

    /// Answers `DEALLOCATE` of a statement that only we know by this name. Whether it did.
    fn deallocate(&mut self, name: Option<&[u8]>) -> bool {
        let is_quiet = self.turn.owed.is_empty() && !self.turn.is_unsynced && self.turn.status != Status::Failed;
        let is_ours = name.is_none_or(|name| self.client.statement(name).is_some());
        if !is_quiet || !is_ours {
            return false;
        }
        let tag = match name {
            Some(name) => {
                self.client.remove(name);
                "DEALLOCATE"
            }
            None => {
                self.client.clear();
                "DEALLOCATE ALL"
            }
        };
        let status = self.turn.status;
        let out = self.answers.fill();
        server::put_command(out, tag.as_bytes());
        server::put_ready(out, status);
        true
    }

    fn parse(&mut self, parse: client::Parse<'_>, frame: &[u8]) -> Result<(), Fault> {
        let mut refused = BytesMut::new();
        let (mut parse, mut frame) = (parse, frame);
        if !self.turn.is_session && matches!(words::lead(parse.query), words::Lead::Listen) {
            client::put_parse(&mut refused, parse.name, NO_LISTEN, &[]);
            (parse.query, parse.types, frame) = (NO_LISTEN, &[0, 0], &refused);
        }
        let parsed = Rc::new(Parsed::new(parse.query, parse.types));
        if parse.name.is_empty() {
            self.enter_for(&parsed);
            self.send(frame);
            self.turn.owed.push(Expect::Parse);
            self.turn.unnamed = Unnamed::Client;
            self.client.put(b"", parsed);
        } else if self.client.statement(parse.name).is_some() {
            // The server knows the statement by another name. The client hears from it that the name is taken.
            self.enter();
            let taken = self.prepared(&parsed);
            let mut again = BytesMut::new();
            put_parse(&mut again, taken.as_bytes(), &parsed);
            self.send(&again);
            self.turn.owed.push(Expect::Parse);
        } else {
            let is_there = self.turn.lease.backend().is_some_and(|backend| backend.statements.get(&parsed).is_some());
            if !is_there {
                self.enter_for(&parsed);
            }
            if !self.client.put(parse.name, Rc::clone(&parsed)) {
                return Err(Fault::TooMany);
            }
            self.name(parsed, true);
        }
        self.turn.is_unsynced = true;
        Ok(())
    }

    /// Has a statement prepared under a name of ours. `is_asked`: the client waits for an answer.
    fn name(&mut self, parsed: Rc<Parsed>, is_asked: bool) {
        let Some(backend) = self.turn.lease.backend() else { return };
        if backend.statements.get(&parsed).is_some() {
            if is_asked {
                self.turn.owed.push(Expect::Local(b'1'));
            }
            return;
        }
        let name = backend.statements.fresh();
        let text = backend.statements.text(name);
        let evicted = backend.statements.put(Rc::clone(&parsed), name);
        for old in evicted {
            let old = backend.statements.text(old);
            client::put_close(backend.outbox.fill(), Kind::Statement, old.as_bytes());
            self.turn.owed.push(Expect::HiddenClose);
        }
        let Some(backend) = self.turn.lease.backend() else { return };
        put_parse(backend.outbox.fill(), text.as_bytes(), &parsed);
        let expect = if is_asked { Expect::Named(parsed) } else { Expect::Again(parsed) };
        self.turn.owed.push(expect);
    }

    /// The name under which the server has a statement, which it is made to have if need be.
    fn prepared(&mut self, parsed: &Rc<Parsed>) -> String {
        self.name(Rc::clone(parsed), false);
        let Some(backend) = self.turn.lease.backend() else { return String::new() };
        backend.statements.get(parsed).map(|name| backend.statements.text(name)).unwrap_or_default()
    }

    /// The server's name of a statement that a client means, with what has to be said first.
    fn meant(&mut self, name: &[u8]) -> (Vec<u8>, Option<Rc<Parsed>>) {
        let Some(parsed) = self.client.statement(name).cloned() else {
            if name.is_empty() && self.turn.unnamed == Unnamed::Client {
                // It was too long to be kept, and the server still has it.
                return (Vec::new(), None);
            }
            // By SQL a client can prepare statements that we do not know; an unnamed one it cannot.
            let name = if name.is_empty() { MISSING } else { name };
            self.enter();
            return (name.to_vec(), None);
        };
        self.enter_for(&parsed);
        if !name.is_empty() {
            return (self.prepared(&parsed).into_bytes(), Some(parsed));
        }
        if self.turn.unnamed != Unnamed::Client {
            let Some(out) = self.out() else { return (Vec::new(), Some(parsed)) };
            put_parse(out, b"", &parsed);
            self.turn.owed.push(Expect::AgainUnnamed);
            self.turn.unnamed = Unnamed::Client;
        }
        (Vec::new(), Some(parsed))
    }

    fn bind(&mut self, bind: client::Bind<'_>, len: usize) {
        self.bind_head(&bind, len);
        self.send(bind.rest);
    }

    /// The beginning of a Bind, up to its parameters, of which a message of `len` bytes consists.
    pub fn bind_head(&mut self, bind: &client::Bind<'_>, len: usize) {
        let (name, parsed) = self.meant(bind.statement);
        let rest = len - tenantry_wire::frame::HEADER - bind.portal.len() - bind.statement.len() - 2;
        if let Some(out) = self.out() {
            out.put_u8(b'B');
            out.put_u32(u32::try_from(4 + bind.portal.len() + name.len() + 2 + rest).unwrap_or(u32::MAX));
            out.extend_from_slice(bind.portal);
            out.put_u8(0);
            out.extend_from_slice(&name);
            out.put_u8(0);
        }
        self.turn.owed.push(Expect::Bind);
        self.turn.bind(bind.portal, parsed);
        self.turn.is_unsynced = true;
    }

    fn describe(&mut self, named: client::Named<'_>, frame: &[u8]) {
        match named.kind {
            Kind::Statement => {
                let (name, _) = self.meant(named.name);
                if let Some(out) = self.out() {
                    client::put_describe(out, Kind::Statement, &name);
                }
                self.turn.owed.push(Expect::DescribeStatement);
            }
            Kind::Portal => {
                self.send(frame);
                self.turn.owed.push(Expect::DescribePortal);
            }
        }
        self.turn.is_unsynced = true;
    }

    fn execute(&mut self, portal: &[u8], frame: &[u8]) {
        let parsed = self.turn.portal(portal);
        self.send(frame);
        self.turn.owed.push(Expect::Execute);
        self.turn.is_unsynced = true;
        // One that is not known, or not remembered, may be anything.
        self.turn.may_begin |= parsed.as_ref().is_none_or(|parsed| parsed.begins);
        let Some(parsed) = parsed else { return };
        self.note_setting(parsed.setting.clone(), parsed.sets);
        match parsed.effect {
            Effect::SetUp if self.turn.needs_enter => self.turn.preamble.push(parsed.query().into()),
            // What follows in this pipeline is another transaction.
            Effect::End => {
                self.turn.ended();
                self.turn.is_between = true;
            }
            _ => {}
        }
    }

    fn close(&mut self, named: client::Named<'_>, frame: &[u8]) {
        self.turn.is_unsynced = true;
        if matches!(named.kind, Kind::Statement) && !named.name.is_empty() && self.client.remove(named.name) {
            // The server keeps it, for the next client that prepares the same.
            self.turn.owed.push(Expect::Local(b'3'));
            return;
        }
        if matches!(named.kind, Kind::Statement) && named.name.is_empty() {
            self.client.remove(b"");
            self.turn.unnamed = Unnamed::Other;
        }
        self.send(frame);
        self.turn.owed.push(Expect::Close);
    }
}

fn put_statement(out: &mut BytesMut, sql: &[u8]) {
    client::put_parse(out, b"", sql, &[]);
    client::put_bind(out, b"", b"");
    client::put_execute(out, b"");
}

fn put_parse(out: &mut BytesMut, name: &[u8], parsed: &Parsed) {
    out.put_u8(b'P');
    out.put_u32(u32::try_from(4 + name.len() + 1 + parsed.tail().len()).unwrap_or(u32::MAX));
    out.extend_from_slice(name);
    out.put_u8(0);
    out.extend_from_slice(parsed.tail());
}

/// Whether a text is surely one statement: no semicolon but at its end.
fn is_single(sql: &[u8]) -> bool {
    match sql.iter().position(|byte| *byte == b';') {
        None => true,
        Some(place) => sql[place + 1..].iter().all(u8::is_ascii_whitespace),
    }
}

/// A text cut where a transaction begins or ends in it; one piece if there is nothing to cut.
fn pieces(sql: &[u8]) -> Vec<Vec<u8>> {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    let mut is_cut = true;
    for statement in words::statements(sql) {
        let facts = Facts::of(statement);
        if is_cut || facts.begins && pieces.last().is_none_or(Vec::is_empty) {
            pieces.push(Vec::new());
        }
        if let Some(piece) = pieces.last_mut() {
            if !piece.is_empty() {
                piece.extend_from_slice(b"; ");
            }
            piece.extend_from_slice(statement);
        }
        is_cut = facts.begins && pieces.last().is_some_and(|piece| piece.len() == statement.len())
            || facts.effect == Effect::End;
    }
    pieces
}

/// What several statements do together.
fn of_all(sql: &[u8]) -> Facts {
    let mut all =
        Facts { effect: Effect::SetUp, setting: None, deallocates: None, begins: false, listens: false, sets: false };
    for statement in words::statements(sql) {
        let facts = Facts::of(statement);
        all.listens |= facts.listens;
        all.begins |= facts.begins;
        match facts.effect {
            Effect::SetUp => {}
            effect @ (Effect::End | Effect::Alone) if all.effect == Effect::SetUp => all.effect = effect,
            _ => all.effect = Effect::Work,
        }
    }
    all
}
