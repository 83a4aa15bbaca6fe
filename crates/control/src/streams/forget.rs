//! Forgetting a stream: it is published to no more, and what is known of it goes.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tenantry_domain::audit::Category;
use tenantry_domain::code::Code;
use tenantry_store::{Entry, Forget, StoreError};

use super::read::patience;
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{Opened, open, refuse_store, remember, replayed};

/// A stream that was forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Its name.
    pub name: String,
    /// Events of the environment that were not published to it.
    pub behind: i64,
}

/// Forgets a stream: commits note nothing for it any more. The stream itself is its server's and stays as it is. A process that is
/// configured for it makes it known again, as new; events that are in the stream by then are found there.
///
/// # Errors
/// There is none, or a process publishes to it. One that is only told that the stream will not do is no hindrance: to forget it
/// is how to go on.
pub async fn forget(cx: &Ctx, deps: &Deps, name: &str) -> Result<Forgotten, Refusal> {
    let permit = cx.permit_environment("stream.forget")?;
    let mut tx = match open(cx, deps, &permit).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(tx) => tx,
    };
    let waiting = deps.store().stream_backlog(name, Some(&cx.environment)).await.map_err(refuse_store)?;
    match tx.streams().forget(name, patience(deps), Code::StreamUnfit.to_string()).await {
        Ok(Forget::Gone) => {}
        Ok(Forget::Held(owner)) => {
            let by = format!("process `{owner}`, which publishes to it");
            return Err(Refusal::InUse { kind: "stream".to_owned(), name: name.to_owned(), by });
        }
        Err(StoreError::NotFound) => {
            return Err(Refusal::NoObject { kind: "stream".to_owned(), name: name.to_owned() });
        }
        Err(error) => return Err(refuse_store(error)),
    }
    let forgotten = Forgotten { name: name.to_owned(), behind: waiting.events };
    remember(cx, &mut tx, &forgotten, None);
    let mut audit = cx.audit(&permit, Category::Workflow, format!("stream/{name}"));
    audit.changes = json!({ "behind": forgotten.behind });
    tx.commit(vec![Entry::environment(audit, Vec::new())]).await.map_err(refuse_store)?;
    if let Err(error) = deps.store().stream_clear(name).await {
        // Nobody reads it, and it is cleared before the name is used again.
        tracing::warn!(%error, stream = name, "streams: what is left of a forgotten stream could not be cleared");
    }
    Ok(forgotten)
}
