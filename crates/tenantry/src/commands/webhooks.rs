//! `tenantry webhooks`: endpoints that events are sent to, and what became of the deliveries.
//!
//! Long because each of thirteen verbs says here what can be typed, and how it is shown.

use jiff::Timestamp;
use serde_json::json;
use tenantry_api::client::{AttemptQuery, DeadQuery, Expected, PageQuery, WebhookQuery, WebhookSwitch};
use tenantry_api::v1::Page;
use tenantry_api::v1::webhook::{
    DeadLetter, IssuedWebhook, RedriveRequest, ReplayRequest, WebhookAttempt, WebhookChange, WebhookEndpoint,
    WebhookRequest, WebhookRotation,
};

use super::times::{age, moment};
use crate::exit::{Failure, Result};
use crate::globals::Session;
use crate::output::{Paint, clean};

/// Send events to receivers, and look at what became of it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Deliveries are signed by Standard Webhooks; the secret is shown once. Ids of endpoints begin with `whe_`.

Examples:
  tenantry webhooks create https://hooks.example.com/in --tenant acme --types 'tenant.*,plan.changed'
  tenantry webhooks test whe_01jd8x3v9mfk2t5h7q0w4z6y8c
  tenantry webhooks attempts whe_01jd8x3v9mfk2t5h7q0w4z6y8c --failed
  tenantry webhooks redrive whe_01jd8x3v9mfk2t5h7q0w4z6y8c --types 'tenant.*'
  tenantry webhooks replay whe_01jd8x3v9mfk2t5h7q0w4z6y8c --after 1200
  tenantry webhooks rotate whe_01jd8x3v9mfk2t5h7q0w4z6y8c --overlap 2d"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make an endpoint and show its secret, once
    Create(Box<Create>),
    /// List endpoints, in the order of their making
    List {
        /// Only those of this tenant
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// Most items to show
        #[arg(long, default_value_t = 200, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=10_000))]
        limit: u16,
    },
    /// Show an endpoint and its replays
    Show {
        /// Id of the endpoint
        endpoint: String,
    },
    /// Change an endpoint; what is not given stays as it is
    Update(Box<Update>),
    /// Give an endpoint another secret and show it, once; the old one signs beside it for a while
    Rotate {
        /// Id of the endpoint
        endpoint: String,
        /// How long both sign, 0s to 7d [default: 24h]
        #[arg(long, value_name = "DURATION")]
        overlap: Option<String>,
    },
    /// Send events to an endpoint again, from now on
    Enable {
        /// Id of the endpoint
        endpoint: String,
    },
    /// Send nothing to an endpoint any more; what waits becomes dead letters
    Disable {
        /// Id of the endpoint
        endpoint: String,
    },
    /// Remove an endpoint with its dead letters
    Delete {
        /// Id of the endpoint
        endpoint: String,
    },
    /// Send a test event at once and tell what came back
    Test {
        /// Id of the endpoint
        endpoint: String,
    },
    /// List attempts to deliver, the newest first
    Attempts {
        /// Id of the endpoint
        endpoint: String,
        /// Only those of this event
        #[arg(long, value_name = "EVENT")]
        event: Option<String>,
        /// Only those that failed
        #[arg(long)]
        failed: bool,
        /// Most items to show
        #[arg(long, default_value_t = 50, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=10_000))]
        limit: u16,
    },
    /// List deliveries that were given up
    Deadletters(DeadLetters),
    /// Send dead letters again: some by their events, or all that fit
    Redrive(Redrive),
    /// Send events of the past again, with the ids and bytes that they had
    Replay(Replay),
}

/// An endpoint that is wanted.
#[derive(Debug, clap::Args)]
struct Create {
    /// Where events are to be sent: https, a host on the public internet
    #[arg(value_name = "URL")]
    to: String,
    /// The tenant whose endpoint it is to be, by name or id; the environment's if absent
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Types of events, separated by commas; `tenant.*` means all of a noun; all if absent
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    types: Vec<String>,
    /// Only events of these tenants, separated by commas
    #[arg(long, value_name = "TENANT", value_delimiter = ',', conflicts_with = "tenant")]
    only: Vec<String>,
    /// Send the events of a tenant strictly one after the other
    #[arg(long)]
    fifo: bool,
    /// Most attempts a second
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: Option<u32>,
    /// Most requests at a time [default: 16]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: Option<u16>,
    /// Region in which the receiver is
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Sign by ed25519 in place of HMAC: the receiver gets a public key
    #[arg(long)]
    ed25519: bool,
}

/// What is to be changed.
#[derive(Debug, clap::Args)]
struct Update {
    /// Id of the endpoint
    endpoint: String,
    /// Another URL
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Another description; an empty one takes it away
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Other types, separated by commas
    #[arg(long, value_name = "TYPE", value_delimiter = ',', conflicts_with = "all_types")]
    types: Vec<String>,
    /// All types
    #[arg(long)]
    all_types: bool,
    /// Other tenants, separated by commas
    #[arg(long, value_name = "TENANT", value_delimiter = ',', conflicts_with = "all_tenants")]
    only: Vec<String>,
    /// All tenants
    #[arg(long)]
    all_tenants: bool,
    /// Whether in order
    #[arg(long, value_name = "BOOL")]
    fifo: Option<bool>,
    /// Most attempts a second; 0 for no bound
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    rate: Option<u32>,
    /// Most requests at a time
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: Option<u16>,
    /// Region in which the receiver is
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
}

/// Which dead letters.
#[derive(Debug, clap::Args)]
pub(super) struct DeadLetters {
    /// Id of the endpoint
    endpoint: String,
    /// Only those of this type; `tenant.*` for all of a noun
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only those that were given up for this reason: attempts, disabled or refused
    #[arg(long, value_name = "CAUSE")]
    cause: Option<String>,
    /// Most items to show
    #[arg(long, default_value_t = 50, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
}

/// Which dead letters are to be sent again.
#[derive(Debug, clap::Args)]
pub(super) struct Redrive {
    /// Id of the endpoint
    endpoint: String,
    /// These events, separated by commas
    #[arg(long, value_name = "EVENT", value_delimiter = ',')]
    events: Vec<String>,
    /// Of these types, separated by commas
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    types: Vec<String>,
    /// Given up for this reason: attempts, disabled or refused
    #[arg(long, value_name = "CAUSE")]
    cause: Option<String>,
    /// Given up from this time on
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Given up before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// All of the endpoint, when nothing else is given
    #[arg(long)]
    all: bool,
}

/// Which events are to be sent again.
#[derive(Debug, clap::Args)]
pub(super) struct Replay {
    /// Id of the endpoint
    endpoint: String,
    /// Of this tenant, by name or id
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Behind this number of the tenant
    #[arg(long, value_name = "NUMBER")]
    after: Option<i64>,
    /// From this time on
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time [default: now]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Of these types, separated by commas
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    types: Vec<String>,
}

fn some(list: &[String]) -> Option<Vec<String>> {
    (!list.is_empty()).then(|| list.to_vec())
}

/// `tenantry webhooks`.
///
/// # Errors
/// The API refuses.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let client = &session.client;
    match &args.verb {
        Verb::Create(wanted) => issue(session, &client.create_webhook(&wanted.request()).await?.value),
        Verb::List { tenant, limit } => list(session, tenant.as_deref(), *limit).await,
        Verb::Show { endpoint } => show_with_replays(session, endpoint).await,
        Verb::Update(change) => {
            let changed = client.change_webhook(&change.endpoint, Expected::Any, &change.request()).await?;
            show(session, &changed.value)
        }
        Verb::Rotate { endpoint, overlap } => {
            let rotation = WebhookRotation { overlap: overlap.clone() };
            issue(session, &client.rotate_webhook(endpoint, Expected::Any, &rotation).await?.value)
        }
        Verb::Enable { endpoint } => {
            show(session, &client.switch_webhook(endpoint, Expected::Any, WebhookSwitch::Enable).await?.value)
        }
        Verb::Disable { endpoint } => {
            show(session, &client.switch_webhook(endpoint, Expected::Any, WebhookSwitch::Disable).await?.value)
        }
        Verb::Delete { endpoint } => {
            let gone = client.delete_webhook(endpoint, Expected::Any).await?.value;
            if session.output.format().is_document() {
                return session.output.document(&gone);
            }
            session.output.line(&clean(&format!("webhook endpoint {} is removed", gone.id)))
        }
        Verb::Test { endpoint } => tested(session, &client.test_webhook(endpoint).await?),
        Verb::Attempts { endpoint, event, failed, limit } => {
            attempts(session, endpoint, event.as_deref(), *failed, *limit).await
        }
        Verb::Deadletters(wanted) => wanted.run(session).await,
        Verb::Redrive(wanted) => wanted.run(session).await,
        Verb::Replay(wanted) => wanted.run(session).await,
    }
}

impl Create {
    fn request(&self) -> WebhookRequest {
        WebhookRequest {
            url: self.to.clone(),
            tenant: self.tenant.clone(),
            description: self.description.clone(),
            types: some(&self.types),
            only: some(&self.only),
            fifo: self.fifo.then_some(true),
            rate: self.rate,
            concurrency: self.concurrency,
            region: self.region.clone(),
            scheme: self.ed25519.then(|| "ed25519".to_owned()),
        }
    }
}

impl Update {
    fn request(&self) -> WebhookChange {
        WebhookChange {
            url: self.to.clone(),
            description: self.description.clone(),
            types: if self.all_types { Some(Vec::new()) } else { some(&self.types) },
            only: if self.all_tenants { Some(Vec::new()) } else { some(&self.only) },
            fifo: self.fifo,
            rate: self.rate,
            concurrency: self.concurrency,
            region: self.region.clone(),
        }
    }
}

/// All items up to a limit, page by page; says whether there are more.
async fn gather<T, F>(limit: u16, mut page: impl FnMut(PageQuery) -> F) -> Result<(Vec<T>, bool)>
where
    F: Future<Output = Result<Page<T>>>,
{
    let (mut items, mut page_token) = (Vec::new(), None);
    loop {
        let left = usize::from(limit).saturating_sub(items.len());
        let page_size = u16::try_from(left.clamp(1, 200)).ok();
        let found = page(PageQuery { page_size, page_token }).await?;
        items.extend(found.items);
        page_token = found.next_page_token;
        if page_token.is_none() || items.len() >= usize::from(limit) {
            return Ok((items, page_token.is_some()));
        }
    }
}

/// A table or a document of gathered items.
fn tell<T: serde::Serialize>(
    session: &Session,
    headings: &[&str],
    (items, has_more): (Vec<T>, bool),
    row: impl Fn(&T) -> Vec<String>,
) -> Result<()> {
    if session.output.format().is_document() {
        return session.output.document(&json!({ "items": items, "hasMore": has_more }));
    }
    session.output.table(headings, items.iter().map(row).collect())?;
    if has_more {
        session.output.note("there are more; raise --limit");
    }
    Ok(())
}

async fn list(session: &Session, tenant: Option<&str>, limit: u16) -> Result<()> {
    let query = |page| WebhookQuery { tenant: tenant.map(ToOwned::to_owned), page };
    let found = gather(limit, |page| async { Ok(session.client.webhooks(&query(page)).await?) }).await?;
    let now = Timestamp::now();
    tell(session, &["ENDPOINT", "OF", "STATUS", "TYPES", "LAST DELIVERY", "URL"], found, |one: &WebhookEndpoint| {
        vec![
            one.id.clone(),
            one.slug.clone().or_else(|| one.tenant.clone()).unwrap_or_else(|| "environment".to_owned()),
            status(one),
            if one.types.is_empty() { "all".to_owned() } else { one.types.join(",") },
            one.delivered_at.map_or_else(|| "never".to_owned(), |at| age(at, now)),
            one.url.clone(),
        ]
    })
}

fn status(endpoint: &WebhookEndpoint) -> String {
    match (&endpoint.disabled_reason, endpoint.failing_since) {
        (Some(why), _) => format!("disabled ({why})"),
        (None, Some(_)) => "failing".to_owned(),
        (None, None) => endpoint.status.clone(),
    }
}

async fn attempts(session: &Session, id: &str, event: Option<&str>, failed: bool, limit: u16) -> Result<()> {
    let query = |page| AttemptQuery { event: event.map(ToOwned::to_owned), failed: failed.then_some(true), page };
    let found = gather(limit, |page| async { Ok(session.client.webhook_attempts(id, &query(page)).await?) }).await?;
    tell(session, &["TIME", "EVENT", "TYPE", "ATTEMPT", "OUTCOME", "ANSWER", "TOOK"], found, |one: &WebhookAttempt| {
        vec![
            moment(one.at),
            one.event.clone(),
            one.kind.clone(),
            one.attempt.to_string(),
            one.outcome.clone(),
            answered(one.status, one.fault.as_deref()),
            format!("{} ms", one.took_ms),
        ]
    })
}

fn answered(status: Option<u16>, fault: Option<&str>) -> String {
    status.map(|status| status.to_string()).or_else(|| fault.map(ToOwned::to_owned)).unwrap_or_default()
}

impl DeadLetters {
    pub(super) async fn run(&self, session: &Session) -> Result<()> {
        let query = |page| DeadQuery { kind: self.kind.clone(), cause: self.cause.clone(), page };
        let client = &session.client;
        let page = |page| async { Ok(client.webhook_dead_letters(&self.endpoint, &query(page)).await?) };
        let found = gather(self.limit, page).await?;
        tell(
            session,
            &["EVENT", "TYPE", "TENANT", "NUMBER", "ATTEMPTS", "CAUSE", "ANSWER", "GIVEN UP"],
            found,
            |one: &DeadLetter| {
                vec![
                    one.event.clone(),
                    one.kind.clone(),
                    one.tenant.clone().unwrap_or_default(),
                    one.sequence.to_string(),
                    one.attempts.to_string(),
                    one.cause.clone(),
                    answered(one.status, one.fault.as_deref()),
                    moment(one.died_at),
                ]
            },
        )
    }
}

impl Redrive {
    pub(super) async fn run(&self, session: &Session) -> Result<()> {
        let request = RedriveRequest {
            events: some(&self.events),
            types: some(&self.types),
            cause: self.cause.clone(),
            since: self.since.clone(),
            until: self.until.clone(),
        };
        if request == RedriveRequest::default() && !self.all {
            return Err(Failure::usage("Nothing says which dead letters are to be sent again")
                .hint("Give --events, --types, --cause, --since or --until, or --all for all of the endpoint."));
        }
        let (mut count, mut has_more) = (0, true);
        while has_more {
            let part = session.client.redrive_webhook(&self.endpoint, &request).await?;
            (count, has_more) = (count + part.count, part.has_more);
        }
        if session.output.format().is_document() {
            return session.output.document(&json!({ "count": count }));
        }
        session.output.line(&format!("{count} dead letters are sent again"))
    }
}

impl Replay {
    pub(super) async fn run(&self, session: &Session) -> Result<()> {
        let request = ReplayRequest {
            tenant: self.tenant.clone(),
            after: self.after,
            since: self.since.clone(),
            until: self.until.clone(),
            types: some(&self.types),
        };
        let begun = session.client.replay_webhook(&self.endpoint, &request).await?;
        if session.output.format().is_document() {
            return session.output.document(&begun);
        }
        session.output.line(&format!("replay {} is under way; `tenantry webhooks show` tells how far it is", begun.id))
    }
}

fn tested(session: &Session, attempt: &WebhookAttempt) -> Result<()> {
    if session.output.format().is_document() {
        return session.output.document(attempt);
    }
    let answer = answered(attempt.status, attempt.fault.as_deref());
    session.output.line(&clean(&format!("{}: {answer} after {} ms", attempt.outcome, attempt.took_ms)))?;
    if let Some(text) = &attempt.answer {
        session.output.line(&clean(text))?;
    }
    if attempt.outcome == "delivered" {
        return Ok(());
    }
    session.output.note("the receiver did not take it; only an answer of 200 to 299 within 15 s counts");
    Ok(())
}

async fn show_with_replays(session: &Session, id: &str) -> Result<()> {
    let endpoint = session.client.webhook(id).await?.value;
    show(session, &endpoint)?;
    if session.output.format().is_document() {
        return Ok(());
    }
    for replay in session.client.webhook_replays(id).await?.items {
        let state = if replay.ended_at.is_some() { "through" } else { "under way" };
        let count = replay.queued.unwrap_or(0);
        session.output.line(&clean(&format!("{:<14}{} {state}, {count} events", "replay", replay.id)))?;
    }
    Ok(())
}

fn show(session: &Session, endpoint: &WebhookEndpoint) -> Result<()> {
    let output = session.output;
    if output.format().is_document() {
        return output.document(endpoint);
    }
    let time = |at: Option<Timestamp>| at.map(moment);
    let rows = [
        ("endpoint", Some(endpoint.id.clone())),
        ("url", Some(endpoint.url.clone())),
        ("of", endpoint.slug.clone().or_else(|| endpoint.tenant.clone()).or_else(|| Some("environment".to_owned()))),
        ("status", Some(status(endpoint))),
        ("description", endpoint.description.clone()),
        ("types", Some(endpoint.types.join(", ")).filter(|types| !types.is_empty()).or_else(|| Some("all".to_owned()))),
        ("only", endpoint.only.as_ref().map(|only| only.join(", "))),
        ("in order", endpoint.fifo.then(|| "yes".to_owned())),
        ("rate", endpoint.rate.map(|rate| format!("{rate} a second"))),
        ("concurrency", Some(endpoint.concurrency.to_string())),
        ("region", endpoint.region.clone()),
        ("signed by", Some(endpoint.scheme.clone())),
        ("public key", endpoint.public_key.clone()),
        ("old secret", endpoint.old_secret_until.map(|at| format!("signs until {}", moment(at)))),
        ("failing", time(endpoint.failing_since).map(|at| format!("since {at}"))),
        ("delivered", time(endpoint.delivered_at)),
        ("created", Some(format!("{} by {}", moment(endpoint.created_at), endpoint.created_by))),
    ];
    for (what, text) in rows {
        if let Some(text) = text {
            output.line(&format!("{what:<14}{}", clean(&text)))?;
        }
    }
    Ok(())
}

/// Shows an endpoint with what will never be shown again.
fn issue(session: &Session, issued: &IssuedWebhook) -> Result<()> {
    let output = session.output;
    if output.format().is_document() {
        return output.document(issued);
    }
    show(session, &issued.endpoint)?;
    match &issued.secret {
        Some(secret) => {
            output.line(&format!("{:<14}{}", "secret", clean(secret)))?;
            output.note("keep the secret now; it is not shown again");
        }
        None if issued.endpoint.public_key.is_some() => {}
        None => output.note(&output.paint(
            Paint::Warn,
            "the answer with the secret was lost; make another one: tenantry webhooks rotate, with --overlap 0s",
        )),
    }
    Ok(())
}
