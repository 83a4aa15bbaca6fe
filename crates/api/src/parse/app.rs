//! An app's desired state.
//!
//! A migrations folder is read on the caller's side (see [`crate::manifest::bundle`]); here only its files or a
//! command are accepted, since the control plane must not read paths that a request names.

use tenantry_domain::app::{MigrationFile, Migrations, Spec};
use tenantry_domain::rollout::Strategy;

use super::bounds::{identifier, unique};
use super::read::{Node, Report, shorten};
use super::rollout;

/// Most files of a migration stream.
pub(crate) const MAX_FILES: usize = 10_000;
/// Most bytes of one file.
pub(crate) const MAX_FILE_BYTES: usize = 1024 * 1024;
/// Most bytes of a whole stream; a request of several apps still fits the body's bound.
pub(crate) const MAX_STREAM_BYTES: usize = 8 * 1024 * 1024;

/// Reads `spec`.
pub(super) fn spec(node: &Node<'_>, report: &Report) -> Option<Spec> {
    let object = node.object(report)?;
    let migrations = object.required("migrations").and_then(|node| migrations(&node, report));
    if !object.mentions("tenantKey") {
        report.add(
            object.field("tenantKey"),
            "is required: the tenant column's name, or `null` when the tables have none",
        );
    }
    let tenant_key = object.optional("tenantKey", |node| node.check(report, identifier));
    let reference_tables = object.or("referenceTables", Vec::new(), |list| {
        let tables = list.list(report, 500, |node| node.check(report, identifier))?;
        unique(&tables, list.path(), report).then_some(tables)
    });
    let rollout = object.or("rollout", Strategy::default(), |node| rollout::strategy(node, report));
    object.finish();
    Some(Spec {
        migrations: migrations?,
        tenant_key: tenant_key?,
        reference_tables: reference_tables?,
        rollout: rollout?,
    })
}

fn migrations(node: &Node<'_>, report: &Report) -> Option<Migrations> {
    let object = node.object(report)?;
    let (path, files, command) = (object.get("path"), object.get("files"), object.get("exec"));
    let directory = object.get("directory");
    if let Some(path) = &path {
        let hint = "is read by the command line: use `tenantry apply -f`, or send the `files` themselves";
        path.complain(report, hint);
    }
    if let (None, Some(directory)) = (&command, &directory) {
        directory.complain(report, "belongs to `exec`, which is not given");
    }
    let read = match (&path, files, command) {
        (_, Some(files), None) => stream(&files, report).map(|files| Migrations::Files { files }),
        (_, None, Some(command)) => {
            let command = command.line(report, 4096);
            let directory = match directory {
                None => Some(None),
                Some(directory) => directory.line(report, 4096).map(Some),
            };
            match (command, directory) {
                (Some(command), Some(directory)) => Some(Migrations::Exec { command, directory }),
                _ => None,
            }
        }
        (_, Some(_), Some(command)) => {
            command.complain(report, "must be left out when `files` is given");
            None
        }
        (None, None, None) => {
            node.complain(report, "must have either `files` or `exec` (the command line also takes `path`)");
            None
        }
        (Some(_), None, None) => None,
    };
    object.finish();
    read
}

fn stream(node: &Node<'_>, report: &Report) -> Option<Vec<MigrationFile>> {
    let files = node.list(report, MAX_FILES, |node| file(node, report))?;
    if files.is_empty() {
        node.complain(report, "must hold at least one file");
        return None;
    }
    let size: usize = files.iter().map(|file| file.sql.len()).sum();
    if size > MAX_STREAM_BYTES {
        node.complain(report, format_args!("must take at most {MAX_STREAM_BYTES} bytes in all, these take {size}"));
        return None;
    }
    let mut is_ordered = true;
    for (index, pair) in files.windows(2).enumerate().filter(|(_, pair)| pair[0].name >= pair[1].name) {
        let message = if pair[0].name == pair[1].name {
            "is given twice"
        } else {
            "must come before the one above it: files are applied in name order"
        };
        report.add(format!("{}[{}].name", node.path(), index + 1), format_args!("`{}` {message}", pair[1].name));
        is_ordered = false;
    }
    is_ordered.then_some(files)
}

fn file(node: &Node<'_>, report: &Report) -> Option<MigrationFile> {
    let object = node.object(report)?;
    let name = object.required("name").and_then(|node| node.check(report, file_name));
    let sql = object.required("sql").and_then(|node| {
        let sql = node.text(report)?;
        if sql.trim().is_empty() {
            node.complain(report, "must not be empty");
        } else if sql.len() > MAX_FILE_BYTES {
            node.complain(report, format_args!("must take at most {MAX_FILE_BYTES} bytes, this takes {}", sql.len()));
        } else {
            return Some(sql.to_owned());
        }
        None
    });
    object.finish();
    Some(MigrationFile { name: name?, sql: sql? })
}

/// A bare file name that ends with `.sql`.
pub(crate) fn file_name(text: &str) -> Result<String, String> {
    let stem = text.strip_suffix(".sql").unwrap_or_default();
    let is_plain = stem.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if is_plain && stem.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric()) && text.len() <= 255 {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{}` is not a migration's name, such as `0001_init.sql`: at most 255 of a-z, A-Z, 0-9, `_`, `-` and `.`",
        shorten(text)
    ))
}
