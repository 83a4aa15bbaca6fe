//! Tables of the console, out of what the workers say. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use tenantry_domain::id::TenantId;

use super::words::Show;
use crate::counts::TenantCounts;
use crate::feed::Status;
use crate::reload::{ConfigView, Difference};
use crate::session::Doing;
use crate::settings::Settings;
use crate::table::Table;
use crate::worker::View;

/// Columns and rows, all of them text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// The columns' names.
    pub columns: &'static [&'static str],
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

/// What the tables are made of.
pub struct Facts<'a> {
    /// What the workers have.
    pub view: &'a View,
    /// How the table is kept.
    pub status: &'a Status,
    /// The names of tenants.
    pub table: &'a Table,
    /// Bounds.
    pub settings: &'a Settings,
    /// Where they come from.
    pub config: &'a ConfigView,
}

/// The columns of a table, known before it is made.
#[must_use]
pub const fn columns(show: Show) -> &'static [&'static str] {
    match show {
        Show::Help => &["command", "what"],
        Show::Sessions => &["id", "tenant", "login", "peer", "tls", "state", "state_ms", "age_s", "transactions"],
        Show::Pools => &["worker", "server", "database", "login", "used", "idle", "waiting"],
        Show::Tenants => &["tenant", "name", "clients", "transactions", "refused", "waits", "waited_ms", "throttled"],
        Show::Standbys => &["worker", "server", "primary", "state", "staleness_ms", "error"],
        Show::Holds => &["tenant", "name"],
        Show::Stats | Show::Feed | Show::Settings => &["name", "value"],
        Show::Config => &["name", "value", "from", "reload", "waits for a restart"],
        Show::Version => &["version"],
    }
}

/// Makes a table.
#[must_use]
pub fn rows(show: Show, facts: &Facts<'_>) -> Rows {
    let rows = match show {
        Show::Help => help(),
        Show::Sessions => sessions(facts),
        Show::Pools => pools(facts.view),
        Show::Tenants => tenants(facts),
        Show::Standbys => standbys(facts),
        Show::Holds => facts.view.held.iter().map(|id| vec![id.to_string(), name(facts.table, *id)]).collect(),
        Show::Stats => pairs(stats(facts.view)),
        Show::Feed => pairs(feed(facts.status)),
        Show::Settings => pairs(settings(facts.settings)),
        Show::Config => config(facts.config),
        Show::Version => vec![vec![format!("Tenantry {}", env!("CARGO_PKG_VERSION"))]],
    };
    Rows { columns: columns(show), rows }
}

fn pairs(pairs: Vec<(&'static str, String)>) -> Vec<Vec<String>> {
    pairs.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect()
}

fn help() -> Vec<Vec<String>> {
    let shows = Show::ALL.iter().map(|(_, word, what)| vec![format!("SHOW {word}"), (*what).to_owned()]);
    let others = [
        ("HOLD tenant [seconds]", "begin no transaction of a tenant; returns when none is in hand"),
        ("RELEASE tenant", "go on with it"),
        ("KILL id", "end a session"),
        ("RELOAD", "read configuration, certificate and key again; says what differs"),
    ];
    shows.chain(others.iter().map(|(word, what)| vec![(*word).to_owned(), (*what).to_owned()])).collect()
}

/// A tenant's readable name, with its environment.
pub fn name(table: &Table, tenant: TenantId) -> String {
    let route = table.tenant(tenant).and_then(|slot| slot.route());
    route.map(|route| format!("{}/{}", route.environment, route.slug)).unwrap_or_default()
}

/// The word for what a session does.
#[must_use]
pub const fn state(doing: Doing) -> &'static str {
    match doing {
        Doing::Idle => "idle",
        Doing::Waiting => "waiting",
        Doing::Running => "running",
        Doing::InTransaction => "in_transaction",
    }
}

fn sessions(facts: &Facts<'_>) -> Vec<Vec<String>> {
    let mut sessions: Vec<_> = facts.view.sessions.iter().collect();
    sessions.sort_by_key(|session| session.id);
    let row = |session: &&crate::worker::SessionView| {
        vec![
            session.id.to_string(),
            name(facts.table, session.tenant),
            session.login.clone(),
            session.peer.clone(),
            if session.is_encrypted { "yes" } else { "no" }.to_owned(),
            state(session.doing).to_owned(),
            session.for_how_long.as_millis().to_string(),
            session.age.as_secs().to_string(),
            session.transactions.to_string(),
        ]
    };
    sessions.iter().map(row).collect()
}

fn pools(view: &View) -> Vec<Vec<String>> {
    let mut rows: Vec<_> = view
        .pools
        .iter()
        .map(|pool| {
            vec![
                pool.worker.to_string(),
                pool.address.clone(),
                pool.database.clone(),
                pool.user.clone(),
                pool.counts.used.to_string(),
                pool.counts.idle.to_string(),
                pool.counts.waiting.to_string(),
            ]
        })
        .collect();
    rows.sort();
    rows
}

fn standbys(facts: &Facts<'_>) -> Vec<Vec<String>> {
    let row = |standby: &crate::standby::StandbyView| {
        let state = match standby.staleness {
            Some(staleness) if staleness <= facts.settings.staleness => "read from",
            Some(_) => "behind",
            None => "unknown",
        };
        vec![
            standby.worker.to_string(),
            standby.address.clone(),
            standby.primary.clone(),
            state.to_owned(),
            standby.staleness.map(|staleness| staleness.as_millis().to_string()).unwrap_or_default(),
            standby.error.clone().unwrap_or_default(),
        ]
    };
    let mut rows: Vec<_> = facts.view.standbys.iter().map(row).collect();
    rows.sort();
    rows
}

fn tenants(facts: &Facts<'_>) -> Vec<Vec<String>> {
    let mut found: BTreeMap<TenantId, (u64, TenantCounts)> = BTreeMap::new();
    for (tenant, counts) in &facts.view.counted.tenants {
        found.entry(*tenant).or_default().1.merge(counts);
    }
    for session in &facts.view.sessions {
        found.entry(session.tenant).or_default().0 += 1;
    }
    let row = |id: String, name: String, clients: String, counts: &TenantCounts| {
        let waited = Duration::from_micros(counts.waited).as_millis();
        vec![
            id,
            name,
            clients,
            counts.transactions.to_string(),
            counts.refused.to_string(),
            counts.waits.to_string(),
            waited.to_string(),
            counts.throttled.to_string(),
        ]
    };
    let known = found.iter().map(|(tenant, (clients, counts))| {
        row(tenant.to_string(), name(facts.table, *tenant), clients.to_string(), counts)
    });
    let mut rows: Vec<_> = known.collect();
    let others = &facts.view.counted.others;
    if *others != TenantCounts::default() {
        rows.push(row("others".to_owned(), String::new(), String::new(), others));
    }
    rows
}

fn stats(view: &View) -> Vec<(&'static str, String)> {
    let all = view.counted.all();
    let sum = |number: fn(&crate::pool::Counts) -> usize| {
        view.pools.iter().map(|pool| number(&pool.counts)).sum::<usize>().to_string()
    };
    let ended: Vec<_> = view.counted.ended.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    vec![
        ("clients", view.sessions.len().to_string()),
        ("arrivals", view.counted.arrivals.to_string()),
        ("sessions ended", ended.join(", ")),
        ("server sessions used", sum(|counts| counts.used)),
        ("server sessions idle", sum(|counts| counts.idle)),
        ("clients waiting", sum(|counts| counts.waiting)),
        ("transactions", all.transactions.to_string()),
        ("refused", all.refused.to_string()),
        ("looked for elsewhere", view.counted.retries.to_string()),
        ("waits", view.counted.waits.count.to_string()),
        ("waited ms", (view.counted.waits.micros / 1_000).to_string()),
        ("throttled", all.throttled.to_string()),
    ]
}

fn feed(status: &Status) -> Vec<(&'static str, String)> {
    let time = |time: Option<tenantry_domain::Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
    vec![
        ("source", status.source.as_str().to_owned()),
        ("as of", time(status.last_success)),
        ("away s", status.away.map(|away| away.as_secs().to_string()).unwrap_or_default()),
        ("error", status.error.clone().unwrap_or_default()),
        ("tenants", status.tenants.to_string()),
        ("logins", status.logins.to_string()),
        ("cells", status.cells.to_string()),
        ("looks", status.looks.to_string()),
        ("full reads", status.full_reads.to_string()),
        ("changes", status.changes.to_string()),
        ("file as of", time(status.file_as_of)),
        ("file error", status.file_error.clone().unwrap_or_default()),
    ]
}

fn settings(settings: &Settings) -> Vec<(&'static str, String)> {
    let seconds = |time: Duration| format!("{} s", time.as_secs_f64());
    vec![
        ("workers", settings.workers.to_string()),
        ("clients", settings.clients.to_string()),
        ("sessions of a server", settings.pool.server.to_string()),
        ("sessions of a shared login", settings.pool.shared.to_string()),
        ("sessions of a tenant in them", settings.pool.per_tenant.to_string()),
        ("sessions of a tenant's own login", settings.pool.own.to_string()),
        ("clients of a tenant that wait", settings.pool.waiting.to_string()),
        ("wait", seconds(settings.pool.wait)),
        ("hold", seconds(settings.hold)),
        ("statement", seconds(settings.statement)),
        ("idle in transaction", seconds(settings.idle_in_transaction)),
        ("staleness of standbys", seconds(settings.staleness)),
        ("login", seconds(settings.login)),
        ("failed logins of an address in a minute", settings.failures.to_string()),
        ("without TLS", if settings.allow_plain { "yes" } else { "no" }.to_owned()),
        ("domains", settings.domains.join(", ")),
    ]
}

fn config(config: &ConfigView) -> Vec<Vec<String>> {
    let row = |entry: &crate::reload::Entry| {
        let waiting = config.waiting.iter().find(|waiting| waiting.name == entry.name);
        vec![
            entry.name.to_owned(),
            entry.value.clone(),
            entry.origin.as_str().to_owned(),
            if entry.is_live { "yes" } else { "no" }.to_owned(),
            waiting.map(|waiting| waiting.to.clone()).unwrap_or_default(),
        ]
    };
    let mut rows: Vec<_> = config.entries.iter().map(row).collect();
    if let Some(error) = &config.error {
        rows.push(vec![
            "the last reload failed".to_owned(),
            error.clone(),
            String::new(),
            String::new(),
            String::new(),
        ]);
    }
    rows
}

/// The columns of what RELOAD answers.
pub const RELOADED: &[&str] = &["name", "from", "to", "state"];

/// What a reload found to differ.
pub fn reloaded(differences: &[Difference]) -> Rows {
    let row = |one: &Difference| {
        let state = if one.is_live { "changed" } else { "waits for a restart" };
        vec![one.name.to_owned(), one.from.clone(), one.to.clone(), state.to_owned()]
    };
    Rows { columns: RELOADED, rows: differences.iter().map(row).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_as_many_values_as_columns() {
        let (view, status, table, settings) =
            (View::default(), Status::default(), Table::default(), Settings::default());
        let config = ConfigView::default();
        let facts = Facts { view: &view, status: &status, table: &table, settings: &settings, config: &config };
        for (show, ..) in Show::ALL {
            let rows = rows(show, &facts);
            assert!(rows.rows.iter().all(|row| row.len() == rows.columns.len()), "{show:?}");
        }
    }
}
