//! The signals that end a role.

use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{Failure, Result};

/// Listens for SIGINT, SIGTERM and SIGHUP from now on; the returned future ends with the first of them.
///
/// # Errors
/// The system does not let us listen.
pub fn end() -> Result<impl Future<Output = &'static str>> {
    let listen = |kind| signal(kind).map_err(|error| Failure::broken("Signals cannot be listened for", error));
    let (mut interrupt, mut terminate, mut hangup) =
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
            _ = hangup.recv() => "SIGHUP",
        }
    })
}
