//! Holds the conversation. Bytes come in frames that are bounded before they are read, all of it has one deadline, and
//! nothing is read that lies behind the login.

use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use secrecy::SecretString;
use tenantry_domain::Timestamp;
use tenantry_domain::gateway::Proof;
use tenantry_wire::start::Start;
use tenantry_wire::{client, frame, server};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::choose::{Beside, choose};
use super::refused::{Refused, Why, shown};
use super::scram::{self, Offer, ScramError};
use super::settings;
use super::verifier::Candidates;
use super::{Accepted, Claims, Desk, Facts, TokenError};
use crate::table::{Login, Verifier};

/// The longest access token, in bytes.
const LONGEST_TOKEN: usize = 8 * 1024;

/// How long a refusal may take to be written to a client that does not read.
const FAREWELL: Duration = Duration::from_secs(1);

/// Letters of a login's proof that are random, in bytes before base 64. As long as PostgreSQL's.
const NONCE: usize = 18;

/// Finds out who the client is and which tenant it gets, and lets it in up to and with `AuthenticationOk`. A refusal is
/// told to the client here; the caller logs it and closes the connection.
///
/// # Errors
/// The client is not let in.
pub async fn login<S>(stream: &mut S, start: Start, facts: &Facts, desk: &Desk) -> Result<Accepted, Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let said = in_time(converse(stream, start, facts, desk), facts, desk).await;
    conclude(stream, said, facts, desk).await
}

/// Finds out whether the client is the administrator, for whose password these are, and lets it in up to and with
/// `AuthenticationOk`. Otherwise as [`login`].
///
/// # Errors
/// The client is not let in.
pub async fn prove<S>(
    stream: &mut S,
    start: &Start,
    verifiers: &[Verifier],
    facts: &Facts,
    desk: &Desk,
) -> Result<(), Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let converse = async {
        let mut out = BytesMut::new();
        if start.wants_more() {
            server::put_negotiate(&mut out, start.spoken(), &start.unknown);
        }
        by_password(stream, &mut out, start.get("user").unwrap_or_default(), Some(verifiers), facts, desk).await?;
        server::put_auth_ok(&mut out);
        write(stream, &mut out).await
    };
    let said = in_time(converse, facts, desk).await;
    conclude(stream, said, facts, desk).await
}

async fn in_time<T>(
    converse: impl Future<Output = Result<T, Refused>>,
    facts: &Facts,
    desk: &Desk,
) -> Result<T, Refused> {
    if let Some(wait) = desk.failures.wait(facts.peer, Instant::now()) {
        return Err(Refused::Crowd { wait });
    }
    let left = desk.limits.load().deadline.saturating_sub(facts.since.elapsed());
    timeout(left, converse).await.unwrap_or(Err(Refused::Deadline))
}

/// Counts a failure, and tells the client.
async fn conclude<S, T>(stream: &mut S, said: Result<T, Refused>, facts: &Facts, desk: &Desk) -> Result<T, Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if let Err(refused) = &said {
        if refused.is_suspicious() {
            desk.failures.count(facts.peer, Instant::now());
        }
        if let Some(said) = refused.said() {
            let mut out = BytesMut::new();
            server::put_error(&mut out, &said.report());
            // Whether it hears that is its own affair.
            let _ = timeout(FAREWELL, write(stream, &mut out)).await;
        }
    }
    said
}

async fn converse<S>(stream: &mut S, start: Start, facts: &Facts, desk: &Desk) -> Result<Accepted, Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let wish = settings::read(&start)?;
    let mut out = BytesMut::new();
    if start.wants_more() {
        server::put_negotiate(&mut out, start.spoken(), &start.unknown);
    }
    let known = desk.table.login(&wish.user);
    let claims = match known.as_deref() {
        Some(login) if login.proof == Proof::Token => Some(by_token(stream, &mut out, login, facts, desk).await?),
        login => {
            let verifiers = login.map(|login| login.verifiers.as_slice());
            by_password(stream, &mut out, &wish.user, verifiers, facts, desk).await?;
            None
        }
    };
    // It may have been revoked while the client was thinking.
    let known = known.and_then(|login| desk.table.login(login.name.as_str()));
    let login = known.ok_or_else(|| credential(&wish.user, Why::Unknown))?;
    let limits = desk.limits.load_full();
    let beside = Beside {
        sni: facts.tls.as_ref().and_then(|tls| tls.sni.as_deref()),
        base_domains: &limits.base_domains,
        claim: claims.as_ref().map(|claims| claims.tenant.as_str()),
    };
    let slot = match expired(&login, Timestamp::now()).and_then(|()| choose(&login, &wish, beside, &desk.table)) {
        Ok(slot) => slot,
        Err(refused) => {
            // The client learns that its password was right, and then what else is wrong.
            write(stream, &mut out).await?;
            return Err(refused);
        }
    };
    server::put_auth_ok(&mut out);
    write(stream, &mut out).await?;
    Ok(Accepted { login, slot, start, settings: wish.settings, claims })
}

/// SCRAM. What proves us to the client is left in `out`.
async fn by_password<S>(
    stream: &mut S,
    out: &mut BytesMut,
    user: &str,
    verifiers: Option<&[Verifier]>,
    facts: &Facts,
    desk: &Desk,
) -> Result<(), Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let failed = |error| refusal(error, user);
    let end_point = facts.tls.as_ref().map(|tls| tls.end_point.as_slice()).filter(|hash| !hash.is_empty());
    let offer = Offer { end_point };
    server::put_auth_sasl(out, offer.mechanisms());
    write(stream, out).await?;
    let body = answer(stream, scram::LONGEST).await?;
    let first = client::sasl_initial(&body).map_err(|_| Refused::Protocol("invalid SASL response"))?;
    let mut nonce = [0; NONCE];
    rand::fill(&mut nonce).map_err(|_| Refused::Unsupported("logins, without random numbers"))?;
    let candidates = Candidates::of(verifiers, user, Timestamp::now(), &desk.mock);
    let data = first.data.unwrap_or_default();
    let exchange = scram::begin(candidates, offer, first.mechanism, data, &STANDARD.encode(nonce)).map_err(failed)?;
    server::put_auth_sasl_continue(out, exchange.challenge().as_bytes());
    write(stream, out).await?;
    let body = answer(stream, scram::LONGEST).await?;
    let proof = exchange.finish(&body).map_err(failed)?;
    server::put_auth_sasl_final(out, proof.as_bytes());
    Ok(())
}

/// An access token in place of the password.
async fn by_token<S>(
    stream: &mut S,
    out: &mut BytesMut,
    login: &Login,
    facts: &Facts,
    desk: &Desk,
) -> Result<Claims, Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let user = login.name.as_str();
    if facts.tls.is_none() {
        return Err(Refused::NeedsTls(user.to_owned()));
    }
    let tokens = desk.tokens.as_deref().ok_or(Refused::TokensAway)?;
    server::put_auth_cleartext(out);
    write(stream, out).await?;
    let body = Zeroizing::new(answer(stream, LONGEST_TOKEN).await?);
    let token = client::password(&body).map_err(|_| Refused::Protocol("invalid password packet"))?;
    // A token is ASCII; whatever else it is, no issuer made it.
    let token = std::str::from_utf8(token).map_err(|_| credential(user, Why::Token))?;
    let said = tokens.verify(&login.environment, &SecretString::from(token)).await;
    let claims = said.map_err(|error| match error {
        TokenError::Invalid => credential(user, Why::Token),
        TokenError::Away => Refused::TokensAway,
    })?;
    if claims.expires <= Timestamp::now() {
        return Err(credential(user, Why::Token));
    }
    Ok(claims)
}

fn expired(login: &Login, now: Timestamp) -> Result<(), Refused> {
    match login.expires {
        Some(expires) if expires <= now => Err(Refused::Expired(login.name.as_str().to_owned())),
        _ => Ok(()),
    }
}

fn credential(user: &str, why: Why) -> Refused {
    Refused::Credential { user: shown(user), why }
}

fn refusal(error: ScramError, user: &str) -> Refused {
    match error {
        ScramError::Malformed(what) => Refused::Protocol(what),
        ScramError::Unsupported(what) => Refused::Unsupported(what),
        ScramError::Binding(what) => Refused::Binding(what),
        ScramError::Proof(why) => credential(user, why),
    }
}

/// The body of the client's next message, which can only be a password or what a mechanism says.
async fn answer<S: AsyncRead + Unpin>(stream: &mut S, longest: usize) -> Result<Vec<u8>, Refused> {
    /// The mechanism's name and two lengths stand around what is bounded.
    const AROUND: usize = 64;
    let mut head = [0; frame::HEADER];
    stream.read_exact(&mut head).await.map_err(|_| Refused::Gone)?;
    let header = frame::header(&head, frame::HEADER + AROUND + longest);
    let header = header.ok().flatten().ok_or(Refused::Protocol("invalid length of an authentication message"))?;
    match header.tag {
        client::PASSWORD => {}
        // A client without a password says goodbye.
        client::TERMINATE => return Err(Refused::Gone),
        _ => return Err(Refused::Protocol("expected an authentication message")),
    }
    let mut body = vec![0; header.body()];
    stream.read_exact(&mut body).await.map_err(|_| Refused::Gone)?;
    Ok(body)
}

/// Writes what waits.
async fn write<S: AsyncWrite + Unpin>(stream: &mut S, out: &mut BytesMut) -> Result<(), Refused> {
    stream.write_all_buf(out).await.map_err(|_| Refused::Gone)?;
    stream.flush().await.map_err(|_| Refused::Gone)
}
