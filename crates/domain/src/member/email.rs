//! E-mail addresses: one grammar, and two forms to compare them by.
//!
//! [`Email::exact`] says whether two texts are the same mailbox; an invitation is bound to it. [`Email::key`] is coarser:
//! it also drops a tag behind `+`, so that one person does not become two. It is used to refuse, never to grant.
//! INVARIANT: an address is visible ASCII without white space, so it can neither break a header line nor look like
//! another one by its script.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    /// No `@`, or nothing on one of its sides.
    #[error("must be of the form name@example.com")]
    Form,
    /// Longer than RFC 5321, section 4.5.3.1, lets it be.
    #[error("must have at most 254 characters, and 64 in front of the `@`")]
    Long,
    /// A character that addresses here do not hold.
    #[error("may hold only ASCII letters, digits and .!#$%&'*+/=?^_`{{|}}~- in front of the `@`")]
    Local,
    /// A domain that is not one.
    #[error("must end in a domain such as example.com; write one with other letters in its xn-- form")]
    Domain,
}

/// An address. Its text is as it was written, apart from the domain, which is in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Email(String);

impl Email {
    /// Most characters of an address.
    pub const MOST: usize = 254;

    /// Reads an address.
    ///
    /// # Errors
    /// The first rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let (local, domain) = text.rsplit_once('@').ok_or(EmailError::Form)?;
        if local.is_empty() || domain.is_empty() {
            return Err(EmailError::Form);
        }
        if text.len() > Self::MOST || local.len() > 64 {
            return Err(EmailError::Long);
        }
        let is_part = |part: &str| !part.is_empty() && part.bytes().all(is_atom);
        if !local.split('.').all(is_part) {
            return Err(EmailError::Local);
        }
        let domain = domain.to_ascii_lowercase();
        check_domain(&domain)?;
        Ok(Self(format!("{local}@{domain}")))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The mailbox: the whole address in lower case. Mail systems that tell `Anna@` from `anna@` are not known to exist.
    #[must_use]
    pub fn exact(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// The person behind it, coarsely: the mailbox without the tag behind `+`.
    #[must_use]
    pub fn key(&self) -> String {
        let exact = self.exact();
        let Some((local, domain)) = exact.rsplit_once('@') else { return exact };
        match local.split_once('+') {
            Some((name, _)) if !name.is_empty() => format!("{name}@{domain}"),
            _ => exact,
        }
    }
}

/// `atext` of RFC 5322, section 3.2.3.
const fn is_atom(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'/' | b'=' | b'?' | b'^' | b'_' | b'`'
        )
        || matches!(byte, b'{' | b'|' | b'}' | b'~' | b'-')
}

fn check_domain(domain: &str) -> Result<(), EmailError> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_named = domain.rsplit('.').next().is_some_and(|last| last.bytes().any(|b| b.is_ascii_lowercase()));
    if domain.contains('.') && is_named && domain.split('.').all(is_label) { Ok(()) } else { Err(EmailError::Domain) }
}

impl FromStr for Email {
    type Err = EmailError;
    fn from_str(text: &str) -> Result<Self, EmailError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Email {
    type Error = EmailError;
    fn try_from(text: String) -> Result<Self, EmailError> {
        Self::parse(&text)
    }
}

impl From<Email> for String {
    fn from(email: Email) -> Self {
        email.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn case_and_tag_do_not_make_another_person_but_a_tag_makes_another_mailbox() {
        let anna = Email::parse("Anna.Lee+work@Example.COM").unwrap();
        assert_eq!(anna.as_str(), "Anna.Lee+work@example.com");
        assert_eq!(anna.exact(), "anna.lee+work@example.com");
        assert_eq!(anna.key(), "anna.lee@example.com");
        for twin in ["anna.lee@example.com", "ANNA.LEE@EXAMPLE.COM", "anna.lee+a+b@example.com"] {
            assert_eq!(Email::parse(twin).unwrap().key(), anna.key(), "{twin}");
        }
        for other in ["annalee@example.com", "anna.lee@example.org", "anna.lee@mail.example.com"] {
            assert_ne!(Email::parse(other).unwrap().key(), anna.key(), "{other}");
        }
        assert_eq!(Email::parse("+x@example.com").unwrap().key(), "+x@example.com");
    }

    #[test]
    fn look_alikes_headers_and_half_addresses_are_refused() {
        let cases = [
            ("anna", EmailError::Form),
            ("@example.com", EmailError::Form),
            ("anna@", EmailError::Form),
            // A Cyrillic `а`, a full-width `@`, a dotless `ı`.
            ("\u{430}nna@example.com", EmailError::Local),
            ("anna\u{ff20}example.com", EmailError::Form),
            ("adm\u{131}n@example.com", EmailError::Local),
            ("anna@ex\u{430}mple.com", EmailError::Domain),
            ("anna\r\nBcc: eve@example.com", EmailError::Local),
            ("anna lee@example.com", EmailError::Local),
            ("\"anna lee\"@example.com", EmailError::Local),
            (".anna@example.com", EmailError::Local),
            ("anna..lee@example.com", EmailError::Local),
            ("anna@eve@example.com", EmailError::Local),
            ("anna@localhost", EmailError::Domain),
            ("anna@[127.0.0.1]", EmailError::Domain),
            ("anna@127.0.0.1", EmailError::Domain),
            ("anna@-x.example", EmailError::Domain),
            ("anna@example.com\n", EmailError::Domain),
            ("anna@example..com", EmailError::Domain),
        ];
        for (text, expected) in cases {
            assert_eq!(Email::parse(text), Err(expected), "{text:?}");
        }
        assert_eq!(Email::parse(&format!("{}@example.com", "a".repeat(65))), Err(EmailError::Long));
        let long = format!("a@{}.com", vec!["b".repeat(60); 5].join("."));
        assert_eq!(Email::parse(&long), Err(EmailError::Long));
    }

    proptest! {
        #[test]
        fn what_is_taken_is_plain_and_its_forms_are_stable(text in "\\PC{0,30}@\\PC{0,30}") {
            if let Ok(email) = Email::parse(&text) {
                prop_assert!(email.as_str().bytes().all(|b| b.is_ascii_graphic()));
                let key = Email::parse(&email.key()).unwrap();
                prop_assert_eq!(key.key(), email.key());
                prop_assert_eq!(Email::parse(&email.exact()).unwrap().exact(), email.exact());
            }
        }
    }
}
