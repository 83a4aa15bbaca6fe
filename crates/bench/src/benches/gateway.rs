//! The gateway beside PgBouncer and beside no pooler at all.
//!
//! INVARIANT: all ways have the same server, the same login at its end, the same load from pgbench and the same way to log
//! in (SCRAM); they take turns. Poolers are processes of their own, and what they cost is what the kernel counted for them.

mod backends;
mod crowd;
mod fair;
mod load;
mod passing;
mod poolers;
pub mod stand;
mod world;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;

use super::Bench;
use poolers::{Bouncer, Pooler, Size};
use world::World;

/// What is measured side by side.
struct Ways<'a> {
    world: &'a World,
    ours: &'a Pooler,
    theirs: Option<&'a Pooler>,
    /// Whether theirs knows prepared statements.
    prepares: bool,
}

impl Ways<'_> {
    /// Writes a script for pgbench.
    fn script(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.world.folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let bouncer = Bouncer::find();
    match &bouncer {
        Some(bouncer) => bench.note(format!("beside {}", bouncer.version)),
        None => bench.note("PgBouncer is not installed (Debian: apt-get install pgbouncer), so nothing is beside it"),
    }
    let world = Arc::new(World::new(bench.host, bench.size.pick(500, 200, 5)).await?);
    // One tenant may use all of the pool, because PgBouncer's pool belongs to all as well.
    let size = Size { shared: 20, per_tenant: 20 };
    let ours = Pooler::gateway(&world, size).await?;
    let theirs = match &bouncer {
        Some(bouncer) => Some(Pooler::bouncer(&world, bouncer, size).await?),
        None => None,
    };
    let prepares = bouncer.as_ref().is_some_and(Bouncer::prepares);
    if bouncer.is_some() && !prepares {
        bench.note(
            "this PgBouncer knows no prepared statements in transaction mode; beside `prepared` it is sent `extended`",
        );
    }
    let ways = Ways { world: &world, ours: &ours, theirs: theirs.as_ref(), prepares };
    passing::run(bench, &ways).await?;
    passing::safe(bench, &ways).await?;
    crowd::connects(bench, &ways).await?;
    crowd::idle(bench, &world, bouncer.as_ref()).await?;
    fair::fair(bench, &ways, bouncer.as_ref()).await?;
    fair::hold(bench, &world, bouncer.as_ref()).await?;
    ours.stop().await?;
    if let Some(theirs) = theirs {
        theirs.stop().await?;
    }
    Ok(())
}
