//! Hands one mail over to a server that is connected, and says what its answers mean.
//!
//! INVARIANT: a mail is given up only for what a server says of this recipient or of this letter. What it says of us (the sender,
//! a login, a blocklist, a limit) is mended by the operator, and must lose nothing.

use lettre::Message;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{Extension, MailBodyParameter, MailParameter};
use tenantry_domain::notice;

use super::SendError;

/// Most characters of a server's words that are kept.
const WORDS: usize = 200;

/// What the server was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Whom it comes from, or that there is something to come.
    Sender,
    /// Whom it is for.
    Recipient,
    /// All of it: from here on the server may have taken it.
    Letter,
}

/// Hands a mail over. `stage` tells how far it came, also to whoever does not wait for the end. The connection stays open.
pub(super) async fn exchange(
    server: &mut AsyncSmtpConnection,
    stage: &mut Stage,
    message: &Message,
) -> Result<(), SendError> {
    let (envelope, letter) = (message.envelope(), message.formatted());
    let mut sender = Vec::new();
    let is_plain = |address: &lettre::Address| AsRef::<str>::as_ref(address).is_ascii();
    if !envelope.from().into_iter().chain(envelope.to()).all(is_plain) {
        needs(server, Extension::SmtpUtfEight, "SMTPUTF8")?;
        sender.push(MailParameter::SmtpUtfEight);
    }
    if !letter.is_ascii() {
        needs(server, Extension::EightBitMime, "8BITMIME")?;
        sender.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    server.command(Mail::new(envelope.from().cloned(), sender)).await.map_err(|error| judged(*stage, &error))?;
    *stage = Stage::Recipient;
    for address in envelope.to() {
        server.command(Rcpt::new(address.clone(), Vec::new())).await.map_err(|error| judged(*stage, &error))?;
    }
    *stage = Stage::Sender;
    server.command(Data).await.map_err(|error| judged(*stage, &error))?;
    *stage = Stage::Letter;
    server.message(&letter).await.map_err(|error| judged(*stage, &error)).map(|_| ())
}

fn needs(server: &AsyncSmtpConnection, extension: Extension, name: &str) -> Result<(), SendError> {
    let has = server.server_info().supports_feature(extension);
    if has { Ok(()) } else { Err(SendError::Later(format!("the mail server does not offer {name}"))) }
}

/// What is to be done about an answer that is no yes, or about there being none.
fn judged(stage: Stage, error: &Error) -> SendError {
    let told = told(error);
    match (error.status().map(u16::from), stage) {
        (Some(_), Stage::Sender) | (None, Stage::Sender | Stage::Recipient) => SendError::Later(told),
        (Some(code), _) if is_final(code, enhanced(error)) => SendError::Refused(told),
        (Some(_), _) => SendError::Later(told),
        (None, Stage::Letter) => SendError::Unanswered(told),
    }
}

/// The enhanced code (RFC 3463) that a server's words begin with, if they do: `5.1.1`.
fn enhanced(error: &Error) -> Option<(u16, u16, u16)> {
    let words = std::error::Error::source(error)?.to_string();
    let mut numbers = words.split_whitespace().next()?.splitn(3, '.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}

/// Whether an answer is about this recipient or letter, and will be the same tomorrow. Of addresses (1) those are not that are
/// about the sender's (7, 8) or do not say whose (0); of mailboxes (2) only a disabled one is (1), since a full one is emptied.
/// A system that is in trouble (3, 4), a dialogue (5) and policies (7) are nobody's fault who is written to.
const fn is_final(code: u16, enhanced: Option<(u16, u16, u16)>) -> bool {
    match enhanced {
        _ if code < 500 => false,
        Some((5, 1, detail)) => !matches!(detail, 0 | 7 | 8),
        Some((5, 2, 1) | (5, 6, _)) => true,
        Some(_) => false,
        None => matches!(code, 550 | 551 | 556),
    }
}

/// A server's words, or what went wrong, in one line without anybody's address.
pub(super) fn told(error: &Error) -> String {
    let text: String = error.to_string().chars().filter(|c| !c.is_control()).collect();
    notice::masked(&text).chars().take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use super::*;

    #[test]
    fn only_what_is_about_the_recipient_or_the_letter_is_final() {
        for (code, enhanced, expected) in [
            (550, Some((5, 1, 1)), true),
            (553, Some((5, 1, 3)), true),
            (550, Some((5, 1, 10)), true),
            (550, Some((5, 2, 1)), true),
            (554, Some((5, 6, 0)), true),
            (550, None, true),
            (551, None, true),
            (556, None, true),
            // A sender that the server does not know, a limit, a blocklist, a relay that is closed to us, a full mailbox.
            (550, Some((5, 1, 0)), false),
            (553, Some((5, 1, 8)), false),
            (553, Some((5, 7, 1)), false),
            (554, Some((5, 7, 1)), false),
            (550, Some((5, 4, 5)), false),
            (552, Some((5, 2, 2)), false),
            (554, Some((5, 3, 0)), false),
            (553, None, false),
            (554, None, false),
            (535, None, false),
            (450, Some((5, 1, 1)), false),
            (450, None, false),
        ] {
            assert_eq!(is_final(code, enhanced), expected, "{code} {enhanced:?}");
        }
    }
}
