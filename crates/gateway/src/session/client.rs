//! What a client's session is beside its transaction: its statements and its settings.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use crate::profile::Profile;
use crate::server::{Parsed, Setting};

/// How many statements a client may have prepared.
const STATEMENTS: usize = 10_000;
/// How long their texts may be together, in bytes.
const TEXTS: usize = 16 * 1024 * 1024;

/// Undoes one change, when what caused it is said again elsewhere.
#[derive(Debug)]
enum Undo {
    Statement(Box<[u8]>, Option<Rc<Parsed>>),
    Unnamed(Option<Rc<Parsed>>),
}

/// What the client has prepared and set.
#[derive(Debug, Default)]
pub struct ClientState {
    statements: HashMap<Box<[u8]>, Rc<Parsed>>,
    unnamed: Option<Rc<Parsed>>,
    /// Bytes of the named statements' texts.
    texts: usize,
    undo: Vec<Undo>,
    /// Whether changes are noted, to be taken back.
    is_noting: bool,
    /// Names whose statements the server has not confirmed, in order.
    pending: VecDeque<Box<[u8]>>,
    /// The settings that follow it.
    pub profile: Rc<Profile>,
    /// SET statements whose transaction is not over.
    pub unsettled: Vec<Setting>,
}

impl ClientState {
    /// Nothing but settings.
    #[must_use]
    pub fn new(profile: Rc<Profile>) -> Self {
        Self { profile, ..Self::default() }
    }

    /// A statement by the client's name for it; the empty name is the unnamed one.
    #[must_use]
    pub fn statement(&self, name: &[u8]) -> Option<&Rc<Parsed>> {
        if name.is_empty() { self.unnamed.as_ref() } else { self.statements.get(name) }
    }

    /// Notes a statement. Whether there was room for it.
    pub fn put(&mut self, name: &[u8], parsed: Rc<Parsed>) -> bool {
        if name.is_empty() {
            let before = self.unnamed.replace(parsed);
            self.note(Undo::Unnamed(before));
            return true;
        }
        let length = parsed.tail().len();
        if self.texts + length > TEXTS || self.statements.len() >= STATEMENTS && !self.statements.contains_key(name) {
            return false;
        }
        self.texts += length;
        let before = self.statements.insert(name.into(), parsed);
        self.texts -= length_of(before.as_ref());
        self.pending.push_back(name.into());
        self.note(Undo::Statement(name.into(), before));
        true
    }

    fn note(&mut self, undo: Undo) {
        if self.is_noting {
            self.undo.push(undo);
        }
    }

    /// The server has prepared the first statement that it had not confirmed.
    pub fn confirmed(&mut self) {
        self.pending.pop_front();
    }

    /// The server prepared none of those that it had not confirmed.
    pub fn failed(&mut self) {
        for name in std::mem::take(&mut self.pending) {
            if let Some(parsed) = self.statements.remove(&name) {
                self.texts -= parsed.tail().len();
            }
        }
    }

    /// Forgets a statement. Whether there was one.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        if name.is_empty() {
            // Each simple query asks for this, and mostly there is none.
            let Some(before) = self.unnamed.take() else { return false };
            self.note(Undo::Unnamed(Some(before)));
            return true;
        }
        let Some(before) = self.statements.remove(name) else { return false };
        self.texts -= before.tail().len();
        self.note(Undo::Statement(name.into(), Some(before)));
        true
    }

    /// Forgets all named statements.
    pub fn clear(&mut self) {
        self.statements.clear();
        self.texts = 0;
        self.undo.clear();
    }

    /// Notes changes from now on.
    pub fn begin(&mut self) {
        self.undo.clear();
        self.is_noting = true;
    }

    /// What was noted stays, and no more is noted.
    pub fn keep(&mut self) {
        self.undo.clear();
        self.is_noting = false;
    }

    /// Takes back what was noted since the last [`Self::begin`].
    pub fn take_back(&mut self) {
        self.is_noting = false;
        self.pending.clear();
        let is_changed = !self.undo.is_empty();
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Unnamed(before) => self.unnamed = before,
                Undo::Statement(name, Some(before)) => {
                    self.statements.insert(name, before);
                }
                Undo::Statement(name, None) => {
                    self.statements.remove(&name);
                }
            }
        }
        if is_changed {
            self.texts = self.statements.values().map(|parsed| parsed.tail().len()).sum();
        }
    }

    /// The transaction is over: what it set holds, or never did.
    pub fn settle(&mut self, committed: bool) {
        for setting in self.unsettled.drain(..) {
            if !committed {
                continue;
            }
            match (setting.name, setting.statement) {
                (Some(name), Some(statement)) => self.profile.set_by(&name, &statement),
                (Some(name), None) => self.profile.reset(&name),
                (None, _) => self.profile = Rc::default(),
            }
        }
    }
}

fn length_of(parsed: Option<&Rc<Parsed>>) -> usize {
    parsed.map_or(0, |parsed| parsed.tail().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_can_be_taken_back() {
        let parsed = |sql: &str| Rc::new(Parsed::new(sql.as_bytes(), &[0, 0]));
        let mut state = ClientState::default();
        assert!(state.put(b"a", parsed("one")));
        assert!(state.put(b"", parsed("two")));
        state.begin();
        assert!(state.remove(b"a"));
        assert!(state.put(b"a", parsed("three")));
        assert!(state.put(b"b", parsed("four")));
        assert!(state.put(b"", parsed("five")));
        state.take_back();
        assert_eq!(state.statement(b"a").map(|found| found.tail().to_vec()), Some(b"one\0\0\0".to_vec()));
        assert_eq!(state.statement(b"").map(|found| found.tail().to_vec()), Some(b"two\0\0\0".to_vec()));
        assert!(state.statement(b"b").is_none());
    }

    #[test]
    fn what_the_server_did_not_prepare_is_forgotten() {
        let parsed = |sql: &str| Rc::new(Parsed::new(sql.as_bytes(), &[0, 0]));
        let mut state = ClientState::default();
        assert!(
            state.put(b"a", parsed("one")) && state.put(b"b", parsed("nonsense")) && state.put(b"c", parsed("three"))
        );
        state.confirmed();
        state.failed();
        assert!(state.statement(b"a").is_some() && state.statement(b"b").is_none() && state.statement(b"c").is_none());
        assert_eq!(state.texts, 6);
    }

    #[test]
    fn texts_are_bounded_together() {
        let long = |letter: &str| Rc::new(Parsed::new(letter.repeat(TEXTS / 3).as_bytes(), &[0, 0]));
        let mut state = ClientState::default();
        state.begin();
        assert!(state.put(b"a", long("a")) && state.put(b"b", long("b")));
        assert!(!state.put(b"c", long("c")));
        assert!(state.remove(b"a"));
        assert!(state.put(b"c", long("c")));
        state.take_back();
        assert_eq!((state.texts, state.statements.len()), (0, 0));
        assert!(state.put(b"d", long("d")) && state.put(b"e", long("e")));
    }

    #[test]
    fn settings_hold_from_the_commit_on() {
        let setting = |statement: &str| Setting { name: Some("jit".to_owned()), statement: Some(statement.to_owned()) };
        let mut state = ClientState::default();
        state.unsettled.push(setting("SET jit = on"));
        state.settle(false);
        assert_eq!(*state.profile, Profile::default());
        state.unsettled.push(setting("SET jit = on"));
        state.settle(true);
        assert!(state.profile.statements().contains("SET jit = on"));
    }
}
