//! From a source into force: what holds, what is refused, and what stays meanwhile.

use std::collections::BTreeMap;
use std::hash::{Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use secrecy::SecretString;
use tenantry_policy::source::{Credential, Fetched};
use tenantry_policy::{
    Bundle, Choice, How, Outcome, Shelf, ShelfError, Source, Stage, Supply, SupplyError, Trust, Turn, Way, Word,
    bundle, governance,
};

use crate::sample::{self, MANIFEST, question, strict};

/// Pages by path, and what was asked for.
#[derive(Clone, Default)]
struct Site {
    pages: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    asked: Arc<Mutex<Vec<(String, HeaderMap, u16)>>>,
}

impl Site {
    async fn start() -> (Self, SocketAddr) {
        let site = Self::default();
        let app = Router::new().route("/{*path}", get(page)).with_state(site.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        (site, address)
    }

    fn put(&self, path: &str, bytes: Vec<u8>) {
        self.pages.lock().unwrap().insert(path.to_owned(), bytes);
    }

    fn last(&self) -> (String, HeaderMap, u16) {
        self.asked.lock().unwrap().last().unwrap().clone()
    }
}

async fn page(State(site): State<Site>, Path(path): Path<String>, headers: HeaderMap) -> Response {
    let page = site.pages.lock().unwrap().get(&path).cloned();
    let response = match page {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(bytes) if bytes.starts_with(b"-> ") => {
            let to = String::from_utf8(bytes[3..].to_vec()).unwrap();
            (StatusCode::FOUND, [("location", to)]).into_response()
        }
        Some(bytes) => {
            let mut hasher = std::hash::DefaultHasher::new();
            bytes.hash(&mut hasher);
            let tag = format!("\"{:x}\"", hasher.finish());
            if headers.get("if-none-match").is_some_and(|given| given.to_str().unwrap() == tag) {
                StatusCode::NOT_MODIFIED.into_response()
            } else {
                ([("etag", tag)], bytes).into_response()
            }
        }
    };
    site.asked.lock().unwrap().push((path, headers, response.status().as_u16()));
    response
}

fn stage() -> Arc<Stage> {
    Arc::new(Stage::new(governance::builtin().unwrap().engine))
}

fn allows(stage: &Stage) -> bool {
    stage.ask(&question("tenant.suspend")).allowed
}

fn word(reason: &str) -> Word {
    let at = "2026-11-23T04:00:00Z".parse().unwrap();
    Word { at, by: "petra".to_owned(), reason: Some(reason.to_owned()) }
}

fn write(place: &std::path::Path, bundle: &Bundle) {
    for (path, bytes) in bundle.files() {
        std::fs::write(place.join(path), bytes).unwrap();
    }
}

fn pack(bundle: &Bundle) -> Vec<u8> {
    bundle::pack(bundle).unwrap()
}

/// A bundle that forbids nothing of its own.
fn lenient(version: &str) -> Bundle {
    sample::bundle(&[("policy.toml", &format!("name = 'acme'\nversion = '{version}'\n"))])
}

#[tokio::test]
async fn an_archive_over_http_comes_into_force_and_bad_ones_do_not() {
    let (site, address) = Site::start().await;
    let source = Source::parse(&format!("http://{address}/acme.tar.gz")).unwrap();
    let stage = stage();
    let supply = Supply::new(Some(source), Trust::default(), None, Arc::clone(&stage))
        .with_credential(Credential::Bearer(SecretString::from("letmein")));

    // Nothing there.
    let error = supply.refresh(Way::Active).await.unwrap_err();
    assert_eq!((error.code().to_string().as_str(), allows(&stage)), ("TEN-0078", true));

    site.put("acme.tar.gz", pack(&strict("1")));
    let digest = strict("1").digest();
    assert_eq!(supply.refresh(Way::Active).await.unwrap(), Outcome::Activated(digest));
    assert!(!allows(&stage));
    let fingerprint = stage.ask(&question("tenant.suspend")).fingerprint;
    assert_eq!(fingerprint, format!("acme/1+sha256:{}", &digest.hex()[..32]));
    assert_eq!(site.last().1["authorization"], "Bearer letmein");
    // The source says itself that it has nothing new.
    assert_eq!(supply.refresh(Way::Active).await.unwrap(), Outcome::Unchanged);
    assert_eq!(site.last().2, 304);

    // Not valid; failing its own tests; no bundle; too large.
    let broken = sample::bundle(&[("policy.toml", MANIFEST), ("own.cedar", "permit")]);
    let failing = "tests: [{ name: t, question: { principal: { kind: user, id: u }, action: tenant.read, resource: \
                   { type: environment, name: prod } }, expect: { allowed: true } }]";
    let failing = sample::bundle(&[("policy.toml", MANIFEST), ("tests/t.yaml", failing)]);
    let large = vec![0x1f; bundle::MAX_BYTES + 1];
    for (page, code) in [(pack(&broken), 76), (pack(&failing), 76), (b"<html>".to_vec(), 76), (large, 76)] {
        site.put("acme.tar.gz", page);
        for _ in 0..2 {
            // Told again every time, not remembered as seen.
            assert_eq!(supply.refresh(Way::Active).await.unwrap_err().code().number(), code);
        }
        assert!(!allows(&stage) && stage.active().fingerprint() == fingerprint);
    }
    let error = {
        site.put("acme.tar.gz", pack(&failing));
        supply.refresh(Way::Active).await.unwrap_err()
    };
    assert_eq!(error.complaints()[0].field, "tests/t.yaml: t");
}

#[tokio::test]
async fn an_index_promises_a_digest() {
    let (site, address) = Site::start().await;
    site.put("bundles/acme-1.tar.gz", pack(&strict("1")));
    let index = |digest: &str, url: &str| format!("{{\"digest\": \"{digest}\", \"url\": \"{url}\"}}").into_bytes();
    let source = Source::parse(&format!("http://{address}/index.json")).unwrap();
    let stage = stage();
    let supply = Supply::new(Some(source), Trust::default(), None, Arc::clone(&stage));

    site.put("index.json", index(&lenient("1").digest().to_string(), "bundles/acme-1.tar.gz"));
    let error = supply.refresh(Way::Active).await.unwrap_err();
    assert!(error.to_string().contains("promised") && allows(&stage), "{error}");
    // To a server that anybody could answer for.
    site.put("index.json", index(&strict("1").digest().to_string(), "http://192.0.2.1/acme.tar.gz"));
    assert!(supply.refresh(Way::Active).await.unwrap_err().to_string().contains("is no source"));
    site.put("index.json", index(&strict("1").digest().to_string(), "bundles/acme-1.tar.gz"));
    assert_eq!(supply.refresh(Way::Active).await.unwrap(), Outcome::Activated(strict("1").digest()));
    assert!(!allows(&stage));
}

#[tokio::test]
async fn redirects_lead_to_safe_addresses_only() {
    let (site, address) = Site::start().await;
    site.put("here", b"-> /there".to_vec());
    site.put("there", pack(&strict("1")));
    let fetch = |path: &str| {
        let source = Source::parse(&format!("http://{address}/{path}")).unwrap();
        async move { source.fetch(None, None).await }
    };
    assert!(matches!(fetch("here").await.unwrap(), Fetched::Bundle(..)));
    site.put("away", b"-> http://192.0.2.1/x".to_vec());
    assert!(fetch("away").await.unwrap_err().to_string().contains("status 302"));
    site.put("round", b"-> /round".to_vec());
    assert!(fetch("round").await.is_err());
    for text in ["http://example.com/x", "ftp://127.0.0.1/x", "https://user:secret@example.com/", ""] {
        assert!(Source::parse(text).is_err(), "{text}");
    }
}

#[tokio::test]
async fn what_was_in_force_outlives_the_process_and_can_be_rolled_back_to() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("bundles");
    std::fs::create_dir(&place).unwrap();
    let write = |bundle: &Bundle| {
        for (path, bytes) in bundle.files() {
            std::fs::write(place.join(path), bytes).unwrap();
        }
    };
    let source = Source::parse(place.to_str().unwrap()).unwrap();
    let shelf = || Some(Shelf::open(dir.path().join("kept")).unwrap());
    let supply = |stage: &Arc<Stage>| Supply::new(Some(source.clone()), Trust::default(), shelf(), Arc::clone(stage));

    let first = stage();
    let one = supply(&first);
    assert_eq!(one.resume().await.unwrap(), None);
    write(&lenient("1"));
    let kept = match one.refresh(Way::Active).await.unwrap() {
        Outcome::Activated(digest) => digest,
        other => panic!("{other:?}"),
    };
    write(&strict("2"));
    let second = strict("2").digest();
    assert_eq!(one.refresh(Way::Active).await.unwrap(), Outcome::Activated(second));
    assert!(!allows(&first));

    // A new process, and the source is gone: as it was.
    std::fs::rename(&place, dir.path().join("away")).unwrap();
    let later = stage();
    let two = supply(&later);
    assert_eq!(two.resume().await.unwrap(), Some(second));
    assert!(!allows(&later));
    assert!(two.refresh(Way::Active).await.is_err() && !allows(&later));
    std::fs::rename(dir.path().join("away"), &place).unwrap();

    // Back; and the source's bundle is not taken again, not even by another process.
    let back = two.roll_back(None, word("too strict")).await.unwrap();
    assert_eq!(back, Turn { before: Some(second), now: kept });
    assert_eq!(later.chosen().unwrap().word, word("too strict"));
    assert!(allows(&later));
    assert_eq!(two.refresh(Way::Active).await.unwrap(), Outcome::Withdrawn(second));
    let third = stage();
    let three = supply(&third);
    assert_eq!(three.resume().await.unwrap(), Some(kept));
    assert_eq!(three.refresh(Way::Active).await.unwrap(), Outcome::Withdrawn(second));
    assert!(allows(&third));
    // A newer one of the source is taken, and one that is asked for by name as well.
    write(&strict("3"));
    assert_eq!(three.refresh(Way::Active).await.unwrap(), Outcome::Activated(strict("3").digest()));
    assert!(third.chosen().is_none(), "it came from the source");
    assert_eq!(three.roll_back(Some(second), word("that one")).await.unwrap().now, second);
    let again = three.roll_back(Some(second), word("once more")).await.unwrap();
    assert!(!again.is_change() && again.now == second);
    let stranger = lenient("9").digest();
    let error = three.roll_back(Some(stranger), word("x")).await.unwrap_err();
    assert_eq!(error.code().to_string(), "TEN-0079");
    let state = three.state().unwrap();
    assert_eq!((state.active, state.withdrawn), (Some(second), vec![strict("3").digest()]));

    // What was changed on disk is not used.
    let file = dir.path().join("kept").join(format!("{}.tar.gz", second.hex()));
    std::fs::write(&file, pack(&lenient("1"))).unwrap();
    let fourth = stage();
    let error = supply(&fourth).resume().await.unwrap_err();
    assert!(error.to_string().contains("changed on disk"), "{error}");
}

/// Two bad ones after each other: none of them comes back, neither by going back nor from the source.
#[tokio::test]
async fn who_goes_back_twice_does_not_go_forth() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("bundles");
    std::fs::create_dir(&place).unwrap();
    let shelf = || Some(Shelf::open(dir.path().join("kept")).unwrap());
    let source = Source::parse(place.to_str().unwrap()).unwrap();
    let stage = stage();
    let supply = Supply::new(Some(source.clone()), Trust::default(), shelf(), Arc::clone(&stage));
    let mut digests = Vec::new();
    for bundle in [lenient("1"), strict("2"), strict("3")] {
        for (path, bytes) in bundle.files() {
            std::fs::write(place.join(path), bytes).unwrap();
        }
        digests.push(bundle.digest());
        assert_eq!(supply.refresh(Way::Active).await.unwrap(), Outcome::Activated(bundle.digest()));
    }
    let [first, second, third] = digests[..] else { panic!() };
    assert_eq!(supply.roll_back(None, word("x")).await.unwrap().now, second);
    assert_eq!(supply.roll_back(None, word("x")).await.unwrap().now, first);
    assert_eq!(supply.refresh(Way::Active).await.unwrap(), Outcome::Withdrawn(third));
    assert!(allows(&stage) && supply.roll_back(None, word("x")).await.is_err(), "nothing is before the first");
    let again = Supply::new(Some(source), Trust::default(), shelf(), Arc::clone(&stage));
    assert_eq!(again.resume().await.unwrap(), Some(first));
    assert_eq!(again.refresh(Way::Active).await.unwrap(), Outcome::Withdrawn(third));
    // What an earlier release wrote, who knew of one withdrawn bundle.
    let state = dir.path().join("kept/state.json");
    let old = serde_json::json!({ "active": first, "earlier": [], "withdrawn": third });
    std::fs::write(&state, old.to_string()).unwrap();
    assert_eq!(shelf().unwrap().state().unwrap().withdrawn, [third]);
    std::fs::write(&state, serde_json::json!({ "active": first, "withdrawn": null }).to_string()).unwrap();
    assert!(shelf().unwrap().state().unwrap().withdrawn.is_empty());
}

#[tokio::test]
async fn only_so_many_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(dir.path()).unwrap();
    for number in 0..25 {
        shelf.hold().unwrap().unwrap().activate(&lenient(&number.to_string())).unwrap();
    }
    assert_eq!(shelf.state().unwrap().earlier.len(), tenantry_policy::shelf::KEPT - 1);
    // Besides them: the state, and the lock.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), tenantry_policy::shelf::KEPT + 2);
    assert!(shelf.load(lenient("15").digest()).is_ok() && shelf.load(lenient("14").digest()).is_err());
}

#[tokio::test]
async fn a_bundle_is_tried_then_put_in_force() {
    let stage = stage();
    let supply = Supply::new(None, Trust::default(), None, Arc::clone(&stage));
    assert!(supply.promote(None, word("x")).await.is_err());
    let digest = strict("1").digest();
    assert_eq!(supply.take(strict("1"), Way::Shadow).await.unwrap(), Outcome::Shadowed(digest));
    assert!(allows(&stage) && stage.tally().shadow_different == 1);
    assert_eq!(supply.promote(None, word("x")).await.unwrap(), Turn { before: None, now: digest });
    assert!(!allows(&stage) && stage.shadow().is_none());
    // What is tried and then taken for good is not tried any more.
    supply.take(lenient("2"), Way::Shadow).await.unwrap();
    supply.take(lenient("2"), Way::Active).await.unwrap();
    assert!(allows(&stage) && stage.shadow().is_none());
    supply.take(strict("1"), Way::Active).await.unwrap();
    supply.take(lenient("3"), Way::Shadow).await.unwrap();
    supply.discard().await.unwrap();
    assert!(!allows(&stage) && supply.promote(None, word("x")).await.is_err());
}

/// A process that serves, and beside it somebody who has nothing but its folder.
#[tokio::test]
async fn what_somebody_chooses_on_the_shelf_is_followed_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("bundles");
    std::fs::create_dir(&place).unwrap();
    let shelf = Shelf::open(dir.path().join("kept")).unwrap();
    let source = Source::parse(place.to_str().unwrap()).unwrap();
    let serving = stage();
    let server = Supply::new(Some(source), Trust::default(), Some(shelf.clone()), Arc::clone(&serving));
    let person = || Supply::new(None, Trust::default(), Some(shelf.clone()), stage());
    let (first, second, third) = (lenient("1"), strict("2"), strict("3"));
    for bundle in [&first, &second] {
        write(&place, bundle);
        server.refresh(Way::Active).await.unwrap();
    }
    assert!(!allows(&serving));
    assert_eq!(server.follow().await.unwrap(), None, "it is its own doing");

    let back = person().roll_back(None, word("nobody can suspend")).await.unwrap();
    assert_eq!(back, Turn { before: Some(second.digest()), now: first.digest() });
    // Before the server heard of it, and after: the source's bundle is not taken again.
    assert_eq!(server.refresh(Way::Active).await.unwrap(), Outcome::Unchanged);
    assert_eq!(server.follow().await.unwrap(), Some(first.digest()));
    assert!(allows(&serving));
    assert_eq!(server.refresh(Way::Active).await.unwrap(), Outcome::Withdrawn(second.digest()));
    assert_eq!(server.follow().await.unwrap(), None);
    let choice = Choice { how: How::RolledBack, word: word("nobody can suspend") };
    assert_eq!(serving.chosen().as_deref(), Some(&choice));
    let again = person().roll_back(Some(first.digest()), word("again")).await.unwrap();
    assert!(!again.is_change());
    assert_eq!(shelf.state().unwrap().chosen, Some(choice), "what changes nothing is nobody's word");

    // What cannot be used here does not replace what can.
    std::fs::write(dir.path().join("kept").join(format!("{}.tar.gz", second.digest().hex())), b"x").unwrap();
    assert!(person().roll_back(Some(second.digest()), word("x")).await.is_err());
    assert_eq!(shelf.state().unwrap().active, Some(first.digest()));

    // A newer one of the source takes its place.
    write(&place, &third);
    assert_eq!(server.refresh(Way::Active).await.unwrap(), Outcome::Activated(third.digest()));
    assert!(serving.chosen().is_none() && shelf.state().unwrap().chosen.is_none());
}

/// The other process fetched it before somebody went back from it, and comes to write it down afterwards.
#[tokio::test]
async fn a_bundle_under_way_does_not_undo_going_back_from_it() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("bundles");
    std::fs::create_dir(&place).unwrap();
    let shelf = Shelf::open(dir.path().join("kept")).unwrap();
    let source = Source::parse(place.to_str().unwrap()).unwrap();
    let supply = || Supply::new(Some(source.clone()), Trust::default(), Some(shelf.clone()), stage());
    let (first, second) = (lenient("1"), strict("2"));
    let one = supply();
    for bundle in [&first, &second] {
        write(&place, bundle);
        one.refresh(Way::Active).await.unwrap();
    }
    // While somebody else holds the shelf, what was fetched waits.
    let held = shelf.hold().unwrap().unwrap();
    assert!(shelf.hold().unwrap().is_none());
    let other = supply();
    let under_way = tokio::spawn(async move { other.refresh(Way::Active).await });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!under_way.is_finished());
    held.choose(first.digest(), Choice { how: How::RolledBack, word: word("x") }).unwrap();
    drop(held);
    assert_eq!(under_way.await.unwrap().unwrap(), Outcome::Withdrawn(second.digest()));
    assert_eq!(shelf.state().unwrap().active, Some(first.digest()));
}

#[tokio::test]
async fn what_a_process_tries_is_promoted_from_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("bundles");
    std::fs::create_dir(&place).unwrap();
    let shelf = Shelf::open(dir.path().join("kept")).unwrap();
    let source = Source::parse(place.to_str().unwrap()).unwrap();
    let serving = stage();
    let server = Supply::new(Some(source), Trust::default(), Some(shelf.clone()), Arc::clone(&serving));
    let person = || Supply::new(None, Trust::default(), Some(shelf.clone()), stage());
    assert!(matches!(person().promote(None, word("x")).await, Err(SupplyError::NothingTried)));
    let (first, second) = (strict("1"), strict("2"));
    for bundle in [&first, &second] {
        write(&place, bundle);
        assert_eq!(server.refresh(Way::Shadow).await.unwrap(), Outcome::Shadowed(bundle.digest()));
    }
    assert!(allows(&serving));
    // What is tried was never in force; and somebody looked at another one than is tried by now.
    assert!(matches!(
        person().roll_back(Some(second.digest()), word("x")).await,
        Err(SupplyError::Shelf(ShelfError::NotKept(_)))
    ));
    assert!(matches!(
        person().promote(Some(first.digest()), word("x")).await,
        Err(SupplyError::OtherTried(digest)) if digest == second.digest()
    ));
    assert!(shelf.load(first.digest()).is_err(), "the one before is not kept for nothing");

    let turn = person().promote(Some(second.digest()), word("a week without differences")).await.unwrap();
    assert_eq!(turn, Turn { before: None, now: second.digest() });
    assert_eq!(server.follow().await.unwrap(), Some(second.digest()));
    assert!(!allows(&serving) && serving.shadow().is_none());
    assert_eq!(server.refresh(Way::Shadow).await.unwrap(), Outcome::Unchanged);
    for expected in [None, Some(second.digest())] {
        assert!(!person().promote(expected, word("again")).await.unwrap().is_change());
    }
    let state = shelf.state().unwrap();
    assert_eq!((state.active, state.tried), (Some(second.digest()), None));
    assert_eq!(state.chosen.unwrap().how, How::Promoted);
    // A trial that is ended is ended on the shelf.
    write(&place, &first);
    server.refresh(Way::Shadow).await.unwrap();
    server.discard().await.unwrap();
    assert!(matches!(person().promote(Some(first.digest()), word("x")).await, Err(SupplyError::NothingTried)));
}

#[tokio::test]
async fn with_keys_an_unsigned_bundle_stays_outside() {
    let key = std::process::Command::new("openssl").args(["genpkey", "-algorithm", "ed25519"]).output().unwrap();
    let key = tenantry_policy::SigningKey::read(&String::from_utf8(key.stdout).unwrap()).unwrap();
    let stage = stage();
    let supply = Supply::new(None, Trust::new([key.public().as_str()]).unwrap(), None, Arc::clone(&stage));
    let error = supply.take(strict("1"), Way::Active).await.unwrap_err();
    assert_eq!((error.code().to_string().as_str(), allows(&stage)), ("TEN-0077", true));
    let mut files: BTreeMap<_, _> =
        strict("1").files().map(|(path, bytes)| (path.to_owned(), bytes.to_vec())).collect();
    files.insert("bundle.sig".to_owned(), key.sign(strict("1").digest()).into_bytes());
    supply.take(Bundle::new(files).unwrap(), Way::Active).await.unwrap();
    assert!(!allows(&stage));
}
