//! What it costs to pass a transaction on, and to read one row safely.
//!
//! The gateway enters the tenant's seal in every transaction, PgBouncer enters nothing. What that costs the server is shown
//! beside what the pooler itself costs, so that a reader sees where a difference comes from.

use std::path::{Path, PathBuf};

use anyhow::Result;
use tenantry_pg::Sql;

use super::Ways;
use super::backends::Backends;
use super::load::{Load, Mode};
use super::world::ROWS;
use crate::benches::Bench;
use crate::measure::{Size, median};
use crate::report::Figure;

/// So many transactions a second leave every way idle time. At full speed the faster way is woken less often for each
/// transaction, which makes it look cheaper still.
const EVEN: u32 = 6_000;

/// One comparison.
struct Case {
    name: String,
    clients: usize,
    /// Transactions a second at most.
    rate: Option<u32>,
    ours: (PathBuf, Mode),
    theirs: (PathBuf, Mode),
    /// The server alone, where that is the same thing.
    direct: bool,
    rate_aim: Option<f64>,
    cost_aim: Option<f64>,
}

/// Rounds of one way.
#[derive(Default)]
struct Rounds {
    rates: Vec<f64>,
    pooler: Vec<f64>,
    server: Vec<f64>,
}

/// Everything about passing on.
pub async fn run(bench: &mut Bench<'_>, ways: &Ways<'_>) -> Result<()> {
    let one = ways.script("one.sql", "SELECT 1;\n")?;
    let ten = ways.script("ten.sql", "SELECT id, name, body FROM beside.ten;\n")?;
    let many = ["BEGIN;\n", &"SELECT 1;\n".repeat(10), "COMMIT;\n"].concat();
    let many = ways.script("many.sql", &many)?;
    warm_up(bench, ways, &one).await?;
    let is_full = bench.size == Size::Full;
    let mut cases = Vec::new();
    for (what, script, clients) in
        [("SELECT 1", &one, 16), ("SELECT 1", &one, 1), ("ten rows", &ten, 16), ("ten rows", &ten, 1)]
    {
        for mode in [Mode::Simple, Mode::Extended, Mode::Prepared] {
            let is_first = clients == 16 && script == &one && mode != Mode::Extended;
            if is_full || is_first {
                cases.push(ways.alike(what, script, mode, clients));
            }
        }
    }
    let even = ways.alike("SELECT 1", &one, Mode::Simple, 16);
    let name = format!("{}, {EVEN} a second", even.name);
    cases.push(Case { name, rate: Some(EVEN), rate_aim: None, direct: false, ..even });
    cases.push(ways.alike("BEGIN, ten of SELECT 1, COMMIT", &many, Mode::Simple, 16));
    if is_full {
        cases.push(ways.alike("BEGIN, ten of SELECT 1, COMMIT", &many, Mode::Extended, 16));
    }
    if bench.size == Size::Tiny {
        cases.truncate(1);
    }
    for case in cases {
        compare(bench, ways, &case).await?;
    }
    Ok(())
}

/// A row of a table with row-level security, by its key.
pub async fn safe(bench: &mut Bench<'_>, ways: &Ways<'_>) -> Result<()> {
    let id = ["\\set id random(1, ", &ROWS.to_string(), ")\n"].concat();
    let bare = [&id, "SELECT name, body FROM item_00 WHERE id = :id;\n"].concat();
    let tenant = ways.world.tenants[0].id.uuid().to_string();
    let setting = Sql::new("SELECT set_config('app.tenant', ").literal(&tenant).push(", true);\n");
    let row = "SELECT name, body FROM beside.guarded WHERE id = :id;\n";
    let guarded = [&id, "BEGIN;\n", setting.as_str(), row, "COMMIT;\n"].concat();
    let (bare, guarded) = (ways.script("bare.sql", &bare)?, ways.script("guarded.sql", &guarded)?);
    let cases: &[(usize, Mode)] = bench.size.pick(
        &[(1, Mode::Simple), (8, Mode::Simple), (16, Mode::Simple), (16, Mode::Extended)],
        &[(1, Mode::Simple), (8, Mode::Simple), (16, Mode::Simple)],
        &[(8, Mode::Simple)],
    );
    for &(clients, mode) in cases {
        let case = Case {
            name: format!("one row of a guarded table, {}, {clients} {}", mode.word(), plural(clients)),
            clients,
            rate: None,
            ours: (bare.clone(), mode),
            theirs: (guarded.clone(), mode),
            direct: false,
            rate_aim: Some(2.0),
            cost_aim: Some(0.5),
        };
        compare(bench, ways, &case).await?;
    }
    Ok(())
}

const fn plural(clients: usize) -> &'static str {
    if clients == 1 { "client" } else { "clients" }
}

impl Ways<'_> {
    /// The same through all.
    fn alike(&self, what: &str, script: &Path, mode: Mode, clients: usize) -> Case {
        let is_crowd = clients == 16;
        let theirs = match mode {
            Mode::Prepared if !self.prepares => Mode::Extended,
            mode => mode,
        };
        Case {
            name: format!("{what}, {}, {clients} {}", mode.word(), plural(clients)),
            clients,
            rate: None,
            ours: (script.to_path_buf(), mode),
            theirs: (script.to_path_buf(), theirs),
            direct: true,
            rate_aim: is_crowd.then_some(0.95),
            cost_aim: Some(1.25),
        }
    }

    fn load(&self, way: usize, case: &Case) -> Load {
        let (environment, (script, mode)) = match (way, &self.theirs) {
            (0, _) => (self.world.through_gateway(self.ours.port, &self.world.tenants[0]), &case.ours),
            (1, Some(theirs)) => (self.world.through_bouncer(theirs.port), &case.theirs),
            _ => (self.world.direct(), &case.ours),
        };
        let (script, mode) = (script.clone(), *mode);
        Load { environment, script, mode, clients: case.clients, seconds: 1, rate: case.rate, reconnects: false }
    }
}

/// Every session of the server is open, and has loaded what it needs, before anything is measured.
async fn warm_up(bench: &Bench<'_>, ways: &Ways<'_>, script: &Path) -> Result<()> {
    let case = ways.alike("", script, Mode::Simple, 16);
    for way in 0..2 {
        ways.load(way, &case).run(bench.host).await?;
    }
    Ok(())
}

async fn compare(bench: &mut Bench<'_>, ways: &Ways<'_>, case: &Case) -> Result<()> {
    let backends = Backends::of(bench.host, ways.world)?;
    let mut rounds: [Rounds; 3] = Default::default();
    let is_there = [true, ways.theirs.is_some(), case.direct];
    for turn in 0..bench.size.pick(4, 2, 1) {
        for step in 0..rounds.len() {
            let way = (turn + step) % rounds.len();
            if !is_there[way] {
                continue;
            }
            let pooler = match way {
                0 => Some(ways.ours),
                1 => ways.theirs,
                _ => None,
            };
            let before = (pooler.map(super::Pooler::spent).transpose()?, backends.spent().await?);
            let outcome = ways.load(way, case).run(bench.host).await?;
            let after = (pooler.map(super::Pooler::spent).transpose()?, backends.spent().await?);
            let round = &mut rounds[way];
            round.rates.push(outcome.rate);
            if let (Some(before), Some(after)) = (before.0, after.0) {
                round.pooler.push((after - before) / outcome.count);
            }
            round.server.push(after.1.since(&before.1) / outcome.count);
        }
    }
    let [ours, theirs, direct] = rounds;
    let their_name = match case.theirs.1 {
        mode if mode != case.ours.1 => format!("PgBouncer, {}", mode.word()),
        _ if case.ours.0 != case.theirs.0 => "PgBouncer, BEGIN, set_config, query, COMMIT".to_owned(),
        _ => "PgBouncer".to_owned(),
    };
    let against = |figure: Figure, values: &[f64], aim: &dyn Fn(Figure) -> Figure| {
        if values.is_empty() { figure } else { aim(figure.against(&their_name, median(values))) }
    };
    let rate = Figure::rounds(case.name.clone(), "/s", &ours.rates);
    let rate = against(rate, &theirs.rates, &|figure| match case.rate_aim {
        Some(aim) => figure.ratio_at_least(aim),
        None => figure,
    });
    bench.say(if case.direct { rate.against("no pooler", median(&direct.rates)) } else { rate });
    let cost = Figure::rounds("  its cost in the pooler", "µs", &ours.pooler);
    bench.say(against(cost, &theirs.pooler, &|figure| match case.cost_aim {
        Some(aim) => figure.ratio_at_most(aim),
        None => figure,
    }));
    let cost = Figure::rounds("  its cost in the server, with the seal", "µs", &ours.server);
    bench.say(against(cost, &theirs.server, &|figure| figure));
    Ok(())
}
