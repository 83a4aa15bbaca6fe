//! How the sinks stand, as operators see it.

use std::time::Duration;

use tenantry_store::{SinkRow, StreamBacklog};

use super::lane::FAILING;
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::refuse_store;

/// A sink, and what waits for it of one environment.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The sink and its publisher.
    pub sink: SinkRow,
    /// Events of the environment that wait.
    pub waiting: StreamBacklog,
    /// Whether its publisher was heard of lately, be it that it cannot go on and gave it back to others.
    pub is_alive: bool,
}

/// All sinks.
///
/// # Errors
/// The caller may not see them, or our database does not answer.
pub async fn list(cx: &Ctx, deps: &Deps) -> Result<Vec<Standing>, Refusal> {
    cx.permit_environment("stream.read")?;
    let mut found = Vec::new();
    let patience = jiff::SignedDuration::try_from(patience(deps)).unwrap_or(jiff::SignedDuration::MAX);
    for sink in deps.store().stream_sinks().await.map_err(refuse_store)? {
        let waiting = deps.store().stream_backlog(&sink.name, Some(&cx.environment)).await.map_err(refuse_store)?;
        let is_heard = sink.seen_at.is_some_and(|seen| cx.now.duration_since(seen) < patience);
        let is_alive = is_heard && (sink.owner.is_some() || sink.state == FAILING);
        found.push(Standing { sink, waiting, is_alive });
    }
    Ok(found)
}

const PATIENCE: Duration = Duration::from_secs(5);

/// How long a publisher may be silent: it reports itself five times within this. Our own is what is known of others'.
pub(super) fn patience(deps: &Deps) -> Duration {
    deps.options().streams.as_ref().map_or(PATIENCE, |options| options.patience)
}

/// What waits for the sink that this process is configured for, of all environments; nothing without one, and while the database is away.
pub async fn backlog(deps: &Deps) -> Option<StreamBacklog> {
    let options = deps.options().streams.as_ref()?;
    deps.store().stream_backlog(options.settings.stream.as_str(), None).await.ok()
}
