//! A plan's desired state.

use std::collections::BTreeMap;

use serde_json::Value;
use tenantry_domain::plan::{Backup, PlanSpec, Slo, Tenants};

use super::bounds::{days, feature, key, rate};
use super::quota::bound;
use super::read::{Node, Report, shorten};
use super::tenant::level;

/// Kept when a plan does not say; the domain's own default.
const ARCHIVE_DAYS: u32 = 90;

/// Reads `spec`.
pub(super) fn spec(node: &Node<'_>, report: &Report) -> Option<PlanSpec> {
    let object = node.object(report)?;
    let isolation = object.required("isolation").and_then(|node| level(&node, report));
    let default = object.or("default", false, |node| node.boolean(report));
    let quotas = object.or("quotas", BTreeMap::new(), |node| named(node, report, bound));
    let rate_limits = object.or("rateLimits", BTreeMap::new(), |node| named(node, report, rate));
    let features: Option<BTreeMap<String, Value>> =
        object.or("features", BTreeMap::new(), |node| named(node, report, feature));
    let backup = object.or("backup", Backup::default(), |node| {
        let object = node.object(report)?;
        let retention_days = object.optional("retention", |node| days(node, report));
        object.finish();
        Some(Backup { retention_days: retention_days? })
    });
    let slo = object.or("slo", Slo::default(), |node| {
        let object = node.object(report)?;
        let availability = object.optional("availability", |node| node.check(report, percent));
        object.finish();
        Some(Slo { availability: availability? })
    });
    let support = object.optional("support", |node| node.line(report, 100));
    let archive_retention_days = object.or("archiveRetention", ARCHIVE_DAYS, |node| days(node, report));
    let tenants = object.or("tenants", Tenants::default(), |node| {
        let words = Tenants::ALL.map(|tenants| (tenants.as_str(), tenants));
        node.word(report, &words)
    });
    let terms = super::terms::terms(&object, report);
    if let (Some(terms), Some(isolation)) = (&terms, isolation) {
        for wrong in terms.check(isolation) {
            report.add(format!("{}.{}", node.path(), wrong.field), wrong.message);
        }
    }
    object.finish();
    Some(PlanSpec {
        isolation: isolation?,
        default: default?,
        quotas: quotas?,
        rate_limits: rate_limits?,
        features: features?,
        backup: backup?,
        slo: slo?,
        support: support?,
        archive_retention_days: archive_retention_days?,
        tenants: tenants?,
        terms: terms?,
    })
}

/// Amounts and the like by name.
pub(super) fn named<T>(
    node: &Node<'_>,
    report: &Report,
    read: impl Fn(&Node<'_>, &Report) -> Option<T>,
) -> Option<BTreeMap<String, T>> {
    let entries = node.entries(report, 64)?;
    let read: Vec<_> = entries
        .into_iter()
        .map(|(name, node)| {
            let name = key(name, &node, report);
            let value = read(&node, report);
            Some((name?, value?))
        })
        .collect();
    read.into_iter().collect()
}

/// `99.5%`: above 0, at most 100, at most four decimals.
fn percent(text: &str) -> Result<String, String> {
    let wrong = || format!("`{}` is not a share such as `99.5%`", shorten(text));
    let number = text.strip_suffix('%').ok_or_else(wrong)?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let is_number =
        |part: &str, most: usize| (1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole, 3) || !is_number(decimals, 4) {
        return Err(wrong());
    }
    let share: f64 = number.parse().map_err(|_| wrong())?;
    if share > 0.0 && share <= 100.0 {
        Ok(text.to_owned())
    } else {
        Err("must be above 0% and at most 100%".to_owned())
    }
}
