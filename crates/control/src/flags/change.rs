//! Changes of flags: put, removed, switched off and on. Entries and events go to the environment's chain.
//! INVARIANT: the emergency switch is taken back by its own verb, or with the whole flag, and by nothing else; what it gives
//! is of a kind that programs read of the feature.

use serde_json::{Value, json};
use tenantry_domain::audit::Category;
use tenantry_domain::diff::{FieldChange, diff};
use tenantry_domain::event::{self, Type};
use tenantry_domain::flag::{Flag, FlagName, Off};
use tenantry_domain::page::PageSize;
use tenantry_domain::policy::Permit;
use tenantry_store::{CatalogKind, Entry, FlagRow, Page, WriteTx};

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{Expected, Opened, open, refuse_store, remember, replayed};
use crate::tenants::read::request;

fn missing(name: &FlagName) -> Refusal {
    Refusal::NoObject { kind: "flag".to_owned(), name: name.to_string() }
}

/// One flag.
///
/// # Errors
/// There is none.
pub async fn get(cx: &Ctx, deps: &Deps, name: &FlagName) -> Result<FlagRow, Refusal> {
    cx.permit_environment("flag.read")?;
    let row = deps.store().read(&cx.environment).flag(name).await.map_err(refuse_store)?;
    row.filter(|row| row.flag.is_some()).ok_or_else(|| missing(name))
}

/// A page of flags, by name.
///
/// # Errors
/// The page token is of no use here.
pub async fn list(cx: &Ctx, deps: &Deps, size: PageSize, token: Option<&str>) -> Result<Page<FlagRow>, Refusal> {
    cx.permit_environment("flag.read")?;
    let principal = cx.actor.to_string();
    deps.store().read(&cx.environment).flags(&request(cx, &principal, size, token)).await.map_err(refuse_store)
}

/// What is to become of a flag.
enum Edit {
    Put(Flag),
    Remove,
    Off(Off, Option<Value>),
    On,
}

/// What somebody wants of the emergency switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Off for everybody; with what everybody gets, unless that stays as it is.
    Off(Off, Option<Value>),
    /// As before.
    On,
}

/// Says what a flag is from now on, be it there or not. While the feature is switched off it stays so.
///
/// # Errors
/// Another version than expected is current, a cell that deviates does not exist, or what the switch gives does not fit.
pub async fn put(
    cx: &Ctx,
    deps: &Deps,
    name: &FlagName,
    expected: Expected,
    flag: Flag,
) -> Result<(FlagRow, bool), Refusal> {
    let permit = cx.permit_environment("flag.set")?;
    change(cx, deps, &permit, name, expected, Edit::Put(flag)).await
}

/// Removes a flag.
///
/// # Errors
/// There is none, or another version than expected is current.
pub async fn delete(cx: &Ctx, deps: &Deps, name: &FlagName, expected: Expected) -> Result<FlagRow, Refusal> {
    let permit = cx.permit_environment("flag.delete")?;
    Ok(change(cx, deps, &permit, name, expected, Edit::Remove).await?.0)
}

/// Switches a feature off for everybody, or on again. Switching off needs no flag: plans alone may have named the feature.
///
/// # Errors
/// There is no flag to switch on, or what the switch would give is of another kind than the feature's values.
pub async fn switch(cx: &Ctx, deps: &Deps, name: &FlagName, wanted: Wanted) -> Result<FlagRow, Refusal> {
    let permit = cx.permit_environment("flag.set")?;
    let edit = match wanted {
        Wanted::Off(off, value) => Edit::Off(off, value),
        Wanted::On => Edit::On,
    };
    Ok(change(cx, deps, &permit, name, Expected::Any, edit).await?.0)
}

async fn change(
    cx: &Ctx,
    deps: &Deps,
    permit: &Permit,
    name: &FlagName,
    expected: Expected,
    edit: Edit,
) -> Result<(FlagRow, bool), Refusal> {
    let mut tx = match open(cx, deps, permit).await? {
        Opened::Replay(answer) => {
            let (version, is_new): (i64, bool) = replayed(answer)?;
            return Ok((as_of(cx, deps, name, version).await?, is_new));
        }
        Opened::Fresh(tx) => tx,
    };
    let row = tx.flags().lock(name).await.map_err(refuse_store)?;
    let from_version = row.as_ref().map_or(0, |row| row.version);
    let old = row.as_ref().and_then(|row| row.flag.clone());
    // A flag that is not there has no version that a caller could have read.
    expected.check(if old.is_some() { from_version } else { 0 })?;
    let is_switch = matches!(edit, Edit::Off(..) | Edit::On);
    let new = match (edit, old.clone()) {
        (Edit::Put(flag), old) => Some(Flag { off: flag.off.clone().or_else(|| old.and_then(|old| old.off)), ..flag }),
        (Edit::Off(off, value), old) => {
            let old = old.unwrap_or_default();
            Some(Flag { off: Some(off), off_value: value.unwrap_or_else(|| old.off_value.clone()), ..old })
        }
        (Edit::On, Some(old)) => Some(Flag { off: None, ..old }),
        (Edit::Remove, Some(_)) => None,
        (Edit::On | Edit::Remove, None) => return Err(missing(name)),
    };
    if let (Some(row), true) = (&row, new == old) {
        let row = row.clone();
        tx.rollback().await;
        return Ok((row, false));
    }
    if let Some(flag) = &new {
        check_cells(&mut tx, flag).await?;
        check_switch(&mut tx, name, flag).await?;
    }
    let row = tx.flags().put(name, from_version, new.as_ref()).await.map_err(refuse_store)?;
    let is_new = old.is_none();
    remember(cx, &mut tx, &(row.version, is_new), None);
    tx.commit(vec![entry(cx, permit, &row, old.as_ref(), is_switch)]).await.map_err(refuse_store)?;
    deps.nudge();
    Ok((row, is_new))
}

/// The answer to a repetition: the flag as it is, which later changes may have moved on.
async fn as_of(cx: &Ctx, deps: &Deps, name: &FlagName, version: i64) -> Result<FlagRow, Refusal> {
    let row = deps.store().read(&cx.environment).flag(name).await.map_err(refuse_store)?;
    row.filter(|row| row.version >= version).ok_or_else(|| missing(name))
}

async fn check_cells(tx: &mut WriteTx, flag: &Flag) -> Result<(), Refusal> {
    for cell in flag.cells.keys() {
        let found = tx.catalog().get(CatalogKind::Cell, cell.as_str()).await.map_err(refuse_store)?;
        if found.is_none() {
            let field = format!("cells.{cell}");
            return Err(Refusal::Reference { kind: "cell", name: cell.to_string(), field });
        }
    }
    Ok(())
}

/// What the switch gives reaches every program at once: none of them may choke on it.
async fn check_switch(tx: &mut WriteTx, name: &FlagName, flag: &Flag) -> Result<(), Refusal> {
    if flag.off.is_none() {
        return Ok(());
    }
    let plans = super::catalog_within(tx).await?;
    let values: Vec<Value> = plans.into_values().filter_map(|mut plan| plan.features.remove(name.as_str())).collect();
    flag.check_switch(&values).map_err(|wrong| Refusal::Request(vec![wrong]))
}

fn entry(cx: &Ctx, permit: &Permit, row: &FlagRow, old: Option<&Flag>, is_switch: bool) -> Entry {
    let value =
        |flag: Option<&Flag>| flag.and_then(|flag| serde_json::to_value(flag).ok()).unwrap_or_else(|| json!({}));
    let changes = diff(&value(old), &value(row.flag.as_ref()));
    // Entries hold no floats and no large values, so values go in as text.
    let text = |value: &serde_json::Value| value.to_string().chars().take(300).collect::<String>();
    let told =
        |change: &FieldChange| json!({ "path": change.path, "from": text(&change.from), "to": text(&change.to) });
    let mut audit = cx.audit(permit, Category::Mutation, format!("flag/{}", row.name));
    audit.version = Some(row.version);
    audit.changes = changes.iter().take(100).map(told).collect();
    let off = row.flag.as_ref().and_then(|flag| flag.off.as_ref());
    audit.reason = off.map(|off| off.reason.clone());
    let kind = if is_switch { Type::FlagSwitched } else { Type::FlagUpdated };
    let data = json!({
        "flag": row.name, "version": row.version, "off": off.is_some(), "removed": row.flag.is_none(),
        "percent": row.flag.as_ref().and_then(|flag| flag.rollout.as_ref()).map(|rollout| rollout.percent),
    });
    Entry::environment(audit, vec![event::Draft::new(kind, data)])
}
