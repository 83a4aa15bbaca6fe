//! Signatures, by keys that another program made.

use std::process::Command;

use tenantry_policy::{Bundle, SigningKey, Trust};

use crate::sample::strict;

/// A private key and its public one, as PEM.
fn keys() -> (String, String) {
    let private = Command::new("openssl").args(["genpkey", "-algorithm", "ed25519"]).output().unwrap();
    assert!(private.status.success());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.pem");
    std::fs::write(&path, &private.stdout).unwrap();
    let public = Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(&path).output().unwrap();
    (String::from_utf8(private.stdout).unwrap(), String::from_utf8(public.stdout).unwrap())
}

fn with(bundle: &Bundle, path: &str, text: &str) -> Bundle {
    let mut files: std::collections::BTreeMap<_, _> =
        bundle.files().map(|(path, bytes)| (path.to_owned(), bytes.to_vec())).collect();
    files.insert(path.to_owned(), text.as_bytes().to_vec());
    Bundle::new(files).unwrap()
}

#[test]
fn signed_bundles_are_believed_and_others_are_not() {
    let (private, public) = keys();
    let key = SigningKey::read(&private).unwrap();
    let bundle = strict("1");
    let signed = with(&bundle, "bundle.sig", &key.sign(bundle.digest()));

    let nobody = Trust::default();
    assert!(!nobody.is_asked());
    nobody.check(&bundle).unwrap();

    // By PEM, by base64, and among others.
    let (_, other) = keys();
    for trust in [
        Trust::new([public.as_str()]),
        Trust::new([key.public().as_str()]),
        Trust::new([&other, &public].map(String::as_str)),
    ] {
        let trust = trust.unwrap();
        trust.check(&signed).unwrap();
        let refused = |bundle: &Bundle| trust.check(bundle).unwrap_err();
        assert!(refused(&bundle).to_string().contains("is not signed"));
        assert_eq!(refused(&bundle).code().to_string(), "TEN-0077");
        // One byte of the content, and the signature is of another one.
        assert!(refused(&with(&signed, "own.cedar", "")).to_string().contains("does not hold"));
        assert!(refused(&with(&signed, "bundle.sig", "{}")).to_string().contains("cannot be read"));
        let stolen = key.sign(strict("2").digest());
        assert!(refused(&with(&bundle, "bundle.sig", &stolen)).to_string().contains("does not hold"));
    }
    let stranger = Trust::new([other.as_str()]).unwrap();
    assert!(stranger.check(&signed).unwrap_err().to_string().contains("not configured"));
}

#[test]
fn what_is_no_key_is_refused() {
    for text in ["", "abc", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
        assert!(Trust::new([text]).is_err(), "{text}");
        assert!(SigningKey::read(text).is_err(), "{text}");
    }
    let rsa = Command::new("openssl").args(["genpkey", "-algorithm", "rsa", "-quiet"]).output().unwrap();
    assert!(SigningKey::read(&String::from_utf8(rsa.stdout).unwrap()).is_err());
    let (private, _) = keys();
    let key = SigningKey::read(&private).unwrap();
    assert!(!format!("{key:?}").contains("PRIVATE") && format!("{key:?}").contains(&key.public()));
}
