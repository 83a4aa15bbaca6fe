//! `tenantry access`: emergency access to a tenant's data.

use jiff::Timestamp;
use serde_json::json;
use tenantry_api::client::{AccessQuery, AccessVerb, PageQuery};
use tenantry_api::v1::access::{AccessRequest, AccessReview, AccessWish};

use super::times::{age, moment};
use crate::exit::Result;
use crate::globals::Session;
use crate::output::clean;

/// Ask for emergency access to a tenant's data, agree to it, use it, end it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "One person asks, another agrees; it is over by itself after an hour at the latest. The tenant is told of
every step. Tokens have to name their persons: tenantry tokens create --kind operator --person WHO.

Examples:
  tenantry access request acme --reason \"Invoice 4711 shows a wrong total\" --ticket SUP-815 --minutes 30
  tenantry access approve bg_01jd8x3v9mfk2t5h7q0w4z6y8c
  psql \"$(tenantry access open bg_01jd8x3v9mfk2t5h7q0w4z6y8c -o json | jq -r .url)\""
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Ask for access
    Request {
        /// The tenant, by name or id
        tenant: String,
        /// Why; the tenant reads it
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Where that is discussed
        #[arg(long, value_name = "TICKET")]
        ticket: Option<String>,
        /// For how long, 1 to 60
        #[arg(long, value_name = "COUNT", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=60))]
        minutes: u32,
        /// To write, too
        #[arg(long)]
        write: bool,
    },
    /// Agree to somebody else's request
    Approve {
        /// The request, bg_…
        id: String,
    },
    /// Say no to a request
    Refuse {
        /// The request, bg_…
        id: String,
    },
    /// Get the login of a request of one's own that was agreed to; its password is shown once
    Open {
        /// The request, bg_…
        id: String,
    },
    /// End access before its time
    End {
        /// The request, bg_…
        id: String,
    },
    /// Say what was found when looking back at somebody else's access
    Review {
        /// The request, bg_…
        id: String,
        /// What was found
        #[arg(long, value_name = "TEXT")]
        review: String,
    },
    /// List requests, the newest first
    List {
        /// Only those about this tenant
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// Only those that wait or hold
        #[arg(long)]
        current: bool,
    },
    /// Show a request
    Show {
        /// The request, bg_…
        id: String,
    },
}

/// `tenantry access`.
///
/// # Errors
/// The API refuses.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let client = &session.client;
    let answered = match &args.verb {
        Verb::Request { tenant, reason, ticket, minutes, write } => {
            let access = if *write { "read-write" } else { "read-only" };
            let wish = AccessWish {
                reason: reason.clone(),
                ticket: ticket.clone(),
                access: Some(access.to_owned()),
                minutes: Some(*minutes),
            };
            client.request_access(tenant, &wish).await?
        }
        Verb::Approve { id } => client.answer_access(id, AccessVerb::Approve).await?,
        Verb::Refuse { id } => client.answer_access(id, AccessVerb::Refuse).await?,
        Verb::End { id } => client.answer_access(id, AccessVerb::End).await?,
        Verb::Review { id, review } => client.review_access(id, &AccessReview { review: review.clone() }).await?,
        Verb::Show { id } => client.access_request(id).await?,
        Verb::List { tenant, current } => return list(session, tenant.as_deref(), *current).await,
        Verb::Open { id } => return open(session, id).await,
    };
    show(session, &answered)
}

async fn open(session: &Session, id: &str) -> Result<()> {
    let output = session.output;
    let opened = session.client.open_access(id).await?;
    if output.format().is_document() {
        return output.document(&opened);
    }
    show(session, &opened.request)?;
    for (what, text) in [("password", &opened.password), ("url", &opened.url)] {
        if let Some(text) = text {
            output.line(&format!("{what:<12}{}", clean(text)))?;
        }
    }
    output.note("keep the password: it is not shown again");
    Ok(())
}

async fn list(session: &Session, tenant: Option<&str>, current: bool) -> Result<()> {
    let query = AccessQuery {
        tenant: tenant.map(ToOwned::to_owned),
        current: current.then_some(true),
        page: PageQuery { page_size: Some(200), page_token: None },
    };
    let page = session.client.access_requests(&query).await?;
    if session.output.format().is_document() {
        return session.output.document(&json!({ "items": page.items, "hasMore": page.next_page_token.is_some() }));
    }
    let now = Timestamp::now();
    let row = |one: &AccessRequest| {
        let review = if one.is_review_overdue { " (review overdue)" } else { "" };
        vec![
            one.id.clone(),
            one.tenant.clone(),
            format!("{}{review}", one.status),
            one.person.clone(),
            one.approver.clone().unwrap_or_default(),
            format!("{} min {}", one.minutes, one.access),
            age(one.requested_at, now),
            one.reason.chars().take(40).collect(),
        ]
    };
    let headings = ["REQUEST", "TENANT", "STATUS", "PERSON", "APPROVER", "FOR", "AGE", "REASON"];
    session.output.table(&headings, page.items.iter().map(row).collect())?;
    if page.next_page_token.is_some() {
        session.output.note("there are more; name a tenant, or ask for the current ones by --current");
    }
    Ok(())
}

fn show(session: &Session, one: &AccessRequest) -> Result<()> {
    let output = session.output;
    if output.format().is_document() {
        return output.document(one);
    }
    let time = |at: Option<Timestamp>| at.map(moment);
    let rows = [
        ("request", Some(one.id.clone())),
        ("tenant", Some(one.tenant.clone())),
        ("status", Some(one.status.clone())),
        ("person", Some(format!("{} ({})", one.person, one.requested_by))),
        ("reason", Some(one.reason.clone())),
        ("ticket", one.ticket.clone()),
        ("for", Some(format!("{} minutes, {}", one.minutes, one.access))),
        ("approver", one.approver.clone()),
        ("ends", time(one.ends_at)),
        ("ended", time(one.ended_at)),
        ("login", one.login.clone()),
        ("review", one.review.clone()),
        ("reviewer", one.reviewer.clone()),
    ];
    for (what, text) in rows {
        if let Some(text) = text {
            output.line(&format!("{what:<12}{}", clean(&text)))?;
        }
    }
    Ok(())
}
