//! Apps whose migrations are a folder, made complete on the caller's machine.
//!
//! `migrations: { path: ./migrations }` becomes `migrations: { files: [...] }` with the `*.sql` files in name order.
//! Only plain files directly in the folder count; other names are left alone, so a README may stand beside them.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};
use tenantry_domain::code::Code;

use crate::parse::{MAX_FILE_BYTES, MAX_FILES, MAX_STREAM_BYTES, file_name};
use crate::problem::Rejection;

const FIELD: &str = "spec.migrations.path";

/// Reads the migration folders that the documents name, relative to `base`, and puts their files in place.
///
/// # Errors
/// The folder or file that cannot be read or is not what it should be.
pub fn bundle(mut documents: Vec<Value>, base: &Path) -> Result<Vec<Value>, Rejection> {
    for document in &mut documents {
        if document.get("kind").and_then(Value::as_str) != Some("App") {
            continue;
        }
        let Some(migrations) = document.pointer_mut("/spec/migrations").and_then(Value::as_object_mut) else {
            continue;
        };
        // A path beside files or a command is the parser's complaint, not ours.
        let is_alone = !migrations.contains_key("files") && !migrations.contains_key("exec");
        let Some(path) = migrations.get("path").and_then(Value::as_str).filter(|_| is_alone).map(ToOwned::to_owned)
        else {
            continue;
        };
        let files = files(&base.join(&path))?;
        migrations.remove("path");
        migrations.insert("files".to_owned(), files);
    }
    Ok(documents)
}

fn files(folder: &Path) -> Result<Value, Rejection> {
    let shown = folder.display();
    let reject = |message: String| Rejection::field(Code::InvalidManifest, FIELD, message);
    let entries = fs::read_dir(folder).map_err(|error| {
        reject(format!("the folder `{shown}` cannot be read: {error}"))
            .hint("Give the folder relative to where the command runs, and let it be readable.")
    })?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| reject(format!("the folder `{shown}` cannot be read: {error}")))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // A hidden file is an editor's, not a migration.
        if name.ends_with(".sql") && !name.starts_with('.') && entry.path().is_file() {
            names.push(file_name(&name).map_err(|error| reject(format!("in `{shown}`: {error}")))?);
        }
    }
    names.sort_unstable();
    match names.len() {
        0 => {
            return Err(reject(format!("the folder `{shown}` holds no `*.sql` file"))
                .hint("Add a migration, or correct the path."));
        }
        count if count > MAX_FILES => {
            return Err(reject(format!("the folder `{shown}` holds {count} files, at most {MAX_FILES} are taken")));
        }
        _ => {}
    }
    let mut size = 0;
    let mut files = Vec::with_capacity(names.len());
    for name in names {
        let sql = text(&folder.join(&name)).map_err(|problem| reject(format!("`{name}` {problem}")))?;
        size += sql.len();
        if size > MAX_STREAM_BYTES {
            return Err(reject(format!("the files of `{shown}` take more than {MAX_STREAM_BYTES} bytes")));
        }
        files.push(json!({ "name": name, "sql": sql }));
    }
    Ok(Value::Array(files))
}

fn text(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let file = fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    // One byte more than allowed tells a file of the limit's size from a larger one.
    file.take(MAX_FILE_BYTES as u64 + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() > MAX_FILE_BYTES {
        return Err(format!("is larger than {MAX_FILE_BYTES} bytes"));
    }
    Ok(text)
}
