//! The relay itself: bytes from the client to the server and back, until the server session can go back.
//!
//! Long because reading, writing, long messages and the ways in which a turn ends share one state.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::BytesMut;
use tenantry_wire::server::{self, Status};
use tenantry_wire::{client, frame};

use super::answer::{Answering, OutOfStep};
use super::ask::{Asked, Asking, Fault};
use super::expect::Expect;
use super::refuse::{LONGEST, Refused};
use super::shared::{Doing, Kick};
use super::turn::{Entry, Turn, Unnamed};
use super::unfinished::Unfinished;
use super::{End, Session};
use crate::pipe::CHUNK;

/// From this many unwritten bytes on nothing more is read for that direction.
const HIGH: usize = 64 * 1024;
/// The longest message of a client that is read as a whole; longer ones go on in pieces.
const WHOLE: usize = 1024 * 1024;
/// The most that is kept to be said again.
const KEPT: usize = 256 * 1024;

/// What happened to a turn.
enum Trouble {
    /// The session is over.
    End(End),
    /// The server's session is gone.
    Lost(io::Error),
    /// It said something that cannot be.
    OutOfStep(OutOfStep),
}

impl From<End> for Trouble {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::End(fault.into())
    }
}

impl Session {
    /// Waits for a statement, and answers what needs no server.
    pub(super) async fn idle(&mut self) -> Result<(), End> {
        let mut unfinished: Option<Unfinished> = None;
        loop {
            self.drop_rest();
            self.leave_out(Status::Idle)?;
            if self.skip == 0 {
                let header = frame::header(self.inbox.bytes(), LONGEST).map_err(|_| Fault::Malformed('?'))?;
                header.map_or(Ok(()), is_long)?;
                match header.map(|header| (header.tag, header.len)) {
                    None => {}
                    // No server session waits for what a slow client has not sent, unless it is too long to be held.
                    Some((b'Q' | b'P' | b'B' | b'D' | b'E' | b'C' | b'F', len))
                        if self.inbox.len() < len.min(WHOLE) => {}
                    Some((b'Q' | b'P' | b'B' | b'D' | b'E' | b'C' | b'F', _)) => return Ok(()),
                    Some((b'X', _)) => return Err(End::Bye),
                    Some((b'S', len)) => {
                        self.drop_frame(len);
                        server::put_ready(self.answers.fill(), Status::Idle);
                        unfinished = None;
                        continue;
                    }
                    // What is left of a COPY that failed.
                    Some((b'H' | b'd' | b'c' | b'f', len)) => {
                        self.drop_frame(len);
                        unfinished = None;
                        continue;
                    }
                    Some((tag, _)) => return Err(Fault::Unexpected(char::from(tag)).into()),
                }
            }
            if self.inbox.is_empty() {
                unfinished = None;
                poll_fn(|cx| self.poll_idle(cx)).await?;
                continue;
            }
            let login = self.worker.settings().login;
            let unfinished =
                unfinished.get_or_insert_with(|| Unfinished::new(&self.worker.unfinished, &self.shared, login));
            unfinished.keeps(self.inbox.len());
            let more = tokio::time::timeout_at(unfinished.until, poll_fn(|cx| self.poll_idle(cx)));
            more.await.unwrap_or(Err(End::Kicked(Kick::Unfinished)))?;
        }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        if let Some(kick) = self.shared.kicked(cx) {
            return Poll::Ready(Err(End::Kicked(kick)));
        }
        if self.answers.wants_write()
            && let Poll::Ready(Err(error)) = self.answers.poll_write(&mut self.stream, cx)
        {
            return Poll::Ready(Err(End::Client(error)));
        }
        // Whoever does not read its answers is not listened to.
        if self.answers.len() >= HIGH {
            return Poll::Pending;
        }
        self.poll_client(cx)
    }

    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        match self.inbox.poll_read(&mut self.stream, cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(0)) => Poll::Ready(Err(End::Bye)),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(End::Client(error))),
        }
    }

    /// Serves what the client asks for, until the server session can go back.
    pub(super) async fn relay(&mut self) -> Result<(), End> {
        let Some(mut turn) = self.begin().await? else { return Ok(()) };
        loop {
            match self.drive(&mut turn).await {
                Ok(()) => {
                    if let Entry::Left(refusal) = &turn.entry {
                        let refusal = refusal.clone();
                        match Box::pin(self.again(turn, refusal)).await? {
                            Some(next) => turn = next,
                            None => return Ok(()),
                        }
                        continue;
                    }
                    return self.finish(turn).await;
                }
                Err(Trouble::End(end)) => {
                    self.abandon(turn);
                    return Err(end);
                }
                Err(Trouble::Lost(error)) => return self.lost(turn, &error),
                Err(Trouble::OutOfStep(error)) => {
                    tracing::error!(%error, tenant = self.tenant, "a server session is closed");
                    let error = io::Error::other("the gateway lost step with the server");
                    return self.lost(turn, &error);
                }
            }
        }
    }

    /// Goes on until the turn is over, or `enter` was refused.
    async fn drive(&mut self, turn: &mut Turn) -> Result<(), Trouble> {
        loop {
            self.ask(turn)?;
            let before = (turn.is_bounded, turn.is_entering, turn.is_copying, turn.owed.is_full());
            self.answer(turn).map_err(Trouble::OutOfStep)?;
            if before != (turn.is_bounded, turn.is_entering, turn.is_copying, turn.owed.is_full())
                && !self.inbox.is_empty()
                && (!turn.is_over() || self.keeps_session())
            {
                // What the client sent meanwhile may go now.
                continue;
            }
            if matches!(turn.entry, Entry::Left(_)) {
                return Ok(());
            }
            // A statement that was begun and not ended holds the session as much as an open transaction does.
            let doing = match (turn.is_over(), turn.owed.is_empty()) {
                (true, _) if !turn.must_wait => Doing::Idle,
                (_, true) if turn.must_wait => Doing::Waiting,
                (_, true) => Doing::InTransaction,
                (_, false) => Doing::Running,
            };
            if self.shared.doing().0 != doing {
                self.shared.does(doing, Instant::now());
            }
            if turn.is_over() && !self.keeps_session() {
                return Ok(());
            }
            if turn.must_wait {
                let mut moment = Box::pin(self.may_soon(turn));
                poll_fn(|cx| match moment.as_mut().poll(cx) {
                    Poll::Ready(()) => Poll::Ready(Ok(())),
                    Poll::Pending => self.poll_both(turn, cx),
                })
                .await?;
                continue;
            }
            poll_fn(|cx| self.poll_both(turn, cx)).await?;
        }
    }

    fn poll_both(&mut self, turn: &mut Turn, cx: &mut Context<'_>) -> Poll<Result<(), Trouble>> {
        if let Some(kick) = self.shared.kicked(cx) {
            return Poll::Ready(Err(End::Kicked(kick).into()));
        }
        let mut is_moving = false;
        if self.answers.wants_write() {
            match self.answers.poll_write(&mut self.stream, cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => {
                    let said = turn.lease.backend().is_some_and(|backend| !backend.inbox.is_empty());
                    // As long as there was no room for answers, nothing was asked.
                    is_moving = said || !self.inbox.is_empty();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(End::Client(error).into())),
            }
        }
        let Some(backend) = turn.lease.backend() else {
            return Poll::Ready(Err(Trouble::Lost(io::ErrorKind::NotConnected.into())));
        };
        let mut failure = None;
        if backend.outbox.wants_write() {
            match backend.outbox.poll_write(&mut backend.stream, cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => {
                    is_moving |= !self.inbox.is_empty() && (!turn.is_bounded || turn.passing > 0 || turn.is_copying)
                }
                // What the server said before it went is still to be read.
                Poll::Ready(Err(error)) => failure = Some(error),
            }
        }
        if self.answers.len() < HIGH {
            match backend.inbox.poll_read(&mut backend.stream, cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Trouble::Lost(io::ErrorKind::UnexpectedEof.into()))),
                Poll::Ready(Ok(_)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Trouble::Lost(error))),
            }
        }
        if let Some(error) = failure {
            return Poll::Ready(Err(Trouble::Lost(error)));
        }
        // The client is read even while it has to wait, so that one that went is noticed.
        // Only one that said goodbye may be gone before its last statement is done.
        if !self.is_leaving(turn) && (self.inbox.len() < HIGH || self.wants_more(turn)) {
            match self.poll_client(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => is_moving = true,
                Poll::Ready(Err(end)) => return Poll::Ready(Err(end.into())),
            }
        }
        if is_moving { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Whether the client said goodbye. Nothing behind its header matters.
    fn is_leaving(&self, turn: &Turn) -> bool {
        let bytes = self.inbox.bytes().get(turn.sent..).unwrap_or_default();
        let header = frame::header(bytes, LONGEST).ok().flatten();
        header.is_some_and(|header| header.tag == b'X')
    }

    /// Whether a message that is read as a whole has not come to its end.
    fn wants_more(&self, turn: &Turn) -> bool {
        let bytes = self.inbox.bytes().get(turn.sent..).unwrap_or_default();
        let header = frame::header(bytes, LONGEST).ok().flatten();
        !turn.is_bounded && header.is_some_and(|header| header.len <= WHOLE && header.len > bytes.len())
    }

    /// Sends on what the client has sent, as far as it may go now.
    fn ask(&mut self, turn: &mut Turn) -> Result<(), Trouble> {
        loop {
            turn.must_wait = false;
            self.drop_rest();
            self.leave_out(turn.status)?;
            let has_room =
                self.answers.len() < HIGH && turn.lease.backend().is_some_and(|backend| backend.outbox.len() < HIGH);
            if !matches!(turn.entry, Entry::Fine) || !has_room || self.skip > 0 || self.is_skipping {
                return Ok(());
            }
            if turn.passing > 0 {
                if self.pass(turn) == 0 {
                    return Ok(());
                }
                continue;
            }
            let bytes = self.inbox.bytes().get(turn.sent..).unwrap_or_default();
            let header = frame::header(bytes, LONGEST).map_err(|_| Fault::Malformed('?'))?;
            let Some(header) = header else { return Ok(()) };
            if turn.dropped > 0 {
                turn.dropped -= 1;
                self.drop_frame(header.len);
                continue;
            }
            is_long(header)?;
            if turn.is_ignored {
                // The server would ignore it as well, and owes nothing for it.
                if !matches!(header.tag, b'S' | b'X') {
                    self.drop_frame(header.len);
                    continue;
                }
                turn.is_ignored = false;
            }
            let is_data = matches!(header.tag, b'd' | b'c' | b'f');
            if turn.is_copying && !is_data && !matches!(header.tag, b'S' | b'H') {
                // The server waits for data, so nothing else can wait for the server.
                return Err(match header.tag {
                    b'X' => End::Bye.into(),
                    tag => Fault::Unexpected(char::from(tag)).into(),
                });
            }
            if turn.is_bounded && !(is_data && turn.is_copying) {
                return Ok(());
            }
            if !self.may_take(turn, header)? {
                return Ok(());
            }
            if header.tag == b'X' {
                return Err(End::Bye.into());
            }
            if bytes.len() < header.len {
                if header.len <= CHUNK || !self.take_long(turn, header)? {
                    return Ok(());
                }
                continue;
            }
            let mut asking = Asking {
                turn,
                client: &mut self.client,
                answers: &mut self.answers,
                is_read_only: self.login.access == tenantry_domain::gateway::Access::ReadOnly,
            };
            asking.turn.has_begun = true;
            asking.turn.is_urged = false;
            match asking.take(header.tag, &bytes[..header.len])? {
                Asked::Done if turn.is_entering => turn.sent += header.len,
                Asked::Done => self.inbox.advance(header.len),
                Asked::Split(pieces) => self.split(turn, header.len, &pieces),
            }
        }
    }

    /// Whether a message may go, or has to wait: for answers of which too many are owed, for the tenant's next transaction,
    /// or for the answer to `enter`.
    fn may_take(&self, turn: &mut Turn, header: frame::Header) -> Result<bool, End> {
        let is_full = turn.owed.is_full() && !matches!(header.tag, b'd' | b'c' | b'f' | b'X');
        turn.must_wait = turn.goes_on_with(header.tag) && !self.may_go_on(turn).map_err(End::Refused)?;
        if is_full || turn.must_wait {
            // What came before is answered meanwhile.
            Self::urge(turn);
            return Ok(false);
        }
        let must_enter = turn.is_entering && (turn.needs_enter || turn.sent + header.len > KEPT);
        if must_enter {
            Self::flush_enter(turn);
        }
        Ok(!must_enter)
    }

    /// The server answers `enter` only when it is asked to, or at a Sync.
    fn flush_enter(turn: &mut Turn) {
        if !turn.has_flushed
            && let Some(backend) = turn.lease.backend()
        {
            client::put_flush(backend.outbox.fill());
            turn.has_flushed = true;
        }
    }

    /// The server answers what it was asked so far, without which it would wait for a Sync that is not let through.
    fn urge(turn: &mut Turn) {
        if !turn.is_urged
            && let Some(backend) = turn.lease.backend()
        {
            client::put_flush(backend.outbox.fill());
            turn.is_urged = true;
        }
    }

    /// A piece of a long message. How much it was.
    fn pass(&mut self, turn: &mut Turn) -> usize {
        let count = turn.passing.min(self.inbox.len()).min(HIGH);
        if let Some(backend) = turn.lease.backend() {
            backend.outbox.fill().extend_from_slice(&self.inbox.bytes()[..count]);
        }
        self.inbox.advance(count);
        turn.passing -= count;
        count
    }

    /// Begins with a message that is not all there. Whether it did; otherwise more of it is needed first.
    fn take_long(&mut self, turn: &mut Turn, header: frame::Header) -> Result<bool, Trouble> {
        let is_query = matches!(header.tag, b'Q' | b'P' | b'F');
        if is_query && header.len <= WHOLE {
            return Ok(false);
        }
        let is_read_only = self.is_read_only();
        let mut asking = Asking { turn, client: &mut self.client, answers: &mut self.answers, is_read_only };
        // Nothing of a message in pieces can be said again, so the tenant has to be in before it begins.
        if header.tag != b'd' {
            asking.enter();
        }
        if turn.is_entering {
            Self::flush_enter(turn);
            return Ok(false);
        }
        turn.has_begun = true;
        let body = self.inbox.bytes().get(frame::HEADER..).unwrap_or_default();
        match header.tag {
            b'd' => {}
            b'Q' | b'F' => {
                turn.owed.push(Expect::Query);
                turn.is_bounded = true;
                turn.is_unsynced = false;
                // Nobody has read it.
                turn.may_begin = true;
                turn.queried();
                self.client.remove(b"");
            }
            b'P' if body.first() == Some(&0) => {
                turn.owed.push(Expect::Parse);
                turn.unnamed = Unnamed::Client;
                turn.is_unsynced = true;
                self.client.remove(b"");
            }
            b'B' => {
                let Ok(bind) = client::bind(body) else {
                    // Names end long before that.
                    return if body.len() < CHUNK { Ok(false) } else { Err(Fault::Malformed('B').into()) };
                };
                let (portal, statement) = (bind.portal.to_vec(), bind.statement.to_vec());
                let head = client::Bind { portal: &portal, statement: &statement, rest: &[] };
                let mut asking = Asking { turn, client: &mut self.client, answers: &mut self.answers, is_read_only };
                asking.bind_head(&head, header.len);
                let taken = frame::HEADER + portal.len() + statement.len() + 2;
                self.inbox.advance(taken);
                turn.passing = header.len - taken;
                return Ok(true);
            }
            tag => return Err(Fault::Long(char::from(tag)).into()),
        }
        turn.passing = header.len;
        Ok(true)
    }

    /// Puts several messages in the place of one.
    fn split(&mut self, turn: &mut Turn, len: usize, pieces: &[Vec<u8>]) {
        let mut rest = BytesMut::from(&self.inbox.bytes()[..turn.sent]);
        for piece in pieces {
            client::put_query(&mut rest, piece);
        }
        rest.extend_from_slice(&self.inbox.bytes()[turn.sent + len..]);
        self.inbox.clear();
        self.inbox.fill().extend_from_slice(&rest);
        turn.hidden += pieces.len() - 1;
    }

    /// Takes what the server has sent.
    fn answer(&mut self, turn: &mut Turn) -> Result<(), OutOfStep> {
        let keeps_session = self.keeps_session();
        let mut answering = Answering {
            turn,
            client: &mut self.client,
            answers: &mut self.answers,
            tenant: &self.tenant,
            keeps_session,
        };
        answering.take(HIGH)?;
        if !turn.is_entering && turn.sent > 0 {
            // The tenant is in: what was sent runs, and is never sent again.
            self.inbox.advance(turn.sent);
            turn.sent = 0;
        }
        if matches!(turn.entry, Entry::Refused(_)) && !matches!(turn.owed.head(), Some(Expect::Sync)) {
            while turn.owed.pop().is_some() {}
            turn.owed.push(Expect::Sync);
            if let Some(backend) = turn.lease.backend() {
                client::put_sync(backend.outbox.fill());
            }
        }
        Ok(())
    }

    /// Gives the server session back.
    async fn finish(&mut self, mut turn: Turn) -> Result<(), End> {
        let is_sound = self.settle(&mut turn).await;
        self.shared.count();
        self.charge(&turn);
        self.worker.counters.transaction(turn.since.elapsed());
        if is_sound {
            turn.lease.release();
        }
        Ok(())
    }

    /// Prepares a server session for whoever has it next. INVARIANT: every way back to the pool leads through here. No cancel
    /// request of this client can reach the session from now on; if one may after all, it is not sound, and has to be closed.
    pub(super) async fn settle(&self, turn: &mut Turn) -> bool {
        self.shared.served_by(None);
        if self.shared.is_cancelling() {
            poll_fn(|cx| {
                self.shared.listen(cx);
                if self.shared.is_cancelling() { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
        }
        if let Some(backend) = turn.lease.backend() {
            backend.is_tainted |= turn.is_tainted;
            backend.has_enter = turn.unnamed == Unnamed::Enter;
        }
        turn.is_unsafe |= self.shared.is_unsure();
        !turn.is_unsafe
    }

    /// Closes the server session; what runs on it is cancelled.
    fn abandon(&mut self, turn: Turn) {
        self.shared.served_by(None);
        if !turn.owed.is_empty() {
            self.worker.see_off(turn.lease);
        }
    }

    /// The server session is gone: the client is told, and goes on with another one. INVARIANT: not if a transaction may have
    /// been open in it, or the session was the client's own. What the client has sent behind the lost statement, before it
    /// heard of the loss, would run outside of that transaction.
    fn lost(&mut self, mut turn: Turn, error: &io::Error) -> Result<(), End> {
        self.shared.served_by(None);
        let (left, is_passed) = turn.incoming;
        if left > 0 && is_passed {
            return Err(End::Torn);
        }
        let refused = match turn.fatal.take() {
            Some(fatal) => Refused::of_refusal(fatal),
            None => {
                tracing::warn!(%error, tenant = self.tenant, "a server session was lost");
                Refused::new("08006", "the connection to the tenant's database was lost")
            }
        };
        let refused = refused.hint("Whether the last statement took effect is not known. Look before you repeat it.");
        let is_quiet = turn.owed.is_empty() && !turn.is_unsynced;
        let was_open = turn.status != Status::Idle || turn.may_begin;
        if is_quiet || was_open || self.keeps_session() {
            return Err(End::Lost(refused));
        }
        self.inbox.advance(turn.sent);
        let rest = turn.passing.min(self.inbox.len());
        self.inbox.advance(rest);
        self.skip = turn.passing - rest;
        for _ in 0..turn.hidden {
            if let Ok(Some(header)) = frame::header(self.inbox.bytes(), LONGEST) {
                self.drop_frame(header.len);
            }
        }
        refused.put(self.answers.fill(), server::Severity::Error);
        if turn.is_bounded {
            server::put_ready(self.answers.fill(), Status::Idle);
        } else {
            self.is_skipping = true;
        }
        self.client.settle(false);
        Ok(())
    }
}

/// PostgreSQL takes no message of these kinds that is longer, and closes the session of whoever sends one.
fn is_long(header: frame::Header) -> Result<(), Fault> {
    const SMALL: usize = 10_000;
    let is_small = matches!(header.tag, b'D' | b'E' | b'C' | b'S' | b'H' | b'c' | b'f');
    if is_small && header.len > SMALL { Err(Fault::Long(char::from(header.tag))) } else { Ok(()) }
}
