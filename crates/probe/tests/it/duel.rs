//! Runs the adversary: tenants mixed on the same connections, everything that comes back searched for the others'
//! canaries, and now and then a look whether the others' rows are still what they were.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{StreamExt as _, pin_mut};
use tenantry_dataplane::seal::Backend;
use tenantry_dataplane::{RouterOptions, TenantTx};
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_pg::{PgError, Pool, PoolOptions, Session, SimpleQueryMessage, Sql, Tx, TxMode};
use tenantry_probe::adversary::{Move, Victim};
use tenantry_probe::{Adversary, Canaries, CanaryKey, CatalogModel, Limits, Needle, Party, Probe, read};
use tokio::sync::RwLock;

use crate::world::{Way, World, admin, ident};

/// Statements of one transaction.
const BATCH: u64 = 60;
/// Statements that are on their way at once.
const FLUSH: usize = 15;
/// After so many transactions one is committed, alone, and the others' rows are looked at.
const LOOK_EVERY: u64 = 100;
/// The most rows that a tenant has in one table: four partitions, each with one.
const OWN_ROWS: u64 = 4;
/// The tables whose rows are compared, children first.
const TABLES: [&str; 6] = ["members", "notes", "events", "counters", "teams", "people"];

/// How a tenant is entered.
pub enum Access {
    /// As the product does it.
    Router,
    /// By a pool of the shared login that hands sessions on as they are.
    Naive(Pool),
}

pub struct Lane {
    pub world: World,
    access: Access,
    models: Vec<CatalogModel>,
    needles: Vec<Vec<Needle>>,
    foreign: Vec<Canaries>,
    victims: Vec<Vec<Victim>>,
    turn: RwLock<()>,
}

/// A foreign value came back.
#[derive(Debug)]
pub struct Found {
    pub number: u64,
    pub attacker: usize,
    pub what: String,
    pub sql: String,
}

#[derive(Debug, Default)]
pub struct Outcome {
    pub statements: u64,
    pub executed: u64,
    pub lost: u64,
    pub looks: u64,
    pub kinds: BTreeMap<&'static str, (u64, u64)>,
    pub found: Option<Found>,
    pub took: Duration,
}

impl Outcome {
    pub fn rate(&self) -> f64 {
        self.statements as f64 / self.took.as_secs_f64().max(0.001)
    }

    pub fn share(&self) -> f64 {
        self.executed as f64 * 100.0 / self.statements.max(1) as f64
    }

    fn join(&mut self, other: Self) {
        self.statements += other.statements;
        self.executed += other.executed;
        self.lost += other.lost;
        self.looks += other.looks;
        for (kind, (made, ran)) in other.kinds {
            let sum = self.kinds.entry(kind).or_default();
            *sum = (sum.0 + made, sum.1 + ran);
        }
        self.found = self.found.take().or(other.found);
    }
}

enum Open {
    Router(TenantTx),
    Naive(Tx),
}

impl Deref for Open {
    type Target = Session;
    fn deref(&self) -> &Session {
        match self {
            Self::Router(tx) => tx,
            Self::Naive(tx) => tx,
        }
    }
}

impl Open {
    async fn commit(self) -> bool {
        match self {
            Self::Router(tx) => tx.commit().await.is_ok(),
            Self::Naive(tx) => tx.commit().await.is_ok(),
        }
    }

    async fn rollback(self) -> bool {
        match self {
            Self::Router(tx) => tx.rollback().await.is_ok(),
            Self::Naive(tx) => tx.rollback().await.is_ok(),
        }
    }
}

/// Few connections, so that tenants meet on them.
pub fn router_options() -> RouterOptions {
    let pool = PoolOptions {
        statement: Duration::from_secs(3),
        lock: Duration::from_millis(500),
        wait: Duration::from_secs(60),
        ..RouterOptions::default().pool
    };
    RouterOptions { shared: 3, per_tenant: 2, own: 2, pool, ..RouterOptions::default() }
}

impl Lane {
    /// Plants canaries for every tenant.
    pub async fn new(world: World) -> Self {
        let mut lane = Self {
            world,
            access: Access::Router,
            models: Vec::new(),
            needles: Vec::new(),
            foreign: Vec::new(),
            victims: Vec::new(),
            turn: RwLock::default(),
        };
        for index in 0..lane.world.tenants.len() {
            let mut needles = lane.plant(index).await;
            // Among millions of answers a number of nine digits or a part of a time comes back by chance.
            needles.retain(|needle| needle.text.len() >= 15);
            for needle in &mut needles {
                needle.id = format!("tenant {index}: {}", needle.id);
            }
            assert!(needles.len() > 8, "{needles:?}");
            lane.needles.push(needles);
        }
        lane.look_around().await;
        lane
    }

    pub fn with(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// A pool that cleans nothing, for the first tenant's login.
    pub fn naive(&self) -> Access {
        let options = PoolOptions { max: 2, ..router_options().pool };
        Access::Naive(Pool::new(self.world.a().door.target.clone(), options))
    }

    async fn plant(&self, index: usize) -> Vec<Needle> {
        let tenant = &self.world.tenants[index];
        let other = &self.world.tenants[(index + 1) % self.world.tenants.len()];
        let ways = [other, tenant].map(|t| Way { router: Arc::clone(&self.world.router), door: t.door.clone() });
        let admins = [admin(&other.database).await, admin(&tenant.database).await];
        let [a, b] = [(other, 0), (tenant, 1)].map(|(t, side)| Party {
            tenant: TenantId::from_uuid(t.id),
            entry: &ways[side],
            admin: &admins[side],
            login: &t.login,
            schema: ident(&t.schema),
            target: &t.door.target,
        });
        let (key, limits) = (CanaryKey::new([7; 32]), Limits::default());
        let probe = Probe { level: tenant.level, tenant_column: Some(ident("tenant_id")), key, a, b, limits };
        let planted = probe.plant().await.unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(planted.unplantable, []);
        planted.needles
    }

    /// Reads the catalogs anew, as an attacker would who notices a change.
    pub async fn look_around(&mut self) {
        (self.models, self.foreign, self.victims) = Default::default();
        for (index, tenant) in self.world.tenants.iter().enumerate() {
            let session = admin(&tenant.database).await;
            let model = read(&session, &tenant.login, std::slice::from_ref(&tenant.schema)).await.unwrap();
            self.models.push(model);
            let others = |at: &(usize, &crate::world::Tenant)| at.0 != index;
            let foreign =
                self.needles.iter().enumerate().filter(|(at, _)| *at != index).flat_map(|(_, list)| list.clone());
            self.foreign.push(Canaries::new(foreign.collect()).unwrap());
            let victim = |(_, other): (usize, &crate::world::Tenant)| Victim {
                tenant: other.id,
                schema: ident(&other.schema),
                role: ident(if other.login == tenant.login { &other.owner } else { &other.login }),
            };
            self.victims.push(self.world.tenants.iter().enumerate().filter(others).map(victim).collect());
        }
    }

    /// Runs `count` statements of a seed, or fewer when a foreign value comes back.
    pub async fn run(&self, seed: u64, from: u64, count: u64, workers: u64) -> Outcome {
        let began = Instant::now();
        let next = AtomicU64::new(from / BATCH);
        let last = (from + count).div_ceil(BATCH);
        let stop = AtomicU64::new(0);
        let told = AtomicU64::new(0);
        let work = async || {
            let mut mine = Outcome::default();
            while stop.load(Ordering::Acquire) == 0 {
                let batch = next.fetch_add(1, Ordering::AcqRel);
                if batch >= last {
                    break;
                }
                mine.join(self.batch(seed, batch).await);
                if mine.found.is_some() {
                    stop.store(1, Ordering::Release);
                }
                let done = (batch + 1 - from / BATCH) * BATCH;
                if done / 500_000 > told.fetch_max(done / 500_000, Ordering::AcqRel) {
                    let rate = done as f64 / began.elapsed().as_secs_f64();
                    println!("adversary: {done} statements, {rate:.0}/s");
                }
            }
            mine
        };
        let mut outcome = Outcome::default();
        for part in join_all((0..workers).map(|_| work())).await {
            outcome.join(part);
        }
        outcome.took = began.elapsed();
        outcome
    }

    async fn batch(&self, seed: u64, batch: u64) -> Outcome {
        let tenants = self.world.tenants.len() as u64;
        let attacker =
            usize::try_from((batch.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33).wrapping_add(seed) % tenants).unwrap();
        let first = batch * BATCH;
        if batch % LOOK_EVERY != LOOK_EVERY - 1 {
            let _turn = self.turn.read().await;
            return self.transactions(seed, first, attacker, false).await;
        }
        let _alone = self.turn.write().await;
        let before = self.digests(attacker).await;
        let mut outcome = self.transactions(seed, first, attacker, true).await;
        outcome.looks = 1;
        let after = self.digests(attacker).await;
        if before != after && outcome.found.is_none() {
            let what = "rows of other tenants were changed".to_owned();
            outcome.found = Some(Found { number: first, attacker, what, sql: "the whole transaction".to_owned() });
        }
        self.restore(attacker).await;
        outcome
    }

    /// The statements of one batch, in as many transactions as they end.
    async fn transactions(&self, seed: u64, first: u64, attacker: usize, keeps: bool) -> Outcome {
        let adversary = Adversary::new(seed, &self.models[attacker]).against(&self.victims[attacker]);
        let moves: Vec<Move> = (first..first + BATCH).map(|number| adversary.at(number)).collect();
        let mut outcome = Outcome::default();
        let mut left = moves.as_slice();
        while !left.is_empty() {
            let until = left.iter().position(|one| one.ends).unwrap_or(left.len());
            // What ends the transaction, and what is tried right after it on the same session.
            let after = left.len().min(until + if until < left.len() { 4 } else { 0 });
            self.transaction(&left[..until], &left[until..after], attacker, keeps, &mut outcome).await;
            left = &left[after..];
        }
        outcome
    }

    async fn transaction(&self, inside: &[Move], after: &[Move], attacker: usize, keeps: bool, outcome: &mut Outcome) {
        let Some(tx) = self.enter(attacker).await else {
            outcome.lost += 1;
            return;
        };
        let mut usable = tx.batch(&Sql::new("SAVEPOINT s")).await.is_ok();
        for part in inside.chunks(FLUSH) {
            usable = usable && self.flush(&tx, part, attacker, keeps, outcome).await;
        }
        for one in inside.iter().filter(|one| one.copies) {
            usable = usable && self.copy(&tx, one, attacker, outcome).await;
        }
        for one in after.iter().filter(|one| !one.copies) {
            let answer = tx.simple(&one.sql).await;
            self.weigh(one, answer, attacker, false, outcome);
        }
        self.notices(&tx, outcome.statements, attacker, outcome);
        let ended = match (usable, after.is_empty()) {
            (false, _) => false,
            (true, true) => tx.commit().await,
            (true, false) => tx.rollback().await,
        };
        outcome.lost += u64::from(!ended);
    }

    /// Sends some statements at once, each in a savepoint.
    async fn flush(&self, tx: &Session, part: &[Move], attacker: usize, keeps: bool, outcome: &mut Outcome) -> bool {
        let (undo, keep) = (Sql::new("ROLLBACK TO SAVEPOINT s"), Sql::new("RELEASE SAVEPOINT s; SAVEPOINT s"));
        let part: Vec<&Move> = part.iter().filter(|one| !one.copies).collect();
        // A release fails after an error, and so does all that follows until something is undone: hence both.
        let stays = |one: &Move| one.stays || keeps;
        let requests = part.iter().flat_map(|one| {
            let kept = stays(one).then(|| tx.simple(&keep));
            [Some(tx.simple(&one.sql)), kept, Some(tx.simple(&undo))].into_iter().flatten()
        });
        let mut answers = join_all(requests).await.into_iter();
        let mut sound = true;
        for one in part {
            let Some(answer) = answers.next() else { break };
            self.weigh(one, answer, attacker, !keeps, outcome);
            if stays(one) {
                let _ = answers.next();
            }
            sound = answers.next().is_some_and(|undone| undone.is_ok());
        }
        self.notices(tx, outcome.statements, attacker, outcome);
        sound
    }

    async fn copy(&self, tx: &Session, one: &Move, attacker: usize, outcome: &mut Outcome) -> bool {
        let mut text = String::new();
        let answer = async {
            let stream = tx.copy_out(&one.sql).await?;
            pin_mut!(stream);
            while let Some(bytes) = stream.next().await {
                text.push_str(&String::from_utf8_lossy(&bytes?));
            }
            Ok::<_, PgError>(Vec::new())
        }
        .await;
        self.weigh(one, answer, attacker, false, outcome);
        self.search(one.number, one.sql.as_str(), &text, attacker, outcome);
        tx.batch(&Sql::new("ROLLBACK TO SAVEPOINT s")).await.is_ok()
    }

    /// `counts`: whether the tenant has exactly its canary rows, so that the number of touched rows tells something.
    fn weigh(
        &self,
        one: &Move,
        answer: Result<Vec<SimpleQueryMessage>, PgError>,
        attacker: usize,
        counts: bool,
        outcome: &mut Outcome,
    ) {
        outcome.statements += 1;
        let kind = outcome.kinds.entry(one.kind).or_default();
        kind.0 += 1;
        let mut text = String::new();
        match answer {
            Ok(messages) => {
                kind.1 += 1;
                outcome.executed += 1;
                for message in messages {
                    match message {
                        SimpleQueryMessage::Row(row) => {
                            for column in 0..row.len() {
                                text.push_str(row.try_get(column).ok().flatten().unwrap_or_default());
                                text.push('|');
                            }
                        }
                        SimpleQueryMessage::CommandComplete(rows) => {
                            let most = if one.for_others { 0 } else { OWN_ROWS };
                            if (one.for_others || one.changes && counts) && rows > most && outcome.found.is_none() {
                                let (number, what) = (one.number, format!("{rows} rows of others were written"));
                                outcome.found =
                                    Some(Found { number, attacker, what, sql: one.sql.as_str().to_owned() });
                            }
                        }
                        _ => {}
                    }
                }
            }
            Err(error) => match error.db() {
                Some(db) => {
                    for part in [Some(db.message()), db.detail(), db.hint(), db.where_()].into_iter().flatten() {
                        text.push_str(part);
                        text.push('|');
                    }
                    if std::env::var_os("TENANTRY_ADVERSARY_ERRORS").is_some() {
                        println!("{} {} {}: {}", one.kind, db.code().code(), db.message(), one.sql.as_str());
                    }
                }
                None => outcome.lost += 1,
            },
        }
        self.search(one.number, one.sql.as_str(), &text, attacker, outcome);
    }

    fn notices(&self, tx: &Session, number: u64, attacker: usize, outcome: &mut Outcome) {
        for notice in tx.take_notices() {
            let text = format!("{} {}", notice.message, notice.detail.unwrap_or_default());
            self.search(number, "a notice", &text, attacker, outcome);
        }
    }

    fn search(&self, number: u64, sql: &str, text: &str, attacker: usize, outcome: &mut Outcome) {
        if outcome.found.is_none()
            && let Some(needle) = self.foreign[attacker].find(text, &[])
        {
            outcome.found = Some(Found { number, attacker, what: needle.id.clone(), sql: sql.to_owned() });
        }
    }

    async fn enter(&self, index: usize) -> Option<Open> {
        let tenant = &self.world.tenants[index];
        let pool = match &self.access {
            Access::Naive(pool) if tenant.level == Isolation::Shared => pool,
            _ => return self.world.router.enter(&tenant.door).await.ok().map(Open::Router),
        };
        let conn = pool.get_preferring(|_| true).await.ok()?;
        let backend = match conn.attached(|backend: &mut Backend| *backend) {
            Some(backend) => backend,
            None => {
                let row = conn.query_one("SELECT pid, started FROM seal.hello()", &[]).await.ok()?;
                let backend = Backend { pid: row.get(0), started: row.get(1) };
                let proof = tenant.door.seal.arm(backend);
                conn.execute("SELECT seal.arm($1, $2)", &[&tenant.door.seal.kid(), &proof.as_slice()]).await.ok()?;
                conn.attach(backend);
                backend
            }
        };
        let token = tenant.door.seal.capability(backend).token(tenant.id, tenant.door.epoch);
        let tx = conn.begin(TxMode::ReadCommitted).await.ok()?;
        tx.execute("SELECT seal.enter($1, $2, $3)", &[&tenant.id, &tenant.door.epoch, &token.as_slice()]).await.ok()?;
        Some(Open::Naive(tx))
    }

    /// What all tenants but one hold.
    async fn digests(&self, attacker: usize) -> Vec<String> {
        let mut digests = Vec::new();
        for (index, tenant) in self.world.tenants.iter().enumerate() {
            if index == attacker {
                continue;
            }
            let tables: Vec<String> = TABLES
                .iter()
                .map(|table| {
                    format!(
                        "(SELECT string_agg(t::text, ',' ORDER BY t::text) FROM {}.{table} t WHERE tenant_id = '{}')",
                        tenant.schema, tenant.id
                    )
                })
                .collect();
            let sql = Sql::script(&format!("SELECT md5(concat({}))", tables.join(", '|', ")));
            let rows = admin(&tenant.database).await.query_sql(&sql, &[]).await.unwrap();
            digests.push(rows[0].get(0));
        }
        digests
    }

    /// Gives the attacker its first rows again.
    async fn restore(&self, attacker: usize) {
        let tenant = &self.world.tenants[attacker];
        let deletes: String = TABLES
            .iter()
            .map(|table| format!("DELETE FROM {}.{table} WHERE tenant_id = '{}';", tenant.schema, tenant.id))
            .collect();
        admin(&tenant.database).await.batch(&Sql::script(&deletes)).await.unwrap();
        self.plant(attacker).await;
    }
}
