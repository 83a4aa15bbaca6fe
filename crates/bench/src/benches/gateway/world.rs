//! Tenants, rows and logins for everything that is measured with the gateway.
//!
//! Three tenants are real: made, migrated and opened by the product. A crowd of others is written into the registry, for
//! clients that only have to be there. Beside the app's tables stands a schema of ours in the same database: a table without
//! row-level security, that all ways may read alike, and one that is guarded as applications do it by themselves.

use anyhow::{Context as _, Result};
use secrecy::{ExposeSecret as _, SecretString};
use tenantry_dataplane::{Door, Gate};
use tenantry_domain::cell::SecretRef;
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::tenant::Slug;
use tenantry_gateway::table::{Cell, Place, Route};
use tenantry_pg::{Ident, Sql};

use super::poolers::{HOME, certificate};
use super::stand::Account;
use crate::bed::{Bed, CELL_VARIABLE};
use crate::crowd;
use crate::host::Host;

/// Rows of a real tenant.
pub const ROWS: i64 = 500;
/// A login that may enter every tenant, and names it as its database.
pub const SERVICE: &str = "service";
/// The real tenants.
const NAMES: [&str; 3] = ["busy", "quiet", "noisy"];

/// One tenant, its slug and its login.
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its slug, which is its login's name as well.
    pub name: &'static str,
}

/// See the module.
pub struct World {
    /// The installation.
    pub bed: Bed,
    /// The real tenants: one under load, a quiet one, a noisy one.
    pub tenants: [Tenant; 3],
    /// The slugs of all others.
    pub crowd: Vec<String>,
    /// The login in which all of them end.
    pub door: Door,
    /// The password of all logins of the gateway.
    pub password: SecretString,
    /// The verifier of the login in which all of them end.
    pub verifier: SecretString,
    /// All logins of the gateway.
    pub accounts: Vec<Account>,
    /// Certificate and key, if there is an `openssl`.
    pub certificate: Option<(std::path::PathBuf, std::path::PathBuf)>,
    /// For scripts and logs; it goes with this value.
    pub folder: tempfile::TempDir,
    pub(super) installation: uuid::Uuid,
    pub(super) cell_url: SecretString,
    pub(super) cells: Vec<Cell>,
    pub(super) routes: Vec<Route>,
}

impl World {
    /// Makes everything.
    pub async fn new(host: &Host, crowd: usize) -> Result<Self> {
        let bed = Bed::install(host, "gateway", 10).await?;
        let folder = tempfile::tempdir()?;
        let mut doors = Vec::new();
        let mut routes = Vec::new();
        for name in NAMES {
            let (space, claim) = (bed.space(Isolation::Shared), Bed::claim());
            bed.cell.create(&space, &claim).await?;
            bed.cell.migrate(&space, &claim).await?;
            bed.cell.set_gate(&space, &claim, Gate::Open).await?;
            routes.push(route(&bed, space.tenant, Slug::parse(name)?));
            doors.push(bed.cell.door(&space)?);
        }
        let members = crowd::make(&bed, "idle", crowd, |_, _| {})?;
        if !members.is_empty() {
            crowd::admit(&bed, host, &members).await?;
        }
        routes.extend(members.iter().map(|member| route(&bed, member.id, member.slug.clone())));
        let [busy, quiet, noisy] = [0, 1, 2].map(|place| Tenant { id: doors[place].tenant, name: NAMES[place] });
        let tenants = [busy, quiet, noisy];
        let door = doors.into_iter().next().context("no tenant was made")?;
        let mut secret = [0_u8; 16];
        aws_lc_rs::rand::fill(&mut secret)?;
        let password: SecretString = secret.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
        let common = tenantry_pg::scram::verifier(&password);
        let own = tenants.iter().map(|tenant| (tenant.name, Some(tenant.id)));
        let accounts = own.chain([(SERVICE, None)]).map(|(name, tenant)| Account {
            name: name.to_owned(),
            verifier: common.clone(),
            tenant,
        });
        let accounts = accounts.collect();
        let database = SecretRef::Env(CELL_VARIABLE.to_owned());
        let cells = vec![Cell {
            environment: bed.app.environment.clone(),
            name: bed.cell.name().clone(),
            database,
            standbys: Vec::new(),
        }];
        let conn = host.pool("postgres", 1)?.get().await?;
        let sql = "SELECT rolpassword AS verifier FROM pg_authid WHERE rolname = $1";
        let verifier: String = conn.query_one(sql, &[&door.target.user()]).await?.try_get("verifier")?;
        conn.release();
        let world = Self {
            verifier: verifier.into(),
            installation: bed.deps.store().installation().await?.uuid(),
            cell_url: host.url("postgres"),
            certificate: certificate(folder.path()),
            crowd: members.into_iter().map(|member| member.slug.as_str().to_owned()).collect(),
            bed,
            tenants,
            door,
            password,
            accounts,
            folder,
            cells,
            routes,
        };
        world.furnish(host).await?;
        Ok(world)
    }

    async fn furnish(&self, host: &Host) -> Result<()> {
        let ids: Vec<uuid::Uuid> = self.tenants.iter().map(|tenant| tenant.id.uuid()).collect();
        let conn = self.bed.home(host, 1)?.get().await?;
        let sql = "
            INSERT INTO app.item_00 (tenant_id, id, name, body) OVERRIDING SYSTEM VALUE
            SELECT t, n, 'name ' || n, jsonb_build_object('n', n)
            FROM unnest($1::uuid[]) AS t, generate_series(1, $2::bigint) AS n";
        conn.execute(sql, &[&ids, &ROWS]).await?;
        let login = Ident::new(self.door.target.user())?;
        let grant = Sql::new(TABLES).push("GRANT USAGE ON SCHEMA beside TO ").ident(&login);
        let grant = grant.push("; GRANT SELECT ON beside.ten, beside.guarded TO ").ident(&login);
        conn.batch(&grant).await?;
        let sql = "
            INSERT INTO beside.guarded (tenant_id, id, name, body)
            SELECT tenant_id, id, name, body FROM app.item_00";
        conn.execute(sql, &[]).await?;
        conn.batch_static("VACUUM (ANALYZE)").await?;
        conn.release();
        Ok(())
    }

    /// The environment of a program of PostgreSQL's that goes through the gateway.
    pub fn through_gateway(&self, port: u16, tenant: &Tenant) -> Vec<(&'static str, String)> {
        environment(port, tenant.name, &self.password, tenant.name)
    }

    /// The same, for one that goes through PgBouncer.
    pub fn through_bouncer(&self, port: u16) -> Vec<(&'static str, String)> {
        environment(port, self.door.target.user(), &self.own_password(), HOME)
    }

    /// The same, for one that goes straight to the server.
    pub fn direct(&self) -> Vec<(&'static str, String)> {
        let target = &self.door.target;
        environment(target.port(), target.user(), &self.own_password(), target.database())
    }

    /// The password of the login in which all of them end.
    pub fn own_password(&self) -> SecretString {
        self.door.target.password().cloned().unwrap_or_default()
    }

    /// A client of this process.
    pub async fn client(
        &self,
        port: u16,
        login: &str,
        password: &SecretString,
        database: &str,
    ) -> Result<tokio_postgres::Client> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(port).user(login).dbname(database).password(password.expose_secret());
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }
}

const TABLES: &str = "
    CREATE SCHEMA beside;
    CREATE TABLE beside.ten (id bigint PRIMARY KEY, name text NOT NULL, body jsonb NOT NULL);
    INSERT INTO beside.ten SELECT n, 'name ' || n, jsonb_build_object('n', n) FROM generate_series(1, 10) AS n;
    CREATE TABLE beside.guarded (tenant_id uuid, id bigint, name text NOT NULL, body jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (tenant_id, id));
    ALTER TABLE beside.guarded ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON beside.guarded USING (tenant_id = (SELECT current_setting('app.tenant')::uuid));
    ";

fn environment(port: u16, user: &str, password: &SecretString, database: &str) -> Vec<(&'static str, String)> {
    [
        ("PGHOST", "127.0.0.1"),
        ("PGPORT", &port.to_string()),
        ("PGUSER", user),
        ("PGPASSWORD", password.expose_secret()),
        ("PGDATABASE", database),
        ("PGSSLMODE", "disable"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec()
}

fn route(bed: &Bed, tenant: TenantId, slug: Slug) -> Route {
    Route {
        tenant,
        environment: bed.app.environment.clone(),
        slug,
        aliases: Vec::new(),
        app: bed.app.app.clone(),
        gate: Gate::Open,
        place: Some(Place { cell: bed.cell.name().clone(), isolation: Isolation::Shared, epoch: 1 }),
        connections: None,
        rate: None,
        statement: None,
    }
}
