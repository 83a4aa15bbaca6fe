//! Folders, archives and digests; what is no bundle.

use std::fs;

use tenantry_policy::bundle::{self, MAX_FILES};
use tenantry_policy::{Bundle, BundleError, cases};

use crate::sample::{MANIFEST, files, forbid, strict};

#[test]
fn a_folder_an_archive_and_a_wrapped_archive_are_one_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("acme");
    fs::create_dir_all(inside.join("tests")).unwrap();
    fs::create_dir_all(inside.join(".git")).unwrap();
    fs::write(inside.join("policy.toml"), MANIFEST).unwrap();
    fs::write(inside.join("own.cedar"), forbid("own", "tenant.move", "true")).unwrap();
    fs::write(inside.join("tests/a.yaml"), "tests: []\n").unwrap();
    fs::write(inside.join(".git/config"), "hidden").unwrap();
    let folder = Bundle::read_folder(&inside).unwrap();
    assert_eq!(folder.files().count(), 3);

    let packed = bundle::pack(&folder).unwrap();
    assert_eq!(packed, bundle::pack(&folder).unwrap());
    assert_eq!(Bundle::read_archive(&packed).unwrap(), folder);

    // As people make them: with the folder, with times, by another program.
    for arguments in [vec!["-C", ".", "acme"], vec!["-C", "acme", "."]] {
        let made =
            std::process::Command::new("tar").current_dir(dir.path()).args(["-czf", "-"]).args(arguments).output();
        let read = Bundle::read_archive(&made.unwrap().stdout).unwrap();
        assert_eq!(read.digest(), folder.digest());
    }

    // The signature is not part of what it signs; everything else is.
    fs::write(inside.join("bundle.sig"), "x").unwrap();
    assert_eq!(Bundle::read_folder(&inside).unwrap().digest(), folder.digest());
    fs::write(inside.join("README.md"), "x").unwrap();
    assert_ne!(Bundle::read_folder(&inside).unwrap().digest(), folder.digest());
}

#[test]
fn the_digest_is_what_the_documents_say() {
    // Made by hand: sha256 of the domain line, then lengths and contents in order.
    let bundle = Bundle::new(files(&[("b", "2"), ("a", "")])).unwrap();
    let mut text = b"tenantry-policy-bundle/v1\n".to_vec();
    for part in ["a", "", "b", "2"] {
        text.extend((part.len() as u64).to_be_bytes());
        text.extend(part.as_bytes());
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("text"), text).unwrap();
    let sum = std::process::Command::new("sha256sum").arg(dir.path().join("text")).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    assert_eq!(bundle.digest().to_string(), format!("sha256:{}", &sum[..64]));
    assert_eq!(bundle.digest().to_string().parse::<tenantry_policy::Digest>().unwrap(), bundle.digest());
}

#[test]
fn links_escapes_and_bombs_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("policy.toml"), MANIFEST).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("own.cedar")).unwrap();
    assert!(matches!(Bundle::read_folder(dir.path()), Err(BundleError::Sort(path)) if path == "own.cedar"));

    for (path, link) in
        [("own.cedar", true), ("../../etc/x", false), ("/etc/x", false), ("a b", false), ("a//b", false)]
    {
        let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        header.set_mode(0o644);
        if link {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_link_name("/etc/passwd").unwrap();
        }
        // Written past the crate's own checks, as an attacker would.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        builder.append(&header, std::io::empty()).unwrap();
        let error = Bundle::read_archive(&builder.into_inner().unwrap().finish().unwrap()).unwrap_err();
        assert!(matches!(error, BundleError::Sort(_) | BundleError::Path(_)), "{path}: {error}");
    }

    // A gigabyte of nothing, a thousand times smaller when packed.
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best()));
    let mut header = tar::Header::new_ustar();
    header.set_size(64 << 20);
    header.set_mode(0o644);
    builder.append_data(&mut header, "own.cedar", std::io::Read::take(std::io::repeat(0), 64 << 20)).unwrap();
    let bomb = builder.into_inner().unwrap().finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    assert!(matches!(Bundle::read_archive(&bomb), Err(BundleError::Large)));

    let many = (0..=MAX_FILES).map(|number| (format!("f{number}"), Vec::new())).collect();
    assert!(matches!(Bundle::new(many), Err(BundleError::Many)));
    let large = [("a".to_owned(), vec![0; bundle::MAX_BYTES + 1])].into_iter().collect();
    assert!(matches!(Bundle::new(large), Err(BundleError::Large)));
}

#[test]
fn tests_of_a_bundle_are_read_merged_and_compared() {
    let tests = r"
defaults:
  principal: { kind: service, id: ci }
  resource: { type: tenant, id: t, slug: t, environment: prod, plan: standard, phase: active, isolation: shared }
  context: { granted: true }
tests:
  - name: right
    question: { action: tenant.suspend }
    expect: { allowed: false, rules: [no-suspend], remedy: Do not }
  - name: wrong
    question: { action: tenant.suspend, resource: { plan: other } }
    expect: { allowed: false, rules: [no-suspend], remedy: Never }
";
    let mut parts: std::collections::BTreeMap<_, _> =
        strict("1").files().map(|(path, bytes)| (path.to_owned(), bytes.to_vec())).collect();
    parts.insert("tests/own.yaml".to_owned(), tests.as_bytes().to_vec());
    let compiled = Bundle::new(parts.clone()).unwrap().compile().unwrap();
    let outcomes = cases::run(&compiled);
    assert_eq!(outcomes.iter().map(|one| one.passed).collect::<Vec<_>>(), [true, false]);
    assert_eq!(outcomes[1].differences.len(), 3, "{:?}", outcomes[1].differences);
    let error = cases::passed(&outcomes).unwrap_err();
    assert_eq!(error.complaints()[0].field, "tests/own.yaml: wrong");

    // The same in JSON, and with a field that does not exist.
    let json = r#"{"tests": [{"name": "x", "question": {"action": "tenant.move", "context": {"granted": "yes"}},
        "expect": {"allowed": true}}]}"#;
    parts.insert("tests/own.yaml".to_owned(), b"tests: []".to_vec());
    parts.insert("tests/more.json".to_owned(), json.as_bytes().to_vec());
    let error = Bundle::new(parts).unwrap().compile().unwrap_err();
    assert!(error.to_string().contains("tests/more.json: x"), "{error}");
}
