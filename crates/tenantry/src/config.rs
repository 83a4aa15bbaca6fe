//! Settings: the one list of them, and the order in which a value is looked for.
//!
//! INVARIANT: a flag beats the environment, the environment beats the file, the file beats the default. Flags and
//! environment are read by clap where a setting is used; this module owns the list and the file. The file is
//! `<config folder>/tenantry/context.toml`; `tenantry dev` writes it, so that the next command needs no flags.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tenantry_domain::code::Kind;

use crate::exit::{Failure, Result};

/// One setting, as `docs/configuration.md` lists it.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The environment variable.
    pub variable: &'static str,
    /// The flag; empty where there is none.
    pub flag: &'static str,
    /// The key in the file; empty where the file cannot hold it.
    pub key: &'static str,
    /// What holds when it is set nowhere.
    pub default: &'static str,
    /// What it is for.
    pub meaning: &'static str,
}

macro_rules! settings {
    ($($variable:literal, $flag:literal, $key:literal, $default:literal, $meaning:literal;)*) => {
        /// Every setting of the binary.
        pub const SETTINGS: &[Setting] = &[$(Setting {
            variable: $variable, flag: $flag, key: $key, default: $default, meaning: $meaning,
        }),*];
    };
}

settings! {
    "TENANTRY_URL", "--url", "url", "`http://127.0.0.1:7070`", "Address of the API that commands speak to.";
    "TENANTRY_TOKEN", "--token", "token", "", "Bearer token of commands. Prefer the variable or the file: flags show in process lists.";
    "TENANTRY_ENVIRONMENT", "--environment", "environment", "`prod`", "Environment that commands work in.";
    "TENANTRY_OUTPUT", "--output", "output", "`table`", "Form of results: `table`, `wide`, `json`, `yaml`.";
    "TENANTRY_TIMEOUT", "--timeout", "timeout", "`5m`", "How long commands wait for an operation.";
    "TENANTRY_CONFIG", "--config", "", "`$XDG_CONFIG_HOME/tenantry/context.toml`", "The file of this table's third column.";
    "TENANTRY_DATABASE_URL", "--database-url", "database_url", "", "PostgreSQL of the control plane. `serve` and `migrate` need it; `dev` starts a private server without it.";
    "TENANTRY_DATA_DIR", "--data-dir", "data_dir", "`./.tenantry`", "Folder of `dev`: database, keys, token.";
    "TENANTRY_LISTEN", "--listen", "listen", "`127.0.0.1:7070`", "Address that the API is served on.";
    "TENANTRY_ROOT_KEY_FILE", "--root-key-file", "root_key_file", "", "File with the root key of the installation, 64 hex digits. `dev` makes one in its data folder.";
    "TENANTRY_BOOTSTRAP_TOKEN_FILE", "--bootstrap-token-file", "bootstrap_token_file", "", "File with the first administrator's token; registered by `serve` when it starts.";
    "TENANTRY_LEASE", "--lease", "", "`2s`", "How long a replica of `serve` that died keeps a workflow from the others; at least 100 ms.";
    "TENANTRY_SWEEP", "--sweep", "", "`30s`", "Time between two looks for drift.";
    "TENANTRY_STORAGE_EVERY", "--storage-every", "", "`5m`", "Time between two measurements of what tenants' data takes on a cell, for the quota `storage`; `off` measures nothing.";
    "TENANTRY_GUARD_EVERY", "--guard-every", "", "`10m`", "Time between two looks of the guard at a cell, a tenth of it more or less; `off` looks on request only.";
    "TENANTRY_PROBE_EVERY", "--probe-every", "", "`off`", "Time between two runs of the [leak probe](probe.md) at a cell, a tenth of it more or less; it makes two canary tenants per app and level there.";
    "TENANTRY_GUARD_TERMS", "--guard-terms", "", "", "File with findings that the guard accepts, logins of backups and trusted contexts, see [the guard](guard.md#in-the-control-plane).";
    "TENANTRY_READY_SCHEMAS", "--ready-schemas", "", "`2`", "Schemas kept ready for new tenants, per cell and app.";
    "TENANTRY_READY_DATABASES", "--ready-databases", "", "`1`", "Databases kept ready for new tenants, per cell and app.";
    "TENANTRY_BASE_DOMAINS", "--base-domain", "", "", "Domains below which every tenant has a subdomain, separated by commas.";
    "TENANTRY_ISSUERS_FILE", "--issuers", "", "", "File with the issuers whose access tokens name tenants, see [access tokens](howto/forward-auth.md#access-tokens), or [people of the operator](howto/sign-in.md).";
    "TENANTRY_IDENTITY_PROJECT", "--identity-project", "", "", "Project of Google's Identity Platform in which tenants have [pools of users](howto/identity-platform.md) of their own.";
    "TENANTRY_IDENTITY_CREDENTIALS_FILE", "--identity-credentials", "", "", "File with the JSON key of a service account of that project.";
    "TENANTRY_IDENTITY_EMULATOR", "--identity-emulator", "", "", "In its place, for development: address of a Firebase Auth emulator on this machine. Its tokens are not signed, so the API is served on this machine only then.";
    "TENANTRY_RATE_READ", "--rate-read", "", "`100`", "Reads that a token may make in a second, twice as many at once; `off` for no bound. See [limits](limits.md).";
    "TENANTRY_RATE_WRITE", "--rate-write", "", "`50`", "Changes that a token may make in a second.";
    "TENANTRY_RATE_BULK", "--rate-bulk", "", "`10`", "Calls about many objects that a token may make in a second: manifests, exports, the audit.";
    "TENANTRY_RATE_RESOLVE", "--rate-resolve", "", "`off`", "Calls that resolve tenants that a token may make in a second.";
    "TENANTRY_RATE_FAILURES", "--rate-failures", "", "`20`", "Times in a minute that an address may fail to say who it is.";
    "TENANTRY_REDIS_URL", "--redis-url", "", "", "Redis or Valkey by which replicas share rates, `redis://…` or `rediss://…`; without it each process counts alone.";
    "TENANTRY_PROXIES", "--proxies", "", "`0`", "How many proxies in front add themselves to `X-Forwarded-For`.";
    "TENANTRY_SMTP_URL", "--smtp-url", "", "", "Mail server for [invitations](members.md) and [notifications](notifications.md), `smtps://user:password@host`; without it links are handed out by the API only, and nobody is told by mail.";
    "TENANTRY_MAIL_FROM", "--mail-from", "", "", "Whom mail comes from.";
    "TENANTRY_NOTIFY", "--notify", "", "`all`", "What people are [told of](notifications.md): `all`, `none`, or words such as `welcome,ready,limit`. Mail needs `TENANTRY_SMTP_URL`.";
    "TENANTRY_TEMPLATES", "--templates", "", "those that come along", "Folder with [templates](notifications.md#templates) of your own; a broken one is an error of the start.";
    "TENANTRY_CHAT_URL", "--chat-url", "", "", "Incoming webhook of your chat, which is told as well. A secret.";
    "TENANTRY_INVITE_URL", "--invite-url", "", "", "Where links of invitations lead, with `{token}` in it.";
    "TENANTRY_SINGLE_MEMBERSHIP", "--single-membership", "", "", "Lets a person be a member of one tenant only.";
    "TENANTRY_POLICY_SOURCE", "--policy-source", "", "the shipped rules", "Bundle of [rules](policy.md): a folder, `https://…` or `oci://host/name:tag`.";
    "TENANTRY_POLICY_KEYS_FILE", "--policy-keys-file", "", "", "File with the public keys that bundles are signed by, as PEM; needed for bundles that come over the network.";
    "TENANTRY_POLICY_CREDENTIAL_FILE", "--policy-credential-file", "", "", "File with what the bundle's server is shown: a token, or `name:password`.";
    "TENANTRY_POLICY_FOLDER", "--policy-folder", "", "", "Folder where bundles that were in force are kept, so that a start needs no source.";
    "TENANTRY_POLICY_EVERY", "--policy-every", "", "`1m`", "Time between two looks at the source.";
    "TENANTRY_POLICY_WAY", "--policy-way", "", "`active`", "Whether a new bundle is put in force (`active`), or tried beside the one that is (`shadow`).";
    "TENANTRY_OPA_URL", "--opa-url", "", "", "Decision point outside that speaks OPA's data API; it is asked as well.";
    "TENANTRY_OPA_PATH", "--opa-path", "", "`tenantry/main`", "The rule that it is asked.";
    "TENANTRY_OPA_TOKEN_FILE", "--opa-token-file", "", "", "File with the token that it is shown.";
    "TENANTRY_OPA_TIMEOUT", "--opa-timeout", "", "`500ms`", "How long one question may take; without an answer nothing is changed.";
    "TENANTRY_OPA_ALONE", "--opa-alone", "", "", "Asks it alone, and not the rules in process.";
    "TENANTRY_GATEWAY_URL", "--gateway-url", "", "", "Where clients find the gateway, such as `postgres://db.example.com:6432?sslmode=verify-full`; connection URLs of [logins](howto/gateway-logins.md) begin with it.";
    "TENANTRY_GATEWAY_LISTEN", "--listen", "", "`127.0.0.1:6432`", "Address of `gateway` for PostgreSQL clients, see [the gateway](gateway.md).";
    "TENANTRY_GATEWAY_STATUS_LISTEN", "--status-listen", "", "`127.0.0.1:7072`", "Address of `/livez`, `/readyz` and `/metrics` of a gateway; not for clients of tenants.";
    "TENANTRY_GATEWAY_TLS_CERT", "--tls-cert", "", "", "Chain of certificates of a gateway, as PEM; read again at SIGHUP, as the bounds in the file are.";
    "TENANTRY_GATEWAY_TLS_KEY", "--tls-key", "", "", "Key of that certificate, as PEM.";
    "TENANTRY_GATEWAY_ALLOW_PLAIN", "--allow-plain", "", "", "Lets clients in that do not encrypt.";
    "TENANTRY_GATEWAY_ROUTES_FILE", "--routes-file", "", "", "Where a gateway keeps routes and logins for a start without the control database.";
    "TENANTRY_GATEWAY_DOMAINS", "--domain", "", "", "Domains below which a TLS server name names a tenant, separated by commas.";
    "TENANTRY_GATEWAY_ADMIN_PASSWORD_FILE", "--admin-password-file", "", "", "File with the password of a gateway's [console](gateway.md#the-console).";
    "TENANTRY_GATEWAY_WORKERS", "--workers", "gateway.workers", "`2`", "Threads of a gateway; a tenant lives on one of them.";
    "TENANTRY_GATEWAY_CLIENTS", "--clients", "gateway.clients", "`10000`", "Most client connections of a gateway.";
    "TENANTRY_GATEWAY_SERVER_SESSIONS", "--server-sessions", "gateway.server_sessions", "`80`", "Most sessions of a gateway on one PostgreSQL server.";
    "TENANTRY_GATEWAY_SHARED_SESSIONS", "--shared-sessions", "gateway.shared_sessions", "`20`", "Most sessions of a gateway with a login that tenants share.";
    "TENANTRY_GATEWAY_TENANT_SESSIONS", "--tenant-sessions", "gateway.tenant_sessions", "`8`", "Most of those for one tenant at a time, unless its plan says less.";
    "TENANTRY_GATEWAY_OWN_SESSIONS", "--own-sessions", "gateway.own_sessions", "`10`", "Most sessions with a tenant's own login, unless its plan says less.";
    "TENANTRY_GATEWAY_STATEMENT", "--statement", "gateway.statement", "`5m`", "Longest time a statement may run.";
    "TENANTRY_GATEWAY_IDLE_IN_TRANSACTION", "--idle-in-transaction", "gateway.idle_in_transaction", "`1m`", "Longest time a transaction may be idle.";
    "TENANTRY_GATEWAY_CLIENT_WAIT", "--client-wait", "gateway.client_wait", "`10s`", "How long a client waits for a session, and for a tenant that is on its way.";
    "TENANTRY_GATEWAY_STALENESS", "--staleness", "gateway.staleness", "`10s`", "How far a standby may be behind its primary to be read from.";
    "TENANTRY_GATEWAY_LOGIN", "--login", "gateway.login", "`10s`", "How long a login may take.";
    "TENANTRY_GATEWAY_FAILURES", "--failures", "gateway.failures", "`20`", "Failed logins that an address may have in a minute before a gateway turns it away unheard.";
    "TENANTRY_GATEWAY_TENANTS_COUNTED", "--tenants-counted", "gateway.tenants_counted", "`500`", "Tenants that a gateway's metrics name; the others are counted together.";
    "TENANTRY_DNS_SERVERS", "--dns-server", "", "those of the system", "DNS servers that the proofs of tenants' own domains are asked of, `address:port`, separated by commas, see [custom domains](howto/custom-domains.md).";
    "TENANTRY_WEBHOOKS_OFF", "--webhooks-off", "", "", "Any value leaves sending [webhooks](webhooks.md) to other processes.";
    "TENANTRY_WEBHOOKS_PORTS", "--webhooks-port", "", "`443,8443`", "Ports that webhooks may be sent to, separated by commas.";
    "TENANTRY_WEBHOOKS_OWN_HOSTS", "--webhooks-own-host", "", "", "Hosts of the installation, and all below them, that no webhook is sent to, separated by commas.";
    "TENANTRY_WEBHOOKS_CA_FILE", "--webhooks-ca-file", "", "", "File with certificate authorities that receivers may have besides the system's, as PEM.";
    "TENANTRY_WEBHOOKS_LAB", "--webhooks-lab", "", "", "Lets webhooks go to this machine, and there without TLS: for tests and development only; `serve` refuses it without the next one.";
    "TENANTRY_NATS_URL", "--nats-url", "", "", "NATS servers of one cluster that every event is [published to by JetStream](streams.md), `nats://…` or `tls://…`, separated by commas; no user or password in it.";
    "TENANTRY_NATS_CREDENTIALS", "--nats-credentials", "", "", "File with a user's credentials for NATS (`.creds`); read at each connection.";
    "TENANTRY_NATS_AUTH_FILE", "--nats-auth-file", "", "", "In its place: file with a token, or with `user:password`.";
    "TENANTRY_NATS_CA_FILE", "--nats-ca-file", "", "", "File with certificate authorities that the NATS servers may have besides the system's, as PEM.";
    "TENANTRY_NATS_STREAM", "--nats-stream", "", "`TENANTRY`", "The stream; it is made if it is missing. Another name is another stream, which begins anew.";
    "TENANTRY_NATS_PREFIX", "--nats-prefix", "", "`tenantry`", "What the subjects of its messages begin with.";
    "TENANTRY_NATS_REPLICAS", "--nats-replicas", "", "`1`", "Copies that the servers keep of a stream that is made: 1, 3 or 5.";
    "TENANTRY_NATS_DUPLICATES", "--nats-duplicates", "", "`2m`", "For how long the servers know a message by its id, at least.";
    "TENANTRY_NATS_FROM", "--nats-from", "", "`beginning`", "Whether a stream that is new gets all events that there are, or those from `now` on.";
    "TENANTRY_LABORATORY", "--laboratory", "", "", "Says that the installation serves nobody, so that `serve` takes settings which suit tests alone.";
    "TENANTRY_GUARD_URL", "--database-url", "", "", "Database that `guard` looks at.";
    "TENANTRY_PG_BIN", "--pg-bin", "pg_bin", "`PATH`, `/usr/lib/postgresql/*/bin`", "Folder of `initdb` and `postgres` (15 or newer) for the private server.";
    "TENANTRY_PG_PORT", "--pg-port", "pg_port", "a free one", "Port of the private server on 127.0.0.1.";
    "TENANTRY_LOG", "--log", "log", "`info`; `warn` for `dev`, `off` for `demo`", "What is logged: a level, or `target=level` pairs.";
    "TENANTRY_LOG_FORMAT", "--log-format", "log_format", "`text`", "Form of log lines: `text` or `json`.";
    "TENANTRY_CELL_URL", "", "", "the private server, for `dev`", "PostgreSQL of the cell in the example's manifests; any variable can be named by `urlFrom`.";
    "NO_COLOR", "", "", "", "Any value switches colours off.";
}

/// The file's content; every key may be missing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub url: Option<String>,
    pub token: Option<SecretString>,
    pub environment: Option<String>,
    pub output: Option<String>,
    pub timeout: Option<String>,
    pub database_url: Option<SecretString>,
    pub data_dir: Option<PathBuf>,
    pub listen: Option<std::net::SocketAddr>,
    pub root_key_file: Option<PathBuf>,
    pub bootstrap_token_file: Option<PathBuf>,
    pub pg_bin: Option<PathBuf>,
    pub pg_port: Option<u16>,
    pub log: Option<String>,
    pub log_format: Option<String>,
    #[serde(default)]
    pub gateway: GatewayFile,
}

/// `[gateway]` of the file: bounds that a gateway reads again while it runs. Every key may be missing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayFile {
    pub workers: Option<u32>,
    pub clients: Option<u32>,
    pub server_sessions: Option<u32>,
    pub shared_sessions: Option<u32>,
    pub tenant_sessions: Option<u32>,
    pub own_sessions: Option<u32>,
    pub statement: Option<Span>,
    pub idle_in_transaction: Option<Span>,
    pub client_wait: Option<Span>,
    pub staleness: Option<Span>,
    pub login: Option<Span>,
    pub failures: Option<u32>,
    pub tenants_counted: Option<u32>,
}

/// A length of time, written as on the command line: `90s`, `5m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = humantime::parse_duration(&text);
        read.map(Self).map_err(|error| serde::de::Error::custom(format!("`{text}` is not a duration: {error}")))
    }
}

/// First line of a file that `dev` wrote; only such a file is written again.
const MARK: &str = "# Written by `tenantry dev`; it is written again when `dev` starts.";

impl File {
    /// Reads the file; one that is not there is empty unless it was named.
    ///
    /// # Errors
    /// It cannot be read, or holds something unknown.
    pub fn read(named: Option<&Path>) -> Result<Self> {
        let Some(path) = named.map(Path::to_owned).or_else(default_path) else { return Ok(Self::default()) };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(unusable(&path, &error)),
        };
        let file: Self = toml::from_str(&text).map_err(|error| {
            // Its own text shows the line, which may hold a secret.
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            unusable(&path, &format!("line {}: {}", before.matches('\n').count() + 1, error.message()))
        })?;
        let secret = file.token.is_some() || file.database_url.is_some();
        let open = fs::metadata(&path).is_ok_and(|data| data.permissions().mode() & 0o077 != 0);
        if secret && open {
            return Err(unusable(&path, &"it holds a secret and others may read it")
                .hint(format!("Run `chmod 600 {}`.", path.display())));
        }
        Ok(file)
    }
}

/// Where the file is when nobody says otherwise; `None` without a home.
pub fn default_path() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")))?;
    Some(base.join("tenantry").join("context.toml"))
}

/// Keeps how to reach a server, for later commands; gives `false` when the user keeps a file of their own there.
///
/// # Errors
/// The file cannot be written.
pub fn save_context(path: &Path, url: &str, token: &SecretString, environment: &str) -> Result<bool> {
    match fs::read_to_string(path) {
        Ok(text) if !text.starts_with(MARK) => return Ok(false),
        _ => {}
    }
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let text = format!(
        "{MARK}\nurl = {}\nenvironment = {}\ntoken = {}\n",
        quoted(url),
        quoted(environment),
        quoted(token.expose_secret()),
    );
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).and_then(|()| write_private(path, &text)).map_err(|error| unusable(path, &error))?;
    Ok(true)
}

/// Writes a file that only its owner may read; a reader finds the old or the new text, never half of it.
///
/// # Errors
/// Those of the file system.
pub fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let fresh = path.with_file_name(name);
    let _ = fs::remove_file(&fresh);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    let written =
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    written
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> Failure {
    Failure::local(Kind::Invalid, format!("The file `{}` cannot be used", path.display()), why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_the_file_is_listed() {
        let keys = || SETTINGS.iter().map(|setting| setting.key).filter(|key| !key.is_empty());
        let inner: Vec<_> = keys().filter_map(|key| key.strip_prefix("gateway.")).collect();
        let outer: Vec<_> = keys().filter(|key| !key.contains('.')).chain(["gateway"]).collect();
        assert_eq!(inner.len() + outer.len() - 1, keys().count());
        for (keys, text) in [(outer, "nonsense = 1"), (inner, "[gateway]\nnonsense = 1")] {
            let error = toml::from_str::<File>(text).unwrap_err().to_string();
            for key in &keys {
                assert!(error.contains(&format!("`{key}`")), "{key} is listed, the file does not know it: {error}");
            }
            assert_eq!(
                error.matches('`').count() / 2 - 1,
                keys.len(),
                "the file knows a key that is not listed: {error}"
            );
        }
    }

    #[test]
    fn the_context_is_private_and_a_file_of_the_user_is_left_alone() {
        let folder = std::env::temp_dir().join(format!("tenantry-config-{}", std::process::id()));
        let path = folder.join("context.toml");
        let token = SecretString::from("ten_live_\"quoted\"");
        assert!(save_context(&path, "http://127.0.0.1:7070", &token, "prod").unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let file = File::read(Some(&path)).unwrap();
        assert_eq!(file.url.as_deref(), Some("http://127.0.0.1:7070"));
        assert_eq!(file.token.unwrap().expose_secret(), "ten_live_\"quoted\"");
        assert!(save_context(&path, "http://127.0.0.1:7071", &token, "prod").unwrap());

        fs::write(&path, "url = 'https://tenantry.example'\n").unwrap();
        assert!(!save_context(&path, "http://127.0.0.1:7072", &token, "prod").unwrap());
        fs::write(&path, "token = 'x'\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(File::read(Some(&path)).unwrap_err().to_string().contains("chmod 600"));
        fs::write(&path, "urll = 'x'\n").unwrap();
        assert!(File::read(Some(&path)).unwrap_err().to_string().contains("urll"));
        fs::remove_dir_all(&folder).unwrap();
        assert!(File::read(Some(&path)).is_err());
    }
}
