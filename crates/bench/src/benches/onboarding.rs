//! From a request to an open tenant, at each level, with few and with many tenants before it.
//!
//! Three things take turns: the whole way through the use case, the journal and the executor of a running process; the
//! data plane's part of it alone; and plain SQL that makes the same objects in the same database. At full size each
//! level has a server of its own, so that the thousand databases of one do not slow the schemas of another.

use std::time::Duration;

use anyhow::Result;
use tenantry_control::controllers::drift;
use tenantry_dataplane::Gate;
use tenantry_domain::isolation::Isolation;
use tenantry_pg::{Ident, Pool, Sql};

use super::Bench;
use crate::bed::{Bed, LEVELS, numbered};
use crate::host::Host;
use crate::measure::{Samples, Size, timed};
use crate::processor::Processor;
use crate::product;
use crate::report::Figure;

/// Tenants that one request of the set-up brings.
const AT_ONCE: usize = 200;

pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    for level in LEVELS {
        if bench.size == Size::Full {
            let own = Host::start()?;
            at_level(bench, &own, level).await?;
        } else {
            let host = bench.host;
            at_level(bench, host, level).await?;
        }
    }
    Ok(())
}

async fn at_level(bench: &mut Bench<'_>, host: &Host, level: Isolation) -> Result<()> {
    let bed = Bed::install(host, &format!("onboard-{level}"), 10).await?;
    let runtime = bed.start();
    let home = bed.home(host, 2)?;
    let raw = Raw::prepare(host, level, home).await?;
    let processor = Processor::of(host).await?;
    let mut course = Course { bed: &bed, raw, level, processor, made: 0, raws: 0 };
    let turns = match level {
        Isolation::Shared => bench.size.pick(200, 30, 2),
        Isolation::Schema => bench.size.pick(100, 15, 2),
        Isolation::Database | Isolation::Cluster => bench.size.pick(60, 8, 2),
    };
    let crowds = match level {
        Isolation::Shared => bench.size.pick([10, 1_000], [10, 200], [2, 4]),
        Isolation::Schema => bench.size.pick([10, 1_000], [10, 40], [2, 4]),
        Isolation::Database | Isolation::Cluster => bench.size.pick([10, 1_000], [4, 12], [1, 2]),
    };
    for crowd in crowds {
        course.grow(crowd).await?;
        let cold = course.measure(turns, false).await?;
        cold.tell(bench, level, crowd, "cold");
        if level != Isolation::Shared {
            let premade = course.measure(turns, true).await?;
            premade.tell(bench, level, crowd, "pre-made");
        }
    }
    sweep(bench, &bed, level, course.made).await?;
    runtime.shutdown(&bed.deps).await?;
    Ok(())
}

/// The drift check over what was onboarded, since it is there anyway.
async fn sweep(bench: &mut Bench<'_>, bed: &Bed, level: Isolation, made: usize) -> Result<()> {
    let mut samples = Samples::default();
    for _ in 0..bench.size.pick(10, 3, 1) {
        timed(&mut samples, async { Ok(drift::sweep(&bed.deps).await?) }).await?;
    }
    bench.say(Figure::latency(format!("{level}: drift sweep of all {made}"), &samples));
    Ok(())
}

/// One level's run.
struct Course<'a> {
    bed: &'a Bed,
    raw: Raw,
    level: Isolation,
    processor: Processor,
    /// Tenants that were onboarded so far.
    made: usize,
    raws: usize,
}

#[derive(Default)]
struct Found {
    accepted: Samples,
    whole: Samples,
    /// Processor time of each whole one, in milliseconds: the server's, ours.
    server: Vec<f64>,
    ours: Vec<f64>,
    data_plane: Samples,
    raw: Samples,
    guarded: Samples,
}

impl Course<'_> {
    fn slug(&mut self) -> String {
        self.made += 1;
        numbered(self.level.as_str(), self.made)
    }

    /// Onboards until there are so many.
    async fn grow(&mut self, crowd: usize) -> Result<()> {
        while self.made < crowd {
            let count = (crowd - self.made).min(AT_ONCE);
            let manifests = (0..count).map(|_| {
                let slug = self.slug();
                self.bed.manifest(&slug, self.level)
            });
            let manifests = manifests.collect::<Result<Vec<_>>>()?;
            if let Some(operation) = self.bed.apply(&manifests).await? {
                self.bed.settled(operation, Duration::from_millis(100)).await?;
            }
        }
        Ok(())
    }

    async fn measure(&mut self, turns: usize, premade: bool) -> Result<Found> {
        const ROUND: usize = 10;
        let mut found = Found::default();
        for turn in 0..turns {
            if premade && turn % ROUND == 0 {
                // Two are taken in each turn.
                let want = 2 * ROUND.min(turns - turn);
                self.bed.cell.refill(&self.bed.app, self.level, want).await?;
            }
            for step in 0..4 {
                match (turn + step) % 4 {
                    0 => self.whole(&mut found).await?,
                    1 => self.data_plane(&mut found).await?,
                    2 => self.plain(&mut found.raw, false).await?,
                    _ if self.level != Isolation::Schema => {}
                    _ => self.plain(&mut found.guarded, true).await?,
                }
            }
        }
        Ok(found)
    }

    /// As a user sees it: accepted, journaled, placed, made, migrated, opened, recorded, told.
    async fn whole(&mut self, found: &mut Found) -> Result<()> {
        let slug = self.slug();
        let before = self.processor.spent()?;
        let Found { accepted, whole, .. } = found;
        timed(whole, async {
            let answer = timed(accepted, self.bed.create(&slug, self.level)).await?;
            match answer.operation {
                Some(operation) => self.bed.settled(operation, Duration::ZERO).await,
                None => Ok(()),
            }
        })
        .await?;
        let spent = self.processor.spent()?.since(before);
        found.server.push(spent.server / 1000.0);
        found.ours.push(spent.ours / 1000.0);
        Ok(())
    }

    async fn data_plane(&mut self, found: &mut Found) -> Result<()> {
        let (space, claim, cell) = (self.bed.space(self.level), Bed::claim(), &self.bed.cell);
        timed(&mut found.data_plane, async {
            cell.create(&space, &claim).await?;
            cell.migrate(&space, &claim).await?;
            cell.set_gate(&space, &claim, Gate::Open).await?;
            Ok(())
        })
        .await?;
        // The control plane does not know this one, so it goes again.
        Ok(cell.erase(&space, &claim).await?)
    }

    async fn plain(&mut self, samples: &mut Samples, guarded: bool) -> Result<()> {
        self.raws += 1;
        let name = Ident::new(format!("plain_{:06}", self.raws))?;
        timed(samples, self.raw.make(&name, guarded)).await?;
        self.raw.remove(&name, guarded).await
    }
}

impl Found {
    fn tell(&self, bench: &mut Bench<'_>, level: Isolation, crowd: usize, how: &str) {
        let title = |part: &str| format!("{level}, {how}, beside {crowd}: {part}");
        let plain = match level {
            Isolation::Shared => "one INSERT",
            Isolation::Schema => "same DDL, one transaction",
            Isolation::Database | Isolation::Cluster => "CREATE DATABASE … TEMPLATE",
        };
        let with_plain = |figure: Figure| {
            let figure = figure.against(plain, self.raw.at(0.5));
            if self.guarded.len() == 0 {
                figure
            } else {
                figure.against("same with roles, RLS, grants", self.guarded.at(0.5))
            }
        };
        let aim = match (level, how) {
            (_, "pre-made") | (Isolation::Shared, _) => 50.0,
            (Isolation::Schema, _) => 300.0,
            _ => 2_000.0,
        };
        bench.say(with_plain(Figure::latency(title("whole"), &self.whole)).p99_at_most(aim));
        bench.say(Figure::latency(title("request accepted"), &self.accepted));
        bench.say(Figure::rounds(title("server's processor time"), "ms", &self.server));
        bench.say(Figure::rounds(title("our processor time"), "ms", &self.ours));
        bench.say(with_plain(Figure::latency(title("data plane"), &self.data_plane)));
    }
}

/// What somebody without Tenantry would run.
struct Raw {
    level: Isolation,
    home: Pool,
    server: Pool,
    script: Sql,
}

const TEMPLATE: &str = "plain_template";

impl Raw {
    async fn prepare(host: &Host, level: Isolation, home: Pool) -> Result<Self> {
        let raw = Self { level, home, server: host.pool("postgres", 1)?, script: product::script()? };
        match level {
            Isolation::Shared => {
                let conn = raw.home.get().await?;
                conn.batch_static("CREATE TABLE public.plain_tenant (name text PRIMARY KEY, state text NOT NULL)")
                    .await?;
                conn.release();
            }
            Isolation::Schema => {}
            Isolation::Database | Isolation::Cluster => {
                host.database(TEMPLATE).await?;
                let pool = host.pool(TEMPLATE, 1)?;
                let conn = pool.get().await?;
                conn.batch(&raw.script).await?;
                conn.release();
                pool.close();
            }
        }
        Ok(raw)
    }

    async fn make(&self, name: &Ident, guarded: bool) -> Result<()> {
        match self.level {
            Isolation::Shared => {
                let conn = self.home.get().await?;
                let sql = "INSERT INTO public.plain_tenant (name, state) VALUES ($1, 'active')";
                conn.execute(sql, &[&name.as_str()]).await?;
                conn.release();
            }
            Isolation::Schema => {
                let conn = self.home.get().await?;
                conn.batch(&self.schema(name, guarded)?).await?;
                conn.release();
            }
            Isolation::Database | Isolation::Cluster => {
                let conn = self.server.get().await?;
                let sql = Sql::new("CREATE DATABASE ").ident(name).push(" TEMPLATE ").ident(&Ident::new(TEMPLATE)?);
                conn.batch(&sql.push(" STRATEGY wal_log")).await?;
                conn.release();
            }
        }
        Ok(())
    }

    /// One message, one transaction.
    fn schema(&self, name: &Ident, guarded: bool) -> Result<Sql> {
        let login = Ident::new(format!("{}_login", name.as_str()))?;
        let mut sql = Sql::new("BEGIN;\n");
        if guarded {
            sql = sql.push("CREATE ROLE ").ident(name).push(" NOLOGIN;\nCREATE ROLE ").ident(&login).push(" LOGIN;\n");
            sql = sql.push("GRANT USAGE ON SCHEMA tenantry TO ").ident(name).push(";\n");
        }
        sql = sql.push("CREATE SCHEMA ").ident(name);
        if guarded {
            sql = sql.push(" AUTHORIZATION ").ident(name).push(";\nSET LOCAL ROLE ").ident(name);
        }
        sql = sql.push(";\nSET LOCAL search_path = ").ident(name).push(";\n").sql(&self.script);
        if guarded {
            sql = sql.sql(&product::guards(name, &login)?);
        }
        Ok(sql.push("COMMIT"))
    }

    async fn remove(&self, name: &Ident, guarded: bool) -> Result<()> {
        match self.level {
            Isolation::Shared => {}
            Isolation::Schema => {
                let conn = self.home.get().await?;
                conn.batch(&Sql::new("DROP SCHEMA ").ident(name).push(" CASCADE")).await?;
                if guarded {
                    let login = Ident::new(format!("{}_login", name.as_str()))?;
                    let sql = Sql::new("DROP OWNED BY ").ident(name).push(", ").ident(&login);
                    conn.batch(&sql.push("; DROP ROLE ").ident(name).push(", ").ident(&login)).await?;
                }
                conn.release();
            }
            Isolation::Database | Isolation::Cluster => {
                let conn = self.server.get().await?;
                conn.batch(&Sql::new("DROP DATABASE ").ident(name)).await?;
                conn.release();
            }
        }
        Ok(())
    }
}
