//! The console's conversation: PostgreSQL's simple and extended protocol, as far as psql and drivers use them for
//! statements without parameters.
//!
//! INVARIANT: messages are bounded before they are read, and whoever says nothing for a while is closed.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tenantry_domain::id::TenantId;
use tenantry_wire::client::Kind;
use tenantry_wire::server::{Report, Severity, Status};
use tenantry_wire::{client, frame, server, words as sql};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::Reach;
use super::show::{self, Facts, Rows};
use super::words::{self, Command, Unknown};

/// The longest message.
const LONGEST: usize = 16 * 1024;
/// A console that says nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(1800);
/// How long an answer may take to be written.
const WRITE: Duration = Duration::from_secs(30);
/// Statements and portals that one console may have.
const NAMES: usize = 64;

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Unknown(#[from] Unknown),
    #[error("no tenant `{0}` is known here")]
    Tenant(String),
    #[error("`{0}` is the name of tenants in several environments; give its id")]
    Ambiguous(String),
    #[error("there is no session {0}")]
    Session(u64),
    #[error("a transaction of the tenant was still in hand when the time was over; it is held no longer")]
    Busy,
    #[error("nothing was reloaded: {0}")]
    Reload(#[from] crate::reload::ReloadError),
    #[error("parameters are not taken here")]
    Parameters,
    #[error("no such statement")]
    Statement,
    #[error("too many statements are prepared")]
    TooMany,
}

impl Failed {
    const fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "42601",
            Self::Tenant(_) | Self::Session(_) => "42704",
            Self::Ambiguous(_) => "42725",
            Self::Busy => "55P03",
            Self::Reload(crate::reload::ReloadError::Nothing) => "55000",
            Self::Reload(_) => "F0000",
            Self::Parameters => "0A000",
            Self::Statement => "26000",
            Self::TooMany => "53400",
        }
    }

    const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unknown(_) => Some("SHOW HELP lists the commands."),
            Self::Tenant(_) => {
                Some("Give its id, its name, or environment/name; SHOW TENANTS lists those with clients.")
            }
            Self::Reload(_) => {
                Some("Everything is as it was. Mend the file and say RELOAD again; SHOW CONFIG says what holds.")
            }
            Self::Busy => Some("SHOW SESSIONS says who; KILL ends it."),
            _ => None,
        }
    }

    fn put(&self, out: &mut BytesMut) {
        let (message, code, hint) = (self.to_string(), self.code(), self.hint());
        let report = Report { severity: Severity::Error, code, message: &message, detail: None, hint };
        server::put_error(out, &report);
    }
}

/// What a command gave.
struct Done {
    rows: Option<Rows>,
    tag: String,
}

/// Talks to an administrator who has logged in, until it says goodbye.
///
/// # Errors
/// The connection's.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, reach: &Reach<'_>) -> io::Result<()> {
    let mut console = Console { reach, out: BytesMut::new(), statements: HashMap::new(), portals: HashMap::new() };
    for (name, value) in [
        ("server_version", concat!("15.0 (Tenantry ", env!("CARGO_PKG_VERSION"), ")")),
        ("server_encoding", "UTF8"),
        ("client_encoding", "UTF8"),
        ("DateStyle", "ISO, MDY"),
        ("TimeZone", "UTC"),
        ("integer_datetimes", "on"),
        ("standard_conforming_strings", "on"),
    ] {
        server::put_parameter(&mut console.out, name.as_bytes(), value.as_bytes());
    }
    server::put_ready(&mut console.out, Status::Idle);
    let mut inbox = BytesMut::new();
    let mut is_skipping = false;
    loop {
        while let Some(header) = frame::header(&inbox, LONGEST).map_err(malformed)? {
            if inbox.len() < header.len {
                break;
            }
            let message = inbox.split_to(header.len);
            let body = &message[frame::HEADER..];
            match header.tag {
                b'X' => return Ok(()),
                b'S' => {
                    is_skipping = false;
                    server::put_ready(&mut console.out, Status::Idle);
                }
                _ if is_skipping => {}
                b'Q' => console.query(client::query(body).map_err(malformed)?).await,
                b'H' => {}
                tag => {
                    if let Err(failed) = console.extended(tag, body).await? {
                        failed.put(&mut console.out);
                        is_skipping = true;
                    }
                }
            }
        }
        if console.out.has_remaining() {
            timeout(WRITE, stream.write_all_buf(&mut console.out)).await.map_err(|_| io::ErrorKind::TimedOut)??;
            stream.flush().await?;
        }
        if timeout(IDLE, stream.read_buf(&mut inbox)).await.map_err(|_| io::ErrorKind::TimedOut)?? == 0 {
            return Ok(());
        }
    }
}

/// A message that cannot be read ends the conversation.
fn malformed<E>(_: E) -> io::Error {
    io::ErrorKind::InvalidData.into()
}

struct Console<'a> {
    reach: &'a Reach<'a>,
    out: BytesMut,
    statements: HashMap<Vec<u8>, String>,
    portals: HashMap<Vec<u8>, String>,
}

impl Console<'_> {
    async fn query(&mut self, text: &[u8]) {
        let mut is_empty = true;
        for statement in sql::statements(text) {
            let text = String::from_utf8_lossy(statement).trim().trim_end_matches(';').trim().to_owned();
            if text.is_empty() {
                continue;
            }
            is_empty = false;
            match self.run(&text).await {
                Ok(done) => {
                    if let Some(rows) = &done.rows {
                        server::put_columns(&mut self.out, rows.columns);
                    }
                    self.put(&done);
                }
                Err(failed) => {
                    failed.put(&mut self.out);
                    break;
                }
            }
        }
        if is_empty {
            server::put_empty(&mut self.out);
        }
        server::put_ready(&mut self.out, Status::Idle);
    }

    fn put(&mut self, done: &Done) {
        for row in done.rows.iter().flat_map(|rows| &rows.rows) {
            let values: Vec<_> = row.iter().map(|value| Some(value.as_bytes())).collect();
            server::put_row(&mut self.out, &values);
        }
        server::put_command(&mut self.out, done.tag.as_bytes());
    }

    async fn extended(&mut self, tag: u8, body: &[u8]) -> io::Result<Result<(), Failed>> {
        Ok(match tag {
            b'P' => self.parse(&client::parse(body).map_err(malformed)?),
            b'B' => self.bind(&client::bind(body).map_err(malformed)?),
            b'D' => self.describe(&client::named(body).map_err(malformed)?),
            b'E' => self.execute(client::execute(body).map_err(malformed)?).await,
            b'C' => {
                let named = client::named(body).map_err(malformed)?;
                match named.kind {
                    Kind::Statement => self.statements.remove(named.name),
                    Kind::Portal => self.portals.remove(named.name),
                };
                server::put_close_complete(&mut self.out);
                Ok(())
            }
            _ => return Err(io::ErrorKind::InvalidData.into()),
        })
    }

    fn parse(&mut self, parse: &client::Parse<'_>) -> Result<(), Failed> {
        if self.statements.len() >= NAMES && !self.statements.contains_key(parse.name) {
            return Err(Failed::TooMany);
        }
        let text = String::from_utf8_lossy(parse.query).trim().trim_end_matches(';').trim().to_owned();
        words::read(&text)?;
        self.statements.insert(parse.name.to_vec(), text);
        server::put_parse_complete(&mut self.out);
        Ok(())
    }

    fn bind(&mut self, bind: &client::Bind<'_>) -> Result<(), Failed> {
        // Formats, parameters, formats of the answer: a driver that wants binary text gets the same bytes.
        let formats = bind.rest.first_chunk::<2>().map_or(0, |count| usize::from(u16::from_be_bytes(*count)));
        let count = bind.rest.get(2 + 2 * formats..).and_then(|rest| rest.first_chunk::<2>());
        if count.is_some_and(|count| *count != [0, 0]) {
            return Err(Failed::Parameters);
        }
        if self.portals.len() >= NAMES && !self.portals.contains_key(bind.portal) {
            return Err(Failed::TooMany);
        }
        let text = self.statements.get(bind.statement).ok_or(Failed::Statement)?;
        self.portals.insert(bind.portal.to_vec(), text.clone());
        server::put_bind_complete(&mut self.out);
        Ok(())
    }

    fn describe(&mut self, named: &client::Named<'_>) -> Result<(), Failed> {
        let names = match named.kind {
            Kind::Statement => &self.statements,
            Kind::Portal => &self.portals,
        };
        let text = names.get(named.name).ok_or(Failed::Statement)?;
        let command = words::read(text)?;
        if matches!(named.kind, Kind::Statement) {
            server::put_parameter_description(&mut self.out);
        }
        match command {
            Command::Show(show) => server::put_columns(&mut self.out, show::columns(show)),
            Command::Reload => server::put_columns(&mut self.out, show::RELOADED),
            _ => server::put_no_data(&mut self.out),
        }
        Ok(())
    }

    async fn execute(&mut self, portal: &[u8]) -> Result<(), Failed> {
        let text = self.portals.get(portal).cloned().ok_or(Failed::Statement)?;
        let done = self.run(&text).await?;
        self.put(&done);
        Ok(())
    }

    async fn run(&self, text: &str) -> Result<Done, Failed> {
        let command = words::read(text)?;
        let tag = |tag: &str| Done { rows: None, tag: tag.to_owned() };
        let reach = self.reach;
        Ok(match command {
            Command::Show(show) => {
                let (view, status) = (reach.workers.view().await, reach.feed.status());
                let (settings, config) = (reach.config.settings(), reach.config.view());
                let facts =
                    Facts { view: &view, status: &status, table: reach.table, settings: &settings, config: &config };
                let rows = show::rows(show, &facts);
                Done { tag: format!("SHOW {}", rows.rows.len()), rows: Some(rows) }
            }
            Command::Hold(name, limit) => {
                let tenant = self.tenant(&name)?;
                tracing::info!(%tenant, seconds = limit.as_secs(), "held from the console");
                if !reach.workers.hold(tenant, limit).await {
                    return Err(Failed::Busy);
                }
                tag("HOLD")
            }
            Command::Release(name) => {
                let tenant = self.tenant(&name)?;
                tracing::info!(%tenant, "released from the console");
                reach.workers.release(tenant).await;
                tag("RELEASE")
            }
            Command::Kill(id) => {
                tracing::info!(session = id, "killed from the console");
                if !reach.workers.kill(id).await {
                    return Err(Failed::Session(id));
                }
                tag("KILL")
            }
            Command::Reload => {
                let differences = reach.config.reload(reach.tls, reach.desk).await?;
                Done { tag: "RELOAD".to_owned(), rows: Some(show::reloaded(&differences)) }
            }
            Command::Set => tag("SET"),
        })
    }

    fn tenant(&self, name: &str) -> Result<TenantId, Failed> {
        let found = self.reach.table.find(name);
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(Failed::Tenant(name.chars().take(80).collect())),
            _ => Err(Failed::Ambiguous(name.chars().take(80).collect())),
        }
    }
}
