//! Mail to people of tenants.

use secrecy::SecretString;
use tenantry_control::members::MemberOptions;
use tenantry_control::members::mail::{self, MailOptions};

use crate::exit::{Failure, Result};

/// Settings of members and their mail.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Members")]
pub struct Mail {
    /// Mail server for invitations and notifications, smtps://user:password@host
    #[arg(long, env = "TENANTRY_SMTP_URL", hide_env_values = true, value_name = "URL", requires_all = ["mail_from", "invite_url"])]
    smtp_url: Option<SecretString>,
    /// Whom mail comes from
    #[arg(long, env = "TENANTRY_MAIL_FROM", value_name = "ADDRESS", requires = "smtp_url")]
    mail_from: Option<mail::Sender>,
    /// Where links of invitations lead, with {token} in it
    #[arg(long, env = "TENANTRY_INVITE_URL", value_name = "URL", requires = "smtp_url")]
    invite_url: Option<mail::Link>,
    /// Let a person be a member of one tenant only
    #[arg(long, env = "TENANTRY_SINGLE_MEMBERSHIP")]
    single_membership: bool,
}

impl Mail {
    /// The settings as the brain takes them.
    ///
    /// # Errors
    /// The mail server's URL cannot be used. It holds a password, so it is read here, and not where arguments are: a complaint
    /// about an argument repeats it.
    pub fn options(&self) -> Result<MemberOptions> {
        let mail = match (&self.smtp_url, &self.mail_from, &self.invite_url) {
            (Some(url), Some(from), Some(link)) => Some(MailOptions {
                server: mail::Smtp::parse(url)
                    .map_err(|error| Failure::usage(format!("The mail server's URL (TENANTRY_SMTP_URL) {error}")))?,
                from: from.clone(),
                link: link.clone(),
                pause: MailOptions::PAUSE,
            }),
            _ => None,
        };
        Ok(MemberOptions { single: self.single_membership, mail })
    }
}
