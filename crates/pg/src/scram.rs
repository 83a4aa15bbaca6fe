//! Password verifiers made on our side.
//!
//! `ALTER ROLE … PASSWORD 'text'` would put the password into the server's log and into `pg_stat_activity`. The
//! verifier that is sent instead cannot be used to log in.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

/// The `SCRAM-SHA-256$…` verifier of a password, with a fresh salt, as the server stores it.
#[must_use]
pub fn verifier(password: &SecretString) -> String {
    postgres_protocol::password::scram_sha_256(password.expose_secret().as_bytes())
}

/// The verifier of another password with the salt and the iterations of a known one, so that a server which tells the
/// salt before it sees a proof can accept both. `None` if the known text is no verifier. The password is ASCII, which
/// SASLprep leaves as it is. RFC 5802, 3 and RFC 5803.
#[must_use]
pub fn verifier_like(password: &SecretString, known: &SecretString) -> Option<String> {
    let known = known.expose_secret().strip_prefix("SCRAM-SHA-256$")?;
    let (parameters, _) = known.split_once('$')?;
    let (iterations, salt) = parameters.split_once(':')?;
    let count: NonZeroU32 = iterations.parse().ok()?;
    let salt_bytes = STANDARD.decode(salt).ok()?;
    let password = password.expose_secret();
    if !password.is_ascii() {
        return None;
    }
    let mut salted = Zeroizing::new([0; digest::SHA256_OUTPUT_LEN]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, count, &salt_bytes, password.as_bytes(), salted.as_mut_slice());
    let key = hmac::Key::new(hmac::HMAC_SHA256, salted.as_slice());
    let stored = digest::digest(&digest::SHA256, hmac::sign(&key, b"Client Key").as_ref());
    let server = hmac::sign(&key, b"Server Key");
    let (stored, server) = (STANDARD.encode(stored), STANDARD.encode(server));
    Some(format!("SCRAM-SHA-256${iterations}:{salt}${stored}:{server}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_password_with_the_same_salt_is_the_same_verifier() {
        let (one, other) = (SecretString::from("correct horse"), SecretString::from("battery staple"));
        let known = verifier(&one).into();
        assert_eq!(verifier_like(&one, &known).as_ref(), Some(&known.expose_secret().to_owned()));
        let like = verifier_like(&other, &known).unwrap();
        let salt = |text: &str| text.split('$').nth(1).map(str::to_owned);
        assert_eq!(salt(&like), salt(known.expose_secret()));
        assert_ne!(like, known.expose_secret());
        for broken in ["", "md5", "SCRAM-SHA-256$", "SCRAM-SHA-256$0:AA==$x:y", "SCRAM-SHA-256$4096:?$x:y"] {
            assert_eq!(verifier_like(&one, &broken.into()), None, "{broken}");
        }
        assert_eq!(verifier_like(&"\u{2126}".into(), &known), None);
    }
}
