//! `tenantry policy bundles`, `rollback` and `promote`: the folder that a server on this machine keeps its bundles in,
//! looked at and chosen from.
//!
//! Neither a server nor the source is asked, so that it works while the rules refuse everything or nothing answers. What
//! is chosen is written as the server writes it, under the same lock, after the same checks; the processes that use the
//! folder follow within seconds ([`super::governance::Refresher`]).

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tenantry_domain::code::{Code, Kind};
use tenantry_policy::bundle::Manifest;
use tenantry_policy::{Digest, Shelf, ShelfError, Stage, Supply, SupplyError, Turn, Word, governance};

use super::governance::trust;
use super::installation::chain;
use crate::commands::policy::shelf::{Place, Verb};
use crate::exit::{Failure, Result};
use crate::output::{Output, clean};

/// Most characters of the name of who runs this.
const NAME: usize = 64;

/// What to ask oneself where a folder holds no bundles.
const ASKED: &str = "Is it the folder that the server has as TENANTRY_POLICY_FOLDER?";

/// A bundle that is kept.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    digest: Digest,
    /// Absent when it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

/// Runs it.
///
/// # Errors
/// The folder cannot be used, or what was wanted is not kept there or does not hold any more.
pub async fn run(verb: &Verb, output: Output) -> Result<()> {
    match verb {
        Verb::Bundles { policy_folder } => list(&open(policy_folder)?, output),
        Verb::Rollback { to, place } => {
            let (shelf, supply) = supply(place)?;
            let turn = supply.roll_back(*to, word(place)).await.map_err(|error| failed(&error))?;
            told(&shelf, turn, output)
        }
        Verb::Promote { expect, place } => {
            let (shelf, supply) = supply(place)?;
            let turn = supply.promote(*expect, word(place)).await.map_err(|error| failed(&error))?;
            told(&shelf, turn, output)
        }
    }
}

fn list(shelf: &Shelf, output: Output) -> Result<()> {
    let state = shelf.state().map_err(|error| failed(&SupplyError::Shelf(error)))?;
    let before = state.earlier.iter().map(|digest| {
        let stands = if state.withdrawn.contains(digest) { "withdrawn" } else { "earlier" };
        (*digest, stands)
    });
    let all = state.active.map(|digest| (digest, "in force")).into_iter();
    let all = all.chain(state.tried.map(|digest| (digest, "tried"))).chain(before);
    let all: Vec<_> = all.map(|(digest, stands)| (kept(shelf, digest), stands)).collect();
    if output.format().is_document() {
        let item = |(one, stands): &(Kept, &str)| json!({ "bundle": one, "stands": stands });
        let items: Vec<_> = all.iter().map(item).collect();
        return output.document(&json!({ "items": items, "chosen": state.chosen }));
    }
    if all.is_empty() {
        output.note(&format!("No bundles are kept here. {ASKED}"));
        return Ok(());
    }
    let row = |(one, stands): &(Kept, &str)| vec![(*stands).to_owned(), label(one), one.digest.to_string()];
    output.table(&["STANDS", "BUNDLE", "DIGEST"], all.iter().map(row).collect())?;
    if let Some(choice) = state.chosen {
        let Word { at, by, reason } = choice.word;
        let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        output.note(&clean(&format!("chosen by {by}, {at}{why}")));
    }
    Ok(())
}

fn told(shelf: &Shelf, turn: Turn, output: Output) -> Result<()> {
    let (before, now) = (turn.before.map(|digest| kept(shelf, digest)), kept(shelf, turn.now));
    if output.format().is_document() {
        output.document(&json!({ "changed": turn.is_change(), "before": before, "now": now }))?;
    } else if turn.is_change() {
        let before = before.map_or_else(|| "the shipped rules".to_owned(), |one| both(&one));
        output.line(&format!("before      {before}"))?;
        output.line(&format!("in force    {}", both(&now)))?;
    } else {
        output.line(&format!("already in force: {}", both(&now)))?;
    }
    output.note(
        "Processes that use this folder follow within seconds; `tenantry policy status` asks one of them.
Replicas with folders of their own do not know of it: repeat it there, or publish a bundle that is right.",
    );
    Ok(())
}

fn kept(shelf: &Shelf, digest: Digest) -> Kept {
    // One that cannot be read is listed all the same: it is what somebody has to know of.
    let manifest = shelf.load(digest).ok().and_then(|bundle| Manifest::of(&bundle).ok());
    let (name, version) = manifest.map(|manifest| (manifest.name, manifest.version)).unzip();
    Kept { digest, name, version }
}

fn label(one: &Kept) -> String {
    one.name
        .as_ref()
        .zip(one.version.as_ref())
        .map_or_else(|| "cannot be read".to_owned(), |(name, version)| format!("{name}/{version}"))
}

fn both(one: &Kept) -> String {
    format!("{} {}", label(one), one.digest)
}

/// The folder of a server; it is not made here, a mistyped one would look as if nothing were kept.
fn open(folder: &Path) -> Result<Shelf> {
    if !folder.is_dir() {
        return Err(Failure::usage(format!("`{}` is no folder", folder.display()))
            .hint("Name the one that the server has as TENANTRY_POLICY_FOLDER."));
    }
    Shelf::open(folder).map_err(|error| failed(&SupplyError::Shelf(error)))
}

fn supply(place: &Place) -> Result<(Shelf, Supply)> {
    let folder = &place.policy_folder;
    let shelf = open(folder)?;
    let owner = std::fs::metadata(folder).map_or(0, |data| data.uid());
    if rustix::process::geteuid().is_root() && owner != 0 {
        // What root writes, the server may not be able to read, or to lock.
        return Err(Failure::usage(format!("`{}` belongs to user {owner}", folder.display()))
            .hint(format!("Run it as the user that the server runs as: `{}`.", as_owner(owner, place))));
    }
    // Nothing is written into a folder of somebody else's, not even the lock.
    let state = shelf.state().map_err(|error| failed(&SupplyError::Shelf(error)))?;
    if state.kept().next().is_none() {
        return Err(
            Failure::new(Code::PolicyBundleNotKept, format!("`{}` holds no bundles", folder.display())).hint(ASKED)
        );
    }
    let trust = trust(place.policy_keys_file.as_ref())?;
    let shipped = governance::builtin().map_err(|error| Failure::broken("The shipped rules cannot be read", error))?;
    let supply = Supply::new(None, trust, Some(shelf.clone()), Arc::new(Stage::new(shipped.engine)));
    Ok((shelf, supply))
}

/// With everything as options: `sudo` does not hand the environment on.
fn as_owner(owner: u32, place: &Place) -> String {
    let keys = place.policy_keys_file.as_ref().map(|file| format!(" --policy-keys-file {}", file.display()));
    let folder = place.policy_folder.display();
    format!("sudo -u '#{owner}' tenantry policy … --policy-folder {folder}{}", keys.unwrap_or_default())
}

fn word(place: &Place) -> Word {
    Word { at: Timestamp::now(), by: me(), reason: place.reason.clone() }
}

/// Who runs this: the name is what the environment says, the number what the system knows.
fn me() -> String {
    let uid = rustix::process::getuid().as_raw();
    let said = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(said) {
        Some(name) => format!("{} (uid {uid})", clean(&name.chars().take(NAME).collect::<String>())),
        None => format!("uid {uid}"),
    }
}

fn failed(error: &SupplyError) -> Failure {
    match error {
        SupplyError::Shelf(ShelfError::Busy(_)) => {
            Failure::local(Kind::Conflict, "The folder is being changed by somebody else", error).hint("Try again.")
        }
        SupplyError::Shelf(ShelfError::Files { .. } | ShelfError::State(_) | ShelfError::Changed(_)) => {
            Failure::local(Kind::Invalid, "The folder of bundles cannot be used", chain(error))
        }
        _ => {
            let failure = Failure::new(error.code(), chain(error)).fields(error.complaints());
            match hint(error) {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        }
    }
}

/// What helps, where it is not what the code says anyway.
fn hint(error: &SupplyError) -> Option<String> {
    match error {
        SupplyError::NoEarlier => Some(
            "Publish a bundle that is right, or start the server without TENANTRY_POLICY_SOURCE: it goes by the shipped \
             rules then. Where `tenantry policy bundles` lists withdrawn ones, `--to` takes them."
                .to_owned(),
        ),
        SupplyError::NothingTried => Some(
            "A server tries what it takes with TENANTRY_POLICY_WAY=shadow; `tenantry policy bundles` shows whether one is tried."
                .to_owned(),
        ),
        SupplyError::OtherTried(digest) => Some(format!("Look at that one; `--expect {digest}` puts it in force.")),
        SupplyError::Shelf(ShelfError::NotKept(_)) => Some("`tenantry policy bundles` lists what is kept.".to_owned()),
        _ => None,
    }
}
