//! `tenantry get`: lists and single objects, as tables or as the documents that the API gives.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tenantry_api::client::{Kind as Catalog, OperationQuery, PageQuery, TenantQuery};
use tenantry_api::v1::Page;
use tenantry_api::v1::catalog::Object;
use tenantry_api::v1::operation::Operation;
use tenantry_api::v1::tenant::Tenant;

use super::changes::shown;
use super::kind::Kind;
use super::times::age;
use crate::exit::{Failure, Result};
use crate::globals::Session;
use crate::output::Format;

/// Most items that a server gives in one page.
const PAGE_MAX: u16 = 200;

/// List objects of a kind, or show one
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tenantry get tenants
  tenantry get tenants --plan standard --state active -l segment=smb -o wide
  tenantry get tenants --external-id stripe:cus_123
  tenantry get tenant acme -o yaml
  tenantry get plans
  tenantry get operations --status running")]
pub struct Args {
    /// What to list
    #[arg(value_enum)]
    kind: Kind,
    /// Name or id of one of them
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    filter: Filter,
    /// Most items to show
    #[arg(long, default_value_t = 500, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Go on where an earlier list ended
    #[arg(long, value_name = "TOKEN")]
    page_token: Option<String>,
}

/// Which tenants (or, for `--status`, operations) to list.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Filters")]
struct Filter {
    /// Tenants bound to this plan
    #[arg(long)]
    plan: Option<String>,
    /// Tenants of this app
    #[arg(long)]
    app: Option<String>,
    /// Tenants in this region
    #[arg(long)]
    region: Option<String>,
    /// Tenants in this cell
    #[arg(long)]
    cell: Option<String>,
    /// Tenants in this state
    #[arg(long)]
    state: Option<String>,
    /// Tenants at this level
    #[arg(long)]
    isolation: Option<String>,
    /// Tenants with this label; may be repeated
    #[arg(short = 'l', long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// The tenant with this id in another system
    #[arg(long, value_name = "SYSTEM:ID")]
    external_id: Option<String>,
    /// The tenant with this id of an adopted system
    #[arg(long, value_name = "ID")]
    alias: Option<String>,
    /// Tenants whose name begins with these words
    #[arg(long = "search", value_name = "TEXT")]
    search: Option<String>,
    /// Operations at this point
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
}

impl Filter {
    fn is_for_tenants(&self) -> bool {
        let single = [&self.plan, &self.app, &self.region, &self.cell, &self.state, &self.isolation];
        let lookups = [&self.external_id, &self.alias, &self.search];
        single.into_iter().chain(lookups).any(Option::is_some) || !self.labels.is_empty()
    }
}

/// Lists or shows.
///
/// # Errors
/// There is no such object, or the API refuses.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    if args.kind != Kind::Tenant && args.filter.is_for_tenants() {
        return Err(Failure::usage("These filters are for tenants").hint("Leave them out, or list tenants."));
    }
    if args.kind != Kind::Operation && args.filter.status.is_some() {
        return Err(Failure::usage("--status is for operations").hint("Use --state for tenants."));
    }
    match (args.kind, args.kind.declared().and_then(super::kind::Declared::catalog)) {
        (Kind::Tenant, _) => tenants_or_one(args, session).await,
        (Kind::Operation, _) => operations_or_one(args, session).await,
        (_, Some(kind)) => objects_or_one(args, kind, session).await,
        (_, None) => Ok(()),
    }
}

async fn tenants_or_one(args: &Args, session: &Session) -> Result<()> {
    if let Some(name) = &args.name {
        let tenant = session.client.tenant(name).await?.value;
        return print(session, &tenant, || tenants(session, std::slice::from_ref(&tenant)));
    }
    let filter = &args.filter;
    let query = TenantQuery {
        plan: filter.plan.clone(),
        app: filter.app.clone(),
        region: filter.region.clone(),
        cell: filter.cell.clone(),
        state: filter.state.clone(),
        isolation: filter.isolation.clone(),
        label: filter.labels.clone(),
        external_id: filter.external_id.clone(),
        alias: filter.alias.clone(),
        q: filter.search.clone(),
        page: PageQuery::default(),
    };
    let list = pages(args, |page| {
        let query = TenantQuery { page, ..query.clone() };
        async move { Ok(session.client.tenants(&query).await?) }
    })
    .await?;
    print_list(session, &list, |items| tenants(session, items))
}

async fn operations_or_one(args: &Args, session: &Session) -> Result<()> {
    if let Some(id) = &args.name {
        let operation = session.client.operation(id, None).await?;
        return super::operations::show(session, &operation);
    }
    let list = pages(args, |page| {
        let query = OperationQuery { status: args.filter.status.clone(), page };
        async move { Ok(session.client.operations(&query).await?) }
    })
    .await?;
    print_list(session, &list, |items| operations(session, items))
}

async fn objects_or_one(args: &Args, kind: Catalog, session: &Session) -> Result<()> {
    if let Some(name) = &args.name {
        let object = session.client.object(kind, name).await?.value;
        return print(session, &object, || objects(session, kind, std::slice::from_ref(&object)));
    }
    let list = pages(args, |page| async move { Ok(session.client.objects(kind, &page).await?) }).await?;
    print_list(session, &list, |items| objects(session, kind, items))
}

/// Collects pages until the limit is reached or the list ends.
async fn pages<T, F>(args: &Args, fetch: impl Fn(PageQuery) -> F) -> Result<Page<T>>
where
    F: Future<Output = Result<Page<T>>>,
{
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut list = Page { items: Vec::new(), next_page_token: args.page_token.clone() };
    loop {
        let left = limit - list.items.len();
        let page_size = u16::try_from(left).unwrap_or(PAGE_MAX).min(PAGE_MAX);
        let query = PageQuery { page_size: Some(page_size), page_token: list.next_page_token.take() };
        let page = fetch(query).await?;
        list.items.extend(page.items);
        list.next_page_token = page.next_page_token;
        if list.next_page_token.is_none() || list.items.len() >= limit {
            return Ok(list);
        }
    }
}

fn print<T: Serialize>(session: &Session, value: &T, table: impl FnOnce() -> Result<()>) -> Result<()> {
    if session.output.format().is_document() { session.output.document(value) } else { table() }
}

fn print_list<T: Serialize>(session: &Session, list: &Page<T>, table: impl FnOnce(&[T]) -> Result<()>) -> Result<()> {
    print(session, list, || {
        if list.items.is_empty() {
            session.output.note("none found");
            return Ok(());
        }
        table(&list.items)?;
        if let Some(token) = &list.next_page_token {
            session.output.note(&format!("there are more: --limit, or --page-token {token}"));
        }
        Ok(())
    })
}

fn tenants(session: &Session, tenants: &[Tenant]) -> Result<()> {
    let is_wide = session.output.format() == Format::Wide;
    let now = Timestamp::now();
    let mut headings = vec!["NAME", "STATE", "PLAN", "ISOLATION", "CELL", "READY", "VERSION", "AGE"];
    if is_wide {
        headings.extend(["ID", "DISPLAY NAME", "APP", "REGION", "LABELS"]);
    }
    let rows = tenants.iter().map(|tenant| {
        let status = &tenant.status;
        let place = status.placement.as_ref();
        let dash = || "-".to_owned();
        let mut row = vec![
            tenant.metadata.name.clone(),
            state(tenant),
            tenant.spec.plan.clone(),
            place.map_or_else(dash, |place| place.isolation.clone()),
            place.map_or_else(dash, |place| place.cell.clone()),
            ready(tenant),
            version(status.version, status.observed_version),
            age(status.created_at, now),
        ];
        if is_wide {
            row.extend([
                status.id.clone(),
                tenant.spec.display_name.clone(),
                tenant.spec.app.clone(),
                place.map_or_else(dash, |place| place.region.clone()),
                labels(&tenant.metadata.labels),
            ]);
        }
        row
    });
    session.output.table(&headings, rows.collect())
}

/// The state, and where it is going when that is another.
fn state(tenant: &Tenant) -> String {
    let status = &tenant.status;
    if status.deletion.is_some() && status.state != "deleted" {
        return format!("{} (deletion waits)", status.state);
    }
    if status.requested_state == status.state {
        return status.state.clone();
    }
    format!("{} -> {}", status.state, status.requested_state)
}

fn ready(tenant: &Tenant) -> String {
    let condition = tenant.status.conditions.iter().find(|condition| condition.kind == "Ready");
    match condition {
        None => "-".to_owned(),
        Some(condition) if condition.status == "true" => "yes".to_owned(),
        Some(condition) => format!("no ({})", condition.reason),
    }
}

fn version(wanted: i64, observed: i64) -> String {
    if wanted == observed { wanted.to_string() } else { format!("{observed}/{wanted}") }
}

fn labels(labels: &BTreeMap<String, String>) -> String {
    if labels.is_empty() {
        return "-".to_owned();
    }
    labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

/// A table of operations.
///
/// # Errors
/// It cannot be written.
pub fn operations(session: &Session, operations: &[Operation]) -> Result<()> {
    let now = Timestamp::now();
    let rows = operations.iter().map(|operation| {
        let targets = operation.targets;
        let tenant = match operation.workflows.as_slice() {
            [one] => one.slug.clone(),
            _ => format!("{} tenants", targets.total),
        };
        vec![
            operation.id.clone(),
            operation.kind.clone(),
            operation.status.clone(),
            tenant,
            format!("{}/{}", targets.done, targets.total),
            operation.requested_by.clone(),
            age(operation.created_at, now),
        ]
    });
    session.output.table(&["ID", "KIND", "STATUS", "TENANT", "DONE", "BY", "AGE"], rows.collect())
}

fn objects(session: &Session, kind: Catalog, objects: &[Object<Value>]) -> Result<()> {
    let columns: &[(&str, &str)] = match kind {
        Catalog::Plan => &[("ISOLATION", "/isolation"), ("QUOTAS", "/quotas"), ("FEATURES", "/features")],
        Catalog::Region => &[("DESCRIPTION", "/description")],
        Catalog::Cell => {
            &[("REGION", "/region"), ("KIND", "/kind"), ("CAPACITY", "/capacity"), ("DRAINING", "/draining")]
        }
        Catalog::Meter => {
            &[("UNIT", "/unit"), ("AGGREGATION", "/aggregation"), ("VALUE", "/value"), ("DIMENSIONS", "/dimensions")]
        }
        Catalog::App => {
            &[("TENANT KEY", "/tenantKey"), ("MIGRATIONS", "/migrations"), ("REFERENCE TABLES", "/referenceTables")]
        }
    };
    let now = Timestamp::now();
    let mut headings = vec!["NAME"];
    headings.extend(columns.iter().map(|(heading, _)| *heading));
    headings.extend(["VERSION", "AGE"]);
    let rows = objects.iter().map(|object| {
        let mut row = vec![object.metadata.name.clone()];
        row.extend(columns.iter().map(|(_, path)| cell(object.spec.pointer(path))));
        row.extend([object.status.version.to_string(), age(object.status.created_at, now)]);
        row
    });
    session.output.table(&headings, rows.collect())
}

/// A value of a spec in one cell: `users=100 storage=50Gi`, `3 files`.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::Object(members)) => match members.get("files").and_then(Value::as_array) {
            Some(files) => format!("{} files", files.len()),
            None if members.is_empty() => "-".to_owned(),
            None => {
                let mut parts: Vec<_> =
                    members.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
                parts.sort_unstable();
                parts.join(" ")
            }
        },
        Some(Value::Array(items)) if items.is_empty() => "-".to_owned(),
        Some(Value::Array(items)) => items.iter().map(shown).collect::<Vec<_>>().join(","),
        Some(other) => shown(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cells_are_short() {
        assert_eq!(cell(Some(&json!({ "users": 10, "storage": "5Gi" }))), "storage=5Gi users=10");
        assert_eq!(cell(Some(&json!({ "files": [{}, {}] }))), "2 files");
        assert_eq!(cell(Some(&json!(["a", "b"]))), "a,b");
        assert_eq!(cell(None), "-");
        assert_eq!(version(3, 3), "3");
        assert_eq!(version(4, 3), "3/4");
    }
}
