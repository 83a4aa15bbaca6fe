//! The chat product of `examples/chat`, carried inside the binary: an installed `tenantry` needs no checkout.
//!
//! The files are those of the repository; a test refuses a file there that is missing here.

use std::fs;
use std::io;
use std::path::Path;

/// One file of the example.
#[derive(Debug, Clone, Copy)]
pub struct ExampleFile {
    /// Its path below the example's folder.
    pub path: &'static str,
    /// Its text.
    pub text: &'static str,
}

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(ExampleFile { path: $path, text: include_str!(concat!("../../../examples/chat/", $path)) }),*]
    };
}

/// Manifests and migrations; what shows mistakes (`broken`, `bad`) and queries stay in the repository.
pub const FILES: &[ExampleFile] = files![
    "manifests/00-platform.yaml",
    "manifests/tenants/acme.yaml",
    "manifests/tenants/globex.yaml",
    "manifests/tenants/initech.yaml",
    "migrations/0001_init.sql",
    "migrations/0002_messages_and_files.sql",
    "migrations/0003_pins_and_reactions.sql",
    "seed.sql",
];

/// Writes the example's files below `folder`; files that are there stay as they are, so that a user may edit them.
///
/// # Errors
/// Those of the file system.
pub fn unpack(folder: &Path) -> io::Result<()> {
    for file in FILES {
        let path = folder.join(file.path);
        if path.exists() {
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, file.text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_file_of_the_example_is_missing() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/chat");
        let mut there = BTreeSet::new();
        for folder in ["manifests", "manifests/tenants", "migrations"] {
            for entry in fs::read_dir(root.join(folder)).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_file() {
                    there.insert(format!("{folder}/{}", entry.file_name().to_str().unwrap()));
                }
            }
        }
        there.insert("seed.sql".to_owned());
        let carried: BTreeSet<_> = FILES.iter().map(|file| file.path.to_owned()).collect();
        assert_eq!(carried, there);
    }
}
