//! `tenantry tokens`: who may do what with the API.

use jiff::Timestamp;
use serde_json::json;
use tenantry_api::client::{Expected, PageQuery, TokenQuery};
use tenantry_api::v1::token::{IssuedToken, Token, TokenRequest, TokenRotation};

use super::times::{age, moment};
use crate::exit::Result;
use crate::globals::Session;
use crate::output::clean;

/// Make, rotate and revoke tokens of the API
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A token is a person's or a machine's; with --tenant it is that customer's API key. It may do at most
what its maker may. Its text is shown once. docs/rights.md has the roles and what they allow.

Examples:
  tenantry tokens create \"deploy pipeline\" --role deployer
  tenantry tokens create olga --kind operator --person olga@example.com --role support --expires-in 30d
  tenantry tokens create \"acme's machine\" --role tenant --tenant acme --scope tenant.read
  tenantry tokens rotate tok_01jd8x3v9mfk2t5h7q0w4z6y8c --grace 1h
  tenantry tokens revoke tok_01jd8x3v9mfk2t5h7q0w4z6y8c"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a token and show its text, once
    Create(Box<Create>),
    /// List tokens of the environment
    List {
        /// Only those of this tenant
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// Revoked ones, too
        #[arg(long)]
        revoked: bool,
    },
    /// Show a token
    Show {
        /// Its public part, tok_…
        id: String,
    },
    /// Give a token another secret and show it, once; the old one stays good for a while
    Rotate {
        /// Its public part, tok_…
        id: String,
        /// How long the old secret stays good, 0s to 7d [default: 24h]
        #[arg(long, value_name = "DURATION")]
        grace: Option<String>,
        /// How long the token lives from now on [default: as long as at first]
        #[arg(long, value_name = "DURATION")]
        expires_in: Option<String>,
    },
    /// Take a token back; it is refused from the next call on
    Revoke {
        /// Its public part, tok_…
        id: String,
    },
}

/// A token that is wanted.
#[derive(Debug, clap::Args)]
struct Create {
    /// What it is for
    name: String,
    /// What it is to be: admin, operator, support, auditor, finance, deployer, application, proxy, monitor, tenant
    #[arg(long = "role", value_name = "ROLE", required = true)]
    roles: Vec<String>,
    /// Only these actions of its roles: tenant.read, tenant.*, *.read
    #[arg(long = "scope", value_name = "PATTERN")]
    scopes: Vec<String>,
    /// Only this tenant, by name or id
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// A machine (service) or a person (operator)
    #[arg(long, value_name = "KIND", default_value = "service", value_parser = ["service", "operator"])]
    kind: String,
    /// Who uses it; needed for a person's
    #[arg(long, value_name = "WHO")]
    person: Option<String>,
    /// How long it lives, up to 366d [default: 90d]
    #[arg(long, value_name = "DURATION")]
    expires_in: Option<String>,
}

/// `tenantry tokens`.
///
/// # Errors
/// The API refuses.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    match &args.verb {
        Verb::Create(create) => {
            let request = TokenRequest {
                name: create.name.clone(),
                kind: Some(create.kind.clone()),
                roles: create.roles.clone(),
                scopes: (!create.scopes.is_empty()).then(|| create.scopes.clone()),
                tenant: create.tenant.clone(),
                person: create.person.clone(),
                expires_in: create.expires_in.clone(),
            };
            issue(session, &session.client.create_token(&request).await?.value)
        }
        Verb::List { tenant, revoked } => list(session, tenant.as_deref(), *revoked).await,
        Verb::Show { id } => show(session, &session.client.token(id).await?.value),
        Verb::Rotate { id, grace, expires_in } => {
            let rotation = TokenRotation { grace: grace.clone(), expires_in: expires_in.clone() };
            issue(session, &session.client.rotate_token(id, Expected::Any, &rotation).await?.value)
        }
        Verb::Revoke { id } => {
            let revoked = session.client.revoke_token(id, Expected::Any).await?.value;
            if session.output.format().is_document() {
                return session.output.document(&revoked);
            }
            session.output.line(&clean(&format!("token {} ({}) is revoked", revoked.id, revoked.name)))
        }
    }
}

async fn list(session: &Session, tenant: Option<&str>, revoked: bool) -> Result<()> {
    let (mut items, mut page_token) = (Vec::new(), None);
    loop {
        let query = TokenQuery {
            tenant: tenant.map(ToOwned::to_owned),
            revoked: revoked.then_some(true),
            page: PageQuery { page_size: Some(200), page_token },
        };
        let page = session.client.tokens(&query).await?;
        items.extend(page.items);
        page_token = page.next_page_token;
        if page_token.is_none() {
            break;
        }
    }
    if session.output.format().is_document() {
        return session.output.document(&json!({ "items": items }));
    }
    let now = Timestamp::now();
    let row = |token: &Token| {
        vec![
            token.id.clone(),
            token.name.clone(),
            token.roles.join(", "),
            reach(token),
            token.last_used_at.map_or_else(|| "never".to_owned(), |at| age(at, now)),
            standing(token, now),
        ]
    };
    let headings = ["TOKEN", "NAME", "ROLES", "REACHES", "LAST USED", "ENDS"];
    session.output.table(&headings, items.iter().map(row).collect())
}

fn reach(token: &Token) -> String {
    let scopes = token.scopes.as_ref().map(|scopes| format!(" ({})", scopes.join(", "))).unwrap_or_default();
    format!("{}{scopes}", token.tenant.as_deref().unwrap_or("all tenants"))
}

fn standing(token: &Token, now: Timestamp) -> String {
    match (token.revoked_at, token.expires_at) {
        (Some(at), _) => format!("revoked {}", moment(at)),
        (None, Some(at)) if at <= now => format!("expired {}", moment(at)),
        (None, Some(at)) => moment(at),
        (None, None) => "never".to_owned(),
    }
}

fn show(session: &Session, token: &Token) -> Result<()> {
    let output = session.output;
    if output.format().is_document() {
        return output.document(token);
    }
    let time = |at: Option<Timestamp>| at.map(moment);
    let rows = [
        ("token", Some(token.id.clone())),
        ("name", Some(token.name.clone())),
        ("kind", Some(token.kind.clone())),
        ("person", token.person.clone()),
        ("roles", Some(token.roles.join(", "))),
        ("reaches", Some(reach(token))),
        ("created", Some(format!("{} by {}", moment(token.created_at), token.created_by))),
        ("rotated", time(token.rotated_at)),
        ("old secret", token.old_until.map(|at| format!("good until {}", moment(at)))),
        ("last used", time(token.last_used_at)),
        ("ends", Some(standing(token, Timestamp::now()))),
    ];
    for (what, text) in rows {
        if let Some(text) = text {
            output.line(&format!("{what:<12}{}", clean(&text)))?;
        }
    }
    Ok(())
}

/// Shows a token with what will never be shown again.
fn issue(session: &Session, issued: &IssuedToken) -> Result<()> {
    let output = session.output;
    if output.format().is_document() {
        return output.document(issued);
    }
    show(session, &issued.token)?;
    match &issued.text {
        Some(text) => {
            output.line(&format!("{:<12}{}", "text", clean(text)))?;
            output.note("keep the text: it is not shown again");
        }
        None => output.note("the text was shown when it was made; `tenantry tokens rotate` makes another secret"),
    }
    Ok(())
}
