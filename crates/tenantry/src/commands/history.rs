//! `tenantry history`: the versions of an object, what changed between them, and what held at a moment.

use jiff::Timestamp;
use serde_json::{Value, json};
use tenantry_api::client::PageQuery;
use tenantry_api::v1::version::{FieldChange, Version};
use tenantry_domain::diff::diff;

use super::changes;
use super::kind::Declared;
use super::times::moment;
use crate::exit::{Failure, Result};
use crate::globals::Session;

/// Paths named per version before the rest is counted.
const PATHS: usize = 4;

/// Show the versions of an object and what changed
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tenantry history tenant acme
  tenantry history tenant acme --compare 3 5
  tenantry history tenant acme --show 3 -o yaml
  tenantry history tenant acme --as-of 2026-11-20T18:00:00Z")]
pub struct Args {
    /// What it is
    #[arg(value_enum)]
    kind: Declared,
    /// Its name; for tenants also the id
    #[arg(value_name = "NAME")]
    name: String,
    /// Show one version
    #[arg(long, value_name = "VERSION", group = "what")]
    show: Option<i64>,
    /// Show what differs between two versions
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"], group = "what")]
    compare: Option<Vec<i64>>,
    /// Show the version that held at a moment
    #[arg(long, value_name = "TIME", group = "what")]
    as_of: Option<Timestamp>,
    /// Most versions to list
    #[arg(long, default_value_t = 50, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
}

/// Shows the history.
///
/// # Errors
/// There is no such object or version.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let client = &session.client;
    let page = PageQuery { page_size: Some(args.limit), page_token: None };
    let Some(kind) = args.kind.catalog() else {
        if let Some(version) = args.show {
            return one(session, &client.tenant_version(&args.name, version).await?);
        }
        if let Some(at) = args.as_of {
            return one(session, &client.tenant_as_of(&args.name, at).await?);
        }
        if let Some([from, to]) = args.compare.as_deref() {
            let comparison = client.compare_versions(&args.name, *from, *to).await?;
            return differences(session, json!(comparison), &comparison.changes);
        }
        let versions = client.tenant_versions(&args.name, &page).await?;
        return list(session, json!(versions), &versions.items);
    };
    let versions = client.object_versions(kind, &args.name, &page).await?;
    let numbered = |number: i64| {
        versions.items.iter().find(|version| version.version == number).ok_or_else(|| {
            Failure::new(
                tenantry_domain::code::Code::VersionNotFound,
                format!("version {number} is not among the newest {}", args.limit),
            )
        })
    };
    if args.as_of.is_some() {
        return Err(Failure::usage("--as-of is for tenants"));
    }
    if let Some(version) = args.show {
        return one(session, numbered(version)?);
    }
    if let Some([from, to]) = args.compare.as_deref() {
        let found = between(numbered(*from)?, numbered(*to)?);
        return differences(session, json!({ "from": from, "to": to, "changes": found }), &found);
    }
    list(session, json!(versions), &versions.items)
}

fn one(session: &Session, version: &Version) -> Result<()> {
    if session.output.format().is_document() {
        return session.output.document(version);
    }
    session.output.note(&format!("version {} by {} at {}", version.version, version.actor, moment(version.at)));
    let text = serde_saphyr::to_string(&version.spec)
        .map_err(|error| Failure::broken("The version cannot be shown", error))?;
    session.output.line(text.trim_end())
}

fn differences(session: &Session, document: Value, changes: &[FieldChange]) -> Result<()> {
    if session.output.format().is_document() {
        return session.output.document(&document);
    }
    if changes.is_empty() {
        session.output.note("no difference");
        return Ok(());
    }
    let lines: Vec<_> = changes.iter().map(|change| changes::field(session.output, change)).collect();
    session.output.line(&lines.join("\n"))
}

fn list(session: &Session, document: Value, versions: &[Version]) -> Result<()> {
    if session.output.format().is_document() {
        return session.output.document(&document);
    }
    let rows = versions.iter().enumerate().map(|(index, version)| {
        // Newest first: the one before it in time follows it in the list.
        let what = match versions.get(index + 1) {
            Some(before) => paths(&between(before, version)),
            None if version.version == 1 => "created".to_owned(),
            None => String::new(),
        };
        let action = version.action.clone().unwrap_or_default();
        vec![version.version.to_string(), moment(version.at), version.actor.clone(), action, what]
    });
    session.output.table(&["VERSION", "AT", "BY", "ACTION", "CHANGED"], rows.collect())
}

fn between(from: &Version, to: &Version) -> Vec<FieldChange> {
    let whole = |version: &Version| json!({ "spec": version.spec, "labels": version.labels });
    diff(&whole(from), &whole(to))
        .into_iter()
        .map(|change| FieldChange { path: change.path, from: change.from, to: change.to })
        .collect()
}

fn paths(changes: &[FieldChange]) -> String {
    let shown: Vec<_> = changes.iter().take(PATHS).map(|change| change.path.as_str()).collect();
    match changes.len().saturating_sub(PATHS) {
        0 => shown.join(", "),
        more => format!("{}, and {more} more", shown.join(", ")),
    }
}
