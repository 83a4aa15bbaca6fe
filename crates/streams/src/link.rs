//! A connection to the server, and the stream behind it.
//!
//! A link is for one stretch of work: when it breaks it is dropped, and with it whatever the driver had not sent yet. The next one
//! begins with a look at the stream. The driver's own reconnecting is bounded to one round, for it would go on sending what its
//! owner has given up; harmless by the condition that every message carries, and of no use.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use async_nats::jetstream::context::{
    ContextBuilder, PublishAckFuture, PublishError, PublishErrorKind, RequestErrorKind,
};
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, Info, InfoError, LastRawMessageErrorKind, RetentionPolicy, StorageType, Stream,
};
use async_nats::jetstream::{Context, ErrorCode};
use async_nats::{ConnectOptions, Event};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::ExposeSecret as _;
use tenantry_domain::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::fit::{Shape, Unfit, judge, judge_payload};
use crate::message::{self, Behind, Message, SEQUENCE};
use crate::settings::{Credential, Settings, secret};
use crate::trouble::Trouble;

/// Messages on their way at a time that the driver has room for; publishers keep fewer.
const ROOM: usize = 4096;
/// How often the server is asked of its stream until its answer is one.
const MOST_QUESTIONS: usize = 8;
/// Between two signs of life, so that a connection that is dead without saying so is noticed.
const PING: Duration = Duration::from_secs(10);

/// See the module.
pub struct Link {
    settings: Settings,
    context: Context,
    stream: Stream<()>,
    made: Timestamp,
    down: CancellationToken,
}

/// The newest message of one tenant, or of an environment itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// The event's number in its subject's sequence.
    pub sequence: i64,
    /// The event's id.
    pub id: String,
    /// The message's subject.
    pub subject: String,
}

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Its number in the stream.
    pub at: u64,
    /// Whether the server knows a message with its id. That is no proof that one is in the stream: the leader of a replicated stream
    /// can know the id of one that came to nothing.
    pub is_repeated: bool,
}

/// A message that was sent, before the server said what became of it.
pub struct Sent<'a> {
    link: &'a Link,
    answer: PublishAckFuture,
}

impl Link {
    /// Connects, and makes the stream or looks whether the one that is there will do. Where it is known when the stream was made that
    /// was published to, none is made, and no other one will do.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn open(settings: &Settings, known: Option<Timestamp>) -> Result<Self, Trouble> {
        let down = CancellationToken::new();
        let options = options(settings, &down).await?;
        let addresses: Vec<String> = settings.servers.addresses().collect();
        let client = options.connect(addresses).await.map_err(Trouble::connecting)?;
        let context =
            ContextBuilder::new().timeout(settings.patience).max_ack_inflight(ROOM).backpressure_on_inflight(true);
        let context = context.build(client);
        let made = ensure(settings, &context, known).await?;
        let name = settings.stream.as_str();
        let stream = context.get_stream_no_info(name).await.map_err(|_| Trouble::Unreadable)?;
        Ok(Self { settings: settings.clone(), context, stream, made, down })
    }

    /// When the stream was made, by its server's clock, to the microsecond: which one of its name it is.
    #[must_use]
    pub const fn made(&self) -> Timestamp {
        self.made
    }

    /// The number of the stream's last message; 0 for none.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn last(&self) -> Result<u64, Trouble> {
        let info = self.stream.get_info().await.map_err(|error| Trouble::asking(&error))?;
        Ok(info.state.last_sequence)
    }

    /// The newest message of a tenant, or of an environment itself.
    ///
    /// # Errors
    /// See [`Trouble`]; a message that is not ours is one, too.
    pub async fn newest(&self, environment: &str, tenant: Option<&str>) -> Result<Option<Newest>, Trouble> {
        let subjects = message::line_subjects(&self.settings.prefix, environment, tenant);
        let found = match self.stream.get_last_raw_message_by_subject(&subjects).await {
            Ok(found) => found,
            Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => return Ok(None),
            Err(error) => return Err(Trouble::reading(&error)),
        };
        let header = |name: &str| found.headers.get(name).map(|value| value.as_str().to_owned());
        let sequence = header(SEQUENCE).and_then(|text| text.parse::<i64>().ok());
        match (sequence, header("Nats-Msg-Id")) {
            (Some(sequence), Some(id)) => Ok(Some(Newest { sequence, id, subject: found.subject.to_string() })),
            _ => Err(self.unfit(Unfit::Foreign { subject: found.subject.to_string() })),
        }
    }

    /// Sends a message that may only come right behind a certain one.
    ///
    /// # Errors
    /// It was not sent.
    pub async fn send(&self, message: Message, behind: &Behind) -> Result<Sent<'_>, Trouble> {
        let subject = message::subject(&self.settings.prefix, &message);
        let headers = message::headers(&message, self.settings.stream.as_str(), behind);
        let sent = self.context.publish_with_headers(subject, headers, message.body);
        let answer = self.unless_down(sent).await?.map_err(|error| self.publishing(&error))?;
        Ok(Sent { link: self, answer })
    }

    /// Waits until the connection is gone.
    pub async fn gone(&self) {
        self.down.cancelled().await;
    }

    async fn unless_down<T>(&self, work: impl Future<Output = T>) -> Result<T, Trouble> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.down.cancelled() => Err(Trouble::Silent),
        }
    }

    fn publishing(&self, error: &PublishError) -> Trouble {
        if error.kind() == PublishErrorKind::MaxPayloadExceeded {
            return self.unfit(Unfit::Payload { found: self.context.client().server_info().max_payload });
        }
        Trouble::publishing(error, self.settings.stream.as_str(), &self.settings.prefix.all())
    }

    /// That the stream will not do after all.
    #[must_use]
    pub fn unfit(&self, why: Unfit) -> Trouble {
        Trouble::Unfit { stream: self.settings.stream.as_str().to_owned(), why }
    }
}

impl Sent<'_> {
    /// Waits for the server's word.
    ///
    /// # Errors
    /// See [`Trouble`]. After [`Trouble::Silent`] the message may be in the stream.
    pub async fn placed(self) -> Result<Placed, Trouble> {
        let answer = self.link.unless_down(self.answer.into_future()).await?;
        let answer = answer.map_err(|error| self.link.publishing(&error))?;
        Ok(Placed { at: answer.sequence, is_repeated: answer.duplicate })
    }
}

/// How to connect.
async fn options(settings: &Settings, down: &CancellationToken) -> Result<ConnectOptions, Trouble> {
    let down = down.clone();
    let options = ConnectOptions::new()
        .name("tenantry")
        .connection_timeout(settings.patience)
        .request_timeout(Some(settings.patience))
        .ping_interval(PING)
        .max_reconnects(settings.servers.count())
        .ignore_discovered_servers()
        .reconnect_delay_callback(|_| Duration::ZERO)
        .tls_client_config(tls(settings).await?)
        .event_callback(move |event| {
            if matches!(event, Event::Disconnected | Event::Closed) {
                down.cancel();
            }
            std::future::ready(())
        });
    match &settings.credential {
        Credential::None => Ok(options),
        Credential::Creds(path) => {
            let text = secret(path).await.map_err(Trouble::Credential)?;
            options.credentials(text.expose_secret()).map_err(Trouble::Credential)
        }
        Credential::File(path) => {
            let text = secret(path).await.map_err(Trouble::Credential)?;
            let text = text.expose_secret().trim();
            if text.is_empty() {
                return Err(Trouble::Credential(std::io::Error::other("the file is empty")));
            }
            Ok(match text.split_once(':') {
                Some((user, password)) => options.user_and_password(user.to_owned(), password.to_owned()),
                None => options.token(text.to_owned()),
            })
        }
    }
}

/// The system's authorities, and those of the file.
async fn tls(settings: &Settings) -> Result<rustls::ClientConfig, Trouble> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &settings.authorities {
        let text = tokio::fs::read(path).await.map_err(Trouble::Authorities)?;
        let broken = |why: &dyn std::fmt::Display| Trouble::Authorities(std::io::Error::other(why.to_string()));
        let before = roots.len();
        for der in CertificateDer::pem_slice_iter(&text) {
            roots.add(der.map_err(|error| broken(&error))?).map_err(|error| broken(&error))?;
        }
        if roots.len() == before {
            return Err(broken(&"it holds no certificate"));
        }
    }
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Trouble::Authorities(std::io::Error::other(error)))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Makes the stream, or looks at the one that is there. Says when it was made.
async fn ensure(settings: &Settings, context: &Context, known: Option<Timestamp>) -> Result<Timestamp, Trouble> {
    let name = settings.stream.as_str();
    let stream = context.get_stream_no_info(name).await.map_err(|_| Trouble::Unreadable)?;
    let wanted = settings.prefix.all();
    let unfit = |why: Unfit| Trouble::Unfit { stream: name.to_owned(), why };
    let payload_max = context.client().server_info().max_payload;
    match info(&stream).await {
        Ok(info) => {
            let found = made(&info)?;
            if let Some(known) = known.filter(|known| *known != found) {
                return Err(unfit(Unfit::AnotherStream { stream: name.to_owned(), known, found }));
            }
            judge(name, &shape(&info, payload_max), &wanted, settings.window).map_err(unfit)?;
            Ok(found)
        }
        Err(error) if says(&error, ErrorCode::STREAM_NOT_FOUND) && known.is_some() => {
            Err(unfit(Unfit::Gone { stream: name.to_owned() }))
        }
        Err(error) if says(&error, ErrorCode::STREAM_NOT_FOUND) => {
            judge_payload(payload_max).map_err(unfit)?;
            let stream = context.create_stream(config(settings)).await;
            let stream = stream.map_err(|error| match says(&error, ErrorCode::STREAM_SUBJECT_OVERLAP) {
                true => unfit(Unfit::Overlap { wanted }),
                false => Trouble::creating(&error),
            })?;
            made(stream.cached_info())
        }
        Err(error) => Err(Trouble::asking(&error)),
    }
}

/// What the server says of the stream. Where a stream takes all subjects, it takes our question as well, and its word that it did
/// may come before the answer: then it is asked again.
async fn info(stream: &Stream<()>) -> Result<Info, InfoError> {
    let mut tries = 1;
    loop {
        match stream.get_info().await {
            Err(error) if tries < MOST_QUESTIONS && is_no_answer(&error) => tries += 1,
            other => return other,
        }
    }
}

/// Whether something came that is no answer to the question.
fn is_no_answer(error: &InfoError) -> bool {
    let said = error.source().is_some_and(<dyn Error>::is::<async_nats::jetstream::Error>);
    error.kind() == RequestErrorKind::Other && !said
}

/// When a stream was made. To the microsecond, as our database keeps it.
fn made(info: &Info) -> Result<Timestamp, Trouble> {
    let micros = i64::try_from(info.created.unix_timestamp_nanos() / 1000).ok();
    micros.and_then(|micros| Timestamp::from_microsecond(micros).ok()).ok_or(Trouble::Unreadable)
}

/// Whether it is this that the server said. The driver has it in the kind of some errors, and behind others.
fn says(error: &(dyn std::error::Error + 'static), code: ErrorCode) -> bool {
    use async_nats::jetstream::context::{CreateStreamError, CreateStreamErrorKind};
    if let Some(error) = error.downcast_ref::<CreateStreamError>() {
        return matches!(error.kind(), CreateStreamErrorKind::JetStream(said) if said.error_code() == code);
    }
    let said = error.source().and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>());
    said.is_some_and(|said| said.error_code() == code)
}

/// The stream that is made when there is none: on disk, kept until somebody sets a bound.
fn config(settings: &Settings) -> Config {
    Config {
        name: settings.stream.as_str().to_owned(),
        subjects: vec![settings.prefix.all()],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        discard: DiscardPolicy::Old,
        num_replicas: settings.replicas,
        duplicate_window: settings.window,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_bytes: -1,
        max_message_size: -1,
        max_consumers: -1,
        description: Some("Events of Tenantry. Only Tenantry publishes here.".to_owned()),
        ..Config::default()
    }
}

fn shape(info: &Info, payload_max: usize) -> Shape {
    let config = &info.config;
    Shape {
        subjects: config.subjects.clone(),
        keeps: config.retention == RetentionPolicy::Limits,
        answers: !config.no_ack,
        takes: config.mirror.is_none() && !config.sealed,
        message_max: config.max_message_size,
        window: config.duplicate_window,
        payload_max,
    }
}
