//! What the server still owes, in order.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::server::Parsed;

/// One answer that is to come. Which messages it consists of is in [`Expect::ends_with`].
#[derive(Debug, Clone)]
pub enum Expect {
    /// Of our `enter`: ParseComplete, BindComplete, the row with the tenant, CommandComplete. None of it is passed on.
    Enter,
    /// Of another statement of ours: ParseComplete, BindComplete, CommandComplete. Not passed on.
    Hidden,
    /// ParseComplete of a statement that the client named, which is noted as prepared.
    Named(Rc<Parsed>),
    /// The same for one that the client prepared earlier and this server session had not: not passed on.
    Again(Rc<Parsed>),
    /// ParseComplete of the unnamed statement, said once more for this session: not passed on.
    AgainUnnamed,
    /// ParseComplete.
    Parse,
    /// BindComplete.
    Bind,
    /// ParameterDescription, then RowDescription or NoData.
    DescribeStatement,
    /// RowDescription or NoData.
    DescribePortal,
    /// Rows, then CommandComplete, EmptyQueryResponse or PortalSuspended.
    Execute,
    /// CloseComplete.
    Close,
    /// CloseComplete of a statement that we close. Not passed on.
    HiddenClose,
    /// An answer that we give ourselves when its turn comes: the tag of a message without a body.
    Local(u8),
    /// ReadyForQuery of a Sync.
    Sync,
    /// Everything of a simple query or function call, up to ReadyForQuery.
    Query,
}

/// What is done with a message of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// The client gets it.
    On,
    /// It was an answer to us.
    Not,
}

impl Expect {
    /// Whether a message with this tag is the last one of the answer.
    #[must_use]
    pub const fn ends_with(&self, tag: u8) -> bool {
        match self {
            Self::Enter | Self::Hidden => tag == b'C',
            Self::Query | Self::Sync => tag == b'Z',
            Self::Named(..) | Self::Again(..) | Self::AgainUnnamed | Self::Parse => tag == b'1',
            Self::Bind => tag == b'2',
            Self::DescribeStatement | Self::DescribePortal => matches!(tag, b'T' | b'n'),
            Self::Execute => matches!(tag, b'C' | b'I' | b's'),
            Self::Close | Self::HiddenClose => tag == b'3',
            Self::Local(_) => false,
        }
    }

    /// Whether a message with this tag may be part of the answer at all.
    #[must_use]
    pub const fn has(&self, tag: u8) -> bool {
        match self {
            Self::Enter => matches!(tag, b'1' | b'2' | b'D' | b'C'),
            Self::Hidden => matches!(tag, b'1' | b'2' | b'C'),
            Self::DescribeStatement => matches!(tag, b't' | b'T' | b'n'),
            Self::Execute => matches!(tag, b'D' | b'C' | b'I' | b's' | b'G' | b'H' | b'W' | b'd' | b'c'),
            Self::Query => !matches!(tag, b'1' | b'2' | b'3' | b't' | b'n' | b's' | b'R' | b'K'),
            _ => self.ends_with(tag),
        }
    }

    /// Whether the client gets it.
    #[must_use]
    pub const fn pass(&self) -> Pass {
        match self {
            Self::Enter | Self::Hidden | Self::Again(..) | Self::AgainUnnamed | Self::HiddenClose => Pass::Not,
            _ => Pass::On,
        }
    }

    /// Whether the server goes on here after an error.
    #[must_use]
    pub const fn is_boundary(&self) -> bool {
        matches!(self, Self::Sync | Self::Query)
    }
}

/// How many answers may be to come. A client that does not wait for the first can ask for things that the server never hears
/// of, so that nothing else bounds how much is kept for it.
const MOST: usize = 4096;

/// The answers that are to come.
#[derive(Debug, Default)]
pub struct Owed {
    line: VecDeque<Expect>,
}

impl Owed {
    /// One more.
    pub fn push(&mut self, expect: Expect) {
        self.line.push_back(expect);
    }

    /// The next one.
    #[must_use]
    pub fn head(&self) -> Option<&Expect> {
        self.line.front()
    }

    /// Takes the next one away.
    pub fn pop(&mut self) -> Option<Expect> {
        self.line.pop_front()
    }

    /// Whether nothing is owed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Whether no more may be asked for until some have come.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.line.len() >= MOST
    }

    /// After an error the server ignores everything up to a Sync, queries too, unless the error is a query's own; the
    /// answers to it never come. Whether that Sync was not sent yet.
    pub fn skip(&mut self, mut lost: impl FnMut(Expect)) -> bool {
        if self.line.front().is_none_or(Expect::is_boundary) {
            return false;
        }
        while self.line.front().is_some_and(|expect| !matches!(expect, Expect::Sync)) {
            if let Some(expect) = self.line.pop_front() {
                lost(expect);
            }
        }
        self.line.is_empty()
    }

    /// A server that takes COPY data ignores the Syncs that were sent before.
    pub fn forget_syncs(&mut self) {
        self.line.retain(|expect| !matches!(expect, Expect::Sync));
    }
}
