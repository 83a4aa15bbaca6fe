//! Prepared statements, known by what they are and not by what a client calls them.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, Hash, Hasher, RandomState};
use std::rc::Rc;

use tenantry_wire::words::{self, Lead};

thread_local! {
    static HASHING: RandomState = RandomState::new();
}

/// What a statement does to its transaction, as far as its first words tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It may read or write: the tenant has to be entered.
    Work,
    /// It only sets something up, and must come before the first query: it needs no tenant.
    SetUp,
    /// It ends the transaction; what follows needs the tenant anew.
    End,
    /// It cannot run inside a transaction, and reaches no data.
    Alone,
}

/// A `SET` or `RESET` for the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The setting; absent for `RESET ALL`.
    pub name: Option<String>,
    /// The statement; absent for a reset.
    pub statement: Option<String>,
}

/// Settings that a client may not take along: they belong to the login or to the transaction.
const KEPT: &[&str] = &["role", "session_authorization", "transaction_isolation", "transaction_read_only", "seed"];

/// Statements that are kept, to be said again, are not longer, in bytes.
const LONG: usize = 4096;

/// What the first words of a statement tell.
#[derive(Debug)]
pub struct Facts {
    /// What it does to its transaction.
    pub effect: Effect,
    /// What it sets for the session, when that can be said again elsewhere.
    pub setting: Option<Setting>,
    /// Which statement it deallocates; inside, absent means all.
    pub deallocates: Option<Option<Vec<u8>>>,
    /// Whether it begins a transaction.
    pub begins: bool,
    /// Whether it asks for notifications, which come outside of transactions.
    pub listens: bool,
    /// Whether what it sets is known: it follows the client, or ends with the transaction.
    pub sets: bool,
}

impl Facts {
    /// Of one statement.
    #[must_use]
    pub fn of(sql: &[u8]) -> Self {
        let lead = words::lead(sql);
        let effect = match &lead {
            Lead::Empty | Lead::Begin | Lead::SetTransaction | Lead::Set { path: false, .. } => Effect::SetUp,
            Lead::Show | Lead::Reset => Effect::SetUp,
            Lead::End { .. } | Lead::PrepareTransaction => Effect::End,
            Lead::Discard | Lead::Deallocate(_) => Effect::Alone,
            _ => Effect::Work,
        };
        // What is said again elsewhere is kept until then.
        let effect = if effect == Effect::SetUp && sql.len() > LONG { Effect::Work } else { effect };
        let begins = matches!(lead, Lead::Begin);
        let setting = match &lead {
            Lead::Set { name: Some(name), is_local: false, path: false } => set(name, sql),
            Lead::SetTransaction => characteristics(sql),
            Lead::Reset => reset(sql),
            _ => None,
        };
        let is_local = match &lead {
            Lead::Set { is_local, .. } => *is_local,
            Lead::SetTransaction => !is_for_session(sql),
            _ => false,
        };
        let sets = is_local || setting.is_some();
        let listens = matches!(lead, Lead::Listen);
        let deallocates = match lead {
            Lead::Deallocate(name) => Some(name.map(|name| name.into_owned())),
            _ => None,
        };
        Self { effect, setting, deallocates, begins, listens, sets }
    }
}

fn set(name: &[u8], sql: &[u8]) -> Option<Setting> {
    let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
    let statement = std::str::from_utf8(sql).ok()?.trim().trim_end_matches(';').to_owned();
    // A statement behind a semicolon, or a comment that does not end, would change what follows it.
    let is_plain = !statement.contains([';', '\0']) && !statement.contains("--") && !statement.contains("/*");
    let is_own = !KEPT.contains(&name.as_str());
    (is_plain && is_own && statement.len() <= LONG).then_some(Setting { name: Some(name), statement: Some(statement) })
}

/// `SET SESSION CHARACTERISTICS AS TRANSACTION …`, by what it is about.
fn characteristics(sql: &[u8]) -> Option<Setting> {
    if !is_for_session(sql) {
        return None;
    }
    let lower = std::str::from_utf8(sql).ok()?.to_ascii_lowercase();
    let about = ["isolation", "read", "deferrable"].into_iter().filter(|word| lower.contains(word));
    let name = about.collect::<Vec<_>>().join(" ");
    set(format!("transaction characteristics: {name}").as_bytes(), sql)
}

fn is_for_session(sql: &[u8]) -> bool {
    sql.to_ascii_lowercase().windows(15).any(|word| word == b"characteristics")
}

fn reset(sql: &[u8]) -> Option<Setting> {
    let text = std::str::from_utf8(sql).ok()?.trim().trim_end_matches(';');
    let mut words = text.split_ascii_whitespace();
    let (_, name, None) = (words.next()?, words.next()?.to_ascii_lowercase(), words.next()) else { return None };
    let is_plain = name.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_' | '.'));
    let name = (name != "all").then_some(name);
    is_plain.then_some(Setting { name, statement: None })
}

/// A statement's text and parameter types.
#[derive(Debug)]
pub struct Parsed {
    /// As in a Parse message, from the text on.
    tail: Box<[u8]>,
    hash: u64,
    /// What it does.
    pub effect: Effect,
    /// What it sets.
    pub setting: Option<Setting>,
    /// Whether what it sets is known.
    pub sets: bool,
    /// Whether it begins a transaction.
    pub begins: bool,
}

impl Parsed {
    /// Takes text and types as a Parse message has them.
    #[must_use]
    pub fn new(query: &[u8], types: &[u8]) -> Self {
        let mut tail = Vec::with_capacity(query.len() + 1 + types.len());
        tail.extend_from_slice(query);
        tail.push(0);
        tail.extend_from_slice(types);
        let hash = HASHING.with(|hashing| hashing.hash_one(&tail));
        let Facts { effect, setting, sets, begins, .. } = Facts::of(query);
        Self { tail: tail.into(), hash, effect, setting, sets, begins }
    }

    /// Its text.
    #[must_use]
    pub fn query(&self) -> &[u8] {
        self.tail.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// Text, its end, and types.
    #[must_use]
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }
}

impl PartialEq for Parsed {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.tail == other.tail
    }
}

impl Eq for Parsed {}

impl Hash for Parsed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// A name on the server.
pub type Name = u32;

/// What one server session has prepared.
///
/// INVARIANT: a name is never used twice, so an answer that was on its way cannot be taken for another's.
#[derive(Debug)]
pub struct Statements {
    known: HashMap<Rc<Parsed>, Entry>,
    base: u32,
    next: Name,
    used: u64,
    most: usize,
    /// Bytes of their texts.
    texts: usize,
}

/// How long the texts of one server session may be together, in bytes. PostgreSQL keeps them as well, and their trees.
const TEXTS: usize = 8 * 1024 * 1024;

#[derive(Debug)]
struct Entry {
    name: Name,
    used: u64,
}

impl Statements {
    /// None yet. At most so many are kept; `base` makes names that nobody guesses.
    #[must_use]
    pub fn new(base: u32, most: usize) -> Self {
        Self { known: HashMap::new(), base, next: 0, used: 0, most, texts: 0 }
    }

    /// The name of a statement that is prepared.
    pub fn get(&mut self, parsed: &Rc<Parsed>) -> Option<Name> {
        self.used += 1;
        let entry = self.known.get_mut(parsed)?;
        entry.used = self.used;
        Some(entry.name)
    }

    /// A fresh name.
    pub fn fresh(&mut self) -> Name {
        self.next += 1;
        self.next
    }

    /// Notes that a statement is prepared, and says which have to go for it: those that were not used for longest.
    pub fn put(&mut self, parsed: Rc<Parsed>, name: Name) -> Vec<Name> {
        self.used += 1;
        self.texts += parsed.tail().len();
        let mut gone = Vec::new();
        let entry = Entry { name, used: self.used };
        if let Some(before) = self.known.insert(Rc::clone(&parsed), entry) {
            self.texts -= parsed.tail().len();
            gone.push(before.name);
        }
        while self.known.len() > 1 && (self.known.len() > self.most || self.texts > TEXTS) {
            let oldest = self.known.iter().min_by_key(|(_, entry)| entry.used).map(|(parsed, _)| Rc::clone(parsed));
            gone.extend(oldest.and_then(|oldest| self.take(&oldest)));
        }
        gone
    }

    fn take(&mut self, parsed: &Rc<Parsed>) -> Option<Name> {
        let entry = self.known.remove(parsed)?;
        self.texts -= parsed.tail().len();
        Some(entry.name)
    }

    /// Notes that a statement is not prepared after all.
    pub fn remove(&mut self, parsed: &Rc<Parsed>) {
        self.take(parsed);
    }

    /// Notes that nothing is prepared any more.
    pub fn clear(&mut self) {
        self.known.clear();
        self.texts = 0;
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// A name as the server knows it.
    #[must_use]
    pub fn text(&self, name: Name) -> String {
        let mut text = String::with_capacity(20);
        // Writing to a string does not fail.
        let _ = write!(text, "tn{:x}_{name:x}", self.base);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(query: &str) -> Rc<Parsed> {
        Rc::new(Parsed::new(query.as_bytes(), &[0, 0]))
    }

    #[test]
    fn the_same_text_is_the_same_statement() {
        let mut statements = Statements::new(7, 2);
        let name = statements.fresh();
        assert!(statements.put(parsed("SELECT 1"), name).is_empty());
        assert_eq!(statements.get(&parsed("SELECT 1")), Some(name));
        assert_eq!(statements.get(&Rc::new(Parsed::new(b"SELECT 1", &[0, 1, 0, 0, 0, 23]))), None);
        assert_eq!(statements.text(name), "tn7_1");
    }

    #[test]
    fn the_longest_unused_goes() {
        let mut statements = Statements::new(7, 2);
        let names: Vec<Name> = (0..3).map(|_| statements.fresh()).collect();
        assert!(statements.put(parsed("a"), names[0]).is_empty());
        assert!(statements.put(parsed("b"), names[1]).is_empty());
        assert!(statements.get(&parsed("a")).is_some());
        assert_eq!(statements.put(parsed("c"), names[2]), [names[1]]);
        assert_eq!(statements.len(), 2);
        // One that is as long as all may be together leaves room for nothing else.
        let name = statements.fresh();
        assert_eq!(statements.put(parsed(&"x".repeat(TEXTS)), name).len(), 2);
        statements.clear();
        assert_eq!((statements.len(), statements.texts), (0, 0));
    }

    #[test]
    fn what_is_set_for_the_session_is_seen() {
        let set = |sql: &str| Facts::of(sql.as_bytes()).setting.map(|setting| (setting.name, setting.statement));
        let told = |name: &str, statement: &str| Some((Some(name.to_owned()), Some(statement.to_owned())));
        assert_eq!(set("SET jit = on;"), told("jit", "SET jit = on"));
        assert_eq!(set("SET TIME ZONE 'UTC'"), told("timezone", "SET TIME ZONE 'UTC'"));
        assert_eq!(set("RESET jit"), Some((Some("jit".to_owned()), None)));
        assert_eq!(set("RESET ALL"), Some((None, None)));
        let none =
            ["SET LOCAL jit = on", "SET search_path = x", "SET ROLE x", "SET jit = on; SELECT 1", "SET jit = on --"];
        for sql in none.into_iter().chain(["RESET", "RESET a b", "RESET \"a\"", "SELECT 1"]) {
            assert_eq!(set(sql), None, "{sql}");
        }
    }

    #[test]
    fn only_what_sets_up_goes_without_a_tenant() {
        for sql in
            ["BEGIN", "start transaction read only", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SHOW x", ""]
        {
            assert_eq!(Facts::of(sql.as_bytes()).effect, Effect::SetUp, "{sql}");
        }
        for sql in
            ["SELECT 1", "SET search_path = x", "SAVEPOINT a", "CALL x()", "WITH a AS (SELECT 1) SELECT", "EXECUTE x"]
        {
            assert_eq!(Facts::of(sql.as_bytes()).effect, Effect::Work, "{sql}");
        }
        for sql in ["COMMIT", "/* x */ rollback", "END", "ABORT AND CHAIN"] {
            assert_eq!(Facts::of(sql.as_bytes()).effect, Effect::End, "{sql}");
        }
    }
}
