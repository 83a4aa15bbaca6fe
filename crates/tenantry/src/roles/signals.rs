//! The signals that end a role.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::{Failure, Result};

/// Listens for SIGINT, SIGTERM and SIGHUP from now on; the returned future ends with the first of them.
///
/// # Errors
/// The system does not let us listen.
pub fn end() -> Result<impl Future<Output = &'static str>> {
    let end = end_but_hangup()?;
    let mut hangup = listen(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            signal = end => signal,
            _ = hangup.recv() => "SIGHUP",
        }
    })
}

/// The same without SIGHUP, for roles to which it says something else.
///
/// # Errors
/// The system does not let us listen.
pub fn end_but_hangup() -> Result<impl Future<Output = &'static str>> {
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        }
    })
}

/// Listens for one signal from now on.
///
/// # Errors
/// The system does not let us listen.
pub fn listen(kind: SignalKind) -> Result<Signal> {
    signal(kind).map_err(|error| Failure::broken("Signals cannot be listened for", error))
}
