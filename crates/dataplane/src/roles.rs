//! Roles: an owner that nobody logs in as, a login that owns nothing, and the marks that say whose they are.
//!
//! Roles belong to the whole server, so a name alone is never enough: a role without our mark is foreign.

use tenantry_pg::{Ident, Session, Sql};

use crate::catalog::get;
use crate::cell::Server;
use crate::error::DataError;
use crate::names::Place;

/// Tells an object of ours, by its mark, from a foreign one. `ours` is what our marks on it start with.
fn mark_of(
    object: impl FnOnce() -> String,
    found: Option<Option<String>>,
    ours: &str,
) -> Result<Option<String>, DataError> {
    match found {
        None => Ok(None),
        Some(Some(mark)) if mark.starts_with(ours) => Ok(Some(mark)),
        Some(_) => Err(DataError::Foreign { object: object() }),
    }
}

/// The mark of a role, if it is there.
pub(crate) async fn find(session: &Session, role: &Ident, ours: &str) -> Result<Option<String>, DataError> {
    let sql = "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = $1";
    let row = session.query_opt(sql, &[&role.as_str()]).await?;
    let mark = row.as_ref().map(|row| get(row, 0)).transpose()?;
    mark_of(|| format!("role {}", role.as_str()), mark, ours)
}

/// The mark of a database, if it is there.
pub(crate) async fn find_database(session: &Session, name: &Ident, ours: &str) -> Result<Option<String>, DataError> {
    let sql = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1";
    let row = session.query_opt(sql, &[&name.as_str()]).await?;
    let mark = row.as_ref().map(|row| get(row, 0)).transpose()?;
    mark_of(|| format!("database {}", name.as_str()), mark, ours)
}

/// The mark of a schema of this database, if it is there.
pub(crate) async fn find_schema(session: &Session, name: &Ident, ours: &str) -> Result<Option<String>, DataError> {
    let sql = "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = $1";
    let row = session.query_opt(sql, &[&name.as_str()]).await?;
    let mark = row.as_ref().map(|row| get(row, 0)).transpose()?;
    mark_of(|| format!("schema {}", name.as_str()), mark, ours)
}

/// Which objects of a tenant a removal takes: all of ours, or those that one workflow made.
#[derive(Debug)]
pub(crate) struct Removal {
    /// What the marks on all objects of the tenant start with; another mark is foreign.
    pub ours: String,
    /// What the marks on those that go start with.
    pub starts: String,
}

impl Removal {
    pub fn takes(&self, mark: &Option<String>) -> bool {
        mark.as_ref().is_some_and(|mark| mark.starts_with(&self.starts))
    }
}

/// Makes a role that nobody can log in as.
pub(crate) fn make(role: &Ident, mark: &str, server: Server) -> Sql {
    // Another login than a superuser administers only what it is a member of.
    let join = if server.superuser { Sql::new("") } else { Sql::new("GRANT ").ident(role).push(" TO CURRENT_USER; ") };
    Sql::new("CREATE ROLE ").ident(role).push(" NOLOGIN; ").sql(&comment(role, mark)).sql(&join)
}

/// The owner and the login of a place; nobody can log in yet.
pub(crate) fn make_pair(place: &Place, group: &Ident, mark: &str, server: Server) -> Sql {
    let mut sql = make(&place.owner, mark, server);
    if let Some(login) = &place.login {
        sql = sql.sql(&make(login, mark, server)).sql(&join(group, login));
    }
    sql
}

/// Renames the roles of one place after another one.
pub(crate) fn rename_pair(from: &Place, to: &Place, mark: &str) -> Sql {
    let mut sql = Sql::new("");
    let logins = from.login.iter().zip(&to.login);
    for (old, new) in std::iter::once((&from.owner, &to.owner)).chain(logins) {
        sql = sql.push("ALTER ROLE ").ident(old).push(" RENAME TO ").ident(new).push("; ").sql(&comment(new, mark));
    }
    sql
}

/// Makes a login a member of the group through which it gets its rights.
pub(crate) fn join(group: &Ident, login: &Ident) -> Sql {
    Sql::new("GRANT ").ident(group).push(" TO ").ident(login).push("; ")
}

/// Sets a password by its verifier, so that no password is ever sent.
pub(crate) fn set_password(login: &Ident, verifier: &str) -> Sql {
    Sql::new("ALTER ROLE ").ident(login).push(" PASSWORD ").literal(verifier).push("; ")
}

/// Lets a login in, with a bound on its connections.
pub(crate) fn let_in(login: &Ident, connections: Option<u32>) -> Sql {
    let limit = signed(limit(connections));
    Sql::new("ALTER ROLE ").ident(login).push(" LOGIN CONNECTION LIMIT ").sql(&limit).push("; ")
}

/// A bound on connections as the server keeps it: -1 for none. One that it cannot count up to is none.
pub(crate) fn limit(connections: Option<u32>) -> i32 {
    connections.and_then(|most| i32::try_from(most).ok()).unwrap_or(-1)
}

/// Keeps a login out. Sessions that it has stay.
pub(crate) fn keep_out(login: &Ident) -> Sql {
    Sql::new("ALTER ROLE ").ident(login).push(" NOLOGIN; ")
}

/// Removes the roles of a place that the removal takes, with whatever they own or may do in this database. The caller knows
/// that the tenant has no other place on this server.
pub(crate) async fn drop_pair(session: &Session, place: &Place, removal: &Removal) -> Result<(), DataError> {
    for role in place.login.iter().chain([&place.owner]) {
        if removal.takes(&find(session, role, &removal.ours).await?) {
            // Anything in another database makes this fail, and somebody has to look.
            session.batch(&Sql::new("DROP OWNED BY ").ident(role).push("; DROP ROLE ").ident(role)).await?;
        }
    }
    Ok(())
}

fn comment(role: &Ident, mark: &str) -> Sql {
    Sql::new("COMMENT ON ROLE ").ident(role).push(" IS ").literal(mark).push("; ")
}

/// PostgreSQL takes no parentheses around the number here.
fn signed(limit: i32) -> Sql {
    if limit < 0 { Sql::new("-1") } else { Sql::new("").int(i64::from(limit)) }
}
