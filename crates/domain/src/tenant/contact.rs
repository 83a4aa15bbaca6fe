//! People of the tenant that somebody must be able to reach, by role.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Why a text is not an address we can send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    /// More than 255 characters.
    #[error("must have at most 255 characters")]
    TooLong,
    /// Not `local@domain` with a dotted domain.
    #[error("must look like name@company.example")]
    Form,
}

/// An e-mail address: bounded, one `@`, printable, dotted domain. Whether it is reachable only mail can tell.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Email(String);

impl Email {
    /// Parses an address.
    ///
    /// # Errors
    /// What is wrong with its form.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        if text.chars().count() > 255 {
            return Err(EmailError::TooLong);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(EmailError::Form)?;
        let printable =
            |part: &str| !part.chars().any(|c| c.is_whitespace() || c.is_control() || "<>(),;:\"\\[]".contains(c));
        let labels_fit =
            domain.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'));
        if local.is_empty()
            || local.contains('@')
            || !printable(local)
            || !printable(domain)
            || !domain.contains('.')
            || !labels_fit
        {
            return Err(EmailError::Form);
        }
        Ok(Self(text.to_owned()))
    }

    /// The address's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
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

impl fmt::Debug for Email {
    /// Addresses are personal data: logs get the domain only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "…@{}", self.0.rsplit_once('@').map_or("", |(_, domain)| domain))
    }
}

/// One person or mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// How to address them, at most 255 characters.
    pub name: String,
    /// Where to reach them.
    pub email: Email,
    /// When somebody last confirmed the entry; absent means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
}

/// The three roles that a tenant's contacts have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Contacts {
    /// Operates the product on the tenant's side.
    pub technical: Vec<Contact>,
    /// Pays.
    pub billing: Vec<Contact>,
    /// Is called when data or service is in danger.
    pub incident: Vec<Contact>,
}

impl Contacts {
    /// Contacts that nobody confirmed since `before`, with their roles.
    pub fn stale(&self, before: Timestamp) -> impl Iterator<Item = (&'static str, &Contact)> {
        [("technical", &self.technical), ("billing", &self.billing), ("incident", &self.incident)]
            .into_iter()
            .flat_map(|(role, contacts)| contacts.iter().map(move |contact| (role, contact)))
            .filter(move |(_, contact)| contact.confirmed_at.is_none_or(|at| at < before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["a@b.example", "first.last+tag@sub.company.example", "ü@bücher.example"] {
            assert!(Email::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "@",
            "a@b",
            "a b@c.example",
            "a@b@c.example",
            "a@.example",
            "a@-b.example",
            "a@b.example\r\nBcc: x@y.example",
        ] {
            assert_eq!(Email::parse(bad), Err(EmailError::Form), "{bad:?}");
        }
        assert_eq!(Email::parse(&format!("{}@b.example", "a".repeat(250))), Err(EmailError::TooLong));
    }
}
