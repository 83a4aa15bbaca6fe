//! What a mail says. Plain text and HTML say the same; nothing in it is loaded from anywhere or tells that it was read.

use std::time::SystemTime;

use lettre::Message;
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use secrecy::{ExposeSecret as _, SecretString};
use tenantry_domain::Timestamp;
use tenantry_store::MailRow;

use super::Sender;

/// Most characters of a tenant's name in a mail.
const NAME: usize = 60;

/// A mail before it is put into its form on the wire.
#[derive(Debug)]
pub struct Letter {
    /// The same for all attempts to send the same mail.
    pub id: String,
    /// Whom it comes from.
    from: Mailbox,
    /// To whom.
    pub to: String,
    /// What it is about.
    pub subject: String,
    at: SystemTime,
    plain: SecretString,
    /// The same for readers that show it; absent where plain text is all there is.
    html: Option<SecretString>,
}

impl Letter {
    /// That of an invitation.
    #[must_use]
    pub fn invitation(
        from: &Sender,
        mail: &MailRow,
        link: SecretString,
        password: Option<SecretString>,
        now: Timestamp,
    ) -> Self {
        let name = tame(&mail.display_name, mail.slug.as_str());
        let by = match &mail.inviter {
            Some(inviter) => format!("{inviter} invites you to {name}."),
            None => format!("You are invited to {name}."),
        };
        let role = format!("You would join as {}.", mail.role);
        let until = format!("The link works once, until {}.", mail.expires_at.strftime("%-d %B %Y, %H:%M UTC"));
        let else_ = "If you do not know what this is about, ignore this mail; nothing happens then.";
        // For somebody whose account was made beforehand, without a password.
        let (first, first_html) = match &password {
            None => (String::new(), String::new()),
            Some(password) => {
                let text = "An account has been made for you. Set a password first";
                let link = password.expose_secret();
                let html = format!("<p>{text}: <a href=\"{0}\" rel=\"noreferrer\">{0}</a></p>\n", escape(link));
                (format!("{text}:\n{link}\n\n"), html)
            }
        };
        let plain =
            format!("{by}\n{role}\n\n{first}Accept the invitation:\n{}\n\n{until}\n{else_}\n", link.expose_secret());
        let html = format!(
            "<!doctype html>\n<html lang=\"en\"><body>\n<p>{}<br>{}</p>\n{first_html}<p><a href=\"{link}\" rel=\"noreferrer\">Accept the \
             invitation</a></p>\n<p>{}</p>\n<p>{}</p>\n<p>{link}</p>\n</body></html>\n",
            escape(&by),
            escape(&role),
            escape(&until),
            escape(else_),
            link = escape(link.expose_secret()),
        );
        Self {
            id: format!("<{}@{}>", mail.id.simple(), from.0.email.domain()),
            from: from.0.clone(),
            to: mail.email.as_str().to_owned(),
            subject: format!("Invitation to {name}"),
            at: now.into(),
            plain: SecretString::from(plain),
            html: Some(SecretString::from(html)),
        }
    }

    /// One of plain text alone. The subject is one line already.
    #[must_use]
    pub fn plain(from: &Sender, id: uuid::Uuid, to: &str, subject: String, body: String, now: Timestamp) -> Self {
        Self {
            id: format!("<{}@{}>", id.simple(), from.0.email.domain()),
            from: from.0.clone(),
            to: to.to_owned(),
            subject,
            at: now.into(),
            plain: SecretString::from(body),
            html: None,
        }
    }

    /// In its form on the wire.
    pub(super) fn message(&self) -> Result<Message, String> {
        let address = self.to.parse().map_err(|_| "the address cannot be written to".to_owned())?;
        let plain = self.plain.expose_secret().to_owned();
        let head = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, address))
            .subject(self.subject.as_str())
            .date(self.at)
            .message_id(Some(self.id.clone()))
            .header(AutoSubmitted);
        let whole = match &self.html {
            Some(html) => head.multipart(MultiPart::alternative_plain_html(plain, html.expose_secret().to_owned())),
            None => head.singlepart(SinglePart::plain(plain)),
        };
        whole.map_err(|_| "the mail cannot be written".to_owned())
    }
}

/// Tells other machines not to answer (RFC 3834).
#[derive(Debug, Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// A tenant's name as strangers get it: whoever may write to anybody must not choose what the mail says. A name that
/// looks like a link or an address gives way to the slug.
pub(crate) fn tame(name: &str, slug: &str) -> String {
    let short: String = name.chars().filter(|c| !c.is_control()).take(NAME).collect();
    let lower = short.to_lowercase();
    let is_bait = ["://", "www.", "@", "/"].iter().any(|part| lower.contains(part));
    if is_bait || short.trim().is_empty() { slug.to_owned() } else { short }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use tenantry_domain::id::{InvitationId, TenantId};
    use tenantry_domain::member::{Email, RoleName};
    use tenantry_domain::name::EnvironmentName;
    use tenantry_domain::tenant::Slug;
    use uuid::Uuid;

    use super::*;

    fn mail(name: &str) -> MailRow {
        MailRow {
            id: Uuid::from_u128(7),
            environment: EnvironmentName::parse("prod").unwrap(),
            invitation: InvitationId::from_uuid(Uuid::from_u128(1)),
            tenant: TenantId::from_uuid(Uuid::from_u128(2)),
            slug: Slug::parse("acme").unwrap(),
            display_name: name.to_owned(),
            email: Email::parse("anna@example.com").unwrap(),
            role: RoleName::parse("member").unwrap(),
            inviter: Some("o'brian@example.com".to_owned()),
            nonce: [0; 32],
            expires_at: "2026-11-25T09:30:00Z".parse().unwrap(),
            with_account: false,
            is_void: false,
            attempt: 1,
            cause: None,
            created_at: "2026-11-22T09:30:00Z".parse().unwrap(),
        }
    }

    fn letter(name: &str) -> Letter {
        let from = "Example <no-reply@example.com>".parse().unwrap();
        let link = SecretString::from("https://app.example.com/join?a=1&t=inv_x");
        Letter::invitation(&from, &mail(name), link, None, "2026-11-22T09:30:00Z".parse().unwrap())
    }

    #[test]
    fn an_account_made_beforehand_comes_with_the_way_to_a_password() {
        let from = "no-reply@example.com".parse().unwrap();
        let (link, password) = ("https://app.example.com/join?t=inv_x", "https://id.example.com/reset?a=1&b=2");
        let at = "2026-11-22T09:30:00Z".parse().unwrap();
        let letter = Letter::invitation(&from, &mail("Acme"), link.into(), Some(password.into()), at);
        let (plain, html) = (letter.plain.expose_secret(), letter.html.as_ref().unwrap().expose_secret());
        assert!(plain.find(password).unwrap() < plain.find(link).unwrap(), "{plain}");
        assert!(html.contains("reset?a=1&amp;b=2") && !html.contains("a=1&b"), "{html}");
        assert!(!self::letter("Acme").plain.expose_secret().contains("password"));
    }

    #[test]
    fn it_says_who_what_and_until_when_and_escapes() {
        let letter = letter("Acme <b>& Sons</b>\r\nBcc: eve@example.com");
        // The name holds an address, so the slug stands for it.
        assert_eq!(letter.subject, "Invitation to acme");
        let letter = self::letter("Acme <b>& Sons</b> - \"best\"".replace("</b>", "").as_str());
        let (plain, html) = (letter.plain.expose_secret(), letter.html.as_ref().unwrap().expose_secret());
        assert!(plain.contains("o'brian@example.com invites you to Acme <b>& Sons"), "{plain}");
        assert!(
            plain.contains("https://app.example.com/join?a=1&t=inv_x") && plain.contains("25 November 2026, 09:30 UTC")
        );
        assert!(html.contains("Acme &lt;b&gt;&amp; Sons - &quot;best&quot;") && !html.contains("<b>"), "{html}");
        assert!(html.contains("href=\"https://app.example.com/join?a=1&amp;t=inv_x\"") && html.contains("o&#39;brian"));
        assert!(!html.contains("<img") && !html.contains("src="));
        let wire = String::from_utf8(letter.message().unwrap().formatted()).unwrap();
        for part in [
            "To: anna@example.com\r\n",
            "From: Example <no-reply@example.com>\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Message-ID: <00000000000000000000000000000007@example.com>\r\n",
            "text/plain",
            "text/html",
        ] {
            assert!(wire.contains(part), "{part}: {wire}");
        }
    }

    #[test]
    fn a_name_cannot_be_bait_or_a_header() {
        for bait in ["Pay at https://evil.example", "WWW.evil.example", "x@evil.example", "a/b", " \t "] {
            assert_eq!(tame(bait, "acme"), "acme", "{bait}");
        }
        assert_eq!(tame("Acme\r\nGmbH", "acme"), "AcmeGmbH");
        assert_eq!(tame(&"x".repeat(100), "acme").len(), NAME);
    }
}
