//! Tenants, logins and a client.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use tenantry_dataplane::Gate;
use tenantry_domain::Timestamp;
use tenantry_domain::gateway::{Access, Allowed, LoginName, Mode, Proof, Server, Whose};
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{AppName, CellName, EnvironmentName};
use tenantry_domain::tenant::Slug;
use tenantry_wire::server::Auth;
use tenantry_wire::start::{First, Start};
use tenantry_wire::{client, frame, server, start};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use uuid::Uuid;

use super::super::{Accepted, Desk, Facts, Limits, Mock, Refused, TlsFacts, Tokens, login};
use crate::table::{Full, Login, Place, Route, Table, Verifier};

pub(super) const PASSWORD: &str = "correct horse battery staple";
pub(super) const END_POINT: &[u8] = &[7; 32];

pub(super) fn tenant(number: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(number))
}

pub(super) fn prod() -> EnvironmentName {
    EnvironmentName::parse("prod").unwrap()
}

pub(super) fn route(number: u128, slug: &str, gate: Gate, isolation: Isolation) -> Route {
    Route {
        tenant: tenant(number),
        environment: prod(),
        slug: Slug::parse(slug).unwrap(),
        aliases: Vec::new(),
        app: AppName::parse("chat").unwrap(),
        gate,
        place: Some(Place { cell: CellName::parse("cell-1").unwrap(), isolation, epoch: 1 }),
        connections: None,
        rate: None,
        statement: None,
    }
}

/// The verifier of a password, with a salt of its own.
pub(super) fn verifier(password: &str) -> Verifier {
    Verifier { text: tenantry_pg::scram::verifier(&password.into()).into(), until: None }
}

pub(super) fn login_of(name: &str, whose: Whose) -> Login {
    Login {
        name: LoginName::parse(name).unwrap(),
        environment: prod(),
        whose,
        mode: Mode::Transaction,
        access: Access::ReadWrite,
        server: Server::Primary,
        proof: Proof::Password,
        verifiers: vec![verifier(PASSWORD)],
        connections: None,
        expires: None,
        version: Some(1),
    }
}

pub(super) fn service(tenants: Allowed) -> Whose {
    Whose::Service { app: AppName::parse("chat").unwrap(), tenants }
}

/// acme and globex are open, the others are not; hooli runs another app, stage is in another environment.
pub(super) fn full() -> Full {
    let mut acme = route(1, "acme", Gate::Open, Isolation::Shared);
    acme.aliases = vec![Slug::parse("acme-old").unwrap()];
    let mut hooli = route(6, "hooli", Gate::Open, Isolation::Schema);
    hooli.app = AppName::parse("mail").unwrap();
    let mut stage = route(7, "staged", Gate::Open, Isolation::Shared);
    stage.environment = EnvironmentName::parse("stage").unwrap();
    let mut homeless = route(8, "homeless", Gate::Open, Isolation::Shared);
    homeless.place = None;
    let expired = Some(Timestamp::from_second(1_000_000_000).unwrap());
    let own = |name: &str, number| login_of(name, Whose::Tenant(tenant(number)));
    let session = |name, number| Login { mode: Mode::Session, ..own(name, number) };
    let token = |name, whose| Login { proof: Proof::Token, verifiers: Vec::new(), ..login_of(name, whose) };
    let few = Allowed::These(vec![tenant(1), tenant(3), tenant(99)]);
    Full {
        routes: vec![
            acme,
            route(2, "globex", Gate::Open, Isolation::Schema),
            route(3, "initech", Gate::Suspended, Isolation::Shared),
            route(4, "umbrella", Gate::Archived, Isolation::Database),
            route(5, "soylent", Gate::Preparing, Isolation::Shared),
            hooli,
            stage,
            homeless,
        ],
        logins: vec![
            own("acme-app", 1),
            own("globex-app", 2),
            own("initech-app", 3),
            own("umbrella-app", 4),
            own("soylent-app", 5),
            own("homeless-app", 8),
            own("orphan-app", 77),
            own("stray-app", 7),
            session("acme-session", 1),
            session("globex-session", 2),
            Login { expires: expired, ..own("old-app", 1) },
            Login { verifiers: Vec::new(), ..own("bare-app", 1) },
            login_of("svc-all", service(Allowed::All)),
            login_of("svc-few", service(few)),
            token("tok-acme", Whose::Tenant(tenant(1))),
            token("tok-all", service(Allowed::All)),
        ],
        cells: Vec::new(),
    }
}

pub(super) fn desk_with(tokens: Option<Arc<dyn Tokens>>, limits: Limits) -> Desk {
    let table = Table::default();
    table.replace(full());
    Desk::new(table, tokens, limits, Mock::new(&[1; 32]))
}

/// A desk that does not mind failures.
pub(super) fn desk() -> Desk {
    desk_with(None, Limits { failures: u32::MAX, base_domains: vec!["db.example.com".to_owned()], ..Limits::default() })
}

pub(super) fn plain() -> Facts {
    Facts { tls: None, peer: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), since: Instant::now() }
}

pub(super) fn tls(sni: Option<&str>) -> Facts {
    Facts { tls: Some(TlsFacts { end_point: END_POINT.to_vec(), sni: sni.map(str::to_owned) }), ..plain() }
}

/// A start as it comes out of the wire.
pub(super) fn start_of(minor: u16, params: &[(&str, &str)]) -> Start {
    let mut out = BytesMut::new();
    start::put_start(&mut out, minor, params);
    match start::first(&out) {
        Ok(Some((First::Start(start), _))) => start,
        other => panic!("{other:?}"),
    }
}

/// All that a server said, message by message.
#[derive(Debug, Default)]
pub(super) struct Heard(pub Vec<(u8, Vec<u8>)>);

impl Heard {
    /// Which messages, without what is in them.
    pub(super) fn tags(&self) -> String {
        self.0.iter().map(|(tag, _)| char::from(*tag)).collect()
    }

    /// Code, message and hint of the error it ended with.
    pub(super) fn error(&self) -> Option<(String, String, Option<String>)> {
        let (_, body) = self.0.iter().find(|(tag, _)| *tag == server::ERROR)?;
        let field = |wanted| {
            let found = server::fields(body).find(|(letter, _)| *letter == wanted);
            found.map(|(_, text)| String::from_utf8(text.to_vec()).unwrap())
        };
        assert_eq!((field(b'S').as_deref(), field(b'V').as_deref()), (Some("FATAL"), Some("FATAL")));
        Some((field(b'C').unwrap(), field(b'M').unwrap(), field(b'H')))
    }

    pub(super) fn code(&self) -> String {
        self.error().map(|(code, ..)| code).unwrap_or_default()
    }

    /// Whether AuthenticationOk was said.
    pub(super) fn is_in(&self) -> bool {
        self.0.iter().any(|(tag, body)| *tag == server::AUTH && server::auth(body) == Ok(Auth::Ok))
    }
}

async fn hear(stream: &mut DuplexStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; frame::HEADER];
    stream.read_exact(&mut head).await.ok()?;
    let header = frame::header(&head, 1 << 16).unwrap().unwrap();
    let mut body = vec![0; header.body()];
    stream.read_exact(&mut body).await.ok()?;
    Some((header.tag, body))
}

/// What a client does when it is asked.
pub(super) enum Reply {
    /// It sends this and listens.
    Send(Vec<u8>),
    /// It sends this and hangs up.
    Last(Vec<u8>),
}

impl From<Option<Vec<u8>>> for Reply {
    fn from(bytes: Option<Vec<u8>>) -> Self {
        bytes.map_or(Self::Last(Vec::new()), Self::Send)
    }
}

/// Holds a conversation with a client that answers each question for authentication as `answer` says.
pub(super) async fn hold<R: Into<Reply>>(
    desk: &Desk,
    facts: &Facts,
    start: Start,
    buffer: usize,
    mut answer: impl FnMut(Auth<'_>) -> R,
) -> (Result<Accepted, Refused>, Heard) {
    let (mut ours, mut theirs) = tokio::io::duplex(buffer);
    let serve = async move {
        let said = login(&mut theirs, start, facts, desk).await;
        drop(theirs);
        said
    };
    let ask = async move {
        let mut heard = Heard::default();
        while let Some((tag, body)) = hear(&mut ours).await {
            let question = if tag == server::AUTH { server::auth(&body).ok() } else { None };
            heard.0.push((tag, body.clone()));
            let reply = match question {
                None | Some(Auth::Ok | Auth::SaslFinal(_)) => {
                    if let Some(Auth::SaslFinal(data)) = question {
                        answer(Auth::SaslFinal(data));
                    }
                    continue;
                }
                Some(question) => answer(question).into(),
            };
            let (Reply::Send(bytes) | Reply::Last(bytes)) = &reply;
            // A server that has heard enough may have closed by now.
            let _ = ours.write_all(bytes).await;
            if matches!(reply, Reply::Last(_)) {
                break;
            }
        }
        heard
    };
    tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(serve, ask) }).await.expect("it ends")
}

/// How a client proves itself.
#[derive(Clone, Copy)]
pub(super) enum Key<'a> {
    Password(&'a str),
    /// With a binding to the channel whose certificate has this hash.
    Bound(&'a str, &'a [u8]),
    Token(&'a str),
}

/// Logs in as a driver does. Also says whether the server proved itself.
pub(super) async fn attempt(
    desk: &Desk,
    facts: &Facts,
    params: &[(&str, &str)],
    key: Key<'_>,
) -> (Result<Accepted, Refused>, Heard) {
    attempt_in(desk, facts, start_of(0, params), key, 4096).await
}

pub(super) async fn attempt_in(
    desk: &Desk,
    facts: &Facts,
    start: Start,
    key: Key<'_>,
    buffer: usize,
) -> (Result<Accepted, Refused>, Heard) {
    let (password, channel, mechanism) = match key {
        Key::Password(text) | Key::Token(text) => (text, ChannelBinding::unsupported(), "SCRAM-SHA-256"),
        Key::Bound(text, hash) => (text, ChannelBinding::tls_server_end_point(hash.to_vec()), "SCRAM-SHA-256-PLUS"),
    };
    let mut scram = ScramSha256::new(password.as_bytes(), channel);
    let mut proven = None;
    let (said, heard) = hold(desk, facts, start, buffer, |question| {
        let mut out = BytesMut::new();
        match (question, key) {
            (Auth::Cleartext, Key::Token(token)) => client::put_password(&mut out, token.as_bytes()),
            (Auth::Sasl(offered), Key::Password(_) | Key::Bound(..)) => {
                assert!(offered.contains(&mechanism.as_bytes()), "{offered:?}");
                client::put_sasl_initial(&mut out, mechanism.as_bytes(), scram.message());
            }
            (Auth::SaslContinue(data), _) => {
                scram.update(data).unwrap();
                client::put_sasl_response(&mut out, scram.message());
            }
            (Auth::SaslFinal(data), _) => proven = Some(scram.finish(data).is_ok()),
            _ => return None,
        }
        Some(out.to_vec())
    })
    .await;
    if heard.is_in() && !matches!(key, Key::Token(_)) {
        assert_eq!(proven, Some(true), "the server must prove itself before it lets in");
    }
    (said, heard)
}
