//! `tenantry describe`: everything about one object, for people.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tenantry_api::ClientError;
use tenantry_api::client::{Answer, EventQuery, PageQuery};
use tenantry_api::v1::Page;
use tenantry_api::v1::entitlement::Entitlement;
use tenantry_api::v1::event::{Drift, Event};
use tenantry_api::v1::placement::PlacementView;
use tenantry_api::v1::tenant::{Contact, Tenant};

use super::changes::shown;
use super::kind::Declared;
use super::times::moment;
use crate::exit::Result;
use crate::globals::Session;
use crate::output::clean;

/// Events shown at the end.
const EVENTS: usize = 10;

/// Events asked for at once, the most that the API gives; documents hold so many.
const PAGE: u16 = 200;

/// Most questions for where a tenant's events end. A million of them takes about thirty.
const LOOKS: usize = 64;

/// Show everything about one object
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tenantry describe tenant acme
  tenantry describe plan standard")]
pub struct Args {
    /// What it is
    #[arg(value_enum)]
    kind: Declared,
    /// Its name; for tenants also the id
    #[arg(value_name = "NAME")]
    name: String,
}

/// Describes.
///
/// # Errors
/// There is no such object.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let Some(kind) = args.kind.catalog() else { return tenant(&args.name, session).await };
    let object = session.client.object(kind, &args.name).await?.value;
    if session.output.format().is_document() {
        return session.output.document(&object);
    }
    let mut text = Text::default();
    text.field("Name", &object.metadata.name);
    text.field("Kind", &object.kind);
    text.field("Version", &object.status.version.to_string());
    text.field("Created", &moment(object.status.created_at));
    text.field("Updated", &moment(object.status.updated_at));
    text.section("Spec");
    text.value(&without_texts(object.spec), 1);
    session.output.line(&text.finish())
}

/// A migration's SQL is for editors.
fn without_texts(mut spec: Value) -> Value {
    if let Some(files) = spec.pointer_mut("/migrations/files").and_then(Value::as_array_mut) {
        for file in files {
            *file = file.get("name").cloned().unwrap_or_default();
        }
    }
    spec
}

async fn tenant(name: &str, session: &Session) -> Result<()> {
    let client = &session.client;
    let Answer { value: tenant, .. } = client.tenant(name).await?;
    let id = tenant.status.id.clone();
    let newest = PageQuery { page_size: Some(1), page_token: None };
    let (placement, entitlements, drift, events, operations) = tokio::join!(
        client.tenant_placement(&id),
        client.tenant_entitlements(&id),
        client.tenant_drift(&id),
        latest(|after| {
            let (id, query) = (&id, EventQuery { after, page_size: Some(PAGE) });
            async move { client.tenant_events(id, &query).await }
        }),
        client.tenant_operations(&id, &newest),
    );
    // A draft has no place, and a cell may be away: what cannot be told is left out, the rest is still of use.
    let (placement, entitlements) = (placement.ok(), entitlements.ok());
    let events = events.unwrap_or_default();
    if session.output.format().is_document() {
        return session.output.document(&json!({
            "tenant": tenant, "placement": placement, "entitlements": entitlements,
            "drift": drift.ok(), "events": events,
        }));
    }
    let mut text = Text::default();
    facts(&mut text, &tenant);
    let operation = operations.ok().and_then(|page| page.items.into_iter().next());
    if let Some(operation) = operation.filter(|operation| !operation.has_ended()) {
        let cause = operation.workflows.iter().filter(|workflow| workflow.slug == tenant.metadata.name);
        let cause = cause.filter_map(|workflow| workflow.cause.as_ref()).next();
        let cause = cause.map(|cause| format!(": {}", cause.message)).unwrap_or_default();
        text.field("Operation", &format!("{} is {}{cause}", operation.id, operation.status));
    }
    if let Some(view) = &placement {
        place(&mut text, view);
    }
    if let Some(entitlements) = &entitlements {
        text.section("Entitlements");
        if let Some(version) = entitlements.plan_version {
            text.entry("plan", &format!("{} version {version}", entitlements.plan));
        }
        text.entry("isolation", &entitled(&entitlements.isolation));
        for group in [&entitlements.quotas, &entitlements.rate_limits, &entitlements.features] {
            for (name, entitlement) in group {
                text.entry(name, &entitled(entitlement));
            }
        }
    }
    conditions(&mut text, &tenant);
    findings(&mut text, drift.as_ref().ok());
    history(&mut text, &events);
    session.output.line(&text.finish())
}

/// The newest events, in order. The API gives them behind a number and does not say which is the last one: it is looked for
/// in steps that double, then by halves. `ask` gives the page behind a number.
async fn latest<F>(ask: impl Fn(i64) -> F) -> Result<Vec<Event>, ClientError>
where
    F: Future<Output = Result<Page<Event>, ClientError>>,
{
    let first = ask(0).await?;
    let mut last = match first.items.last() {
        Some(event) if first.next_page_token.is_some() => event.sequence,
        _ => return Ok(first.items),
    };
    let mut beyond: Option<i64> = None;
    let mut step = i64::from(PAGE);
    for _ in 0..LOOKS {
        let behind = match beyond {
            None => last.saturating_add(step),
            Some(beyond) if beyond <= last => break,
            Some(beyond) => last + (beyond - last) / 2,
        };
        let page = ask(behind).await?;
        match page.items.last() {
            None => beyond = Some(behind),
            Some(event) => {
                last = last.max(event.sequence);
                step = step.saturating_mul(2);
                if page.next_page_token.is_none() {
                    break;
                }
            }
        }
    }
    Ok(ask((last - i64::from(PAGE)).max(0)).await?.items)
}

fn facts(text: &mut Text, tenant: &Tenant) {
    let (spec, status) = (&tenant.spec, &tenant.status);
    text.field("Name", &tenant.metadata.name);
    text.field("Id", &status.id);
    text.field("Display name", &spec.display_name);
    text.field("State", &status.state);
    if status.requested_state != status.state {
        text.field("Wanted", &status.requested_state);
    }
    text.field("Version", &format!("{} (in effect: {})", status.version, status.observed_version));
    text.field("App", &spec.app);
    text.field("Plan", &spec.plan);
    text.field("Regions", &spec.residency.allowed_regions.join(", "));
    text.field("Created", &format!("{} by {}", moment(status.created_at), status.created_by.as_deref().unwrap_or("-")));
    text.field("Updated", &moment(status.updated_at));
    if let Some(failure) = &status.failure {
        text.field("Failure", &format!("{} {}", failure.code, failure.message));
    }
    if let Some(deletion) = &status.deletion {
        text.field("Deletion", &format!("not before {} ({})", moment(deletion.not_before), deletion.reason));
    }
    if let Some(purge) = status.purge_after {
        text.field("Kept until", &moment(purge));
    }
    pairs(text, "Labels", &tenant.metadata.labels);
    pairs(text, "External ids", &spec.external_ids);
    for (title, list) in [("Domains", &spec.domains), ("Aliases", &spec.aliases)] {
        if !list.is_empty() {
            text.field(title, &list.join(", "));
        }
    }
    let contacts = &spec.contacts;
    for (title, people) in
        [("Technical", &contacts.technical), ("Billing", &contacts.billing), ("Incident", &contacts.incident)]
    {
        for Contact { name, email, .. } in people {
            text.field(title, &format!("{name} <{email}>"));
        }
    }
    if !spec.settings.is_empty() {
        text.section("Settings");
        text.value(&Value::Object(spec.settings.clone()), 1);
    }
}

fn pairs(text: &mut Text, title: &str, pairs: &BTreeMap<String, String>) {
    if !pairs.is_empty() {
        let shown: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        text.field(title, &shown.join(", "));
    }
}

fn place(text: &mut Text, view: &PlacementView) {
    let Some(placement) = &view.placement else { return };
    text.section("Placement");
    text.entry("cell", &format!("{} in {}", placement.cell, placement.region));
    text.entry("isolation", &placement.isolation);
    text.entry("generation", &placement.generation.to_string());
    if let Some(route) = &view.route {
        text.entry("server", &format!("{}:{}", route.host, route.port));
        text.entry("database", &route.database);
        text.entry("schema", &route.schema);
        text.entry("role", &route.role);
    }
}

fn entitled(entitlement: &Entitlement) -> String {
    let until = entitlement.until.map(|until| format!(" until {}", moment(until))).unwrap_or_default();
    let origin = if entitlement.origin == "override" { format!("  (override{until})") } else { String::new() };
    format!("{}{origin}", shown(&entitlement.value))
}

fn conditions(text: &mut Text, tenant: &Tenant) {
    if tenant.status.conditions.is_empty() {
        return;
    }
    text.section("Conditions");
    for condition in &tenant.status.conditions {
        let message = if condition.message.is_empty() { String::new() } else { format!(": {}", condition.message) };
        let line = format!("{} ({}) since {}{message}", condition.status, condition.reason, moment(condition.since));
        text.entry(&condition.kind, &line);
    }
}

fn findings(text: &mut Text, drift: Option<&Drift>) {
    text.section("Drift");
    match drift {
        None => text.line("  cannot be told: the cell does not answer or there is no place yet"),
        Some(drift) if drift.findings.is_empty() => text.line("  none"),
        Some(drift) => {
            for finding in &drift.findings {
                let repair = if finding.repairable { "repairable" } else { "needs a human" };
                text.entry(&finding.kind, &format!("{} ({repair})", finding.object));
            }
        }
    }
}

fn history(text: &mut Text, events: &[Event]) {
    if events.is_empty() {
        return;
    }
    text.section("Latest events");
    for event in events.iter().skip(events.len().saturating_sub(EVENTS)) {
        text.entry(&moment(event.time), &format!("#{} {}", event.sequence, event.kind));
    }
}

/// Lines with their names aligned.
#[derive(Debug, Default)]
struct Text(Vec<String>);

impl Text {
    fn line(&mut self, line: &str) {
        self.0.push(clean(line));
    }

    fn field(&mut self, name: &str, value: &str) {
        self.line(&format!("{:<14}{value}", format!("{name}:")));
    }

    fn section(&mut self, title: &str) {
        self.line(&format!("{title}:"));
    }

    fn entry(&mut self, name: &str, value: &str) {
        self.line(&format!("  {:<22}{value}", format!("{name}:")));
    }

    fn value(&mut self, value: &Value, depth: usize) {
        let indent = "  ".repeat(depth);
        let Value::Object(members) = value else { return self.line(&format!("{indent}{}", shown(value))) };
        for (name, member) in members {
            match member {
                Value::Object(inner) if !inner.is_empty() => {
                    self.line(&format!("{indent}{name}:"));
                    self.value(member, depth + 1);
                }
                other => self.line(&format!("{indent}{name}: {}", shown(other))),
            }
        }
    }

    fn finish(self) -> String {
        self.0.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn event(sequence: i64) -> Event {
        serde_json::from_value(json!({
            "specversion": "1.0", "id": format!("evt_{sequence}"), "type": "usage.reported", "source": "/environments/prod",
            "time": "2027-03-01T00:00:00Z", "tenantryenvironment": "prod", "sequence": sequence, "data": {},
        }))
        .unwrap()
    }

    /// As the server gives them: a full page has a token, also where nothing is behind it.
    fn behind(after: i64, count: i64) -> Page<Event> {
        let items: Vec<_> = (after + 1..=count).take(usize::from(PAGE)).map(event).collect();
        let is_full = items.len() == usize::from(PAGE);
        let next_page_token = items.last().filter(|_| is_full).map(|event| event.sequence.to_string());
        Page { items, next_page_token }
    }

    #[tokio::test]
    async fn the_latest_events_are_the_newest() {
        for count in [0, 1, 10, 199, 200, 201, 229, 399, 400, 401, 600, 12_345, 1_000_000] {
            let asked = Cell::new(0_usize);
            let found = latest(|after| {
                asked.set(asked.get() + 1);
                async move { Ok(behind(after, count)) }
            })
            .await
            .unwrap();
            let numbers: Vec<_> = found.iter().map(|event| event.sequence).collect();
            let wanted: Vec<_> = ((count - i64::from(PAGE)).max(0) + 1..=count).collect();
            assert_eq!(numbers, wanted, "{count}");
            assert!(asked.get() <= 40, "{count}: {}", asked.get());
        }
    }
}
