//! The repository as one value: every file's path and text, read once.
//!
//! Rules are functions over a [`Tree`], so that a test states a repository in a few strings. Paths are relative to
//! the root and use `/`. What builds and tools leave behind is not part of the tree.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

use crate::source::Source;

/// Folders that hold no source, wherever they are.
const SKIPPED: &[&str] = &[".git", ".tenantry", ".venv", "__pycache__", "node_modules", "target"];

/// Larger files are data; only their existence matters here.
const LARGEST_TEXT: u64 = 4 * 1024 * 1024;

/// All files of the repository, Rust sources already taken apart.
#[derive(Default)]
pub struct Tree {
    texts: BTreeMap<String, String>,
    sources: Vec<Source>,
}

impl Tree {
    /// Reads the tree below `root`.
    pub fn load(root: &Path) -> Result<Tree> {
        let mut tree = Tree::default();
        tree.load_dir(root, "")?;
        Ok(tree)
    }

    /// A tree made of `(path, text)` pairs.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (path, text) in files {
            tree.add((*path).to_owned(), (*text).to_owned());
        }
        tree
    }

    fn load_dir(&mut self, dir: &Path, prefix: &str) -> Result<()> {
        let entries = std::fs::read_dir(dir).with_context(|| format!("reading {dir:?}"))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("reading {dir:?}"))?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let kind = entry.file_type().with_context(|| name.clone())?;
            let path = format!("{prefix}{name}");
            if kind.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    self.load_dir(&entry.path(), &format!("{path}/"))?;
                }
            } else {
                let small = entry.metadata().is_ok_and(|data| data.len() <= LARGEST_TEXT);
                let bytes = if small { std::fs::read(entry.path()) } else { Ok(Vec::new()) };
                // A file that vanished between listing and reading, or is binary, has no text to check.
                let text = String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default();
                self.add(path, text);
            }
        }
        Ok(())
    }

    fn add(&mut self, path: String, text: String) {
        if path.ends_with(".rs") {
            self.sources.push(Source::new(&path, &text));
        }
        self.texts.insert(path, text);
    }

    /// Number of files.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// The text of one file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Whether a file or folder of this path exists.
    pub fn exists(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        path.is_empty() || self.texts.contains_key(path) || self.files_below(&folder).next().is_some()
    }

    /// Paths and texts of all files.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Paths and texts of the files below a folder, which is named with its closing slash.
    pub fn files_below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts
            .range(folder.to_owned()..)
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .take_while(move |(path, _)| path.starts_with(folder))
    }

    /// All Rust sources.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter()
    }

    /// The Rust sources below a folder, which is named with its closing slash.
    pub fn sources_below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a Source> {
        self.sources.iter().filter(move |source| source.path.starts_with(folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_exist_through_their_files() {
        let tree = Tree::of(&[("docs/howto/a.md", "")]);
        assert!(tree.exists("docs/howto/a.md"));
        assert!(tree.exists("docs/howto"));
        assert!(tree.exists("docs/"));
        assert!(!tree.exists("docs/how"));
    }

    #[test]
    fn loading_skips_what_builds_leave_behind() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["src/a.rs", "target/b.rs", "sub/.git/c", "sub/d.md"] {
            let file = dir.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "x").unwrap();
        }
        let tree = Tree::load(dir.path()).unwrap();
        let paths: Vec<_> = tree.files().map(|(path, _)| path).collect();
        assert_eq!(paths, ["src/a.rs", "sub/d.md"]);
        assert_eq!(tree.sources().count(), 1);
    }
}
