//! Mail of invitations: queued in the commit that decided on it, written and sent after it.
//!
//! A mail is tried until a server took it, its recipient is refused for good, or its invitation is over; then it is void and
//! dropped. It is written anew for each attempt, since its link is stored nowhere. A crash between the server's yes and our
//! note of it sends it twice, under the same `Message-ID`; a server that has a mail and gives no answer gets it three times.
//! INVARIANT: nothing is sent for an invitation that was withdrawn, answered or renewed before the attempt began.

mod handover;
mod smtp;
mod text;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use lettre::message::Mailbox;
use secrecy::{ExposeSecret as _, SecretString};
use tenantry_domain::Timestamp;
use tenantry_domain::notice;
use tenantry_domain::tenant::Slug;
use tenantry_store::{MailRow, StoreError};

pub(crate) use smtp::is_local;
pub use smtp::{Smtp, SmtpError};
pub use text::Letter;
pub(crate) use text::tame;

use super::secret::Token;
use crate::controllers::driver::{Controller, Look};
use crate::controllers::in_hand::InHand;
use crate::deps::Deps;
use crate::pools::{self, PoolError};

/// How invitations are mailed.
#[derive(Debug, Clone)]
pub struct MailOptions {
    /// The server that takes them.
    pub server: Smtp,
    /// Whom they come from.
    pub from: Sender,
    /// Where their links lead.
    pub link: Link,
    /// The pause after the first attempt that failed; it doubles with each, up to [`LONGEST`].
    pub pause: Duration,
}

impl MailOptions {
    /// The usual first pause.
    pub const PAUSE: Duration = Duration::from_secs(10);
}

/// The longest pause between two attempts.
pub const LONGEST: Duration = Duration::from_secs(15 * 60);

/// Whom mail comes from: `name@example.com` or `Name <name@example.com>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender(pub(super) Mailbox);

impl std::str::FromStr for Sender {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be `name@example.com` or `Name <name@example.com>`".to_owned();
        let mailbox: Mailbox = text.parse().map_err(|_| wrong())?;
        if text.chars().any(char::is_control) { Err(wrong()) } else { Ok(Self(mailbox)) }
    }
}

/// Where the link of an invitation leads: a URL of the application with `{token}` in it, and perhaps `{tenant}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link(String);

impl std::str::FromStr for Link {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.matches("{token}").count() != 1 {
            return Err("must hold `{token}` once, such as https://app.example.com/join#{token}".to_owned());
        }
        let filled = text.replace("{token}", "t").replace("{tenant}", "acme");
        if filled.contains(['{', '}']) {
            return Err("knows only `{token}` and `{tenant}` in braces".to_owned());
        }
        let url = reqwest::Url::parse(&filled).map_err(|error| format!("is not a URL: {error}"))?;
        match url.scheme() {
            "https" => Ok(Self(text.to_owned())),
            "http" if smtp::is_local(&url) => Ok(Self(text.to_owned())),
            _ => Err("must be an https URL; http is for this machine only".to_owned()),
        }
    }
}

impl Link {
    /// The link of a token.
    pub(super) fn fill(&self, token: &SecretString, slug: &Slug) -> SecretString {
        let link = self.0.replace("{tenant}", slug.as_str()).replace("{token}", token.expose_secret());
        SecretString::from(link)
    }
}

/// Why a mail was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The server will never take it.
    #[error("{0}")]
    Refused(String),
    /// It may take it later.
    #[error("{0}")]
    Later(String),
    /// It has all of it, and did not say whether it took it.
    #[error("the mail server has the mail and gave no answer: {0}")]
    Unanswered(String),
}

/// What is noted of a mail that a server has and gave no answer to, by how often that was so. It may have come each time, so the
/// last of these ends it.
const UNANSWERED: [&str; 3] = [
    "the mail server had all of the mail and gave no answer; it may have come",
    "the mail server had all of the mail twice and gave no answer; it may have come",
    "the mail server had all of the mail three times and gave no answer; it may have come",
];

/// What becomes of a mail that did not leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is tried again; why is noted.
    Again(String),
    /// It is given up, for this reason.
    Dropped(String),
}

impl Fate {
    /// That of a mail by its last attempt and by what was noted of those before. What was noted of missing answers stays, however
    /// else an attempt fails in between: it counts.
    pub(crate) fn of(error: SendError, noted: Option<&str>) -> Self {
        let times = UNANSWERED.iter().position(|known| noted == Some(*known));
        match (error, times) {
            (SendError::Refused(cause), _) => Self::Dropped(cause),
            (SendError::Unanswered(_), None) => Self::Again(UNANSWERED[0].to_owned()),
            (SendError::Unanswered(_), Some(0)) => Self::Again(UNANSWERED[1].to_owned()),
            (SendError::Unanswered(_), Some(_)) => Self::Dropped(UNANSWERED[2].to_owned()),
            (SendError::Later(cause), _) => Self::Again(noted.filter(|_| times.is_some()).unwrap_or(&cause).to_owned()),
        }
    }
}

/// Whatever sends mail.
pub trait Mailer: Send + Sync + 'static {
    /// Sends a letter. It is sent when a server has taken responsibility for it.
    fn send(&self, letter: Letter) -> impl Future<Output = Result<(), SendError>> + Send;
}

/// Mails that are sent at the same time.
const AT_ONCE: usize = 8;

/// How long a mail is one replica's: longer than an attempt can take, with the account that may be made before.
pub(crate) const LEASE: Duration = Duration::from_secs(420);

const _: () = assert!(LEASE.as_secs() >= smtp::CONNECT.as_secs() + smtp::DELIVER.as_secs() + 60);

/// How long mails in hand may take to reach their end when the process stops. Most servers answer within seconds; a mail whose
/// answer is not heard is sent once more.
pub(crate) const DRAIN: Duration = Duration::from_secs(30);

/// Sends what is due.
pub struct Post<M> {
    mailer: Arc<M>,
    in_hand: InHand,
}

impl<M> Post<M> {
    /// One that sends by a mailer.
    pub fn new(mailer: M) -> Self {
        Self { mailer: Arc::new(mailer), in_hand: InHand::new(AT_ONCE) }
    }
}

impl<M> fmt::Debug for Post<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Post")
    }
}

impl<M: Mailer> Controller for Post<M> {
    const NAME: &'static str = "mail";
    const IS_NUDGED: bool = true;

    fn every(&self, deps: &Deps) -> Duration {
        deps.options().tick
    }

    async fn look(&mut self, deps: &Deps) -> Result<Look, StoreError> {
        if deps.options().members.mail.is_none() {
            return Ok(Look::Done);
        }
        let room = self.in_hand.room().await;
        let due = deps.store().claim_mail(deps.now(), LEASE, i64::try_from(room).unwrap_or(1)).await?;
        let is_full = due.len() >= room;
        for mail in due {
            self.in_hand.take(attempt(deps.clone(), Arc::clone(&self.mailer), mail));
        }
        Ok(if is_full { Look::Again } else { Look::Done })
    }

    async fn end(&mut self) {
        self.in_hand.end().await;
    }
}

async fn attempt<M: Mailer>(deps: Deps, mailer: Arc<M>, mail: MailRow) -> Result<(), StoreError> {
    let (store, deps, mail) = (deps.store(), &deps, &mail);
    let Some(options) = &deps.options().members.mail else { return Ok(()) };
    if mail.is_void {
        let why = "the invitation was answered, withdrawn, renewed or is over";
        return store.mail_dropped(mail, deps.now(), why).await;
    }
    let again = || next(deps.now(), options.pause, mail.attempt);
    let token = Token::of(deps, &mail.environment, mail.invitation, &mail.nonce).text();
    let link = options.link.fill(&token, &mail.slug);
    let password = match account(deps, mail).await {
        Ok(password) => password,
        Err(error) => {
            let cause = notice::masked(&format!("the account is not made yet: {error}"));
            tracing::warn!(invitation = %mail.invitation, attempt = mail.attempt, cause, "an account was not made");
            return store.mail_later(mail, again(), &cause).await;
        }
    };
    let letter = Letter::invitation(&options.from, mail, link, password, deps.now());
    let Err(error) = mailer.send(letter).await else { return store.mail_sent(mail, deps.now()).await };
    let cause = error.to_string();
    match Fate::of(error, mail.cause.as_deref()) {
        Fate::Dropped(why) => {
            tracing::warn!(invitation = %mail.invitation, attempt = mail.attempt, cause, "a mail was given up");
            store.mail_dropped(mail, deps.now(), &why).await
        }
        Fate::Again(why) => {
            tracing::warn!(invitation = %mail.invitation, attempt = mail.attempt, cause, "a mail was not sent");
            store.mail_later(mail, again(), &why).await
        }
    }
}

/// Makes the account that was promised, and gives the link by which its owner sets a password. It is made anew for each
/// attempt and stored nowhere.
async fn account(deps: &Deps, mail: &MailRow) -> Result<Option<SecretString>, PoolError> {
    if !mail.with_account {
        return Ok(None);
    }
    pools::account(deps, &mail.environment, mail.tenant, &mail.email).await.map(Some)
}

/// When the attempt after this one is.
pub(crate) fn next(now: Timestamp, pause: Duration, attempt: i32) -> Timestamp {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(0).min(16);
    let pause = pause.saturating_mul(2_u32.pow(doublings)).min(LONGEST);
    SignedDuration::try_from(pause).ok().and_then(|pause| now.checked_add(pause).ok()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use super::*;

    #[test]
    fn a_link_is_a_safe_url_with_one_token() {
        for good in [
            "https://app.example.com/join#{token}",
            "https://{tenant}.app.example.com/join?t={token}",
            "http://localhost:3000/{token}",
        ] {
            let link: Link = good.parse().unwrap();
            let filled = link.fill(&SecretString::from("inv_1_x"), &Slug::parse("acme").unwrap());
            assert!(filled.expose_secret().contains("inv_1_x"), "{good}");
        }
        for bad in [
            "",
            "https://app.example.com/join",
            "https://app.example.com/{token}/{token}",
            "http://app.example.com/{token}",
            "javascript:alert({token})",
            "https://app.example.com/{token}/{user}",
            "/join/{token}",
        ] {
            assert!(bad.parse::<Link>().is_err(), "{bad}");
        }
    }

    #[test]
    fn senders_are_addresses() {
        assert!("no-reply@example.com".parse::<Sender>().is_ok());
        assert!("Example <no-reply@example.com>".parse::<Sender>().is_ok());
        for bad in ["", "example.com", "Example <no-reply>", "a@example.com\r\nBcc: b@example.com"] {
            assert!(bad.parse::<Sender>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn pauses_double_up_to_a_bound() {
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        let after = |attempt| next(now, Duration::from_secs(10), attempt).duration_since(now).as_secs();
        assert_eq!([1, 2, 3, 7, 8, 100].map(after), [10, 20, 40, 640, 900, 900]);
    }

    #[test]
    fn a_mail_that_is_never_answered_is_sent_three_times_at_most() {
        let unanswered = || SendError::Unanswered("x".to_owned());
        let later = || SendError::Later("away".to_owned());
        let mut noted: Option<String> = None;
        for (error, expected) in [
            (later(), "away"),
            (unanswered(), UNANSWERED[0]),
            (later(), UNANSWERED[0]),
            (unanswered(), UNANSWERED[1]),
            (later(), UNANSWERED[1]),
        ] {
            let Fate::Again(cause) = Fate::of(error, noted.as_deref()) else { panic!("{noted:?}") };
            assert_eq!(cause, expected);
            noted = Some(cause);
        }
        assert_eq!(Fate::of(unanswered(), noted.as_deref()), Fate::Dropped(UNANSWERED[2].to_owned()));
        let refused = SendError::Refused("550".to_owned());
        assert_eq!(Fate::of(refused, noted.as_deref()), Fate::Dropped("550".to_owned()));
    }
}
