//! A run: plant, read, probe, compare, report.
//!
//! INVARIANT: a run ends within its limits and may be cancelled anywhere by dropping its future. Nothing that a probe
//! does is kept; what is kept are the canary rows, which the next run finds again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_pg::{Ident, PgError, PgKind, Pool, PoolOptions, Session};

use crate::canary::CanaryKey;
use crate::entry::{Entered, Entry, EntryError};
use crate::findings::Findings;
use crate::model::{CatalogModel, Relation};
use crate::on_rows::Sides;
use crate::pen::Pen;
use crate::plant::{Planted, Planter};
use crate::read::read;
use crate::report::{ProbeReport, SCHEMA_VERSION, Verb};
use crate::search::{Canaries, Needle};
use crate::send::{judge, scrubbed, send};
use crate::statement::Target;
use crate::targets::{Scene, targets};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A canary tenant is not open.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The server refused what is not a probe, or is gone.
    #[error("the database refused the probe's own statement: {0}")]
    Server(#[from] PgError),
    /// There are more canaries than can be searched for.
    #[error("the canaries cannot be searched for: {0}")]
    Search(#[from] aho_corasick::BuildError),
    /// The two tenants are one.
    #[error("a probe needs two tenants")]
    OneTenant,
}

/// Bounds of a run.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// `statement_timeout` of a probe.
    pub statement: Duration,
    /// `lock_timeout` of a probe, so that nobody queues behind it.
    pub lock: Duration,
    /// The whole run; what did not get its turn is reported as skipped.
    pub total: Duration,
    /// The most objects.
    pub objects: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let (statement, lock) = (Duration::from_secs(2), Duration::from_millis(200));
        Self { statement, lock, total: Duration::from_secs(300), objects: 5_000 }
    }
}

/// One of the two canary tenants.
pub struct Party<'a, E> {
    /// Who.
    pub tenant: TenantId,
    /// The way into its transactions, as the application has it.
    pub entry: &'a E,
    /// An administrative session in the tenant's database, outside of a transaction. Only reads the catalog.
    pub admin: &'a Session,
    /// The login of the application there.
    pub login: &'a str,
    /// The schema of its tables.
    pub schema: Ident,
    /// Server, database and login of the application.
    pub target: &'a tenantry_pg::Target,
}

/// Two canary tenants at one level. The first attacks, the second is looked for.
pub struct Probe<'a, E> {
    /// The level of both.
    pub level: Isolation,
    /// The app's tenant column; absent when it has none.
    pub tenant_column: Option<Ident>,
    /// From which the canaries are made.
    pub key: CanaryKey,
    /// The attacker.
    pub a: Party<'a, E>,
    /// The victim.
    pub b: Party<'a, E>,
    /// Bounds.
    pub limits: Limits,
}

impl<E: Entry> Probe<'_, E> {
    /// Gives both tenants their canary rows, where they lack them. Gives what the second holds.
    ///
    /// # Errors
    /// See [`ProbeError`].
    pub async fn plant(&self) -> Result<Planted, ProbeError> {
        let (a_model, b_model) = self.models().await?;
        self.plant_one(&self.a, &self.planter(&self.a, &a_model, "a")).await?;
        self.plant_one(&self.b, &self.planter(&self.b, &b_model, "b")).await
    }

    /// Takes the canary rows of both away; gives how many there were.
    ///
    /// # Errors
    /// See [`ProbeError`].
    pub async fn clean(&self) -> Result<u64, ProbeError> {
        let (a_model, b_model) = self.models().await?;
        let mut gone = 0;
        for (party, model, word) in [(&self.a, &a_model, "a"), (&self.b, &b_model, "b")] {
            let tx = party.entry.enter().await?;
            gone += self.planter(party, model, word).clean(&tx).await?;
            tx.keep().await?;
        }
        Ok(gone)
    }

    /// Plants, probes, and reports.
    ///
    /// # Errors
    /// See [`ProbeError`]. A refusal of the server in answer to a probe is none.
    pub async fn run(&self) -> Result<ProbeReport, ProbeError> {
        self.run_within(&self.limits).await
    }

    /// [`Self::run`] with other limits.
    ///
    /// # Errors
    /// As for [`Self::run`].
    pub async fn run_within(&self, limits: &Limits) -> Result<ProbeReport, ProbeError> {
        if self.a.tenant == self.b.tenant {
            return Err(ProbeError::OneTenant);
        }
        let (began, taken_at) = (Instant::now(), Timestamp::now());
        let (a_model, b_model) = self.models().await?;
        let (a, b) = (self.planter(&self.a, &a_model, "a"), self.planter(&self.b, &b_model, "b"));
        let a_rows = self.plant_one(&self.a, &a).await?;
        let b_rows = self.plant_one(&self.b, &b).await?;
        let before = self.digests(&b).await?;
        let stem = self.key.stem(b.tenant);
        let database = text(self.a.admin, "SELECT current_database()::text").await?;
        let mut needles = b_rows.needles.clone();
        let large = self.large_object().await?;
        needles.extend(large.iter().map(|(_, needle)| needle.clone()));
        let mut secrets: Vec<(String, String)> = needles.iter().map(|one| (one.text.clone(), one.id.clone())).collect();
        secrets.push((stem.clone(), "b".to_owned()));
        let mut roles = a_model.roles.clone();
        roles.extend(self.roles_of_b().await?);
        let one_database = database == text(self.b.admin, "SELECT current_database()::text").await?;
        let scene =
            Scene { stem, roles, one_database, sides: Sides { a: &a, a_rows: &a_rows, b: &b, b_rows: &b_rows } };
        let mut list = targets(&scene);
        let mut out = Findings::new(Canaries::new(needles)?, secrets);
        if large.is_none() {
            out.skip("large objects", "the login may not make any, so there is none to find");
        }
        for target in list.drain(limits.objects.min(list.len())..) {
            out.skip(&target.object, "more objects than the limit");
        }
        self.attack(&list, began, limits, &mut out).await?;
        if !one_database {
            self.connect(&b_model, &scene.stem, &mut out).await;
        }
        if let Some((oid, _)) = large {
            let tx = self.b.entry.enter().await?;
            tx.query("SELECT lo_unlink($1)", &[&oid]).await?;
            tx.keep().await?;
        }
        for (table, digest) in self.digests(&b).await? {
            if before.get(&table) != Some(&digest) {
                out.hit(
                    &["table ", &table].concat(),
                    Verb::Update,
                    String::new(),
                    "rows of the other tenant were changed",
                );
            }
        }
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(out.report(ProbeReport {
            schema_version: SCHEMA_VERSION,
            taken_at,
            duration_ms,
            level: self.level,
            database,
            probes: 0,
            executed: 0,
            by_verb: BTreeMap::new(),
            objects: Vec::new(),
            canaries: b_rows.needles.len(),
            unplantable: b_rows.unplantable.clone(),
            skipped: Vec::new(),
            notes: Vec::new(),
            hits: Vec::new(),
        }))
    }

    async fn models(&self) -> Result<(CatalogModel, CatalogModel), PgError> {
        let schemas = [self.a.schema.as_str().to_owned(), self.b.schema.as_str().to_owned()];
        let a = read(self.a.admin, self.a.login, &schemas).await?;
        Ok((a, read(self.b.admin, self.b.login, &schemas[1..]).await?))
    }

    fn planter<'m>(&'m self, party: &'m Party<'_, E>, model: &'m CatalogModel, word: &'static str) -> Planter<'m> {
        let tenant_column = self.tenant_column.as_ref();
        Planter { model, key: &self.key, tenant: party.tenant.uuid(), tenant_column, schema: &party.schema, word }
    }

    async fn plant_one(&self, party: &Party<'_, E>, planter: &Planter<'_>) -> Result<Planted, ProbeError> {
        let tx = party.entry.enter().await?;
        let planted = planter.plant(&tx).await?;
        tx.keep().await?;
        Ok(planted)
    }

    /// One transaction of A per object, entered again when a probe breaks it.
    async fn attack(
        &self,
        list: &[Target],
        began: Instant,
        limits: &Limits,
        out: &mut Findings,
    ) -> Result<(), ProbeError> {
        for target in list {
            if began.elapsed() > limits.total {
                out.skip(&target.object, "the time was up");
                continue;
            }
            let mut open: Option<E::Tx> = None;
            let mut seen = None;
            for probe in &target.probes {
                let tx = match open.take() {
                    Some(tx) => tx,
                    None => self.begin(limits).await?,
                };
                match send(&tx, probe).await {
                    Ok(answer) => {
                        seen.get_or_insert(answer.returned);
                        out.add(probe, answer.sqlstate.is_none());
                        out.weigh(&target.object, probe, judge(probe, &answer, &out.canaries, seen));
                        open = Some(tx);
                    }
                    // The probe ended its own session or transaction. That is a refusal; the next one gets another.
                    Err(_) => out.add(probe, false),
                }
            }
            if let Some(tx) = open {
                // A session that cannot be given back is closed, which undoes as well.
                let _ = tx.undo().await;
            }
            out.objects.push(target.object.clone());
        }
        Ok(())
    }

    async fn begin(&self, limits: &Limits) -> Result<E::Tx, ProbeError> {
        let tx = self.a.entry.enter().await?;
        let mut pen = Pen::new("SET LOCAL statement_timeout = ");
        let millis = |limit: Duration| i64::try_from(limit.as_millis()).unwrap_or(i64::from(i32::MAX));
        pen.int(millis(limits.statement)).put("; SET LOCAL lock_timeout = ").int(millis(limits.lock));
        tx.batch(&pen.done()).await?;
        Ok(tx)
    }

    /// A large object of B, where the login may make one. Always the same, so that a run that was cut off leaves no more.
    async fn large_object(&self) -> Result<Option<(u32, Needle)>, ProbeError> {
        let mark = self.key.mark(self.b.tenant.uuid(), "large object", "data", 0);
        let oid = u32::try_from(mark.number(9)).unwrap_or(u32::MAX);
        let needle = Needle { id: "b large object".to_owned(), text: mark.text.clone() };
        let tx = self.b.entry.enter().await?;
        match tx.query("SELECT lo_from_bytea($1, $2)", &[&oid, &mark.text.as_bytes()]).await {
            Ok(_) => {
                tx.keep().await?;
                Ok(Some((oid, needle)))
            }
            Err(error) if error.db().is_some() => {
                tx.undo().await?;
                Ok((error.kind() == PgKind::Unique).then_some((oid, needle)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The login and the owner of B's place, where they differ from A's.
    async fn roles_of_b(&self) -> Result<Vec<Ident>, ProbeError> {
        let sql = "SELECT pg_catalog.pg_get_userbyid(nspowner)::text FROM pg_catalog.pg_namespace WHERE nspname = $1";
        let rows = self.b.admin.query(sql, &[&self.b.schema.as_str()]).await?;
        let owner = rows.first().map(|row| row.try_get::<_, String>(0)).transpose().map_err(PgError::from)?;
        let names = owner.into_iter().chain([self.b.login.to_owned()]).filter(|name| name != self.a.login);
        Ok(names.filter_map(|name| Ident::new(name).ok()).collect())
    }

    /// A's credential at the door of B's database.
    async fn connect(&self, b_model: &CatalogModel, stem: &str, out: &mut Findings) {
        let target = self.a.target.clone().with_database(self.b.target.database());
        let object = ["database ", self.b.target.database()].concat();
        let pool = Pool::new(target, PoolOptions { max: 1, connect: self.limits.statement, ..PoolOptions::default() });
        *out.by_verb.entry(Verb::Connect).or_default() += 1;
        out.probes += 1;
        out.objects.push(object.clone());
        let Ok(conn) = pool.get().await else { return };
        out.executed += 1;
        out.hit(&object, Verb::Connect, String::new(), "the attacker's login may connect");
        let rows = b_model.relations.iter().filter(|relation| relation.holds_rows());
        for relation in rows {
            let mut pen = Pen::new("SELECT * FROM ");
            pen.full(&relation.schema, &relation.name).put(" AS tenantry_row WHERE strpos(tenantry_row::text, ");
            pen.halves(stem).put(") > 0 LIMIT 5");
            let sql = pen.done();
            if conn.simple(&sql).await.is_ok_and(|answers| answers.len() > 2) {
                let shown = scrubbed(&sql, &out.secrets);
                out.hit(
                    &["table ", &relation.full_name()].concat(),
                    Verb::Connect,
                    shown,
                    "rows of the other tenant answered",
                );
            }
        }
    }

    /// What B's tables hold, as B sees it.
    async fn digests(&self, b: &Planter<'_>) -> Result<BTreeMap<String, String>, ProbeError> {
        let tx = self.b.entry.enter().await?;
        let mut digests = BTreeMap::new();
        let mine: Vec<&Relation> = b.model.relations.iter().filter(|relation| b.is_mine(relation)).collect();
        for relation in mine {
            let mut pen = Pen::new(
                "SELECT concat(count(*), ' ', md5(string_agg(tenantry_row::text, ',' ORDER BY tenantry_row::text COLLATE \"C\"))) FROM ",
            );
            pen.full(&relation.schema, &relation.name).put(" AS tenantry_row");
            tx.batch_static("SAVEPOINT tenantry_digest").await?;
            match tx.query_sql(&pen.done(), &[]).await {
                Ok(rows) => {
                    let digest = rows.first().map(|row| row.try_get(0)).transpose().map_err(PgError::from)?;
                    digests.insert(relation.full_name(), digest.unwrap_or_default());
                }
                // A table that B may not read: nothing to compare.
                Err(error) if error.db().is_some() => {
                    tx.batch_static("ROLLBACK TO SAVEPOINT tenantry_digest").await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        tx.undo().await?;
        Ok(digests)
    }
}

async fn text(session: &Session, sql: &'static str) -> Result<String, PgError> {
    Ok(session.query_one(sql, &[]).await?.try_get(0)?)
}
