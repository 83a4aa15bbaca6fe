//! A bundle out of, and into, a tar archive with gzip.
//!
//! INVARIANT: whatever the archive says of itself, no more than [`MAX_BYTES`] and what headers take are ever unpacked,
//! and nothing is written to a disk.

use std::collections::BTreeMap;
use std::io::{self, Read};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use tar::{Archive, Builder, EntryType, Header};

use super::{Bundle, BundleError, Gathering, MANIFEST, MAX_BYTES, MAX_FILES, is_hidden};

/// Most bytes of an unpacked archive: content, and header with padding of each file, twice for long names.
const MAX_UNPACKED: u64 = (MAX_BYTES + MAX_FILES * 4 * 512) as u64;

impl Bundle {
    /// Reads an archive. A single folder around all files is taken away; hidden files are left out.
    ///
    /// # Errors
    /// It cannot be read, or is no bundle.
    pub fn read_archive(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > MAX_BYTES {
            return Err(BundleError::Large);
        }
        let mut bounded = Bounded { inner: GzDecoder::new(bytes), left: MAX_UNPACKED, over: false };
        let read = unpack(&mut bounded);
        // A reader that was stopped makes the archive look broken; the bound is the cause.
        if bounded.over {
            return Err(BundleError::Large);
        }
        strip(read?)
    }
}

fn unpack(reader: &mut impl Read) -> Result<Gathering, BundleError> {
    let mut gathering = Gathering::default();
    let mut archive = Archive::new(reader);
    let mut seen = 0;
    for entry in archive.entries().map_err(BundleError::Archive)? {
        let mut entry = entry.map_err(BundleError::Archive)?;
        seen += 1;
        if seen > MAX_FILES * 2 {
            return Err(BundleError::Many);
        }
        let kind = entry.header().entry_type();
        // What speaks about all other entries and is none itself.
        if kind == EntryType::XGlobalHeader {
            continue;
        }
        let path = entry.path_bytes();
        let path = std::str::from_utf8(&path).map_err(|_| BundleError::Path("(no text)".to_owned()))?;
        let path = path.strip_prefix("./").unwrap_or(path).to_owned();
        match kind {
            EntryType::Directory => continue,
            _ if is_hidden(&path) => continue,
            EntryType::Regular | EntryType::Continuous => {}
            _ => return Err(BundleError::Sort(path.chars().take(200).collect())),
        }
        let mut content = Vec::new();
        (&mut entry).take(gathering.room() as u64 + 1).read_to_end(&mut content).map_err(BundleError::Archive)?;
        gathering.add(path, content)?;
    }
    Ok(gathering)
}

/// Takes away the one folder that everything is in, as most people make archives.
fn strip(gathering: Gathering) -> Result<Bundle, BundleError> {
    let wrapped = |files: &BTreeMap<String, Vec<u8>>| {
        let (folder, _) = files.keys().next()?.split_once('/')?;
        let folder = format!("{folder}/");
        (files.keys().all(|path| path.starts_with(&folder)) && files.contains_key(&format!("{folder}{MANIFEST}")))
            .then_some(folder)
    };
    match wrapped(&gathering.files) {
        None => gathering.end(),
        Some(folder) => {
            let inner = |(path, bytes): (String, Vec<u8>)| (path[folder.len()..].to_owned(), bytes);
            Bundle::new(gathering.files.into_iter().map(inner).collect())
        }
    }
}

/// Packs a bundle. The same bundle gives the same bytes.
///
/// # Errors
/// Memory is short; nothing else can fail.
pub fn pack(bundle: &Bundle) -> io::Result<Vec<u8>> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (path, bytes) in bundle.files() {
        let mut header = Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_entry_type(EntryType::Regular);
        builder.append_data(&mut header, path, bytes)?;
    }
    builder.into_inner()?.finish()
}

/// A reader that ends with an error behind so many bytes.
struct Bounded<R> {
    inner: R,
    left: u64,
    over: bool,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if room == 0 && !buffer.is_empty() {
            self.over = true;
            return Err(io::Error::other("the archive is too large"));
        }
        let count = self.inner.read(&mut buffer[..room])?;
        self.left -= count as u64;
        Ok(count)
    }
}
