//! What stands between client and server: our gateway, PgBouncer, or nothing. Each is a process of its own, so that the
//! kernel tells what it costs.
//!
//! Both keep a verifier of each login, have as many server sessions, and end at one login of one database. At the gateway
//! clients have the logins of their tenants; at PgBouncer, which knows no tenants, all have the login of the database.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use secrecy::ExposeSecret as _;
use tenantry_domain::id::TenantId;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::stand::{Order, Recipe, Said, WORD, epoch};
use super::world::World;
use crate::processor::schedstat;

/// The database's name at PgBouncer.
pub const HOME: &str = "home";
/// Who may pause it.
const ADMIN: &str = "admin";
/// How long a process may take to start.
const START: Duration = Duration::from_secs(20);

/// A process, and where it listens.
pub struct Pooler {
    /// On 127.0.0.1.
    pub port: u16,
    child: Child,
    told: Option<(ChildStdin, Lines<BufReader<ChildStdout>>)>,
    folder: Option<tempfile::TempDir>,
}

/// Server sessions: in all, and for one tenant.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Of the login that all tenants share.
    pub shared: usize,
    /// What the gateway lets one tenant use. PgBouncer knows no tenants.
    pub per_tenant: usize,
}

impl Pooler {
    /// Our gateway.
    pub async fn gateway(world: &World, size: Size) -> Result<Self> {
        let recipe = serde_json::to_string(&world.recipe(size))?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg(WORD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the gateway")?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (mut input, output) = input.zip(output).context("no pipes")?;
        input.write_all(format!("{recipe}\n").as_bytes()).await?;
        let mut lines = BufReader::new(output).lines();
        let Said::Ready(port) = heard(&mut lines).await? else { bail!("the gateway said something else than ready") };
        Ok(Self { port, child, told: Some((input, lines)), folder: None })
    }

    /// PgBouncer in transaction mode.
    pub async fn bouncer(world: &World, program: &Bouncer, size: Size) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = free_port()?;
        let target = &world.door.target;
        let (host, server, database) = (target.host(), target.port(), target.database());
        let prepared = if program.prepares() { "max_prepared_statements = 200\n" } else { "" };
        let tls = world.certificate.as_ref().map(|(chain, key)| {
            let copies = [(chain, "server.crt"), (key, "server.key")].map(|(from, name)| {
                let to = folder.path().join(name);
                std::fs::copy(from, &to).map(|_| to)
            });
            let [chain, key] = copies;
            anyhow::Ok(format!(
                "client_tls_sslmode = allow\nclient_tls_cert_file = {}\nclient_tls_key_file = {}\n",
                chain?.display(),
                key?.display()
            ))
        });
        let tls = tls.transpose()?.unwrap_or_default();
        let users = folder.path().join("users.txt");
        let settings = format!(
            "[databases]\n{HOME} = host={host} port={server} dbname={database}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n\
             auth_file = {}\npool_mode = transaction\ndefault_pool_size = {}\nmax_client_conn = 10000\n\
             max_db_connections = 0\nadmin_users = {ADMIN}\nlog_connections = 0\nlog_disconnections = 0\n\
             log_pooler_errors = 1\nlogfile = {}\nquery_wait_timeout = 120\nserver_login_retry = 1\n\
             ignore_startup_parameters = extra_float_digits\n{prepared}{tls}",
            users.display(),
            size.shared,
            folder.path().join("log").display(),
        );
        let account = |name: &str, verifier: &str| format!("\"{name}\" \"{verifier}\"\n");
        // With the server's own verifier it logs in there as its client did.
        let mut list = account(target.user(), world.verifier.expose_secret());
        list += &account(ADMIN, &tenantry_pg::scram::verifier(&world.password));
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&users, list)?;
        std::fs::write(&file, settings)?;
        let mut command = Command::new(&program.path);
        command.arg("-q").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((user, group)) = stand_in() {
            // PgBouncer refuses to run as root.
            for entry in std::fs::read_dir(folder.path())?.flatten() {
                std::os::unix::fs::chown(entry.path(), Some(user), Some(group))?;
            }
            std::os::unix::fs::chown(folder.path(), Some(user), Some(group))?;
            command.uid(user).gid(group);
        }
        let child = command.kill_on_drop(true).spawn().context("starting PgBouncer")?;
        let mut pooler = Self { port, child, told: None, folder: Some(folder) };
        pooler.answers().await?;
        Ok(pooler)
    }

    async fn answers(&mut self) -> Result<()> {
        let until = tokio::time::Instant::now() + START;
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("PgBouncer ended: {status}: {}", self.log());
            }
            ensure!(tokio::time::Instant::now() < until, "PgBouncer does not start: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn log(&self) -> String {
        let path = self.folder.as_ref().map(|folder| folder.path().join("log"));
        path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
    }

    /// Its process.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().context("the pooler ended")
    }

    /// Microseconds that its threads have been on a processor. Those of threads that ended are missing; none does.
    pub fn spent(&self) -> Result<f64> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid()?))?.flatten();
        Ok(tasks.filter_map(|task| schedstat(&task.path())).sum())
    }

    /// KiB of its memory that are there.
    pub fn resident(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Begins nothing of a tenant, or of everybody where tenants are not known, and waits until nothing is in hand. Seconds
    /// of the epoch at which that began and ended.
    pub async fn hold(&mut self, world: &World, tenant: TenantId) -> Result<(f64, f64)> {
        self.order(world, &Order::Hold(tenant, 5_000), "PAUSE").await
    }

    /// Goes on.
    pub async fn release(&mut self, world: &World, tenant: TenantId) -> Result<(f64, f64)> {
        self.order(world, &Order::Release(tenant), "RESUME").await
    }

    async fn order(&mut self, world: &World, order: &Order, word: &str) -> Result<(f64, f64)> {
        let Some((input, lines)) = &mut self.told else {
            let admin = world.client(self.port, ADMIN, &world.password, "pgbouncer").await?;
            let from = epoch();
            admin.simple_query(word).await?;
            return Ok((from, epoch()));
        };
        input.write_all(format!("{}\n", serde_json::to_string(order)?).as_bytes()).await?;
        match heard(lines).await? {
            Said::Done { from, to } => Ok((from, to)),
            other => bail!("the gateway said {other:?}"),
        }
    }

    /// Ends it; it has nothing to lose.
    pub async fn stop(mut self) -> Result<ExitStatus> {
        self.child.start_kill()?;
        Ok(self.child.wait().await?)
    }
}

async fn heard(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<Said> {
    let line = tokio::time::timeout(START, lines.next_line()).await.context("the gateway says nothing")??;
    Ok(serde_json::from_str(&line.context("the gateway ended")?)?)
}

/// PgBouncer as it is installed.
pub struct Bouncer {
    path: PathBuf,
    /// As it says it.
    pub version: String,
}

impl Bouncer {
    /// Debian has it where only administrators look.
    pub fn find() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
        let path = folders.map(|folder| folder.join("pgbouncer")).find(|path| path.is_file())?;
        let said = std::process::Command::new(&path).arg("--version").output().ok()?;
        let version = String::from_utf8_lossy(&said.stdout).lines().next()?.to_owned();
        Some(Self { path, version })
    }

    /// Whether it knows prepared statements in transaction mode, which it does from 1.21 on.
    pub fn prepares(&self) -> bool {
        let mut numbers = self.version.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse::<u32>().ok());
        matches!((numbers.next(), numbers.next()), (Some(major), Some(minor)) if (major, minor) >= (1, 21))
    }
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// As whom root runs it; `None` for everybody else.
fn stand_in() -> Option<(u32, u32)> {
    if !rustix::process::getuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |name: &str| {
        let mut fields = users.lines().find(|line| line.split(':').next() == Some(name))?.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    find("postgres").or_else(|| find("nobody"))
}

/// Lets this process and those that it starts open so many files, or as many as they may. How many that is.
pub fn open_files(wanted: u64) -> u64 {
    let now = getrlimit(Resource::Nofile);
    let most = now.maximum.map_or(wanted, |most| most.min(wanted));
    let current = now.current.unwrap_or(u64::MAX);
    if current >= most {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: now.maximum }) {
        Ok(()) => most,
        Err(_) => current,
    }
}

/// A certificate that signs itself, made by `openssl`; none where there is no such program.
pub fn certificate(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    let made = std::process::Command::new("openssl")
        .args(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost".split(' '),
        )
        .args(["-keyout", "server.key", "-out", "server.crt", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .current_dir(folder)
        .output();
    let is_made = made.is_ok_and(|output| output.status.success());
    is_made.then(|| (folder.join("server.crt"), folder.join("server.key")))
}

/// What a gateway is made of, for a world.
impl World {
    fn recipe(&self, size: Size) -> Recipe {
        Recipe {
            installation: self.installation,
            root_hex: self.bed.root_hex.expose_secret().to_owned(),
            environment: self.bed.app.environment.clone(),
            app: self.bed.app.app.clone(),
            cell_url: self.cell_url.expose_secret().to_owned(),
            cells: self.cells.clone(),
            routes: self.routes.clone(),
            logins: self.accounts.clone(),
            shared: size.shared,
            per_tenant: size.per_tenant,
            certificate: self.certificate.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_tells_whether_statements_can_be_prepared() {
        let prepares = |version: &str| Bouncer { path: PathBuf::new(), version: version.to_owned() }.prepares();
        assert!(!prepares("PgBouncer 1.18.0") && !prepares("PgBouncer") && !prepares("PgBouncer 1.20.1"));
        assert!(prepares("PgBouncer 1.21.0") && prepares("PgBouncer 1.25.2") && prepares("PgBouncer 2.0"));
    }
}
