//! The tower layer in front of a real service.

use tenantry_sdk::{Identification, Tenantry};

use crate::service::{Service, everywhere};
use crate::world::{LEVELS, World, until};

const BASE: (&str, &str) = ("host", "app.example.com");

async fn seed(tenantry: &Tenantry, tenant: &tenantry_sdk::Tenant) {
    let tx = tenantry.begin(tenant).await.unwrap();
    tx.execute("INSERT INTO notes (body) VALUES ($1)", &[&tenant.slug()]).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn every_pair_of_sources_agrees_or_is_refused() {
    let world = World::new().await;
    let tenantry = world.tenantry();
    let mut ids = Vec::new();
    for slug in ["acme", "globex"] {
        ids.push(world.named(&tenantry, slug, "shared", "active").await.tenant.id().to_string());
    }
    let service = Service::start(&tenantry, everywhere()).await;
    // How a tenant is named by each source: host, path, headers.
    let forms = |who: usize| {
        let slug = ["acme", "globex"][who];
        [
            (format!("{slug}.app.example.com"), "/".to_owned(), vec![]),
            ("app.example.com".to_owned(), format!("/t/{slug}/"), vec![]),
            ("app.example.com".to_owned(), "/".to_owned(), vec![("x-tenant-id", slug.to_owned())]),
            ("app.example.com".to_owned(), "/".to_owned(), vec![("x-test-claim", ids[who].clone())]),
        ]
    };
    type Form = (String, String, Vec<(&'static str, String)>);
    let merge = |first: &Form, second: &Form| {
        let host = if first.0 == "app.example.com" { &second.0 } else { &first.0 };
        let path = if first.1 == "/" { &second.1 } else { &first.1 };
        let headers: Vec<_> = first.2.iter().chain(&second.2).cloned().collect();
        (host.clone(), path.clone(), headers)
    };
    let ask = async |(host, path, headers): Form| {
        let mut all = vec![("host", host.as_str())];
        all.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
        service.get(&path, &all).await
    };
    let (mut agreed, mut refused) = (0, 0);
    for (a, mine) in forms(0).into_iter().enumerate() {
        let alone = ask(mine.clone()).await;
        assert!(alone.text.starts_with("acme acme"), "{alone:?}");
        for b in (0..4).filter(|b| *b != a) {
            let same = ask(merge(&mine, &forms(0)[b])).await;
            assert!(same.text.starts_with("acme acme"), "{a} {b}: {same:?}");
            agreed += 1;
            let differ = ask(merge(&mine, &forms(1)[b])).await;
            assert_eq!((differ.status, differ.reason.as_str()), (400, "TenantMismatch"), "{a} {b}");
            assert!(!differ.text.contains("globex") && !differ.text.contains("acme"), "{}", differ.text);
            refused += 1;
        }
    }
    assert_eq!((agreed, refused), (12, 12));
    for (path, headers, status, reason) in [
        ("/", vec![BASE], 400, "TenantMismatch"),
        ("/", vec![("host", "initech.app.example.com")], 404, "TenantNotFound"),
        ("/", vec![("host", "acme.app.example.com.evil.net")], 404, "TenantNotFound"),
        ("/", vec![("host", "127.0.0.1")], 404, "TenantNotFound"),
        ("/t/initech/", vec![BASE], 404, "TenantNotFound"),
        ("/t/%61cme/", vec![BASE], 404, "TenantNotFound"),
        ("/", vec![BASE, ("x-tenant-id", "no one")], 404, "TenantNotFound"),
        ("/", vec![BASE, ("x-test-claim", "ten_0")], 404, "TenantNotFound"),
        ("/", vec![BASE, ("tenantry-context", "a.b.c")], 400, "TenantMismatch"),
    ] {
        let reply = service.get(path, &headers).await;
        assert_eq!((reply.status, reply.reason.as_str()), (status, reason), "{path} {headers:?}");
    }
    // The same service, with nobody trusted.
    let plain = Identification::new().base_domain("app.example.com").unwrap();
    let stranger = Service::start(&tenantry, plain).await;
    for header in ["acme", "globex", "no one"] {
        let reply = stranger.get("/", &[("host", "acme.app.example.com"), ("x-tenant-id", header)]).await;
        assert!(reply.text.starts_with("acme acme"), "a stranger's header is no source: {reply:?}");
        let reply = stranger.get("/", &[("host", "app.example.com"), ("x-tenant-id", header)]).await;
        assert_eq!((reply.status, reply.reason.as_str()), (400, "TenantMismatch"), "it names nobody: {header}");
    }
    let reply = stranger.get("/t/globex/", &[("host", "acme.app.example.com")]).await;
    assert_eq!(reply.status, 404, "paths name nobody here, and there is no such route");
    world.end().await;
}

#[tokio::test]
async fn a_request_is_served_at_every_level_and_sees_its_own_rows() {
    let world = World::new().await;
    let tenantry = world.tenantry();
    for level in LEVELS {
        seed(&tenantry, &world.named(&tenantry, &format!("one-{level}"), level, "active").await.tenant).await;
    }
    let service = Service::start(&tenantry, everywhere()).await;
    for level in LEVELS {
        let slug = format!("one-{level}");
        let reply = service.get("/notes", &[("host", &format!("{slug}.app.example.com"))]).await;
        assert_eq!((reply.status, &reply.text), (200, &slug));
        let reply = service.get(&format!("/t/{slug}"), &[BASE]).await;
        assert_eq!(reply.text, format!("{slug} {slug} /t/{slug}"), "the path is rewritten");
    }
    world.end().await;
}

#[tokio::test]
async fn who_is_not_open_is_answered_as_the_contract_says() {
    let world = World::new().await;
    let tenantry = world.tenantry();
    let factory = world.factory(&tenantry);
    let service = Service::start(&tenantry, everywhere()).await;
    world.named(&tenantry, "drafty", "shared", "draft").await;
    let acme = world.named(&tenantry, "acme", "shared", "active").await;
    let is = async |slug: &str, status: u16, reason: &str| {
        let host = format!("{slug}.app.example.com");
        until(reason, || async {
            let reply = service.get("/", &[("host", &host)]).await;
            (reply.status == status && reply.reason == reason).then_some(reply)
        })
        .await
    };
    assert_eq!(is("drafty", 503, "TenantPreparing").await.retry_after.as_deref(), Some("5"));
    factory.suspend(&acme).await.unwrap();
    assert_eq!(is("acme", 403, "TenantSuspended").await.retry_after, None);
    factory.resume(&acme).await.unwrap();
    is("acme", 200, "").await;
    factory.suspend(&acme).await.unwrap();
    factory.archive(&acme).await.unwrap();
    is("acme", 410, "TenantGone").await;
    factory.remove(&acme).await.unwrap();
    is("acme", 404, "TenantNotFound").await;
    world.end().await;
}

#[tokio::test]
async fn the_context_is_gone_after_success_error_and_cancellation() {
    let world = World::new().await;
    let tenantry = world.tenantry();
    world.named(&tenantry, "acme", "shared", "active").await;
    let service = Service::start(&tenantry, everywhere()).await;
    let acme = [("host", "acme.app.example.com")];
    assert_eq!(service.get("/", &acme).await.status, 200);
    assert_eq!(service.get("/fails", &acme).await.reason, "TenantScopeMissing");
    assert_eq!(service.get("/spawns", &acme).await.status, 200);
    let waits = service.request("/sleeps", &acme).send();
    assert!(tokio::time::timeout(std::time::Duration::from_millis(300), waits).await.is_err(), "the client goes away");
    assert_eq!(service.get("/livez", &[BASE]).await.text, "TenantScopeMissing");
    let seen = service.seen.lock().unwrap().clone();
    assert!(seen.contains(&"asleep acme".to_owned()), "{seen:?}");
    assert!(seen.contains(&"task TenantScopeMissing".to_owned()), "a task that outlives its request: {seen:?}");
    let around: Vec<_> = seen.iter().filter(|line| line.starts_with("around")).collect();
    assert!(
        around.len() >= 4 && around.iter().all(|line| *line == "around TenantScopeMissing TenantScopeMissing"),
        "{seen:?}"
    );
    world.end().await;
}

#[tokio::test]
async fn a_context_travels_signed_through_three_services() {
    let world = World::new().await;
    let tenantry = world.tenantry();
    let acme = world.named(&tenantry, "acme", "shared", "active").await.tenant;
    let globex = world.named(&tenantry, "globex", "shared", "active").await.tenant;
    seed(&tenantry, &acme).await;
    seed(&tenantry, &globex).await;
    let inner = || Identification::new().context_required();
    let last = Service::start(&world.tenantry(), inner()).await;
    let middle = Service::start_before(&world.tenantry(), inner(), format!("http://{}/notes", last.address)).await;
    let first = Service::start_before(&tenantry, everywhere(), format!("http://{}/calls", middle.address)).await;
    for slug in ["acme", "globex"] {
        let reply = first.get("/calls", &[("host", &format!("{slug}.app.example.com"))]).await;
        assert_eq!(reply.text, format!("200 200 {slug}"), "{reply:?}");
    }
    // Without one, with a forged one, and with one that another source contradicts: nothing.
    assert_eq!(last.get("/notes", &[]).await.reason, "TenantMismatch");
    let good = tenantry.sign(&acme).await.unwrap();
    assert_eq!(last.get("/notes", &[("tenantry-context", &good)]).await.text, "acme");
    let (head, rest) = good.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let claims = base64(&serde_json::json!({ "iss": "tenantry", "aud": world.environment.as_str(), "tid": globex.id().to_string(), "slug": "globex", "gen": 1, "plan": "shared", "iat": 0, "exp": 9 }).to_string());
    for forged in
        [format!("{head}.{claims}.{signature}"), good[..good.len() - 4].to_owned(), format!("{head}.{claims}.")]
    {
        let reply = last.get("/notes", &[("tenantry-context", &forged)]).await;
        assert_eq!((reply.status, reply.reason.as_str()), (400, "TenantMismatch"), "{forged}");
    }
    let reply = first.get("/notes", &[("host", "globex.app.example.com"), ("tenantry-context", &good)]).await;
    assert_eq!((reply.status, reply.reason.as_str()), (400, "TenantMismatch"));
    let bare = last.get("/notes", &[("x-tenant-id", "acme")]).await;
    assert_eq!(bare.reason, "TenantMismatch", "a bare name is believed of nobody");
    world.end().await;
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}
