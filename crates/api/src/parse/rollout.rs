//! How an app's new versions reach their targets: the manifest's `rollout`.

use std::collections::BTreeMap;

use tenantry_domain::rollout::{Canary, OnFailure, Strategy};

use super::bounds::key;
use super::read::{Node, Report, join, shorten};

/// Longest span that can be written, in milliseconds: a year.
const SPAN_MAX: u64 = 366 * 24 * 3600 * 1000;

/// Reads `spec.rollout`.
pub(super) fn strategy(node: &Node<'_>, report: &Report) -> Option<Strategy> {
    let usual = Strategy::default();
    let object = node.object(report)?;
    let canary = object.or("canary", usual.canary, |node| canary(node, report));
    let waves = object.or("waves", usual.waves, |node| node.list(report, 20, |wave| percent(wave, report)));
    let pause = object.or("pause", 0, |node| node.check(report, span));
    let approval = object.or("approval", usual.approval, |node| node.boolean(report));
    let words = [("stop", OnFailure::Stop), ("continue", OnFailure::Continue)];
    let on_failure = object.or("onFailure", usual.on_failure, |node| node.word(report, &words));
    let parallel = object.or("parallel", u64::from(usual.parallel), |node| node.integer(report, 1, 64));
    let usual_lock = u64::from(usual.lock_timeout_ms);
    let lock_timeout = object.or("lockTimeout", usual_lock, |node| node.check(report, span));
    let check = object.optional("check", |node| node.text(report).map(ToOwned::to_owned));
    object.finish();
    let strategy = Strategy {
        canary: canary?,
        waves: waves?,
        pause_seconds: u32::try_from(pause? / 1000).unwrap_or(u32::MAX),
        approval: approval?,
        on_failure: on_failure?,
        parallel: u32::try_from(parallel?).unwrap_or(u32::MAX),
        lock_timeout_ms: u32::try_from(lock_timeout?).unwrap_or(u32::MAX),
        check: check?,
    };
    let complaints = strategy.complaints();
    for complaint in &complaints {
        report.add(join(node.path(), complaint.field), complaint.message);
    }
    complaints.is_empty().then_some(strategy)
}

fn canary(node: &Node<'_>, report: &Report) -> Option<Canary> {
    let object = node.object(report)?;
    let count = object.or("count", 1, |node| node.integer(report, 0, 1_000));
    let labels = object.or("labels", BTreeMap::new(), |node| {
        let entries = node.entries(report, 16)?;
        entries.into_iter().map(|(name, node)| Some((key(name, &node, report)?, node.line(report, 63)?))).collect()
    });
    object.finish();
    Some(Canary { count: u32::try_from(count?).unwrap_or(u32::MAX), labels: labels? })
}

fn percent(node: &Node<'_>, report: &Report) -> Option<u8> {
    node.integer(report, 1, 100).and_then(|share| u8::try_from(share).ok())
}

/// A span such as `500ms`, `30s`, `10m`, `2h`, `1d`, in milliseconds.
fn span(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{}` is not a span such as `500ms`, `30s`, `10m`, `2h` or `1d`", shorten(text));
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (digits, unit) = text.split_at(split);
    let unit: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    count.checked_mul(unit).filter(|span| *span <= SPAN_MAX).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: &serde_json::Value) -> Result<Strategy, Vec<String>> {
        let report = Report::new();
        let found = strategy(&Node::at(value, "spec.rollout"), &report).filter(|_| report.is_clean());
        found.ok_or_else(|| {
            report.into_complaints().into_iter().map(|c| format!("{}: {}", c.field, c.message)).collect()
        })
    }

    #[test]
    fn all_fields_are_read() {
        let found = read(&json!({
            "canary": { "count": 2, "labels": { "ring": "first" } }, "waves": [10, 100], "pause": "10m",
            "approval": true, "onFailure": "continue", "parallel": 8, "lockTimeout": "500ms", "check": "SELECT true",
        }));
        let found = found.expect("it is right");
        assert_eq!((found.pause_seconds, found.lock_timeout_ms, found.parallel), (600, 500, 8));
        assert_eq!(found.waves, [10, 100]);
        assert_eq!(found.canary.labels["ring"], "first");
        assert_eq!(read(&json!({})), Ok(Strategy::default()));
    }

    #[test]
    fn wrong_fields_are_named() {
        for (value, field) in [
            (json!({ "waves": [50, 10] }), "spec.rollout.waves"),
            (json!({ "waves": [0, 100] }), "spec.rollout.waves[0]"),
            (json!({ "pause": "soon" }), "spec.rollout.pause"),
            (json!({ "pause": "8d" }), "spec.rollout.pause"),
            (json!({ "lockTimeout": "5m" }), "spec.rollout.lockTimeout"),
            (json!({ "onFailure": "panic" }), "spec.rollout.onFailure"),
            (json!({ "parallel": 0 }), "spec.rollout.parallel"),
            (json!({ "colour": 1 }), "spec.rollout.colour"),
            (json!({ "check": "" }), "spec.rollout.check"),
        ] {
            let complaints = read(&value).expect_err(field);
            assert!(complaints.iter().any(|one| one.starts_with(field)), "{complaints:?}");
        }
    }
}
