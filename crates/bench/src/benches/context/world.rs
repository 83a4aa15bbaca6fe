//! The same rows under each way to have a tenant, and one transaction of each.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::join;
use tenantry_dataplane::seal::Backend;
use tenantry_dataplane::{
    AppTarget, Cell, CellTarget, Claim, Dataplane, Door, Gate, Options, RootKey, Router, RouterOptions, SealMode, Space,
};
use tenantry_domain::id::InstallationId;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{AppName, CellName, EnvironmentName};
use tenantry_pg::{Conn, Ident, Pool, PoolOptions, Session, Sql, Tx, TxMode, Type};

use crate::bed::{Bed, fresh_ids};
use crate::benches::Bench;
use crate::product;

const TENANTS: usize = 40;
const ROWS: i64 = 500;
const DATABASE: &str = "plain_context";
const LOGIN: &str = "plain_context_login";
const PASSWORD: &str = "bench-only";

/// What is compared; the first one is what all others are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// No row-level security, the tenant in the WHERE.
    Bare,
    /// A policy on a setting that everybody may write.
    Setting,
    /// `SET LOCAL ROLE`, and a policy for each role.
    Role,
    /// Ours.
    Register,
    /// Ours, on a server that does not grant the register.
    Signed,
    /// [`Self::Register`] as an application without a router enters it: a token in each transaction.
    Token,
    /// [`Self::Register`], another tenant than before on the same connection.
    Switch,
}

pub(super) const WAYS: [Way; 7] =
    [Way::Bare, Way::Setting, Way::Role, Way::Register, Way::Signed, Way::Token, Way::Switch];

/// What is done in the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Work {
    /// Ten rows by an index.
    Ten,
    /// The same, twice.
    Twice,
    /// About a millisecond of reading.
    Long,
}

struct Ours {
    router: Router,
    doors: Vec<Door>,
}

/// Everything that is compared.
pub(super) struct World {
    plain: HashMap<Way, Pool>,
    ours: HashMap<Way, Ours>,
    tenants: Vec<uuid::Uuid>,
    /// Of the first tenant, for [`Way::Token`].
    door: Door,
}

const SEALED: &str = "SELECT id, name, body FROM item_00 ORDER BY created_at DESC LIMIT 10";
const GUARDED: &str = "SELECT id, name, body FROM guarded ORDER BY created_at DESC LIMIT 10";
const BY_ROLE: &str = "SELECT id, name, body FROM by_role ORDER BY created_at DESC LIMIT 10";
const BARE: &str = "SELECT id, name, body FROM bare WHERE tenant_id = $1 ORDER BY created_at DESC LIMIT 10";
const LONG_SEALED: &str = "SELECT count(md5(name || n)) FROM item_00, generate_series(1, 4) AS n";
const LONG_BARE: &str = "SELECT count(md5(name || n)) FROM bare, generate_series(1, 4) AS n WHERE tenant_id = $1";

impl World {
    /// One transaction; `number` counts them.
    pub(super) async fn transaction(&self, way: Way, work: Work, number: u32) -> Result<()> {
        match way {
            Way::Register | Way::Signed | Way::Switch => {
                let ours = &self.ours[&way];
                // The first two tenants take turns where the switch is measured.
                let tenant = if way == Way::Switch { number as usize % 2 } else { 0 };
                let tx = ours.router.enter(&ours.doors[tenant]).await?;
                self.read(&tx, way, work).await?;
                tx.commit().await?;
            }
            Way::Bare | Way::Setting | Way::Role | Way::Token => {
                let tx = self.begin(way).await?;
                self.read(&tx, way, work).await?;
                tx.commit().await?;
            }
        }
        Ok(())
    }

    /// Begins a transaction as applications do it, in one round trip.
    async fn begin(&self, way: Way) -> Result<Tx> {
        let conn = self.plain[&way].get().await?;
        let (begin, tenant) = (TxMode::ReadCommitted.begin(), self.tenants[0].to_string());
        match way {
            Way::Setting => {
                let params: [&(dyn tenantry_pg::ToSql + Sync); 1] = [&tenant];
                let set = conn.execute("SELECT set_config('app.tenant', $1, true)", &params);
                let begin = conn.pipelined(conn.client().batch_execute(begin));
                let (begun, set) = join(begin, set).await;
                begun?;
                set?;
            }
            Way::Role => {
                let both = format!("{begin}; SET LOCAL ROLE {}", role(0));
                conn.pipelined(conn.client().batch_execute(&both)).await?;
            }
            Way::Token => {
                let token = self.armed(&conn).await?;
                let (id, epoch, token) = (self.tenants[0], self.door.epoch, token.as_slice());
                let params: [(&(dyn tenantry_pg::ToSql + Sync), Type); 3] =
                    [(&id, Type::UUID), (&epoch, Type::INT8), (&token, Type::BYTEA)];
                // Unnamed and parsed on the spot, as the contract for applications says.
                let enter = conn.client().query_typed("SELECT seal.enter($1, $2, $3)", &params);
                let both = join(conn.client().batch_execute(begin), enter);
                let (begun, entered) = conn.pipelined(async { Ok(both.await) }).await?;
                begun?;
                entered?;
            }
            _ => conn.pipelined(conn.client().batch_execute(begin)).await?,
        }
        Ok(Tx::begun(conn))
    }

    /// The token of the first tenant on this connection, which is armed when it is new.
    async fn armed(&self, conn: &Conn) -> Result<[u8; 32]> {
        if let Some(token) = conn.attached(|token: &mut [u8; 32]| *token) {
            return Ok(token);
        }
        let row = conn.query_one("SELECT pid, started FROM seal.hello()", &[]).await?;
        let backend = Backend { pid: row.try_get(0)?, started: row.try_get(1)? };
        let (kid, proof) = (self.door.seal.kid(), self.door.seal.arm(backend));
        conn.execute("SELECT seal.arm($1, $2)", &[&kid, &proof.as_slice()]).await?;
        let token = self.door.seal.capability(backend).token(self.tenants[0], self.door.epoch);
        conn.attach(token);
        Ok(token)
    }

    async fn read(&self, session: &Session, way: Way, work: Work) -> Result<()> {
        let tenant = self.tenants[0];
        let times = if work == Work::Twice { 2 } else { 1 };
        for _ in 0..times {
            let rows = match (way, work) {
                (Way::Bare, Work::Long) => session.query(LONG_BARE, &[&tenant]).await?,
                (_, Work::Long) => session.query(LONG_SEALED, &[]).await?,
                (Way::Bare, _) => session.query(BARE, &[&tenant]).await?,
                (Way::Setting, _) => session.query(GUARDED, &[]).await?,
                (Way::Role, _) => session.query(BY_ROLE, &[]).await?,
                _ => session.query(SEALED, &[]).await?,
            };
            let wanted = if work == Work::Long { 1 } else { 10 };
            ensure!(rows.len() == wanted, "{way:?} read {} rows", rows.len());
        }
        Ok(())
    }

    /// The backend of a way's only connection.
    pub(super) async fn pid(&self, way: Way) -> Result<i32> {
        const PID: &str = "SELECT pg_backend_pid()";
        Ok(match self.ours.get(&way) {
            Some(ours) => {
                let tx = ours.router.enter(&ours.doors[0]).await?;
                let pid = tx.query_one(PID, &[]).await?.try_get(0)?;
                tx.commit().await?;
                pid
            }
            None => {
                let tx = self.begin(way).await?;
                let pid = tx.query_one(PID, &[]).await?.try_get(0)?;
                tx.commit().await?;
                pid
            }
        })
    }
}

fn role(number: usize) -> String {
    format!("plain_context_{number}")
}

/// Makes all of it.
pub(super) async fn furnish(bench: &Bench<'_>) -> Result<World> {
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret)?;
    let root = RootKey::from_bytes(secret)?;
    let mut ours = HashMap::new();
    let (mut tenants, mut door) = (Vec::new(), None);
    for mode in [SealMode::Register, SealMode::Signed] {
        let doors = sealed(bench, &root, mode).await?;
        let ids = doors.iter().map(|door| door.tenant.uuid()).collect();
        if mode == SealMode::Register {
            tenants = ids;
            door = doors.first().cloned();
            ours.insert(Way::Switch, Ours { router: single(), doors: doors.clone() });
        }
        let way = if mode == SealMode::Register { Way::Register } else { Way::Signed };
        ours.insert(way, Ours { router: single(), doors });
    }
    let door = door.context("no tenant")?;
    let mut plain = plain(bench, &tenants).await?;
    let options = PoolOptions { max: 1, wait: Duration::from_secs(60), ..PoolOptions::default() };
    plain.insert(Way::Token, Pool::new(door.target.clone(), options));
    Ok(World { plain, ours, tenants, door })
}

/// One connection, so that its backend is known.
fn single() -> Router {
    Router::new(RouterOptions { shared: 1, ..RouterOptions::default() })
}

/// The product's own home with tenants and rows.
async fn sealed(bench: &Bench<'_>, root: &RootKey, mode: SealMode) -> Result<Vec<Door>> {
    let seal = Some(mode).filter(|mode| *mode == SealMode::Signed);
    let installation = InstallationId::from_uuid(uuid::Uuid::now_v7());
    let plane = Dataplane::new(installation, root.clone(), Options { seal, ..Options::default() });
    let environment = EnvironmentName::parse("prod")?;
    let target =
        CellTarget { environment: environment.clone(), name: CellName::parse("one")?, url: bench.host.url("postgres") };
    let cell: Arc<Cell> = plane.cell(&target).await?;
    let app = AppName::parse(&format!("context-{}", mode.as_str()))?;
    let app = Arc::new(AppTarget { environment, app, version: 1, spec: Arc::new(product::spec()?) });
    let prepared = cell.prepare(&app).await?;
    ensure!(prepared.seal == mode, "the server allows only {:?}", prepared.seal);
    let mut doors = Vec::new();
    for tenant in fresh_ids(TENANTS) {
        let space = Space { tenant, app: Arc::clone(&app), isolation: Isolation::Shared, epoch: 1, connections: None };
        let claim: Claim = Bed::claim();
        cell.create(&space, &claim).await?;
        cell.migrate(&space, &claim).await?;
        cell.set_gate(&space, &claim, Gate::Open).await?;
        doors.push(cell.door(&space)?);
    }
    let home = bench.host.pool(doors[0].target.database(), 1)?;
    let ids: Vec<uuid::Uuid> = doors.iter().map(|door| door.tenant.uuid()).collect();
    let sql = "
        INSERT INTO app.item_00 (tenant_id, id, name, body, created_at) OVERRIDING SYSTEM VALUE
        SELECT t, n, 'name ' || n, jsonb_build_object('n', n), now() - n * interval '1 s'
          FROM unnest($1::uuid[]) AS t, generate_series(1, $2::bigint) AS n";
    let conn = home.get().await?;
    conn.execute(sql, &[&ids, &ROWS]).await?;
    conn.batch_static("VACUUM (ANALYZE)").await?;
    conn.release();
    Ok(doors)
}

const TABLES: &str = "
    CREATE TABLE guarded (LIKE bare INCLUDING ALL);
    CREATE TABLE by_role (LIKE bare INCLUDING ALL);
    ALTER TABLE guarded ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    ALTER TABLE by_role ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON guarded USING (tenant_id = (SELECT current_setting('app.tenant')::uuid));
    INSERT INTO guarded SELECT * FROM bare;
    INSERT INTO by_role SELECT * FROM bare;
    GRANT SELECT ON bare, guarded TO plain_context_login";

/// The same rows as somebody would keep them by hand.
async fn plain(bench: &Bench<'_>, ids: &[uuid::Uuid]) -> Result<HashMap<Way, Pool>> {
    bench.host.database(DATABASE).await?;
    let pool = bench.host.pool(DATABASE, 1)?;
    let conn = pool.get().await?;
    let login = Ident::new(LOGIN)?;
    conn.batch(&Sql::new("CREATE ROLE ").ident(&login).push(" LOGIN PASSWORD ").literal(PASSWORD)).await?;
    let table = "CREATE TABLE bare (tenant_id uuid NOT NULL, id bigint NOT NULL, parent bigint, name text NOT NULL,
        body jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (tenant_id, id))";
    conn.batch_static(table).await?;
    conn.batch_static("CREATE INDEX ON bare (tenant_id, created_at)").await?;
    let sql = "
        INSERT INTO bare (tenant_id, id, name, body, created_at)
        SELECT t, n, 'name ' || n, jsonb_build_object('n', n), now() - n * interval '1 s'
          FROM unnest($1::uuid[]) AS t, generate_series(1, $2::bigint) AS n";
    conn.execute(sql, &[&ids, &ROWS]).await?;
    conn.batch_static(TABLES).await?;
    for (number, id) in ids.iter().enumerate() {
        let role = Ident::new(role(number))?;
        let sql = Sql::new("CREATE ROLE ").ident(&role).push(" NOLOGIN; GRANT ").ident(&role).push(" TO ");
        let sql = sql.ident(&login).push("; GRANT SELECT ON by_role TO ").ident(&role).push("; CREATE POLICY ");
        let sql = sql.ident(&role).push(" ON by_role TO ").ident(&role).push(" USING (tenant_id = ");
        conn.batch(&sql.literal(&id.to_string()).push("::uuid)")).await?;
    }
    conn.batch_static("VACUUM (ANALYZE)").await?;
    conn.release();
    pool.close();
    let target = bench.host.target(DATABASE)?.with_user(LOGIN, &PASSWORD.to_owned().into());
    let one =
        || Pool::new(target.clone(), PoolOptions { max: 1, wait: Duration::from_secs(60), ..PoolOptions::default() });
    Ok([Way::Bare, Way::Setting, Way::Role].into_iter().map(|way| (way, one())).collect())
}
