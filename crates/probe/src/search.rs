//! Looks for canaries in whatever the server said.
//!
//! One automaton for all of them, so that the cost does not grow with their number. A number counts only when no further
//! digit touches it.

use std::fmt;

use aho_corasick::{AhoCorasick, BuildError};

/// A value that must not come back to anybody but its tenant.
#[derive(Clone, PartialEq, Eq)]
pub struct Needle {
    /// Whose it is and where it was planted, such as `b app.notes.body`. Goes into reports.
    pub id: String,
    /// The value itself. Goes nowhere.
    pub text: String,
}

impl fmt::Debug for Needle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Needle({})", self.id)
    }
}

/// A set of canaries that can be searched for.
#[derive(Debug)]
pub struct Canaries {
    needles: Vec<Needle>,
    automaton: AhoCorasick,
}

impl Canaries {
    /// Takes the values to look for.
    ///
    /// # Errors
    /// There are too many for the automaton.
    pub fn new(needles: Vec<Needle>) -> Result<Self, BuildError> {
        let automaton = AhoCorasick::new(needles.iter().map(|needle| needle.text.as_str()))?;
        Ok(Self { needles, automaton })
    }

    /// The first canary in the text, those left out that the statement itself `spoke`.
    #[must_use]
    pub fn find(&self, text: &str, spoken: &[String]) -> Option<&Needle> {
        self.automaton.find_overlapping_iter(text).find_map(|found| {
            let needle = self.needles.get(found.pattern().as_usize())?;
            let whole = !needle.text.bytes().all(|byte| byte.is_ascii_digit())
                || !(digit_at(text, found.start().checked_sub(1)) || digit_at(text, Some(found.end())));
            (whole && !spoken.iter().any(|said| said.contains(&needle.text))).then_some(needle)
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.needles.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }
}

fn digit_at(text: &str, at: Option<usize>) -> bool {
    at.and_then(|at| text.as_bytes().get(at)).is_some_and(u8::is_ascii_digit)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn canaries() -> Canaries {
        let needle = |id: &str, text: &str| Needle { id: id.to_owned(), text: text.to_owned() };
        Canaries::new(vec![needle("text", "abcdefgh"), needle("number", "123456789")]).unwrap()
    }

    #[test]
    fn a_value_is_found_wherever_it_stands() {
        let found = |text: &str| canaries().find(text, &[]).map(|needle| needle.id.clone());
        assert_eq!(found("xabcdefghy").as_deref(), Some("text"));
        assert_eq!(found("(123456789,1)").as_deref(), Some("number"));
        for other in ["1234567890", "0123456789", "abcdefg", ""] {
            assert_eq!(found(other), None, "{other}");
        }
        // The first place does not count and the second does.
        assert_eq!(found("1234567891 123456789").as_deref(), Some("number"));
    }

    #[test]
    fn what_the_statement_said_itself_does_not_count() {
        assert!(canaries().find("abcdefgh", &["abcdefgh".to_owned()]).is_none());
        assert!(canaries().find("abcdefgh 123456789", &["abcdefgh".to_owned()]).is_some());
    }

    #[test]
    fn nothing_secret_is_printed() {
        assert!(!format!("{:?}", canaries()).contains("Needle(\"abc"));
        assert_eq!(format!("{:?}", canaries().needles[0]), "Needle(text)");
    }
}
