//! `tenantry invitations`: who was invited to a tenant.

use jiff::Timestamp;
use serde_json::json;
use tenantry_api::client::{Expected, InvitationQuery, PageQuery};
use tenantry_api::v1::member::{Invitation, InvitationResend, IssuedInvitation};

use super::super::times::{age, moment};
use crate::exit::Result;
use crate::globals::Session;
use crate::output::clean;

/// List, send again and withdraw invitations to a tenant
#[derive(Debug, clap::Args)]
#[command(after_help = "Invite by `tenantry members invite`.

Examples:
  tenantry invitations list acme --over
  tenantry invitations resend acme inv_01jd8x3v9mfk2t5h7q0w4z6y8c
  tenantry invitations withdraw acme inv_01jd8x3v9mfk2t5h7q0w4z6y8c")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List invitations, newest first
    List {
        /// The tenant, by name or id
        tenant: String,
        /// Those that are over, too
        #[arg(long)]
        over: bool,
        /// Most items to show
        #[arg(long, default_value_t = 200, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=10_000))]
        limit: u16,
    },
    /// Send an invitation again, with a new link; the link before ends
    Resend {
        /// The tenant, by name or id
        tenant: String,
        /// The invitation's id
        invitation: String,
        /// Send nothing and show the token, once
        #[arg(long)]
        link: bool,
    },
    /// Withdraw an invitation; its link ends
    Withdraw {
        /// The tenant, by name or id
        tenant: String,
        /// The invitation's id
        invitation: String,
    },
}

/// `tenantry invitations`.
///
/// # Errors
/// The API refuses.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    match &args.verb {
        Verb::List { tenant, over, limit } => list(session, tenant, *over, *limit).await,
        Verb::Resend { tenant, invitation, link } => {
            let request = InvitationResend { delivery: link.then(|| "link".to_owned()), acting_user: None };
            let issued = session.client.resend_invitation(tenant, invitation, &request).await?.value;
            issue(session, &issued)
        }
        Verb::Withdraw { tenant, invitation } => {
            let gone = session.client.withdraw_invitation(tenant, invitation, Expected::Any).await?.value;
            if session.output.format().is_document() {
                return session.output.document(&gone);
            }
            session.output.line(&clean(&format!("invitation {} for {} is withdrawn", gone.id, gone.email)))
        }
    }
}

async fn list(session: &Session, tenant: &str, over: bool, limit: u16) -> Result<()> {
    let (mut items, mut page_token) = (Vec::new(), None);
    loop {
        let left = usize::from(limit).saturating_sub(items.len());
        let page = PageQuery { page_size: u16::try_from(left.clamp(1, 200)).ok(), page_token };
        let query = InvitationQuery { over: over.then_some(true), page };
        let page = session.client.invitations(tenant, &query).await?;
        items.extend(page.items);
        page_token = page.next_page_token;
        if page_token.is_none() || items.len() >= usize::from(limit) {
            break;
        }
    }
    let has_more = page_token.is_some();
    if session.output.format().is_document() {
        return session.output.document(&json!({ "items": items, "hasMore": has_more }));
    }
    let now = Timestamp::now();
    let row = |found: &Invitation| {
        vec![
            found.id.clone(),
            found.email.clone(),
            found.role.clone(),
            found.status.clone(),
            age(found.sent_at, now),
            moment(found.expires_at),
        ]
    };
    let headings = ["INVITATION", "E-MAIL", "ROLE", "STATUS", "SENT", "EXPIRES"];
    session.output.table(&headings, items.iter().map(row).collect())?;
    if has_more {
        session.output.note("there are more; raise --limit");
    }
    Ok(())
}

/// Shows an invitation with what will never be shown again.
pub(super) fn issue(session: &Session, issued: &IssuedInvitation) -> Result<()> {
    let output = session.output;
    if output.format().is_document() {
        return output.document(issued);
    }
    let found = &issued.invitation;
    let told = format!("{} is invited as {}, until {}", found.email, found.role, moment(found.expires_at));
    output.line(&clean(&told))?;
    output.line(&clean(&format!("{:<14}{}", "invitation", found.id)))?;
    for (what, secret) in [("token", &issued.token), ("link", &issued.link)] {
        if let Some(secret) = secret {
            output.line(&format!("{what:<14}{}", clean(secret)))?;
        }
    }
    if issued.token.is_some() {
        output.note("deliver it now; it is not shown again");
    }
    Ok(())
}
