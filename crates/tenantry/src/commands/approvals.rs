//! `tenantry approvals`: somebody's word that somebody else may do what a rule holds up; and how policy stands.

use jiff::Timestamp;
use serde_json::json;
use tenantry_api::client::{ApprovalQuery, PageQuery};
use tenantry_api::v1::approval::{Approval, ApprovalRequest};

use super::times::{age, moment};
use crate::exit::Result;
use crate::globals::Session;
use crate::output::clean;

/// Approve what a rule asks a second person for
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A rule such as `four-eyes` refuses an action until somebody else approves it. An approval is for one action
of one principal, on the tenant as it is now, once. Whoever gives it has another person's token. `tenantry whoami` shows a
principal; the refusal names the rule.

Examples:
  tenantry approvals give tenant.delete acme --holder operator:tok_01jd8x3v9mfk2t5h7q0w4z6y8c --reason \"Contract ended, SUP-815\"
  tenantry approvals list --current
  tenantry approvals withdraw apv_01jd8x3v9mfk2t5h7q0w4z6y8c"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Let somebody else do one thing, once
    Give {
        /// What may be done, `tenant.delete`
        action: String,
        /// The tenant that it may be done to; left out for the environment
        tenant: Option<String>,
        /// The version of the tenant that you looked at; refused if it has another one by now
        #[arg(long, value_name = "NUMBER", requires = "tenant")]
        tenant_version: Option<i64>,
        /// Who may do it: a principal by kind and id
        #[arg(long, value_name = "PRINCIPAL")]
        holder: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// For how long, up to a day [default: 1h]
        #[arg(long, value_name = "DURATION")]
        expires_in: Option<String>,
    },
    /// List approvals, the newest first
    List {
        /// Only those about this tenant
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// Only those that can be used
        #[arg(long)]
        current: bool,
    },
    /// Show an approval
    Show {
        /// The approval, apv_…
        id: String,
    },
    /// Take an approval back
    Withdraw {
        /// The approval, apv_…
        id: String,
    },
}

/// `tenantry approvals`.
///
/// # Errors
/// The API refuses.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let client = &session.client;
    let answered = match &args.verb {
        Verb::Give { action, tenant, tenant_version, holder, reason, expires_in } => {
            let wish = ApprovalRequest {
                action: action.clone(),
                tenant: tenant.clone(),
                tenant_version: *tenant_version,
                holder: holder.clone(),
                reason: reason.clone(),
                expires_in: expires_in.clone(),
            };
            client.approve(&wish).await?
        }
        Verb::Show { id } => client.approval(id).await?,
        Verb::Withdraw { id } => client.withdraw_approval(id).await?,
        Verb::List { tenant, current } => return list(session, tenant.as_deref(), *current).await,
    };
    show(session, &answered)
}

async fn list(session: &Session, tenant: Option<&str>, current: bool) -> Result<()> {
    let query = ApprovalQuery {
        tenant: tenant.map(ToOwned::to_owned),
        current: current.then_some(true),
        page: PageQuery { page_size: Some(200), page_token: None },
    };
    let page = session.client.approvals(&query).await?;
    if session.output.format().is_document() {
        return session.output.document(&json!({ "items": page.items, "hasMore": page.next_page_token.is_some() }));
    }
    let now = Timestamp::now();
    let row = |one: &Approval| {
        vec![
            one.id.clone(),
            one.status.clone(),
            one.action.clone(),
            one.tenant.clone().unwrap_or_default(),
            one.holder.clone(),
            one.person.clone(),
            age(one.given_at, now),
            one.reason.chars().take(40).collect(),
        ]
    };
    let headings = ["APPROVAL", "STATUS", "ACTION", "TENANT", "HOLDER", "GIVEN BY", "AGE", "REASON"];
    session.output.table(&headings, page.items.iter().map(row).collect())?;
    if page.next_page_token.is_some() {
        session.output.note("there are more; name a tenant, or ask for the current ones by --current");
    }
    Ok(())
}

fn show(session: &Session, one: &Approval) -> Result<()> {
    let output = session.output;
    if output.format().is_document() {
        return output.document(one);
    }
    let about =
        one.tenant.as_ref().zip(one.tenant_version).map(|(tenant, version)| format!("{tenant}, version {version}"));
    let rows = [
        ("approval", Some(one.id.clone())),
        ("status", Some(one.status.clone())),
        ("action", Some(one.action.clone())),
        ("tenant", about),
        ("holder", Some(one.holder.clone())),
        ("given by", Some(format!("{} ({})", one.person, one.given_by))),
        ("reason", Some(one.reason.clone())),
        ("expires", Some(moment(one.expires_at))),
        ("used", one.used_at.map(moment)),
    ];
    for (what, text) in rows {
        if let Some(text) = text {
            output.line(&format!("{what:<12}{}", clean(&text)))?;
        }
    }
    Ok(())
}

/// `tenantry policy status`.
///
/// # Errors
/// The API refuses.
pub async fn status(session: &Session) -> Result<()> {
    let output = session.output;
    let policy = session.client.policy().await?;
    if output.format().is_document() {
        return output.document(&policy);
    }
    let why = policy.chosen_reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    let chosen = policy.chosen_by.zip(policy.chosen_at).map(|(by, at)| format!("by {by}, {}{why}", moment(at)));
    let rows = [
        ("decider", Some(policy.decider)),
        ("active", policy.active.map(|name| format!("{name}, {} rules", policy.rules))),
        ("chosen", chosen),
        ("shadow", policy.shadow.map(|name| format!("{name}, {} answers differ", policy.shadow_different))),
        ("allowed", Some(format!("{}, {} of them by approval", policy.allowed, policy.approved))),
        ("refused", Some(policy.refused.to_string())),
        ("undecided", Some(policy.unavailable.to_string())),
    ];
    for (what, text) in rows {
        if let Some(text) = text {
            output.line(&format!("{what:<12}{}", clean(&text)))?;
        }
    }
    for one in policy.differences {
        let (now, then) = (one.active_rules.join(", "), one.shadow_rules.join(", "));
        let verdict = if one.was_allowed { "allowed" } else { "refused" };
        output.line(&clean(&format!("  {} by {}: {verdict} by {now}; tried: {then}", one.action, one.principal)))?;
    }
    Ok(())
}
