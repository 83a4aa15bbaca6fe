//! Rollouts and their targets, and the counters of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tenantry_api::v1::rollout::{Addition, AdditionClash, Additions, Progress, Rollout, RolloutPlan, Target, Wave};
use tenantry_control::rollouts::overlay;
use tenantry_control::rollouts::plan::Planned;
use tenantry_control::rollouts::{self, RolloutCount, RolloutGauge, TargetRow};
use tenantry_domain::rollout::{Status, TargetStatus};

use super::failure;

/// A rollout.
#[must_use]
pub fn rollout(view: &rollouts::Rollout) -> Rollout {
    let row = &view.row;
    let wave = |number: u32| {
        let counts = view.counts.iter().filter(|count| count.wave == number && count.status != TargetStatus::Current);
        Wave { number: number + 1, targets: progress(counts) }
    };
    Rollout {
        id: row.id.to_string(),
        environment: row.environment.to_string(),
        app: row.app.clone(),
        version: row.version,
        base_version: row.base_version,
        status: row.status.to_string(),
        reason: row.reason.clone(),
        wave: if row.waves == 0 { 0 } else { row.wave + 1 },
        waves: (0..row.waves).map(wave).collect(),
        targets: progress(view.counts.iter()),
        created_at: row.created_at,
        created_by: row.created_by.clone(),
        ended_at: row.ended_at,
    }
}

fn progress<'a>(counts: impl Iterator<Item = &'a RolloutCount>) -> Progress {
    let mut progress = Progress::default();
    for count in counts {
        let place = match count.status {
            TargetStatus::Waiting => &mut progress.waiting,
            TargetStatus::Running => &mut progress.running,
            TargetStatus::Done => &mut progress.done,
            TargetStatus::Current => &mut progress.current,
            TargetStatus::Failed => &mut progress.failed,
            TargetStatus::Skipped => &mut progress.skipped,
        };
        *place += count.count;
        progress.total += count.count;
    }
    progress
}

/// A target.
#[must_use]
pub fn target(row: TargetRow) -> Target {
    Target {
        cell: row.cell,
        tenant: row.tenant.map(|id| id.to_string()),
        slug: row.slug,
        wave: row.wave + 1,
        status: row.status.as_str().to_owned(),
        from_version: row.from_version,
        cause: row.cause.as_ref().map(failure),
        started_at: row.started_at,
        ended_at: row.ended_at,
    }
}

/// What a rollout would do.
#[must_use]
pub fn plan(app: String, version: i64, planned: &Planned) -> RolloutPlan {
    let size = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let due = || planned.targets.iter().filter(|target| target.status == TargetStatus::Waiting);
    let mut behind = BTreeMap::new();
    for target in due() {
        *behind.entry(target.from_version.to_string()).or_default() += 1;
    }
    RolloutPlan {
        app,
        version,
        waves: (0..planned.waves).map(|wave| size(due().filter(|target| target.wave == wave).count())).collect(),
        current: size(planned.current()),
        behind,
        unseen_cells: planned.unseen.clone(),
    }
}

/// What a tenant added to its own place.
#[must_use]
pub fn additions(found: overlay::Additions) -> Additions {
    let needed = |(table, column): (String, Option<String>)| match column {
        Some(column) => format!("{table}.{column}"),
        None => table,
    };
    let items = found.added.into_iter().map(|added| Addition {
        kind: added.kind.as_str().to_owned(),
        table: added.table,
        name: added.name,
        needs: added.needs.into_iter().map(needed).collect(),
    });
    let clashes = found.clashes.into_iter().map(|clash| AdditionClash {
        object: clash.object,
        reason: clash.why,
        place: clash.place,
        statement: clash.statement,
    });
    Additions { items: items.collect(), clashes: clashes.collect() }
}

/// Gauges in the text form of Prometheus, of the newest rollout of each app. All replicas give the same ones.
///
/// A status is one series for each word, 1 for the one that holds, so that an alert ends with a 0 and not with silence.
#[must_use]
pub fn lines(gauges: &[RolloutGauge]) -> String {
    let mut out = String::new();
    // Writing to a text cannot fail.
    let head = |out: &mut String, name: &str, help: &str| {
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n");
    };
    let name = "tenantry_rollout_status";
    head(&mut out, name, "How the newest rollout of the app stands: 1 for its status, 0 for the others.");
    for RolloutGauge { environment, app, status, .. } in gauges {
        for word in Status::ALL {
            let labels = format!("environment=\"{environment}\",app=\"{app}\",status=\"{word}\"");
            let _ = writeln!(out, "{name}{{{labels}}} {}", u8::from(word == *status));
        }
    }
    let name = "tenantry_rollout_targets";
    head(&mut out, name, "Targets of the newest rollout of the app, by how they stand.");
    for RolloutGauge { environment, app, targets, .. } in gauges {
        for word in TargetStatus::ALL {
            let labels = format!("environment=\"{environment}\",app=\"{app}\",status=\"{}\"", word.as_str());
            let _ = writeln!(out, "{name}{{{labels}}} {}", targets.get(&word).copied().unwrap_or_default());
        }
    }
    out
}
