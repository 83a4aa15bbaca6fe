//! Bodies of requests about flags, placements that are asked for, and uses of features.

use std::collections::BTreeMap;

use serde_json::Value;
use tenantry_domain::code::Code;
use tenantry_domain::flag::{Flag, Off, Rollout};
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{CellName, PlanCode, RegionName};
use tenantry_domain::tenant::profile::{Residency, SizeClass};

use super::bounds::{feature, unique};
use super::read::{Node, Report, join};
use super::request::body;
use super::tenant::level;
use crate::problem::Rejection;

/// The body that says what a flag is from now on.
///
/// # Errors
/// Everything that is wrong with it.
pub fn flag(value: &Value) -> Result<Flag, Rejection> {
    let flag = body(value, |node, report| {
        let object = node.object(report)?;
        let description = object.optional("description", |node| node.line(report, 1000));
        let default = object.optional("default", |node| feature(node, report));
        let off = object.optional("off", |node| off(node, report));
        let off_value = object.or("offValue", Value::Bool(false), |node| feature(node, report));
        let rollout = object.optional("rollout", |node| {
            let object = node.object(report)?;
            let value = object.required("value").and_then(|node| feature(&node, report));
            let percent = object.required("percent").and_then(|node| percent(&node, report));
            object.finish();
            Some(Rollout { value: value?, percent: percent? })
        });
        let cells = object.or("cells", BTreeMap::new(), |node| {
            let read = node.entries(report, Flag::MOST_CELLS)?.into_iter().map(|(name, node)| {
                let cell = CellName::parse(name).map_err(|error| node.complain(report, error)).ok();
                let value = feature(&node, report);
                Some((cell?, value?))
            });
            let read: Vec<_> = read.collect();
            read.into_iter().collect()
        });
        object.finish();
        Some(Flag {
            description: description?,
            default: default?,
            off: off?,
            off_value: off_value?,
            rollout: rollout?,
            cells: cells?,
        })
    })?;
    let wrong = flag.check();
    if wrong.is_empty() { Ok(flag) } else { Err(Rejection::fields(Code::InvalidParameter, wrong)) }
}

/// The body that switches a feature off: why, and what everybody gets if that is to be said.
///
/// # Errors
/// Everything that is wrong with it.
pub fn flag_off(value: &Value) -> Result<(Off, Option<Value>), Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let reason = object.required("reason").and_then(|node| node.line(report, 500));
        let value = object.optional("offValue", |node| feature(node, report));
        object.finish();
        Some((Off { reason: reason? }, value?))
    })
}

fn off(node: &Node<'_>, report: &Report) -> Option<Off> {
    let object = node.object(report)?;
    let reason = object.required("reason").and_then(|node| node.line(report, 500));
    object.finish();
    Some(Off { reason: reason? })
}

fn percent(node: &Node<'_>, report: &Report) -> Option<u8> {
    node.integer(report, 0, 100).and_then(|percent| u8::try_from(percent).ok())
}

/// The body that uses a feature: how often, once unless it says so.
///
/// # Errors
/// Everything that is wrong with it.
pub fn feature_use(value: &Value) -> Result<u32, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let count = object.or("count", 1, |node| node.integer(report, 1, 1_000_000));
        object.finish();
        u32::try_from(count?).ok()
    })
}

/// A placement that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacementBody {
    /// Whose, by name or id; absent for a tenant that does not exist.
    pub tenant: Option<String>,
    /// Another plan than the tenant's; owed without a tenant, unless a level is given.
    pub plan: Option<PlanCode>,
    /// Another level than the plan's.
    pub isolation: Option<Isolation>,
    /// Another residency than the tenant's; owed without a tenant.
    pub residency: Option<Residency>,
    /// Another size than the tenant's.
    pub size: Option<SizeClass>,
    /// Where its users are.
    pub origin: Option<RegionName>,
    /// Its group: no two tenants of a group share a cell.
    pub apart: Option<String>,
}

/// The body that asks where a tenant would be placed.
///
/// # Errors
/// Everything that is wrong with it.
pub fn placement(value: &Value) -> Result<PlacementBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let tenant = object.optional("tenant", |node| node.line(report, 40));
        let plan = object.optional("plan", |node| node.parse::<PlanCode>(report));
        let isolation = object.optional("isolation", |node| level(node, report));
        let allowed = object.optional("allowedRegions", |node| {
            let regions = node.list(report, 64, |node| node.parse::<RegionName>(report))?;
            if regions.is_empty() {
                node.complain(report, "must name at least one region");
            }
            (unique(&regions, node.path(), report) && !regions.is_empty()).then_some(regions)
        });
        let preferred = object.optional("preferredRegion", |node| node.parse::<RegionName>(report));
        let sizes = [("small", SizeClass::Small), ("medium", SizeClass::Medium), ("large", SizeClass::Large)];
        let size = object.optional("size", |node| node.word(report, &sizes));
        let origin = object.optional("origin", |node| node.parse::<RegionName>(report));
        let apart = object.optional("apart", |node| node.line(report, 255));
        object.finish();
        let (tenant, plan, isolation, allowed, preferred) = (tenant?, plan?, isolation?, allowed?, preferred?);
        if tenant.is_none() && allowed.is_none() {
            report.add("allowedRegions", "is required for a tenant that does not exist yet");
        }
        if tenant.is_none() && plan.is_none() && isolation.is_none() {
            report.add("plan", "is required for a tenant that does not exist yet, or `isolation`");
        }
        if let Some(preferred) = &preferred
            && !allowed.as_ref().is_some_and(|allowed| allowed.contains(preferred))
        {
            report.add("preferredRegion", "must be one of `allowedRegions`");
        }
        let residency = allowed.map(|allowed_regions| Residency {
            allowed_regions,
            preferred_region: preferred,
            flags: Vec::new(),
        });
        Some(PlacementBody { tenant, plan, isolation, residency, size: size?, origin: origin?, apart: apart? })
    })
}

/// How far a region is from others.
pub(super) fn distances(node: &Node<'_>, report: &Report) -> Option<BTreeMap<RegionName, u32>> {
    let read = node.entries(report, 200)?.into_iter().map(|(name, value)| {
        let at = Node::at(value.value(), join(node.path(), name));
        let region = RegionName::parse(name).map_err(|error| at.complain(report, error)).ok();
        let far = at.integer(report, 0, 1_000_000).and_then(|far| u32::try_from(far).ok());
        Some((region?, far?))
    });
    let read: Vec<_> = read.collect();
    read.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields<T: std::fmt::Debug>(answer: Result<T, Rejection>) -> Vec<String> {
        answer.unwrap_err().errors.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn flags_are_read_and_every_mistake_is_told() {
        let good = flag(&json!({
            "description": "Search, rewritten", "default": false, "rollout": { "value": true, "percent": 25 },
            "cells": { "eu-west-1": true }
        }));
        assert_eq!(good.unwrap().rollout, Some(Rollout { value: json!(true), percent: 25 }));
        assert_eq!(flag(&json!({})).unwrap(), Flag::default());
        let wrong = json!({ "rollout": { "percent": 101 }, "cells": { "EU": 1 }, "off": {}, "colour": 1 });
        assert_eq!(fields(flag(&wrong)), ["off.reason", "rollout.value", "rollout.percent", "cells.EU", "colour"]);
        assert_eq!(fields(flag(&json!({ "default": "blue" }))), ["offValue"]);
        assert_eq!(fields(flag_off(&json!({ "reason": " " }))), ["reason"]);
        assert_eq!(feature_use(&json!({})).unwrap(), 1);
        assert_eq!(fields(feature_use(&json!({ "count": 0 }))), ["count"]);
    }

    #[test]
    fn a_placement_names_what_it_needs() {
        assert_eq!(fields(placement(&json!({}))), ["allowedRegions", "plan"]);
        let wrong = json!({ "plan": "free", "allowedRegions": ["eu", "eu"], "preferredRegion": "us" });
        assert_eq!(fields(placement(&wrong)), ["allowedRegions[1]"]);
        let wrong = json!({ "plan": "free", "allowedRegions": ["eu"], "preferredRegion": "us" });
        assert_eq!(fields(placement(&wrong)), ["preferredRegion"]);
        let good = placement(&json!({ "tenant": "acme", "origin": "asia" })).unwrap();
        assert_eq!((good.tenant.as_deref(), good.residency), (Some("acme"), None));
    }
}
