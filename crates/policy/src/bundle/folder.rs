//! A bundle out of a folder.

use std::io::Read as _;
use std::path::Path;

use super::{Bundle, BundleError, Gathering, MAX_FILES};

impl Bundle {
    /// Reads a folder with what is below. Hidden files are left out; links are refused.
    ///
    /// # Errors
    /// It cannot be read, or is no bundle.
    pub fn read_folder(folder: &Path) -> Result<Self, BundleError> {
        let mut gathering = Gathering::default();
        let mut waiting = vec![(folder.to_owned(), String::new())];
        let mut folders = 0;
        while let Some((path, inside)) = waiting.pop() {
            folders += 1;
            if folders > MAX_FILES {
                return Err(BundleError::Many);
            }
            for entry in std::fs::read_dir(&path).map_err(|source| unreadable(&path, source))? {
                let entry = entry.map_err(|source| unreadable(&path, source))?;
                let name = entry.file_name();
                let Some(name) = name.to_str() else {
                    return Err(BundleError::Path(name.to_string_lossy().into_owned()));
                };
                if name.starts_with('.') {
                    continue;
                }
                let inside = if inside.is_empty() { name.to_owned() } else { format!("{inside}/{name}") };
                // Of the entry itself: a link is not followed.
                let sort = entry.file_type().map_err(|source| unreadable(&entry.path(), source))?;
                if sort.is_dir() {
                    waiting.push((entry.path(), inside));
                } else if sort.is_file() {
                    let bytes = read(&entry.path(), gathering.room())?;
                    gathering.add(inside, bytes)?;
                } else {
                    return Err(BundleError::Sort(inside));
                }
            }
        }
        gathering.end()
    }
}

/// A file's bytes, one more than there is room for at most.
fn read(path: &Path, room: usize) -> Result<Vec<u8>, BundleError> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|source| unreadable(path, source))?;
    file.take(room as u64 + 1).read_to_end(&mut bytes).map_err(|source| unreadable(path, source))?;
    if bytes.len() > room { Err(BundleError::Large) } else { Ok(bytes) }
}

fn unreadable(path: &Path, source: std::io::Error) -> BundleError {
    BundleError::Read { path: path.display().to_string(), source }
}
