//! Fresh random values: keys, passwords, tokens, idempotency keys.

use std::fs::File;
use std::io::{Error, Read as _};

/// `BYTES` random bytes from the system.
///
/// # Errors
/// The system has none to give.
pub fn bytes<const BYTES: usize>() -> Result<[u8; BYTES], Error> {
    let mut buffer = [0; BYTES];
    File::open("/dev/urandom")?.read_exact(&mut buffer)?;
    Ok(buffer)
}

/// `BYTES` random bytes as hex digits.
///
/// # Errors
/// The system has none to give.
pub fn hex<const BYTES: usize>() -> Result<String, Error> {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(BYTES * 2);
    for byte in bytes::<BYTES>()? {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}
