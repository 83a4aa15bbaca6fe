//! What a gateway reads: where tenants are, who may log in, where cells are found, and what of it has changed.
//!
//! Every statement here stays within the rights of the role `tenantry_gateway`.

use std::collections::BTreeMap;
use std::time::Duration;

use tenantry_domain::Timestamp;
use tenantry_domain::cell::SecretRef;
use tenantry_domain::gateway::{Login, LoginName};
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{AppName, CellName, EnvironmentName};
use tenantry_domain::quantity::{Quantity, Rate};
use tenantry_domain::tenant::Slug;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_domain::tenant::spec::Override;
use tenantry_pg::{Row, ToSql};

use crate::columns::{count, get, json, json_opt, parse, parse_opt, slug};
use crate::logins::{Rotation, read_login, read_verifiers};
use crate::row::uuids;
use crate::scope::Subject;
use crate::{Reader, Store, StoreError};

/// Where a tenant is.
#[derive(Debug, Clone, PartialEq)]
pub struct GatewayRoute {
    /// Whose route it is.
    pub tenant: TenantId,
    /// Its readable name.
    pub slug: Slug,
    /// Its ids in an adopted system, without those that are somebody's slug.
    pub aliases: Vec<String>,
    /// Its app.
    pub app: AppName,
    /// Where the lifecycle is.
    pub phase: Phase,
    /// Its place, while it has one.
    pub place: Option<(CellName, Isolation)>,
    /// The newest generation that a place of it ever had.
    pub generation: i64,
    connections: Bound,
    transactions: Bound,
    statement: Bound,
}

/// What a plan says, and what an override says instead for a while.
#[derive(Debug, Clone, PartialEq)]
struct Bound {
    plan: Option<Quantity>,
    deviation: Option<Override<Quantity>>,
}

impl Bound {
    fn read(row: &Row, plan: &'static str, deviation: &'static str) -> Result<Self, StoreError> {
        Ok(Self { plan: json_opt(row, plan)?, deviation: json_opt(row, deviation)? })
    }

    fn at(&self, now: Timestamp) -> Option<Quantity> {
        let deviation = self.deviation.as_ref().filter(|deviation| deviation.holds(now));
        deviation.map(|deviation| deviation.value).or(self.plan)
    }
}

impl GatewayRoute {
    /// The bound on its database connections at a moment, if its plan or an override sets one.
    #[must_use]
    pub fn connections(&self, now: Timestamp) -> Option<u32> {
        let amount = self.connections.at(now)?.amount?;
        Some(u32::try_from(amount).unwrap_or(u32::MAX))
    }

    /// How many transactions it may begin in a stretch of time (`rateLimits.transactions`), if anything says so.
    #[must_use]
    pub fn transactions(&self, now: Timestamp) -> Option<Rate> {
        self.transactions.at(now)?.rate()
    }

    /// How long one statement of it may run (`quotas.statementSeconds`), if anything says so.
    #[must_use]
    pub fn statement(&self, now: Timestamp) -> Option<Duration> {
        self.statement.at(now)?.amount.map(|seconds| Duration::from_secs(seconds.max(1)))
    }
}

/// A login that is not revoked, as a gateway needs it.
#[derive(Debug, Clone)]
pub struct GatewayLogin {
    /// What clients give as their user.
    pub name: LoginName,
    /// What it may.
    pub login: Login,
    /// What its passwords are compared with.
    pub verifiers: Rotation,
    /// Rises with every change.
    pub version: i64,
}

/// A cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayCell {
    /// Its name.
    pub name: CellName,
    /// Where the address of its server is found.
    pub database: SecretRef,
    /// Where the addresses of its standbys are found.
    pub standbys: Vec<SecretRef>,
}

/// Which logins.
#[derive(Debug, Clone, Copy)]
pub enum LoginsOf<'a> {
    /// All.
    Everybody,
    /// Those that can enter several tenants.
    Services,
    /// Those of these tenants.
    Tenants(&'a [TenantId]),
}

/// How far a subject has moved in the stretch of time that was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Movement {
    /// The newest change of its route. Of the environment itself: of plans, cells, apps, on which many tenants depend.
    pub route: Option<i64>,
    /// The newest change of its logins.
    pub logins: Option<i64>,
}

/// What has changed in a stretch of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayWatch {
    /// The database's clock when it was asked.
    pub now: Timestamp,
    /// Of all environments that there are, also of those in which nothing has changed.
    pub changes: BTreeMap<EnvironmentName, BTreeMap<Subject, Movement>>,
    /// Whether there were more changes than were asked for: then anything may have changed.
    pub is_cut: bool,
}

/// Attempts change nothing, and of the accesses only those do by which a login was made, rotated or revoked. An
/// environment's workflow entries are about rollouts, which routes do not know.
const WATCH: &str = "
    SELECT clock_timestamp() AS now, e.name AS env, c.subject, c.route, c.logins, c.entries
    FROM tenantry.environment AS e
    LEFT JOIN LATERAL (
        SELECT r.subject, max(r.seq) FILTER (WHERE NOT r.is_login) AS route, max(r.seq) FILTER (WHERE r.is_login) AS logins,
            count(*) AS entries
        FROM (
            SELECT a.subject, a.seq, a.action LIKE 'gateway.login.%' AS is_login FROM tenantry.audit AS a
            WHERE a.env = e.name AND a.at > $1 AND CASE a.category
                WHEN 'refusal' THEN false
                WHEN 'access' THEN a.action LIKE 'gateway.login.%'
                WHEN 'mutation' THEN true
                ELSE a.subject <> '00000000-0000-0000-0000-000000000000'
            END LIMIT $2
        ) AS r GROUP BY r.subject
    ) AS c ON true";

const ROUTES: &str = "
    SELECT id, slug, aliases, app, phase, cell, isolation, placement_generation, quota, deviation,
        rate, rate_deviation, statement, statement_deviation
    FROM tenantry.gateway_route WHERE env = $1";

const ROUTES_OF: &str = "
    SELECT id, slug, aliases, app, phase, cell, isolation, placement_generation, quota, deviation,
        rate, rate_deviation, statement, statement_deviation
    FROM tenantry.gateway_route WHERE env = $1 AND id = ANY ($2)";

const LOGINS: &str = "
    SELECT name, tenant, app, allowed, mode, access, server, proof, verifier, old_verifier, old_until, clients, version, expires_at
    FROM tenantry.gateway_login
    WHERE env = $1 AND revoked_at IS NULL AND CASE WHEN $2::uuid[] IS NOT NULL THEN tenant = ANY ($2) ELSE $3 OR tenant IS NULL END";

fn read_route(row: &Row) -> Result<GatewayRoute, StoreError> {
    Ok(GatewayRoute {
        tenant: TenantId::from_uuid(get(row, "id")?),
        slug: slug(row)?,
        aliases: get(row, "aliases")?,
        app: parse(row, "app")?,
        phase: parse(row, "phase")?,
        place: parse_opt(row, "cell")?.zip(parse_opt(row, "isolation")?),
        generation: get(row, "placement_generation")?,
        connections: Bound::read(row, "quota", "deviation")?,
        transactions: Bound::read(row, "rate", "rate_deviation")?,
        statement: Bound::read(row, "statement", "statement_deviation")?,
    })
}

fn read_login_row(row: &Row) -> Result<GatewayLogin, StoreError> {
    Ok(GatewayLogin {
        name: parse(row, "name")?,
        login: read_login(row)?,
        verifiers: read_verifiers(row)?,
        version: get(row, "version")?,
    })
}

impl Store {
    /// The subjects of the changes since a moment, in all environments; at most `most` entries of each are looked at.
    /// An entry becomes visible when its transaction ends, so a caller looks again at the moments before its last look.
    ///
    /// # Errors
    /// The database's.
    pub async fn gateway_watch(&self, since: Timestamp, most: u32) -> Result<GatewayWatch, StoreError> {
        let limit = i64::from(most) + 1;
        let rows = self.query(WATCH, &[&since, &limit]).await?;
        let now = get(rows.first().ok_or(StoreError::EnvironmentNotFound)?, "now")?;
        let mut changes: BTreeMap<EnvironmentName, BTreeMap<Subject, Movement>> = BTreeMap::new();
        let mut entries: BTreeMap<EnvironmentName, i64> = BTreeMap::new();
        for row in &rows {
            let environment: EnvironmentName = parse(row, "env")?;
            let subjects = changes.entry(environment.clone()).or_default();
            let Some(subject) = get::<Option<uuid::Uuid>>(row, "subject")? else { continue };
            subjects.insert(
                Subject::from_uuid(subject),
                Movement { route: get(row, "route")?, logins: get(row, "logins")? },
            );
            *entries.entry(environment).or_default() += count::<i64>(row, "entries")?;
        }
        Ok(GatewayWatch { now, changes, is_cut: entries.values().any(|entries| *entries >= limit) })
    }
}

impl Reader {
    /// The routes of all tenants that are not deleted, or of these.
    ///
    /// # Errors
    /// The database's.
    pub async fn gateway_routes(&self, only: Option<&[TenantId]>) -> Result<Vec<GatewayRoute>, StoreError> {
        let env = self.environment.as_str();
        let rows = match only {
            None => self.store.query(ROUTES, &[&env]).await?,
            Some(ids) => self.store.query(ROUTES_OF, &[&env, &uuids(ids)]).await?,
        };
        rows.iter().map(read_route).collect()
    }

    /// Logins that are not revoked.
    ///
    /// # Errors
    /// The database's.
    pub async fn gateway_logins(&self, of: LoginsOf<'_>) -> Result<Vec<GatewayLogin>, StoreError> {
        let (tenants, all) = match of {
            LoginsOf::Everybody => (None, true),
            LoginsOf::Services => (None, false),
            LoginsOf::Tenants(ids) => (Some(uuids(ids)), false),
        };
        let params: [&(dyn ToSql + Sync); 3] = [&self.environment.as_str(), &tenants, &all];
        self.store.query(LOGINS, &params).await?.iter().map(read_login_row).collect()
    }

    /// All cells.
    ///
    /// # Errors
    /// The database's.
    pub async fn gateway_cells(&self) -> Result<Vec<GatewayCell>, StoreError> {
        let sql = "SELECT name, place, standbys FROM tenantry.gateway_cell WHERE env = $1";
        let rows = self.store.query(sql, &[&self.environment.as_str()]).await?;
        let read = |row: &Row| {
            let (database, standbys) = (json(row, "place")?, json(row, "standbys")?);
            Ok(GatewayCell { name: parse(row, "name")?, database, standbys })
        };
        rows.iter().map(read).collect()
    }
}
