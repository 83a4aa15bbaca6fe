//! What Prometheus reads of a gateway.
//!
//! INVARIANT: labels come from closed sets, from cells and their logins, and from the tenants that are counted apart; clients
//! cannot make any.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use tenantry_domain::Timestamp;

use crate::admin;
use crate::counts::{BUCKETS, Histogram, TenantCounts};
use crate::feed::Status;
use crate::front::Front;
use crate::pool::Counts;
use crate::reload::ConfigView;
use crate::table::Table;
use crate::worker::View;

/// Reads the numbers of a gateway. Cheap to clone.
#[derive(Clone)]
pub struct Meter {
    front: Arc<Front>,
}

impl Meter {
    pub(crate) const fn new(front: Arc<Front>) -> Self {
        Self { front }
    }

    /// All numbers in Prometheus' text form, version 0.0.4.
    pub async fn text(&self, status: &Status, now: Timestamp) -> String {
        let view = self.front.workers.view().await;
        let lobby = self.front.desk.lobby();
        let lobby = (lobby.count(), lobby.turned_away());
        let refused = self.front.refused.get();
        let config = self.front.config.view();
        let facts =
            Facts { view: &view, status, table: &self.front.table, refused: &refused, lobby, config: &config, now };
        render(&facts)
    }
}

/// What the text is made of.
pub struct Facts<'a> {
    /// What the workers have.
    pub view: &'a View,
    /// How the table is kept.
    pub status: &'a Status,
    /// The names of tenants.
    pub table: &'a Table,
    /// Logins that were refused.
    pub refused: &'a BTreeMap<&'static str, u64>,
    /// Connections that have not logged in, and those that found no place to.
    pub lobby: (usize, u64),
    /// How the running configuration is, beside the one that was read last.
    pub config: &'a ConfigView,
    /// The time.
    pub now: Timestamp,
}

/// The text. Pure.
#[must_use]
pub fn render(facts: &Facts<'_>) -> String {
    let mut text = Text(String::new());
    sessions(&mut text, facts);
    pools(&mut text, facts.view);
    standbys(&mut text, facts.view);
    tenants(&mut text, facts);
    feed(&mut text, facts);
    config(&mut text, facts.config);
    text.0
}

struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a text cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (place, (label, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{value}\"", if place == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, kind, help);
        self.line(name, &[], value);
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for (count, end) in histogram.buckets.iter().zip(BUCKETS) {
            self.line(&bucket, &[("le", &seconds(end))], count);
        }
        self.line(&bucket, &[("le", "+Inf")], histogram.count);
        self.line(&format!("{name}_sum"), &[], seconds(histogram.micros));
        self.line(&format!("{name}_count"), &[], histogram.count);
    }
}

/// Microseconds as a decimal number of seconds.
fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

fn sessions(text: &mut Text, facts: &Facts<'_>) {
    let counted = &facts.view.counted;
    let name = "tenantry_gateway_clients";
    text.head(name, "gauge", "Clients that have logged in, by what they do.");
    let mut doing: BTreeMap<&str, u64> =
        ["idle", "waiting", "running", "in_transaction"].into_iter().map(|state| (state, 0)).collect();
    for session in &facts.view.sessions {
        *doing.entry(admin::state(session.doing)).or_default() += 1;
    }
    for (state, count) in doing {
        text.line(name, &[("state", state)], count);
    }
    text.one("tenantry_gateway_sessions_total", "counter", "Clients that have logged in so far.", counted.arrivals);
    let name = "tenantry_gateway_sessions_ended_total";
    text.head(name, "counter", "Clients that are gone, by the reason.");
    for (reason, count) in &counted.ended {
        text.line(name, &[("reason", reason)], count);
    }
    let name = "tenantry_gateway_logins_refused_total";
    text.head(name, "counter", "Logins that were refused, by the reason.");
    for (reason, count) in facts.refused {
        text.line(name, &[("reason", reason)], count);
    }
    let (waiting, turned_away) = facts.lobby;
    text.one("tenantry_gateway_lobby", "gauge", "Connections that have not logged in.", waiting);
    let help = "Connections that found no place to log in.";
    text.one("tenantry_gateway_lobby_turned_away_total", "counter", help, turned_away);
    let retries = counted.retries;
    text.one("tenantry_gateway_retries_total", "counter", "Transactions looked for in another place.", retries);
    text.one("tenantry_gateway_holds", "gauge", "Tenants that are held.", facts.view.held.len());
    let help = "How long a server session was lent for a transaction.";
    text.histogram("tenantry_gateway_transaction_seconds", help, &counted.transactions);
    text.histogram("tenantry_gateway_wait_seconds", "How long clients waited for a server session.", &counted.waits);
}

fn pools(text: &mut Text, view: &View) {
    // By server: a pool per tenant's own login would make as many series as there are tenants.
    let mut servers: BTreeMap<&str, (Counts, u64)> = BTreeMap::new();
    for pool in &view.pools {
        let (sum, pools) = servers.entry(&pool.address).or_default();
        sum.used += pool.counts.used;
        sum.idle += pool.counts.idle;
        sum.waiting += pool.counts.waiting;
        *pools += 1;
    }
    let name = "tenantry_gateway_server_sessions";
    text.head(name, "gauge", "Sessions on PostgreSQL servers.");
    for (server, (counts, _)) in &servers {
        text.line(name, &[("server", server), ("state", "used")], counts.used);
        text.line(name, &[("server", server), ("state", "idle")], counts.idle);
    }
    let name = "tenantry_gateway_waiting";
    text.head(name, "gauge", "Clients that wait for a session of a server.");
    for (server, (counts, _)) in &servers {
        text.line(name, &[("server", server)], counts.waiting);
    }
    let name = "tenantry_gateway_pools";
    text.head(name, "gauge", "Logins with sessions on a server.");
    for (server, (_, pools)) in &servers {
        text.line(name, &[("server", server)], pools);
    }
}

fn standbys(text: &mut Text, view: &View) {
    // Workers watch for themselves; the worst of them is told.
    let mut servers: BTreeMap<&str, f64> = BTreeMap::new();
    for standby in &view.standbys {
        let staleness = standby.staleness.map_or(f64::INFINITY, |staleness| staleness.as_secs_f64());
        let worst = servers.entry(&standby.address).or_default();
        *worst = worst.max(staleness);
    }
    let name = "tenantry_gateway_standby_staleness_seconds";
    text.head(
        name,
        "gauge",
        "How long ago everything was committed that a standby is known to show; +Inf while nothing is known.",
    );
    for (server, staleness) in servers {
        let value = if staleness.is_finite() { format!("{staleness:.3}") } else { "+Inf".to_owned() };
        text.line(name, &[("server", server)], value);
    }
}

/// One number of a tenant, as text.
type Number = fn(&TenantCounts) -> String;

fn tenants(text: &mut Text, facts: &Facts<'_>) {
    let counted = &facts.view.counted;
    let mut named: Vec<(String, String, TenantCounts)> = counted
        .tenants
        .iter()
        .map(|(tenant, counts)| (tenant.to_string(), admin::name(facts.table, *tenant), *counts))
        .collect();
    named.sort_by(|one, other| one.0.cmp(&other.0));
    named.push(("others".to_owned(), String::new(), counted.others));
    let columns: [(&str, &str, Number); 5] = [
        ("transactions_total", "Transactions that are over.", |counts| counts.transactions.to_string()),
        ("refused_total", "Statements that the gateway answered with an error.", |counts| counts.refused.to_string()),
        ("waits_total", "How often a client waited for a server session.", |counts| counts.waits.to_string()),
        ("waited_seconds_total", "How long clients waited together.", |counts| seconds(counts.waited)),
        ("throttled_total", "How often the tenant had used up its rate.", |counts| counts.throttled.to_string()),
    ];
    for (column, help, value) in columns {
        let name = format!("tenantry_gateway_tenant_{column}");
        text.head(&name, "counter", help);
        for (tenant, slug, counts) in &named {
            text.line(&name, &[("tenant", tenant), ("name", slug)], value(counts));
        }
    }
}

fn feed(text: &mut Text, facts: &Facts<'_>) {
    let status = facts.status;
    let age = status.last_success.map_or(f64::NAN, |time| facts.now.duration_since(time).as_secs_f64());
    text.one("tenantry_gateway_table_age_seconds", "gauge", "How old the table of tenants and logins is.", age);
    let away = u8::from(status.away.is_some() || matches!(status.source, crate::feed::Source::File));
    text.one("tenantry_gateway_control_away", "gauge", "Whether the control database does not answer.", away);
    text.one("tenantry_gateway_table_tenants", "gauge", "Tenants in the table.", status.tenants);
    text.one("tenantry_gateway_table_logins", "gauge", "Logins in the table.", status.logins);
    text.one("tenantry_gateway_table_changes_total", "counter", "Changes that were applied.", status.changes);
    let failed = u8::from(status.file_error.is_some());
    text.one("tenantry_gateway_table_file_failed", "gauge", "Whether the table's file cannot be written.", failed);
}

fn config(text: &mut Text, config: &ConfigView) {
    let name = "tenantry_gateway_config_differs";
    text.head(name, "gauge", "Whether the running configuration is not the one that was read last, by the reason.");
    text.line(name, &[("reason", "unusable")], u8::from(config.error.is_some()));
    text.line(name, &[("reason", "restart")], u8::from(!config.waiting.is_empty()));
    let name = "tenantry_gateway_reloads_total";
    text.head(name, "counter", "Reloads of the configuration, by their outcome.");
    text.line(name, &[("outcome", "done")], config.done);
    text.line(name, &[("outcome", "failed")], config.failed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_comment_or_a_number_and_names_are_quoted() {
        let (view, status, table) = (View::default(), Status::default(), Table::default());
        let refused = BTreeMap::from([("too_slow", 2)]);
        let now = Timestamp::from_second(1).unwrap_or_default();
        let config = ConfigView { error: Some("x".to_owned()), ..ConfigView::default() };
        let (lobby, config) = ((0, 0), &config);
        let text =
            render(&Facts { view: &view, status: &status, table: &table, refused: &refused, lobby, config, now });
        assert!(text.contains("tenantry_gateway_config_differs{reason=\"unusable\"} 1\n"), "{text}");
        assert!(text.contains("tenantry_gateway_config_differs{reason=\"restart\"} 0\n"), "{text}");
        for line in text.lines().filter(|line| !line.starts_with("# ")) {
            let (_, value) = line.rsplit_once(' ').unwrap_or_default();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
        assert!(text.contains("tenantry_gateway_logins_refused_total{reason=\"too_slow\"} 2\n"), "{text}");
        assert!(text.contains("tenantry_gateway_clients{state=\"idle\"} 0\n"), "{text}");
        assert!(text.contains("tenant_transactions_total{tenant=\"others\",name=\"\"} 0\n"), "{text}");
        let mut line = Text(String::new());
        line.line("x", &[("a", "q\"\\\n")], 1);
        assert_eq!(line.0, "x{a=\"q\\\"\\\\\\n\"} 1\n");
    }
}
