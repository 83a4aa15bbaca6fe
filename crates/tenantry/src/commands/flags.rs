//! `tenantry flags`: what an environment says about features, what each tenant has of them, and how often it uses them.

use std::collections::BTreeMap;

use serde_json::Value;
use tenantry_api::ClientError;
use tenantry_api::client::{Expected, PageQuery, UsageQuery};
use tenantry_api::v1::flag::{FeatureFlag, FlagRollout, FlagSpec};

use super::times::{age, moment};
use crate::exit::{Failure, Result};
use crate::globals::Session;
use crate::output::clean;

/// Show, set, roll out and switch off features
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The first of these that says something decides: the emergency switch, an override of the tenant, its cell, \
a rollout, its plan, the flag's default. Values are JSON; what is none is text.

Examples:
  tenantry flags of acme
  tenantry flags rollout search.v2 --percent 25
  tenantry flags off search.v2 --reason 'the index is being rebuilt'
  tenantry flags off theme --reason 'unreadable in dark mode' --off-value plain
  tenantry flags on search.v2
  tenantry flags set theme --default plain --off-value plain --cell eu-west-1=rich
  tenantry flags usage acme --from 2027-03-01"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List flags, by name
    List {
        /// Most items to show
        #[arg(long, default_value_t = 200, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=10_000))]
        limit: u16,
    },
    /// Show a flag
    Show {
        /// Name of the feature
        name: String,
    },
    /// Change what a flag says; what is not given stays as it is
    Set(Box<Set>),
    /// Give a value to a share of the tenants; a growing share keeps whom it has
    Rollout {
        /// Name of the feature
        name: String,
        /// The share, 0 to 100
        #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
        percent: u8,
        /// The value that they get [default: that of the rollout, else true]
        #[arg(long, value_name = "VALUE")]
        value: Option<String>,
    },
    /// Switch a feature off for everybody, at once
    Off {
        /// Name of the feature
        name: String,
        /// Why; callers that are refused are told
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// What everybody gets; owed where the feature's values are not true and false [default: as before, else false]
        #[arg(long, value_name = "VALUE")]
        off_value: Option<String>,
    },
    /// Take the emergency switch back
    On {
        /// Name of the feature
        name: String,
    },
    /// Remove a flag; plans and overrides decide then
    Delete {
        /// Name of the feature
        name: String,
    },
    /// Show the features of a tenant, and who decided each
    Of {
        /// Name or id of the tenant
        tenant: String,
    },
    /// Show how often a tenant used its features
    Usage {
        /// Name or id of the tenant
        tenant: String,
        /// The first day, such as 2027-03-01 [default: 30 days before the last one]
        #[arg(long, value_name = "DAY")]
        from: Option<String>,
        /// The last day [default: today]
        #[arg(long, value_name = "DAY")]
        to: Option<String>,
    },
    /// List tenants at another level than the one that their plan is paid for
    Levels,
}

/// What is to be changed of a flag.
#[derive(Debug, clap::Args)]
struct Set {
    /// Name of the feature
    name: String,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// What tenants have about whom nobody else says anything
    #[arg(long, value_name = "VALUE")]
    default: Option<String>,
    /// Take the default away
    #[arg(long, conflicts_with = "default")]
    no_default: bool,
    /// What the emergency switch gives to everybody
    #[arg(long, value_name = "VALUE")]
    off_value: Option<String>,
    /// A deviation of a cell; `CELL=` takes it away
    #[arg(long = "cell", value_name = "CELL=VALUE")]
    cells: Vec<String>,
    /// Take the rollout away
    #[arg(long)]
    no_rollout: bool,
}

/// `tenantry flags`.
///
/// # Errors
/// The API refuses.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let client = &session.client;
    match &args.verb {
        Verb::List { limit } => list(session, *limit).await,
        Verb::Show { name } => show(session, &client.flag(name).await?.value),
        Verb::Set(set) => {
            let (expected, spec) = known(session, &set.name).await?;
            show(session, &client.put_flag(&set.name, expected, &set.apply(spec)?).await?.value)
        }
        Verb::Rollout { name, percent, value } => {
            let (expected, mut spec) = known(session, name).await?;
            let given = value.as_deref().map(read);
            let value = given.or_else(|| spec.rollout.take().map(|rollout| rollout.value));
            spec.rollout = Some(FlagRollout { value: value.unwrap_or(Value::Bool(true)), percent: *percent });
            show(session, &client.put_flag(name, expected, &spec).await?.value)
        }
        Verb::Off { name, reason, off_value } => {
            let value = off_value.as_deref().map(read);
            show(session, &client.switch_flag_off(name, reason, value.as_ref()).await?.value)
        }
        Verb::On { name } => show(session, &client.switch_flag_on(name).await?.value),
        Verb::Delete { name } => {
            let gone = client.delete_flag(name, Expected::Any).await?.value;
            if session.output.format().is_document() {
                return session.output.document(&gone);
            }
            session.output.line(&clean(&format!("flag {} is removed", gone.name)))
        }
        Verb::Of { tenant } => of(session, tenant).await,
        Verb::Usage { tenant, from, to } => {
            usage(session, tenant, &UsageQuery { from: from.clone(), to: to.clone() }).await
        }
        Verb::Levels => levels(session).await,
    }
}

/// JSON, or else text: nobody quotes a word twice by choice.
fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// What a flag says now, and the version that a change builds on.
async fn known(session: &Session, name: &str) -> Result<(Expected, FlagSpec)> {
    match session.client.flag(name).await {
        Ok(found) => Ok((Expected::Version(found.value.version), found.value.spec)),
        // Nobody else's new flag is overwritten: a version that no flag has is right only while there is none.
        Err(ClientError::Problem(problem)) if problem.code == "TEN-0006" => {
            Ok((Expected::Version(0), FlagSpec::default()))
        }
        Err(error) => Err(error.into()),
    }
}

impl Set {
    fn apply(&self, mut spec: FlagSpec) -> Result<FlagSpec> {
        if let Some(text) = &self.description {
            spec.description = Some(text.clone()).filter(|text| !text.is_empty());
        }
        match &self.default {
            Some(text) => spec.default = Some(read(text)),
            None if self.no_default => spec.default = None,
            None => {}
        }
        if let Some(text) = &self.off_value {
            spec.off_value = Some(read(text));
        }
        if self.no_rollout {
            spec.rollout = None;
        }
        for pair in &self.cells {
            let usage = || Failure::usage(format!("`{pair}` is no `CELL=VALUE`"));
            let (cell, value) = pair.split_once('=').ok_or_else(usage)?;
            if value.is_empty() {
                spec.cells.remove(cell);
            } else {
                spec.cells.insert(cell.to_owned(), read(value));
            }
        }
        Ok(spec)
    }
}

async fn list(session: &Session, limit: u16) -> Result<()> {
    let mut items: Vec<FeatureFlag> = Vec::new();
    let mut query = PageQuery { page_size: Some(limit.min(200)), page_token: None };
    let has_more = loop {
        let page = session.client.flags(&query).await?;
        items.extend(page.items);
        query.page_token = page.next_page_token;
        if query.page_token.is_none() || items.len() >= usize::from(limit) {
            break query.page_token.is_some() || items.len() > usize::from(limit);
        }
    };
    items.truncate(usize::from(limit));
    if session.output.format().is_document() {
        return session.output.document(&BTreeMap::from([("items", &items)]));
    }
    let now = jiff::Timestamp::now();
    let row = |flag: &FeatureFlag| {
        vec![
            flag.name.clone(),
            if flag.spec.off.is_some() { "off" } else { "on" }.to_owned(),
            flag.spec.rollout.as_ref().map_or_else(|| "-".to_owned(), |rollout| format!("{} %", rollout.percent)),
            flag.spec.default.as_ref().map_or_else(|| "-".to_owned(), Value::to_string),
            flag.spec.cells.len().to_string(),
            age(flag.updated_at, now),
        ]
    };
    let headings = ["FLAG", "SWITCH", "ROLLOUT", "DEFAULT", "CELLS", "CHANGED"];
    session.output.table(&headings, items.iter().map(row).collect())?;
    if has_more {
        session.output.note("there are more; raise --limit");
    }
    Ok(())
}

fn show(session: &Session, flag: &FeatureFlag) -> Result<()> {
    let output = session.output;
    if output.format().is_document() {
        return output.document(flag);
    }
    let spec = &flag.spec;
    let switch = spec.off.as_ref().map_or_else(|| "on".to_owned(), |off| format!("OFF for everybody: {}", off.reason));
    let rollout = spec.rollout.as_ref().map(|rollout| format!("{} for {} %", rollout.value, rollout.percent));
    let cells = spec.cells.iter().map(|(cell, value)| format!("{cell}={value}")).collect::<Vec<_>>().join(", ");
    let rows = [
        ("flag", Some(flag.name.clone())),
        ("for", spec.description.clone()),
        ("switch", Some(switch)),
        ("rollout", rollout),
        ("cells", Some(cells).filter(|cells| !cells.is_empty())),
        ("default", spec.default.as_ref().map(Value::to_string)),
        ("when off", spec.off_value.as_ref().map(Value::to_string)),
        ("version", Some(flag.version.to_string())),
        ("changed", Some(format!("{} by {}", moment(flag.updated_at), flag.updated_by))),
    ];
    for (what, text) in rows {
        if let Some(text) = text {
            output.line(&format!("{what:<14}{}", clean(&text)))?;
        }
    }
    Ok(())
}

async fn of(session: &Session, tenant: &str) -> Result<()> {
    let found = session.client.features(tenant).await?;
    if session.output.format().is_document() {
        return session.output.document(&found);
    }
    let rows = found.features.into_iter().map(|(name, feature)| {
        let why = match (feature.reason, feature.until) {
            (Some(reason), Some(until)) => format!("{reason}, until {}", moment(until)),
            (Some(reason), None) => reason,
            (None, Some(until)) => format!("until {}", moment(until)),
            (None, None) if feature.source == "plan" => format!("plan {}", found.plan),
            (None, None) => "-".to_owned(),
        };
        vec![name, feature.value.to_string(), feature.source, why]
    });
    session.output.table(&["FEATURE", "VALUE", "DECIDED BY", "WHY"], rows.collect())
}

async fn usage(session: &Session, tenant: &str, query: &UsageQuery) -> Result<()> {
    let found = session.client.feature_usage(tenant, query).await?;
    if session.output.format().is_document() {
        return session.output.document(&found);
    }
    let rows = found.totals.iter().map(|(feature, uses)| vec![feature.clone(), uses.to_string()]);
    session.output.table(&["FEATURE", "USES"], rows.collect())?;
    session.output.note(&format!("{} to {}, both included; -o json has the days", found.from, found.to));
    if found.is_cut {
        session.output.note("there are more days than one answer holds; ask for fewer");
    }
    Ok(())
}

async fn levels(session: &Session) -> Result<()> {
    let mut items = Vec::new();
    let mut query = PageQuery { page_size: Some(200), page_token: None };
    loop {
        let page = session.client.level_deviations(&query).await?;
        items.extend(page.items);
        query.page_token = page.next_page_token;
        if query.page_token.is_none() {
            break;
        }
    }
    if session.output.format().is_document() {
        return session.output.document(&BTreeMap::from([("items", &items)]));
    }
    let or = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let rows = items
        .into_iter()
        .map(|item| vec![item.slug, item.plan, item.paid, or(item.placed), or(item.overridden), or(item.reason)]);
    let headings = ["TENANT", "PLAN", "PAID FOR", "LIVES AT", "OVERRIDE", "WHY"];
    session.output.table(&headings, rows.collect())
}
