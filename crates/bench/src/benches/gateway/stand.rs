//! The gateway that is measured, in a process of its own: `tenantry-bench gateway-stand`.
//!
//! INVARIANT: it ends with its input. The first line of the input says what it is made of (it holds secrets, so it is no
//! argument), each further one is an order; each is answered by one line of output. All lines are JSON.

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tenantry_dataplane::{Dataplane, Options, RootKey};
use tenantry_domain::gateway::{Access, Allowed, LoginName, Mode, Proof, Server, Whose};
use tenantry_domain::id::{InstallationId, TenantId};
use tenantry_domain::name::{AppName, EnvironmentName};
use tenantry_gateway::table::{Cell, Full, Login, Route, Table, Verifier};
use tenantry_gateway::{Doors, Gateway, Ports, Settings, Tls};

/// The word on the command line.
pub const WORD: &str = "gateway-stand";

/// What a gateway is made of.
#[derive(Serialize, Deserialize)]
pub struct Recipe {
    /// Whose passwords and seal keys are derived.
    pub installation: uuid::Uuid,
    /// From what, as the key's file holds it.
    pub root_hex: String,
    /// The partition of the registry.
    pub environment: EnvironmentName,
    /// The app of all tenants.
    pub app: AppName,
    /// The URL of every cell.
    pub cell_url: String,
    /// All cells.
    pub cells: Vec<Cell>,
    /// All tenants.
    pub routes: Vec<Route>,
    /// All logins.
    pub logins: Vec<Account>,
    /// Server sessions of a shared login.
    pub shared: usize,
    /// How many of them one tenant uses at a time.
    pub per_tenant: usize,
    /// Certificate and key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// A login.
#[derive(Clone, Serialize, Deserialize)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// In PostgreSQL's form.
    pub verifier: String,
    /// Whose it is; absent: of a service that names the tenant.
    pub tenant: Option<TenantId>,
}

/// What the gateway is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// Begin no transaction of a tenant, for at most so many milliseconds.
    Hold(TenantId, u64),
    /// Go on with it.
    Release(TenantId),
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Said {
    /// It listens on this port.
    Ready(u16),
    /// An order was taken and done, at these seconds of the epoch.
    Done {
        /// When it was taken.
        from: f64,
        /// When it was done.
        to: f64,
    },
}

/// Runs until its input ends.
pub fn run() -> Result<()> {
    let mut lines = std::io::stdin().lock().lines();
    let recipe = serde_json::from_str(&lines.next().context("nothing to make a gateway of")??)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let gateway = runtime.block_on(start(recipe))?;
    say(&Said::Ready(gateway.address().port()))?;
    for line in lines {
        let order = serde_json::from_str(&line?)?;
        let (from, began) = (epoch(), Instant::now());
        let is_done = runtime.block_on(async {
            match order {
                Order::Hold(tenant, limit) => gateway.hold(tenant, Duration::from_millis(limit)).await,
                Order::Release(tenant) => {
                    gateway.release(tenant).await;
                    true
                }
            }
        });
        ensure!(is_done, "something of the tenant was still in hand when its hold was over");
        say(&Said::Done { from, to: from + began.elapsed().as_secs_f64() })?;
    }
    Ok(())
}

/// Seconds since 1970.
pub fn epoch() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn say(said: &Said) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, said)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

async fn start(recipe: Recipe) -> Result<Gateway> {
    let installation = InstallationId::from_uuid(recipe.installation);
    let root = RootKey::from_hex(&SecretString::from(recipe.root_hex))?;
    let doors = {
        let url = SecretString::from(recipe.cell_url);
        Doors::new(Dataplane::new(installation, root, Options::default()), Arc::new(move |_| Some(url.clone())))
    };
    let login = |account: Account| {
        let whose = match account.tenant {
            Some(tenant) => Whose::Tenant(tenant),
            None => Whose::Service { app: recipe.app.clone(), tenants: Allowed::All },
        };
        Ok(Login {
            name: LoginName::parse(&account.name)?,
            environment: recipe.environment.clone(),
            whose,
            mode: Mode::Transaction,
            access: Access::ReadWrite,
            server: Server::Primary,
            proof: Proof::Password,
            verifiers: vec![Verifier { text: account.verifier.into(), until: None }],
            connections: None,
            expires: None,
            version: Some(1),
        })
    };
    let logins = recipe.logins.into_iter().map(login).collect::<Result<_>>()?;
    let table = Table::default();
    table.replace(Full { routes: recipe.routes, logins, cells: recipe.cells });
    let mut settings = Settings { allow_plain: true, ..Settings::default() };
    settings.pool.shared = recipe.shared;
    settings.pool.per_tenant = recipe.per_tenant;
    let tls = recipe.certificate.map(|(chain, key)| Tls::read(&chain, &key)).transpose()?;
    let ports = Ports {
        table,
        doors,
        tokens: None,
        tls,
        ask: Arc::new(|| {}),
        admin: None,
        config: None,
        mock: [7; 32].into(),
    };
    Ok(Gateway::start("127.0.0.1:0".parse()?, settings, ports).await?)
}
