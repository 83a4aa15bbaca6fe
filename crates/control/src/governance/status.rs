//! Which rules are in force, and what they did since the process began.

use tenantry_policy::{Choice, Decider, Difference};

use super::Tally;
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;

/// How policy stands in this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Who decides: `builtin`, `opa` or `both`.
    pub decider: &'static str,
    /// Name, version and digest of the rules in force; absent where somebody else decides alone.
    pub active: Option<String>,
    /// By whose word they are in force; absent when they were taken as they came.
    pub chosen: Option<Choice>,
    /// Those that are tried beside them.
    pub shadow: Option<String>,
    /// How many rules there are.
    pub rules: usize,
    /// Numbers since the process began.
    pub tally: Tally,
    /// Questions that the tried rules would have answered otherwise, and how many in all.
    pub differences: (u64, Vec<Difference>),
}

/// How policy stands.
///
/// # Errors
/// The caller may not look.
pub fn status(cx: &Ctx, deps: &Deps) -> Result<Status, Refusal> {
    cx.permit_environment("policy.read")?;
    let governance = deps.governance();
    let shipped = super::shipped();
    let decider = governance.decider().or(shipped.as_ref());
    let word = match decider {
        Some(Decider::Builtin(_)) | None => "builtin",
        Some(Decider::Opa(_)) => "opa",
        Some(Decider::Both(..)) => "both",
    };
    let stage = decider.and_then(Decider::stage);
    let active = stage.map(|stage| stage.active());
    Ok(Status {
        decider: word,
        active: active.as_ref().map(|engine| engine.fingerprint().to_owned()),
        chosen: stage.and_then(|stage| stage.chosen()).map(|choice| Choice::clone(&choice)),
        shadow: stage.and_then(|stage| stage.shadow()).map(|engine| engine.fingerprint().to_owned()),
        rules: active.map_or(0, |engine| engine.len()),
        tally: governance.tally(),
        differences: stage.map(|stage| (stage.tally().shadow_different, stage.differences())).unwrap_or_default(),
    })
}
