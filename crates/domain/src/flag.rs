//! Which value of a feature a tenant has, and why.
//!
//! Several say something about one feature; the first of these that speaks decides: the emergency switch, an override of
//! the tenant, a deviation of its cell, a rollout whose share the tenant is in, its plan, the flag's default.
//! INVARIANT: the answer depends on the arguments alone; the share of a rollout is a fixed number per tenant and flag, so
//! a growing share adds tenants and takes none away.

mod name;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Timestamp;
use crate::code::FieldError;
use crate::id::TenantId;
use crate::name::{CellName, PlanCode};
use crate::tenant::spec::Override;

pub use name::{FlagName, FlagNameError};

/// What an environment says about a feature beyond its plans and tenants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Flag {
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What tenants have about whom nobody else says anything; absent means that they have no such feature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// The emergency switch: present means that everybody has [`Flag::off_value`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off: Option<Off>,
    /// What the switch gives.
    pub off_value: Value,
    /// A value on its way to all tenants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// Deviations of cells.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub cells: BTreeMap<CellName, Value>,
}

impl Default for Flag {
    fn default() -> Self {
        let (description, default, off, rollout) = (None, None, None, None);
        Self { description, default, off, off_value: Value::Bool(false), rollout, cells: BTreeMap::new() }
    }
}

/// Why a feature is off for everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Off {
    /// For people; never empty.
    pub reason: String,
}

/// A value that a share of the tenants have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// What tenants in the share have.
    pub value: Value,
    /// The share, 0 to 100 percent.
    pub percent: u8,
}

/// Who decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// The emergency switch.
    Switch,
    /// An override of the tenant.
    Override,
    /// A deviation of the tenant's cell.
    Cell,
    /// A rollout whose share the tenant is in.
    Rollout,
    /// The tenant's plan.
    Plan,
    /// The flag's default.
    Default,
}

impl Source {
    /// All, first the one that is asked first.
    pub const ALL: [Self; 6] = [Self::Switch, Self::Override, Self::Cell, Self::Rollout, Self::Plan, Self::Default];

    /// The word in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Switch => "switch",
            Self::Override => "override",
            Self::Cell => "cell",
            Self::Rollout => "rollout",
            Self::Plan => "plan",
            Self::Default => "default",
        }
    }
}

/// What a feature is to one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Feature {
    /// What holds.
    pub value: Value,
    /// Who decided.
    pub source: Source,
    /// Why, where somebody wrote it down: the switch's reason, the override's reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it ends; absent means that no end is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Feature {
    /// Whether the tenant has the feature at all.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        is_on(&self.value)
    }
}

/// Whether a value means that the feature is there: everything but `false` and nothing.
#[must_use]
pub const fn is_on(value: &Value) -> bool {
    !matches!(value, Value::Bool(false) | Value::Null)
}

/// What decides about one feature of one tenant, besides the flag.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Whose.
    pub tenant: TenantId,
    /// Where its data is; absent while it has no place.
    pub cell: Option<&'a CellName>,
    /// What its plan says.
    pub plan: Option<&'a Value>,
    /// What its own manifest says.
    pub deviation: Option<&'a Override<Value>>,
}

/// Where a tenant stands in the shares of a flag's rollouts, 0 to 9,999: the first eight bytes of the hash of both
/// names, as a share of all such numbers.
#[must_use]
pub fn share(name: &FlagName, tenant: TenantId, hash: impl FnOnce(&[u8]) -> [u8; 32]) -> u16 {
    position(name.as_str(), tenant, hash)
}

/// Where a tenant stands in shares of whatever has a name, 0 to 9,999: always the same for the same two.
#[must_use]
pub fn position(name: &str, tenant: TenantId, hash: impl FnOnce(&[u8]) -> [u8; 32]) -> u16 {
    let mut both = Vec::with_capacity(name.len() + 17);
    both.extend_from_slice(name.as_bytes());
    // No name holds it, so that one pair is never taken for another.
    both.push(0);
    both.extend_from_slice(tenant.uuid().as_bytes());
    let digest = hash(&both);
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    let number = u128::from(u64::from_be_bytes(first));
    u16::try_from((number * 10_000) >> 64).unwrap_or(9_999)
}

/// The value of a feature for a tenant at `now`; absent when nobody says anything about it.
#[must_use]
pub fn evaluate(
    name: &FlagName,
    flag: Option<&Flag>,
    subject: Subject<'_>,
    now: Timestamp,
    hash: impl FnOnce(&[u8]) -> [u8; 32],
) -> Option<Feature> {
    let plain = |value: &Value, source| Feature { value: value.clone(), source, reason: None, until: None };
    if let Some((flag, off)) = flag.and_then(|flag| Some((flag, flag.off.as_ref()?))) {
        return Some(Feature { reason: Some(off.reason.clone()), ..plain(&flag.off_value, Source::Switch) });
    }
    if let Some(held) = subject.deviation.filter(|held| held.holds(now)) {
        let reason = Some(held.reason.clone());
        return Some(Feature { reason, until: held.until, ..plain(&held.value, Source::Override) });
    }
    if let Some(value) = flag.and_then(|flag| flag.cells.get(subject.cell?)) {
        return Some(plain(value, Source::Cell));
    }
    if let Some(rollout) = flag.and_then(|flag| flag.rollout.as_ref())
        && share(name, subject.tenant, hash) < u16::from(rollout.percent) * 100
    {
        return Some(plain(&rollout.value, Source::Rollout));
    }
    if let Some(value) = subject.plan {
        return Some(plain(value, Source::Plan));
    }
    flag.and_then(|flag| flag.default.as_ref()).map(|value| plain(value, Source::Default))
}

impl Flag {
    /// Most cells that deviate.
    pub const MOST_CELLS: usize = 200;

    /// What contradicts itself: the values of one flag are of one kind, since a program reads one kind.
    #[must_use]
    pub fn check(&self) -> Vec<FieldError> {
        let mut wrong = Vec::new();
        if let Some(rollout) = &self.rollout
            && rollout.percent > 100
        {
            wrong.push(FieldError::new("rollout.percent", "must be between 0 and 100"));
        }
        let cells = self.cells.iter().map(|(cell, value)| (format!("cells.{cell}"), value));
        let values: Vec<(String, &Value)> = self
            .default
            .iter()
            .map(|value| ("default".to_owned(), value))
            .chain(self.rollout.iter().map(|rollout| ("rollout.value".to_owned(), &rollout.value)))
            .chain(cells)
            .collect();
        for (field, _) in values.iter().filter(|(_, value)| value.is_null()) {
            wrong.push(FieldError::new(field.clone(), "must be a value; leave it out for none"));
        }
        let Some((first, known)) = values.first().map(|(field, value)| (field, kind(value))) else { return wrong };
        for (field, value) in values.iter().skip(1).filter(|(_, value)| kind(value) != known) {
            let found = kind(value);
            wrong.push(FieldError::new(field.clone(), format_args!("is {found}, and `{first}` is {known}")));
        }
        if kind(&self.off_value) != known {
            let message = format_args!("must be {known}, as `{first}` is: it is what the switch gives to everybody");
            wrong.push(FieldError::new("offValue", message));
        }
        wrong
    }
}

impl Flag {
    /// What the switch would give that programs cannot read: what it gives is of a kind that neither the flag nor a plan
    /// gives. `plans` are the values of the feature in plans.
    ///
    /// # Errors
    /// Of which kind it must be.
    pub fn check_switch<'v>(&self, plans: impl IntoIterator<Item = &'v Value>) -> Result<(), FieldError> {
        let own =
            self.default.iter().chain(self.rollout.iter().map(|rollout| &rollout.value)).chain(self.cells.values());
        let mut kinds: Vec<_> = own.map(kind).collect();
        if kinds.is_empty() {
            // Plans may differ: one that does not have a feature says `false` of it.
            kinds = plans.into_iter().map(kind).collect();
            kinds.sort_unstable();
            kinds.dedup();
        }
        if kinds.is_empty() || kinds.contains(&kind(&self.off_value)) {
            return Ok(());
        }
        let known = kinds.join(" or ");
        Err(FieldError::new(
            "offValue",
            format_args!("must be {known}, as other values of the feature are: programs get it"),
        ))
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// The plans that have a feature, cheapest first, those without a price last.
#[must_use]
pub fn plans_with<'p>(
    name: &str,
    plans: impl IntoIterator<Item = (&'p PlanCode, &'p crate::plan::PlanSpec)>,
) -> Vec<PlanCode> {
    let has = |spec: &crate::plan::PlanSpec| spec.features.get(name).is_some_and(is_on);
    let mut found: Vec<_> = plans.into_iter().filter(|(_, spec)| has(spec)).collect();
    found.sort_by_key(|(code, spec)| (spec.terms.rank(), spec.isolation, (*code).clone()));
    found.into_iter().map(|(code, _)| code.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use uuid::Uuid;

    /// Good enough to spread numbers, and none that a release could change: FNV-1a, four times.
    fn hash(bytes: &[u8]) -> [u8; 32] {
        let mut digest = [0; 32];
        for (round, part) in digest.chunks_mut(8).enumerate() {
            let start = 0xcbf2_9ce4_8422_2325_u64.wrapping_add(round as u64);
            let mixed = bytes.iter().fold(start, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
            let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
            part.copy_from_slice(&(mixed ^ (mixed >> 33)).to_be_bytes());
        }
        digest
    }

    fn tenant(number: u128) -> TenantId {
        TenantId::from_uuid(Uuid::from_u128(number))
    }

    fn now() -> Timestamp {
        "2027-01-01T00:00:00Z".parse().unwrap()
    }

    /// Every set of speakers, and who of them decides: 64 cases, each with another value per speaker.
    #[test]
    fn the_first_that_speaks_decides() {
        let name: FlagName = "ai".parse().unwrap();
        let cell = CellName::parse("eu-west-1").unwrap();
        for set in 0_u8..64 {
            let speaks = |source: usize| set & (1 << source) != 0;
            let flag = Flag {
                off: speaks(0).then(|| Off { reason: "it burns".into() }),
                off_value: json!("switch"),
                cells: speaks(2).then(|| (cell.clone(), json!("cell"))).into_iter().collect(),
                rollout: speaks(3).then(|| Rollout { value: json!("rollout"), percent: 100 }),
                default: speaks(5).then(|| json!("default")),
                ..Flag::default()
            };
            let held = Override { value: json!("override"), reason: "pilot".into(), until: None };
            let plan = json!("plan");
            let subject = Subject {
                tenant: tenant(7),
                cell: Some(&cell),
                plan: speaks(4).then_some(&plan),
                deviation: speaks(1).then_some(&held),
            };
            let found = evaluate(&name, Some(&flag), subject, now(), hash);
            let expected = (0..6).find(|source| speaks(*source)).map(|source| Source::ALL[source]);
            assert_eq!(found.as_ref().map(|feature| feature.source), expected, "{set:b}");
            let word = expected.map(|source| json!(source.as_str()));
            assert_eq!(found.map(|feature| feature.value), word, "{set:b}");
        }
    }

    #[test]
    fn an_expired_override_and_a_foreign_cell_say_nothing() {
        let name: FlagName = "ai".parse().unwrap();
        let cell = CellName::parse("eu-west-1").unwrap();
        let flag = Flag { cells: BTreeMap::from([(cell, json!(true))]), ..Flag::default() };
        let held = Override { value: json!(true), reason: "pilot".into(), until: Some(now()) };
        let other = CellName::parse("us-east-1").unwrap();
        let subject =
            Subject { tenant: tenant(1), cell: Some(&other), plan: Some(&json!(false)), deviation: Some(&held) };
        let found = evaluate(&name, Some(&flag), subject, now(), hash).unwrap();
        assert_eq!((found.source, found.is_on()), (Source::Plan, false));
        let before = now().checked_sub(jiff::SignedDuration::from_secs(1)).unwrap();
        assert_eq!(evaluate(&name, Some(&flag), subject, before, hash).unwrap().until, Some(now()));
        let nobody = Subject { tenant: tenant(1), cell: None, plan: None, deviation: None };
        assert_eq!(evaluate(&name, None, nobody, now(), hash), None);
    }

    #[test]
    fn a_share_is_about_that_many_tenants() {
        let name: FlagName = "search.v2".parse().unwrap();
        let inside = (0..10_000).filter(|number| share(&name, tenant(*number), hash) < 3_000).count();
        // Four standard deviations of a fair draw are 183.
        assert!((2_800..=3_200).contains(&inside), "{inside}");
    }

    #[test]
    fn what_the_switch_gives_is_of_a_kind_that_programs_read() {
        let (no, text, number) = (json!(false), json!("plain"), json!(5));
        let off = |off_value| Flag { off_value, ..Flag::default() };
        // Nobody says anything about it: off is `false`.
        assert!(off(no.clone()).check_switch([]).is_ok());
        let wrong = off(no.clone()).check_switch([&text, &text]).unwrap_err();
        assert!(wrong.field == "offValue" && wrong.message.contains("must be text"), "{wrong:?}");
        assert!(off(json!("none")).check_switch([&text]).is_ok());
        // A plan without the feature says `false`, so programs read that as well.
        assert!(off(no.clone()).check_switch([&text, &no]).is_ok());
        assert!(off(text.clone()).check_switch([&number, &no]).is_err());
        // The flag's own values come first: they are of one kind.
        let own = Flag { default: Some(text), ..off(no) };
        assert!(own.check_switch([&json!(true)]).is_err());
    }

    #[test]
    fn values_of_one_flag_are_of_one_kind() {
        let fields = |flag: Flag| flag.check().into_iter().map(|wrong| wrong.field).collect::<Vec<_>>();
        assert!(fields(Flag { default: Some(json!(true)), ..Flag::default() }).is_empty());
        let cell = CellName::parse("a").unwrap();
        let mixed = Flag {
            default: Some(json!("blue")),
            rollout: Some(Rollout { value: json!(3), percent: 101 }),
            cells: BTreeMap::from([(cell, json!(null))]),
            ..Flag::default()
        };
        assert_eq!(fields(mixed), ["rollout.percent", "cells.a", "rollout.value", "cells.a", "offValue"]);
    }

    proptest! {
        /// PLAN-04: a growing share keeps whom it has, 0 is nobody and 100 is everybody.
        #[test]
        fn a_growing_share_takes_nobody_out(number: u128, less in 0u8..=100, more in 0u8..=100) {
            let name: FlagName = "ai".parse().unwrap();
            let (less, more) = (less.min(more), less.max(more));
            let is_in = |percent| {
                let flag = Flag { rollout: Some(Rollout { value: json!(true), percent }), ..Flag::default() };
                let subject = Subject { tenant: tenant(number), cell: None, plan: None, deviation: None };
                evaluate(&name, Some(&flag), subject, now(), hash).is_some()
            };
            prop_assert!(!is_in(less) || is_in(more));
            prop_assert!(!is_in(0) && is_in(100));
        }
    }
}
