//! Migrations by the app's own command (Django, Rails, Prisma …), for places that hold one tenant.
//!
//! The command gets a login that lives only for this run and acts as the place's owner from its first statement on, so
//! that everything it makes belongs to the owner. It cannot run inside a transaction of ours; instead its login is made
//! under the claim, and a run with a newer claim removes the logins of older ones together with their sessions. The guard
//! goes up afterwards, before the tenant's login has any right.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::{ExposeSecret as _, SecretString};
use tenantry_domain::id::TenantId;
use tenantry_pg::{Ident, Session, Sql};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use crate::catalog::get;
use crate::error::DataError;
use crate::migrate::{Run, begin, finish};
use crate::names::{Aside, EXTENSIONS, Mark};
use crate::nonce;
use crate::prepare::mode_of;
use crate::seal::SealMode;

/// How much of the command's output is kept: its end, where the reason of a failure stands.
const TAIL: usize = 8 * 1024;
/// How long we listen on after the command has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// The login outlives the command's time by this much, so that it is not locked out of its own clean-up.
const MARGIN: Duration = Duration::from_secs(60);

/// Runs the command for the place, guards what it left and records the version.
pub(crate) async fn run(run: &Run<'_>, command: &str, directory: Option<&str>) -> Result<(), DataError> {
    let Some(tenant) = run.tenant else { return Ok(()) };
    let login = Login { role: run.names.aside(Aside::Run, nonce()?)?, password: password()? };
    let tx = begin(run).await?;
    end_others(&tx, run, tenant, None).await?;
    tx.batch(&make(&tx, run, tenant, &login).await?).await?;
    tx.commit().await?;
    let result = execute(run, tenant, &login, command, directory).await;
    // The clean-up is needed after a failure as well; what it misses, the next run or the janitor finds. A run with
    // a newer claim has done it already.
    let tx = begin(run).await?;
    end_others(&tx, run, tenant, Some(&login.role)).await?;
    tx.commit().await?;
    result?;
    finish(run).await
}

struct Login {
    role: Ident,
    password: SecretString,
}

fn password() -> Result<SecretString, DataError> {
    Ok(SecretString::from(format!("{:016x}{:016x}{:016x}{:016x}", nonce()?, nonce()?, nonce()?, nonce()?)))
}

async fn make(session: &Session, run: &Run<'_>, tenant: TenantId, login: &Login) -> Result<Sql, DataError> {
    let seconds = (run.cell.options.command + MARGIN).as_secs();
    let sql = "SELECT to_char(now() + make_interval(secs => $1), 'YYYY-MM-DD HH24:MI:SSOF')";
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    let until: String = get(&session.query_one(sql, &[&f64::from(seconds)]).await?, 0)?;
    let place = run.place;
    let role = &login.role;
    let here = || Sql::new("ALTER ROLE ").ident(role).push(" IN DATABASE ").ident(&place.database).push(" SET ");
    let mut sql = Sql::new("CREATE ROLE ")
        .ident(role)
        .push(" LOGIN PASSWORD ")
        .literal(&tenantry_pg::scram::verifier(&login.password))
        .push(" VALID UNTIL ")
        .literal(&until)
        .push("; COMMENT ON ROLE ")
        .ident(role)
        .push(" IS ")
        .literal(&run.names.mark(&Mark::Run(tenant)))
        .push("; GRANT ")
        .ident(&place.owner)
        .push(" TO ")
        .ident(role)
        .push("; GRANT ")
        .ident(run.names.group(place.isolation))
        .push(" TO ")
        .ident(role)
        .push("; ")
        .sql(&here())
        .push("role = ")
        .ident(&place.owner)
        .push("; ")
        .sql(&here())
        .push("search_path = ")
        .ident(&place.schema)
        .push(", ext, pg_temp; ");
    let server = run.cell.server().await?;
    if !server.superuser {
        sql = sql.push("GRANT ").ident(role).push(" TO CURRENT_USER; ");
    }
    if run.app.spec.tenant_key.is_some() {
        // With the register the whole session is this tenant's, and there is no other tenant here. Without it, a statement
        // that the policies would cut short fails instead of doing nothing.
        if server.superuser && mode_of(session).await? == SealMode::Register {
            sql = sql.sql(&here()).push("backtrace_functions = ").literal(&tenant.uuid().simple().to_string());
        } else {
            sql = sql.sql(&here()).push("row_security = off");
        }
    }
    Ok(sql)
}

/// Removes logins of commands that run, or ran, for this tenant: one of them, or all.
async fn end_others(session: &Session, run: &Run<'_>, tenant: TenantId, only: Option<&Ident>) -> Result<(), DataError> {
    let mark = run.names.mark(&Mark::Run(tenant));
    let sql = "SELECT rolname::text FROM pg_roles WHERE shobj_description(oid, 'pg_authid') = $1 AND ($2::text IS NULL OR rolname = $2)";
    let rows = session.query(sql, &[&mark, &only.map(|role| role.as_str())]).await?;
    for row in &rows {
        let role = Ident::new(get::<&str>(row, 0)?)?;
        session.batch(&Sql::new("ALTER ROLE ").ident(&role).push(" NOLOGIN")).await?;
        let sql = "SELECT count(pg_terminate_backend(pid, 2000)) FROM pg_stat_activity WHERE usename = $1";
        session.execute(sql, &[&role.as_str()]).await?;
        let sql = Sql::new("REASSIGN OWNED BY ")
            .ident(&role)
            .push(" TO ")
            .ident(&run.place.owner)
            .push("; DROP OWNED BY ")
            .ident(&role)
            .push("; DROP ROLE ")
            .ident(&role);
        session.batch(&sql).await?;
    }
    Ok(())
}

async fn execute(
    run: &Run<'_>,
    tenant: TenantId,
    login: &Login,
    command: &str,
    directory: Option<&str>,
) -> Result<(), DataError> {
    let failed =
        |error: std::io::Error| DataError::Exec { code: None, tail: format!("the command cannot be started: {error}") };
    let mut child = Command::new("sh");
    child
        .args(["-c", command])
        .env_clear()
        .envs(environment(run, tenant, login))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .process_group(0);
    if let Some(directory) = directory {
        child.current_dir(directory);
    }
    let mut child = child.spawn().map_err(failed)?;
    // A cancelled verb, and a command that takes too long, take the command's own children with them.
    let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let talk = async {
        tokio::join!(listen(stdout, &mut out), listen(stderr, &mut err));
    };
    let ended = {
        let mut talk = std::pin::pin!(talk);
        let limit = tokio::time::sleep(run.cell.options.command);
        let mut limit = std::pin::pin!(limit);
        let mut said_all = false;
        let ended = loop {
            tokio::select! {
                ended = child.wait() => break Some(ended),
                () = &mut talk, if !said_all => said_all = true,
                () = &mut limit => break None,
            }
        };
        // Whatever it left running in the background ends with it, and with that the pipes that this holds.
        drop(group);
        if !said_all {
            let _ = tokio::time::timeout(LAST_WORDS, talk).await;
        }
        ended
    };
    let status = match ended {
        Some(status) => status.map_err(failed)?,
        None => {
            return Err(DataError::Exec { code: None, tail: "the command took too long and was killed".to_owned() });
        }
    };
    if status.success() {
        return Ok(());
    }
    out.extend(err);
    let tail = String::from_utf8_lossy(&out[out.len().saturating_sub(TAIL)..])
        .trim()
        .replace(login.password.expose_secret(), "…");
    Err(DataError::Exec { code: status.code(), tail })
}

/// Keeps the end of what a pipe brings.
async fn listen(pipe: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = [0; 4096];
    // A pipe that breaks has nothing more to say.
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..count]);
        if kept.len() > 2 * TAIL {
            kept.drain(..kept.len() - TAIL);
        }
    }
}

/// Ends a process with all that it started, when dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Nobody left to end is the usual case.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// All that the command is told, besides where programs and the home folder are.
fn environment(run: &Run<'_>, tenant: TenantId, login: &Login) -> Vec<(&'static str, OsString)> {
    let target = run.cell.target();
    let (host, port) = (target.host(), target.port());
    let (database, schema, password) =
        (run.place.database.as_str(), run.place.schema.as_str(), login.password.expose_secret());
    let role = login.role.as_str();
    let url = format!("postgres://{role}:{password}@{}:{port}/{database}", in_url(&host));
    let mut variables: Vec<(&'static str, OsString)> = vec![
        ("PGHOST", host.into()),
        ("PGPORT", port.to_string().into()),
        ("PGUSER", role.into()),
        ("PGPASSWORD", password.into()),
        ("PGDATABASE", database.into()),
        ("PGOPTIONS", format!("-c search_path={schema},{EXTENSIONS},pg_temp").into()),
        ("TENANTRY_TENANT", tenant.to_string().into()),
        ("TENANTRY_SCHEMA", schema.into()),
        ("TENANTRY_LEVEL", run.place.isolation.as_str().into()),
        ("DATABASE_URL", url.into()),
    ];
    for name in ["PATH", "HOME"] {
        if let Some(value) = std::env::var_os(name) {
            variables.push((name, value));
        }
    }
    variables
}

/// A host as part of a URL: a socket's folder needs its slashes escaped, an IPv6 address brackets.
fn in_url(host: &str) -> String {
    if host.contains('/') {
        host.replace('%', "%25").replace('/', "%2F")
    } else if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_all_kinds_fit_into_a_url() {
        assert_eq!(in_url("db.example"), "db.example");
        assert_eq!(in_url("/var/run/postgresql"), "%2Fvar%2Frun%2Fpostgresql");
        assert_eq!(in_url("::1"), "[::1]");
    }
}
