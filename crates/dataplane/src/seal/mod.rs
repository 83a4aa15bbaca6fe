//! The seal: a tenant context that SQL inside a transaction can neither choose nor keep.
//!
//! `seal.enter` puts one tenant into the transaction it runs in, after checking that the placement generation is the
//! current one and that the tenant is open. Either `seal.bind` has bound the session to that tenant before, with a proof
//! that the caller knows the key; or each transaction brings such a proof, `seal.enter(tenant, epoch, token)`. Policies
//! compare with `tenantry.current_tenant()`, which is NULL outside of such a transaction. Two modes do this, see
//! [`SealMode`]; both have the same functions.
//!
//! In each database: schema `seal` (key, registers, functions), schema `tenantry` (`current_tenant()`, table
//! `tenantry.tenant`), all owned by `tenantry_ctx`, which nobody logs in as. One role per database is *admitted*
//! ([`Install::admit`]): its members may call `seal.hello`, `seal.bind`, `seal.arm` and `seal.enter`, which is worth
//! nothing without the key. Rows of `tenantry.tenant` are written by the level drivers; column `mark` fills itself.
//!
//! What the caller owns: CONNECT and TEMP on the database, CREATE on schemas, policies and grants on the app's
//! tables, and `REFERENCES (tenant_id)` on `tenantry.tenant` for the tables' owner.
//!
//! For the crate root: `pub mod router; pub mod seal; pub mod secret; pub mod tx;`. For the cell: a
//! [`crate::router::Door`] per space is all the router needs; the seal's key of a database is
//! `SealKey::new(kid, root.derive("seal", &[cell, database, kid]))`, kid counting up from 1.

mod shut;
mod token;

use tenantry_domain::id::TenantId;
use tenantry_pg::{Ident, PgError, PgKind, Session, Sql};

pub use token::{Backend, Capability, SealKey};

const BASE: &str = include_str!("base.sql");
const REGISTER: &str = include_str!("register.sql");
const SIGNED: &str = include_str!("signed.sql");

/// How often a statement on a role is repeated when another installer changed the same role at that moment.
const ROLE_TRIES: u32 = 20;

/// Where the context is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealMode {
    /// In a setting of the server that only the seal may write. Reading it is free.
    Register,
    /// In a setting of ours, signed; checked once per statement. For servers whose operator keeps the grant back.
    Signed,
}

impl SealMode {
    /// The word used in columns and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Signed => "signed",
        }
    }

    const fn sql(self) -> &'static str {
        match self {
            Self::Register => REGISTER,
            Self::Signed => SIGNED,
        }
    }
}

/// What to put into a database.
#[derive(Debug)]
pub struct Install<'a> {
    /// The key; a new number is added beside the older ones.
    pub key: &'a SealKey,
    /// The role whose members may enter tenants here.
    pub admit: &'a Ident,
    /// A mode to use whatever the server allows; absent means the best one.
    pub mode: Option<SealMode>,
}

/// What is in a database now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The mode in use.
    pub mode: SealMode,
    /// Server functions through which sessions of one login see or disturb each other, and that our login may not
    /// take away ([`shut`]'s list). Empty on a server where we are superuser.
    pub ajar: Vec<&'static str>,
}

/// Puts the seal into the database of this session, or brings it up to date. Call it as the cell's admin, outside
/// of a transaction; any number of callers may do so at once.
///
/// # Errors
/// The server refused something that cannot be done without, or is gone.
pub async fn install(session: &Session, what: &Install<'_>) -> Result<Installed, PgError> {
    let mode = match what.mode {
        Some(SealMode::Signed) => {
            make_role(session).await?;
            SealMode::Signed
        }
        _ => probe(session).await?,
    };
    // The two schemas appear in the catalog; two installers in one database would collide there.
    let script =
        Sql::new("SELECT pg_advisory_xact_lock(hashtextextended('tenantry seal', 0));").push(BASE).push(mode.sql());
    let script = script
        .push("GRANT USAGE ON SCHEMA seal TO ")
        .ident(what.admit)
        .push(
            "; GRANT EXECUTE ON FUNCTION seal.hello(), seal.bind(integer, uuid, bigint, bytea), seal.enter(), \
             seal.arm(integer, bytea), seal.enter(uuid, bigint, bytea), \
             seal.enter_standby(integer, uuid, bigint, bytea) TO ",
        )
        .ident(what.admit);
    session.batch(&script).await?;
    session
        .execute(
            "INSERT INTO seal.key AS known (kid, k) VALUES ($1, $2)
             ON CONFLICT (kid) DO UPDATE SET k = EXCLUDED.k WHERE known.k <> EXCLUDED.k",
            &[&what.key.kid(), &what.key.bytes().as_slice()],
        )
        .await?;
    Ok(Installed { mode, ajar: shut::shut(session).await? })
}

/// Makes `tenantry_ctx` and finds out which mode the server allows.
///
/// # Errors
/// Not even the role can be made, or the server is gone.
pub async fn probe(session: &Session) -> Result<SealMode, PgError> {
    make_role(session).await?;
    // Signed mode does without it: `seal.hello` then tells the server's start instead of the backend's.
    let stats = "GRANT pg_read_all_stats TO tenantry_ctx";
    if !holds(session, "SELECT pg_has_role('tenantry_ctx', 'pg_read_all_stats', 'USAGE')").await? {
        allowed(on_role(session, stats).await)?;
    }
    let may_set = "SELECT has_parameter_privilege('tenantry_ctx', 'backtrace_functions', 'SET')";
    if !holds(session, may_set).await? {
        allowed(on_role(session, "GRANT SET ON PARAMETER backtrace_functions TO tenantry_ctx").await)?;
    }
    Ok(if holds(session, may_set).await? { SealMode::Register } else { SealMode::Signed })
}

/// The server processes that have an open transaction of this tenant in the database of this session. A transaction
/// that looked at the tenant's gate before it was shut is among them: shut, commit, then ask.
///
/// # Errors
/// The seal is not installed, or the server is gone.
pub async fn sessions(session: &Session, tenant: TenantId) -> Result<Vec<i32>, PgError> {
    let rows = session.query("SELECT seal.sessions($1)", &[&tenant.uuid()]).await?;
    rows.iter().map(|row| row.try_get(0).map_err(PgError::from)).collect()
}

/// Forgets the keys below `kid`. Backends that are armed stay so; new ones need the newer key.
///
/// # Errors
/// The seal is not installed, or the server is gone.
pub async fn retire_keys_below(session: &Session, kid: i32) -> Result<u64, PgError> {
    session.execute("DELETE FROM seal.key WHERE kid < $1", &[&kid]).await
}

async fn make_role(session: &Session) -> Result<(), PgError> {
    if !holds(session, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantry_ctx')").await? {
        match on_role(session, "CREATE ROLE tenantry_ctx NOLOGIN NOINHERIT").await {
            Err(error) if !matches!(error.kind(), PgKind::Duplicate | PgKind::Unique) => return Err(error),
            _ => {}
        }
    }
    // Superusers are members of everything; any other admin must be one to make objects for the role.
    if !holds(session, "SELECT pg_has_role(current_user, 'tenantry_ctx', 'USAGE')").await? {
        on_role(session, "GRANT tenantry_ctx TO CURRENT_USER").await?;
    }
    Ok(())
}

async fn holds(session: &Session, question: &'static str) -> Result<bool, PgError> {
    Ok(session.query_one(question, &[]).await?.try_get(0)?)
}

/// Two installers that change one role at the same moment make one of them fail with «tuple concurrently updated»,
/// for which the server has no code of its own.
async fn on_role(session: &Session, statement: &'static str) -> Result<(), PgError> {
    let mut tries = 1;
    loop {
        match session.execute(statement, &[]).await {
            Err(error) if collided(&error) && tries < ROLE_TRIES => {
                tokio::time::sleep(std::time::Duration::from_millis(10 * u64::from(tries))).await;
                tries += 1;
            }
            other => return other.map(drop),
        }
    }
}

/// Another installer changed the same row of a catalog, or made it: that of a parameter's rights is made by its first
/// grant.
fn collided(error: &PgError) -> bool {
    error.sqlstate() == Some("XX000") || error.constraint() == Some("pg_parameter_acl_parname_index")
}

/// A refused right is an answer, not a failure.
fn allowed(answer: Result<(), PgError>) -> Result<(), PgError> {
    match answer {
        Err(error) if error.kind() != PgKind::Permission => Err(error),
        _ => Ok(()),
    }
}
