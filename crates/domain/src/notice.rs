//! Who is told of what: the kinds of notification, the events that lead to them, and their audience. Pure.
//!
//! INVARIANT: an address that is told of a tenant's event is one of that tenant's own people or contacts; nothing here looks
//! beyond the tenant that it was given.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::event::Type;
use crate::tenant::contact::{Contact, Contacts, Email};

macro_rules! kinds {
    ($(#[doc = $doc:literal] $name:ident = $text:literal;)*) => {
        /// What somebody is told of.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $(#[doc = $doc] $name),* }

        impl Kind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word in settings, tables and names of templates.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

kinds! {
    /// The tenant is served for the first time.
    Welcome = "welcome";
    /// Another plan is in effect.
    Ready = "ready";
    /// Use of a quota has reached a mark.
    Limit = "limit";
    /// Access was taken away.
    Suspended = "suspended";
    /// The tenant is served again.
    Reactivated = "reactivated";
    /// The tenant is going to be deleted.
    Deletion = "deletion";
    /// Somebody of the operator entered the tenant's data.
    BreakGlass = "break-glass";
    /// A webhook endpoint of the tenant gets nothing any more, although nobody asked for that.
    WebhookDisabled = "webhook-disabled";
    /// Something is wrong with the service.
    Incident = "incident";
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be one of welcome, ready, limit, suspended, reactivated, deletion, break-glass, webhook-disabled, incident"
)]
pub struct KindError;

impl FromStr for Kind {
    type Err = KindError;
    fn from_str(text: &str) -> Result<Self, KindError> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text).ok_or(KindError)
    }
}

/// The kinds that an installation tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kinds(BTreeSet<Kind>);

impl Kinds {
    /// All of them.
    #[must_use]
    pub fn all() -> Self {
        Self(Kind::ALL.iter().copied().collect())
    }

    /// Whether a kind is among them.
    #[must_use]
    pub fn has(&self, kind: Kind) -> bool {
        self.0.contains(&kind)
    }
}

/// A list that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not known; {KindError}, separated by commas, or `all`, or `none`")]
pub struct KindsError {
    /// The word at fault.
    pub word: String,
}

impl FromStr for Kinds {
    type Err = KindsError;

    /// `all`, `none`, or words separated by commas.
    fn from_str(text: &str) -> Result<Self, KindsError> {
        match text.trim() {
            "all" => return Ok(Self::all()),
            "none" => return Ok(Self(BTreeSet::new())),
            _ => {}
        }
        let read = |word: &str| word.parse().map_err(|_| KindsError { word: word.chars().take(40).collect() });
        text.split(',').map(|word| read(word.trim())).collect::<Result<_, _>>().map(Self)
    }
}

/// Types of events that somebody may be told of. The commit puts a note of each aside, so the store's statement names the same.
pub const TYPES: &[Type] = &[
    Type::TenantActivated,
    Type::PlanApplied,
    Type::QuotaWarning,
    Type::QuotaExceeded,
    Type::TenantSuspended,
    Type::TenantResumed,
    Type::TenantRestored,
    Type::TenantUpdated,
    Type::AccessOpened,
    Type::WebhookEndpointDisabled,
    Type::IncidentOpened,
    Type::IncidentUpdated,
    Type::IncidentResolved,
];

/// What an event is to be told as, if anybody is to be told.
#[must_use]
pub fn of(kind: Type, data: &Value) -> Option<Kind> {
    let word = |name: &str| data.get(name).and_then(Value::as_str);
    match kind {
        Type::TenantActivated => Some(Kind::Welcome),
        Type::PlanApplied => Some(Kind::Ready),
        Type::QuotaWarning | Type::QuotaExceeded => Some(Kind::Limit),
        Type::TenantSuspended => Some(Kind::Suspended),
        Type::TenantResumed | Type::TenantRestored => Some(Kind::Reactivated),
        Type::TenantUpdated => (word("action") == Some("delete")).then_some(Kind::Deletion),
        Type::AccessOpened => Some(Kind::BreakGlass),
        // Whoever disabled it knows; an endpoint that is gone or failed for days is news.
        Type::WebhookEndpointDisabled => word("disabled")
            .is_some_and(|why| why != crate::webhook::Why::Asked.as_str())
            .then_some(Kind::WebhookDisabled),
        Type::IncidentOpened | Type::IncidentUpdated | Type::IncidentResolved => Some(Kind::Incident),
        _ => None,
    }
}

/// What of a kind is told once in a while only: an event that comes again soon with the same topic is not told again.
#[must_use]
pub fn topic(kind: Type, data: &Value) -> Option<String> {
    let quota = data.get("quota").and_then(Value::as_str)?;
    matches!(kind, Type::QuotaWarning | Type::QuotaExceeded).then(|| format!("{} {quota}", kind.as_str()))
}

/// Most addresses that are told of one event of a tenant; a manifest has fewer contacts, and a tenant fewer admins.
pub const MOST: usize = 100;

/// Who is told, each mailbox once: the contacts whose matter it is first, then owners and admins.
#[must_use]
pub fn audience(kind: Kind, contacts: &Contacts, people: &[Email]) -> Vec<Email> {
    let fitting: &[Contact] = match kind {
        Kind::Limit => &contacts.billing,
        Kind::Incident | Kind::BreakGlass => &contacts.incident,
        Kind::Welcome | Kind::Ready | Kind::WebhookDisabled => &contacts.technical,
        Kind::Suspended | Kind::Reactivated | Kind::Deletion => &contacts.billing,
    };
    let mut seen = BTreeSet::new();
    fitting
        .iter()
        .map(|contact| &contact.email)
        .chain(people)
        .filter(|email| seen.insert(key(email)))
        .take(MOST)
        .cloned()
        .collect()
}

/// Two addresses with the same key are one mailbox.
#[must_use]
pub fn key(email: &Email) -> String {
    email.as_str().to_lowercase()
}

/// An address as logs and lists show it: enough to be recognised by whoever knows it.
#[must_use]
pub fn mask(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((local, domain)) => {
            let first: String = local.chars().take(1).collect();
            format!("{first}…@{domain}")
        }
        None => "…".to_owned(),
    }
}

/// A text of somebody else with every address in it masked: a mail server's words repeat whom they are about, in letters of
/// its own choice. One that is masked already stays as it is.
#[must_use]
pub fn masked(text: &str) -> String {
    let is_part = |c: char| c.is_alphanumeric() || "@.!#$%&'*+-/=?^_`{|}~…".contains(c);
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (word, behind) = rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()));
        if word.contains('@') {
            shown.push_str(&mask(word))
        } else {
            shown.push_str(word)
        }
        let (gap, behind) = behind.split_at(behind.find(is_part).unwrap_or(behind.len()));
        shown.push_str(gap);
        rest = behind;
    }
    shown
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use serde_json::json;

    use super::*;

    fn email(text: &str) -> Email {
        Email::parse(text).unwrap()
    }

    fn contact(text: &str) -> Contact {
        Contact { name: "x".to_owned(), email: email(text), confirmed_at: None }
    }

    #[test]
    fn words_are_read_and_written() {
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse::<Kind>(), Ok(*kind));
            assert!(KindError.to_string().contains(kind.as_str()), "{kind}");
        }
        let some: Kinds = "welcome, ready".parse().unwrap();
        assert!(some.has(Kind::Welcome) && some.has(Kind::Ready) && !some.has(Kind::Limit));
        assert!(!"none".parse::<Kinds>().unwrap().has(Kind::Welcome));
        assert!(Kind::ALL.iter().all(|kind| "all".parse::<Kinds>().unwrap().has(*kind)));
        for wrong in ["", "welcome,", "wellcome", "all,none"] {
            assert!(wrong.parse::<Kinds>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_listed_types_are_told() {
        let data = json!({ "action": "delete", "disabled": "failing" });
        for kind in Type::ALL {
            assert_eq!(of(*kind, &data).is_some(), TYPES.contains(kind), "{kind}");
        }
        assert_eq!(of(Type::TenantUpdated, &json!({ "action": "update" })), None);
        assert_eq!(of(Type::WebhookEndpointDisabled, &json!({ "disabled": "asked" })), None);
        assert_eq!(of(Type::WebhookEndpointDisabled, &json!({})), None);
    }

    #[test]
    fn contacts_of_the_matter_and_those_who_run_the_tenant_are_told_once_each() {
        let contacts = Contacts {
            technical: vec![contact("tech@a.example")],
            billing: vec![contact("money@a.example"), contact("Anna@a.example")],
            incident: vec![contact("alarm@a.example")],
        };
        let people = [email("anna@a.example"), email("bert@a.example")];
        let told =
            |kind| audience(kind, &contacts, &people).iter().map(|email| email.as_str().to_owned()).collect::<Vec<_>>();
        assert_eq!(told(Kind::Limit), ["money@a.example", "Anna@a.example", "bert@a.example"]);
        assert_eq!(told(Kind::Incident), ["alarm@a.example", "anna@a.example", "bert@a.example"]);
        assert_eq!(told(Kind::WebhookDisabled), ["tech@a.example", "anna@a.example", "bert@a.example"]);
        let many: Vec<Email> = (0..500).map(|number| email(&format!("a{number}@a.example"))).collect();
        assert_eq!(audience(Kind::Welcome, &Contacts::default(), &many).len(), MOST);
    }

    #[test]
    fn quotas_have_topics_and_addresses_are_masked() {
        let data = json!({ "quota": "users" });
        assert_eq!(topic(Type::QuotaWarning, &data).as_deref(), Some("quota.warning users"));
        assert_eq!(topic(Type::TenantActivated, &data), None);
        assert_eq!(mask("anna@example.com"), "a…@example.com");
        assert_eq!((mask("@x"), mask("")), ("…@x".to_owned(), "…".to_owned()));
    }
    #[test]
    fn addresses_in_the_words_of_others_are_masked_however_they_are_written() {
        for (said, shown) in [
            ("5.1.1 <Gone@Acme.example>: no such user", "5.1.1 <G…@Acme.example>: no such user"),
            (
                "no mailbox gone+x@acme.example, nor GONE@ACME.EXAMPLE.",
                "no mailbox g…@acme.example, nor G…@ACME.EXAMPLE.",
            ),
            ("<prvs=1=anna@a.example>;ölga@b.example", "<p…@a.example>;ö…@b.example"),
            ("permanent error (550): 5.1.1 unknown", "permanent error (550): 5.1.1 unknown"),
            ("", ""),
        ] {
            assert_eq!(masked(said), shown);
        }
    }
}
