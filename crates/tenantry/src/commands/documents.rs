//! Manifests from files: which files `-f` means, and their documents made ready to be sent.
//!
//! Folders of migrations are read here, on the caller's machine; the API never opens a path that a request names.
//! What is wrong is said with file and line, before anything is sent.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tenantry_api::manifest::{self, Format};
use tenantry_api::problem::Rejection;
use tenantry_domain::code::Code;
use tenantry_domain::name::EnvironmentName;

use crate::exit::{Failure, Result};

/// Which files to read.
#[derive(Debug, Clone, clap::Args)]
pub struct Files {
    /// File, folder or `-` for standard input; may be repeated
    #[arg(short = 'f', long = "filename", required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Go into the subfolders of folders, too
    #[arg(short = 'R', long)]
    recursive: bool,
}

/// One text with manifests.
struct Text {
    name: String,
    folder: PathBuf,
    format: Format,
    bytes: Vec<u8>,
}

impl Files {
    /// These paths, without their subfolders.
    pub const fn of(paths: Vec<PathBuf>) -> Self {
        Self { paths, recursive: false }
    }

    /// Reads and checks all documents, in the order of the arguments and, within a folder, of the names.
    ///
    /// # Errors
    /// A file that cannot be read, or everything that is wrong in the first file with mistakes.
    pub fn read(&self, environment: &EnvironmentName) -> Result<Vec<Value>> {
        let mut texts = Vec::new();
        for path in &self.paths {
            if path.as_os_str() == "-" {
                texts.push(standard_input()?);
            } else {
                self.collect(path, &mut texts)?;
            }
        }
        let mut documents = Vec::new();
        for text in texts {
            documents.extend(checked(&text, environment).map_err(|rejection| in_file(&text.name, rejection))?);
        }
        Ok(documents)
    }

    fn collect(&self, path: &Path, texts: &mut Vec<Text>) -> Result<()> {
        let data = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        if !data.is_dir() {
            texts.push(file(path)?);
            return Ok(());
        }
        let before = texts.len();
        let mut folders = vec![path.to_owned()];
        while let Some(folder) = folders.pop() {
            let mut entries: Vec<PathBuf> = fs::read_dir(&folder)
                .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
                .map_err(|error| unreadable(&folder, &error))?;
            entries.sort();
            let (deeper, files): (Vec<_>, Vec<_>) =
                entries.into_iter().filter(|entry| !is_hidden(entry)).partition(|entry| entry.is_dir());
            for entry in files.iter().filter(|entry| is_manifest(entry)) {
                texts.push(file(entry)?);
            }
            if self.recursive {
                // The stack gives them back in the order of their names.
                folders.extend(deeper.into_iter().rev());
            }
        }
        if texts.len() == before {
            let hint = "Manifests are files that end with .yaml, .yml or .json; use -R for subfolders.";
            return Err(Failure::usage(format!("The folder `{}` holds no manifest", path.display())).hint(hint));
        }
        Ok(())
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn is_manifest(path: &Path) -> bool {
    path.extension().and_then(|end| end.to_str()).is_some_and(|end| matches!(end, "yaml" | "yml" | "json"))
}

fn file(path: &Path) -> Result<Text> {
    let mut bytes = Vec::new();
    // One byte more than is accepted is enough to be refused.
    fs::File::open(path)
        .and_then(|file| file.take(manifest::MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, &error))?;
    let is_json = path.extension().is_some_and(|end| end == "json");
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(Text {
        name: path.display().to_string(),
        folder: folder.to_owned(),
        format: if is_json { Format::Json } else { Format::Yaml },
        bytes,
    })
}

fn standard_input() -> Result<Text> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .take(manifest::MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(Path::new("-"), &error))?;
    // JSON is YAML too, but its own reader gives better positions.
    let is_json = bytes.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| *byte == b'{');
    let format = if is_json { Format::Json } else { Format::Yaml };
    Ok(Text { name: "standard input".to_owned(), folder: PathBuf::from("."), format, bytes })
}

fn checked(text: &Text, environment: &EnvironmentName) -> Result<Vec<Value>, Rejection> {
    let documents = manifest::read(&text.bytes, text.format)?;
    let bundled = bundle(&documents, text)?;
    if bundled == documents {
        // Nothing was put in: the text itself can be checked, which gives lines.
        manifest::parse_text(&text.bytes, text.format, Some(environment))?;
    } else {
        manifest::parse(&bundled, Some(environment))?;
    }
    Ok(bundled)
}

/// A migration folder is looked for where the command runs, then beside the manifest, then one folder up (manifests
/// often have a folder of their own beside the migrations).
fn bundle(documents: &[Value], text: &Text) -> Result<Vec<Value>, Rejection> {
    let bases = [PathBuf::from("."), text.folder.clone(), text.folder.join("..")];
    let has_all = |base: &&PathBuf| documents.iter().filter_map(migrations_path).all(|path| base.join(path).is_dir());
    let base = bases.iter().find(has_all).unwrap_or(&bases[0]);
    manifest::bundle(documents.to_vec(), base)
}

fn migrations_path(document: &Value) -> Option<&str> {
    document.pointer("/spec/migrations/path").and_then(Value::as_str)
}

fn in_file(name: &str, rejection: Rejection) -> Failure {
    let detail = if rejection.errors.is_empty() { format!("{name}: {}", rejection.detail) } else { name.to_owned() };
    Failure::new(rejection.code, detail).hint(rejection.hint).fields(rejection.errors)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Code::MalformedDocument, format!("`{}`: {error}", path.display()))
        .title("The file cannot be read")
        .hint("Check the path and its rights.")
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGION: &str = "apiVersion: tenantry.dev/v1\nkind: Region\nmetadata: { name: NAME }\n";

    fn files(paths: &[&Path], recursive: bool) -> Files {
        Files { paths: paths.iter().map(|path| (*path).to_owned()).collect(), recursive }
    }

    fn names(files: &Files) -> Result<Vec<String>> {
        let documents = files.read(&EnvironmentName::parse("prod").unwrap())?;
        Ok(documents.iter().map(|document| document["metadata"]["name"].as_str().unwrap().to_owned()).collect())
    }

    #[test]
    fn folders_are_read_in_order_and_deeper_only_when_asked() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, region: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, REGION.replace("NAME", region)).unwrap();
        };
        write("b.yaml", "bbb");
        write("a.yml", "aaa");
        write("deep/c.yaml", "ccc");
        write(".hidden.yaml", "hidden");
        write("notes.txt", "notes");
        assert_eq!(names(&files(&[root.path()], false)).unwrap(), ["aaa", "bbb"]);
        assert_eq!(names(&files(&[root.path()], true)).unwrap(), ["aaa", "bbb", "ccc"]);
        let deep = root.path().join("deep/c.yaml");
        assert_eq!(names(&files(&[&deep, &root.path().join("b.yaml")], false)).unwrap(), ["ccc", "bbb"]);
        fs::create_dir(root.path().join("empty")).unwrap();
        let error = names(&files(&[&root.path().join("empty")], false)).unwrap_err().to_string();
        assert!(error.contains("holds no manifest"), "{error}");
        let error = names(&files(&[&root.path().join("gone.yaml")], false)).unwrap_err().to_string();
        assert!(error.contains("gone.yaml"), "{error}");
    }

    #[test]
    fn mistakes_are_told_with_file_and_line() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("bad.yaml");
        fs::write(&path, "apiVersion: tenantry.dev/v1\nkind: Region\nmetadata:\n  name: NOT_A_NAME\n").unwrap();
        let error = names(&files(&[&path], false)).unwrap_err().to_string();
        assert!(error.contains("bad.yaml") && error.contains("metadata.name") && error.contains("line 4"), "{error}");
    }

    #[test]
    fn migrations_are_found_beside_the_manifest() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("sql-of-this-test")).unwrap();
        fs::write(root.path().join("sql-of-this-test/0001_init.sql"), "CREATE TABLE a (id int)").unwrap();
        let path = root.path().join("app.yaml");
        let text = "apiVersion: tenantry.dev/v1\nkind: App\nmetadata: { name: chat }\n\
                    spec: { migrations: { path: ./sql-of-this-test }, tenantKey: null }\n";
        fs::write(&path, text).unwrap();
        let documents = files(&[&path], false).read(&EnvironmentName::parse("prod").unwrap()).unwrap();
        assert_eq!(documents[0]["spec"]["migrations"]["files"][0]["name"], "0001_init.sql");
    }
}
