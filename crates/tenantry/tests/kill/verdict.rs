//! Judging a case: the world's digest against the two that are allowed, and all invariants.

use tenantry_domain::isolation::Isolation;
use tenantry_domain::workflow::Kind;

use crate::digest::Digest;
use crate::invariants::View;
use crate::world::World;

/// How a run must have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Completed,
    Unwound,
}

impl End {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Unwound => "unwound",
        }
    }
}

/// The two worlds that a case may end in; there is no third.
#[derive(Debug, Clone)]
pub struct Allowed {
    /// As it was before the request.
    pub before: Digest,
    /// As an undisturbed run leaves it.
    pub after: Digest,
}

/// Lines of a digest that a definition leaves behind when it is unwound, because none of its steps undoes them: they
/// are no harm, and the next run brings them to where they should be.
const fn residue(kind: Kind) -> &'static [&'static str] {
    match kind {
        // The larger plan's limit on connections.
        Kind::Update => &["limit "],
        _ => &[],
    }
}

/// Everything that is wrong with a tenant's run and world.
pub async fn judge(
    world: &World,
    slug: &str,
    level: Isolation,
    kind: Kind,
    end: End,
    allowed: &Allowed,
) -> Vec<String> {
    let tenant = world.tenant(slug).await;
    let mut wrong = Vec::new();
    match world.run(tenant.id, kind.as_str()).await {
        Some(run) if run.status == end.as_str() => {}
        Some(run) => wrong.push(format!("the run ended as {}, not as {}", run.status, end.as_str())),
        None => wrong.push(format!("there was no run of {kind}")),
    }
    let digest = world.digest(slug, level).await;
    let difference = match end {
        End::Completed => digest.difference(&allowed.after),
        // What was repaired stays repaired.
        End::Unwound if kind == Kind::Repair => digest.of_cell().difference(&allowed.after.of_cell()),
        End::Unwound => digest.without(residue(kind)).difference(&allowed.before.without(residue(kind))),
    };
    if let Some(difference) = difference {
        wrong.push(format!("the world is not the one of a run that {}:\n{difference}", end.as_str()));
    }
    wrong.extend(check(world, slug).await);
    wrong
}

/// The invariants of one tenant.
pub async fn check(world: &World, slug: &str) -> Vec<String> {
    let tenant = world.tenant(slug).await;
    let view = View::of_tenant(world, tenant.id).await;
    view.check().await.iter().map(ToString::to_string).collect()
}

/// The invariants of the whole database, when everything is at rest. Leftovers that belong to nobody may take the
/// janitor a moment.
pub async fn check_all(world: &World) -> Vec<String> {
    let view = View::of_all(world).await;
    let until = std::time::Instant::now() + std::time::Duration::from_secs(15);
    loop {
        let found = view.check().await;
        let is_passing = found.iter().all(|violation| violation.id == "I13");
        if found.is_empty() || !is_passing || std::time::Instant::now() > until {
            return found.iter().map(ToString::to_string).collect();
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}
