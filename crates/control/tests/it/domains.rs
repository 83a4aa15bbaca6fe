//! Domains of tenants' own: who names what, before, with and after a proof; against a real DNS server.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use tenantry_control::domains::{self, DnsOptions, DomainView};
use tenantry_control::routes;
use tenantry_control::tenants::{DeleteOutcome, DeleteRequest, Expected, update};
use tenantry_control::{Deps, Options, Refusal, Runtime, tenants};
use tenantry_domain::access::Claims;
use tenantry_domain::access::domain::{Problem, Standing};
use tenantry_domain::code::Code;
use tenantry_domain::event::Type;
use tenantry_domain::tenant::lifecycle::{Phase, SuspensionReason};
use tenantry_domain::tenant::spec::Suspension;
use tenantry_domain::tenant::{Slug, Spec};
use tenantry_testkit::dns::{DnsServer, Says};

use crate::world::{World, name, options, spec};

const CHAT: &str = "chat.acme.example";

fn asking(dns: &DnsServer) -> Options {
    Options {
        base_domains: vec!["app.example.com".parse().unwrap()],
        dns: DnsOptions { servers: vec![dns.address()], timeout: Duration::from_millis(200) },
        ..options()
    }
}

/// A world without controllers: looks happen when a test asks for them.
async fn still() -> (World, DnsServer) {
    let dns = DnsServer::start();
    (World::with(asking(&dns)).await, dns)
}

async fn wishing(world: &World, slug: &str, wishes: &[&str]) {
    let mut wanted = spec("starter", Phase::Draft);
    wanted.domains = wishes.iter().map(|wish| (*wish).to_owned()).collect();
    tenants::create(&world.cx(), &world.deps, Slug::parse(slug).unwrap(), wanted).await.unwrap();
}

async fn wish(world: &World, slug: &str, wishes: &[&str]) -> Result<(), Refusal> {
    let mut wanted = world.tenant(slug).await.spec;
    wanted.domains = wishes.iter().map(|wish| (*wish).to_owned()).collect();
    update(&world.cx(), &world.deps, &name(slug), Expected::Any, wanted).await.map(|_| ())
}

async fn shown(world: &World, slug: &str, domain: &str) -> DomainView {
    let all = domains::list(&world.cx(), &world.deps, &name(slug)).await.unwrap();
    all.into_iter().find(|view| view.domain == domain).unwrap()
}

async fn verify(world: &World, slug: &str, domain: &str) -> (Standing, Option<Problem>) {
    let view = domains::verify(&world.cx(), &world.deps, &name(slug), domain).await.unwrap();
    (view.standing, view.problem)
}

/// Sets the record that a tenant was asked for.
async fn prove(world: &World, dns: &DnsServer, slug: &str, domain: &str) {
    let view = shown(world, slug, domain).await;
    dns.say(&view.record_name, Says::txt(&view.record_value));
}

async fn resolved(world: &World, deps: &Deps, host: &str) -> Result<String, Code> {
    let claims = Claims { host: Some(host), ..Claims::default() };
    let found = routes::resolve(&world.cx(), deps, &claims).await;
    found.map(|found| found.tenant.slug.to_string()).map_err(|refusal| refusal.code())
}

/// What a host names once memory has caught up, within the bound that is promised.
async fn settles(world: &World, host: &str, wanted: Result<&str, Code>) {
    let began = Instant::now();
    loop {
        world.deps.routes().forget_changed(world.deps.store(), world.deps.now()).await.unwrap();
        let found = resolved(world, &world.deps, host).await;
        if found.as_deref().map_err(|code| *code) == wanted {
            return;
        }
        assert!(began.elapsed() < routes::BOUND, "{host}: {found:?}, not {wanted:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const VERIFIED: (Standing, Option<Problem>) = (Standing::Verified, None);
const NOBODY: Result<&str, Code> = Err(Code::TenantUnnamed);

#[tokio::test]
async fn a_domain_names_its_tenant_from_its_proof_on() {
    let (world, dns) = still().await;
    wishing(&world, "acme", &[CHAT, "acme.example"]).await;
    let view = shown(&world, "acme", CHAT).await;
    assert_eq!(view.record_name, "_tenantry-challenge.chat.acme.example");
    assert!(view.record_value.len() == 64 && view.record_value.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_ne!(view.record_value, shown(&world, "acme", "acme.example").await.record_value);
    assert_eq!((view.standing, view.problem, view.looked_at), (Standing::Pending, None, None));
    settles(&world, CHAT, NOBODY).await;
    assert_eq!(verify(&world, "acme", CHAT).await, (Standing::Pending, Some(Problem::NoRecord)));
    settles(&world, CHAT, NOBODY).await;
    // Beside records of others, in several strings, with the space that forms of providers add.
    let (left, right) = view.record_value.split_at(20);
    let records = vec![vec!["v=spf1 -all".to_owned()], vec![left.to_owned(), format!("{right} ")]];
    dns.say(&view.record_name, Says::Txt(records));
    assert_eq!(verify(&world, "acme", CHAT).await, VERIFIED);
    settles(&world, CHAT, Ok("acme")).await;
    settles(&world, "CHAT.ACME.EXAMPLE.:8443", Ok("acme")).await;
    for other in ["acme.example", "www.chat.acme.example", "achat.acme.example", "example"] {
        settles(&world, other, NOBODY).await;
    }
    assert_eq!(kinds(&world).await, ["domain.verified"]);
    world.stop().await;
}

#[tokio::test]
async fn what_is_no_proof() {
    let (world, dns) = still().await;
    wishing(&world, "acme", &[CHAT]).await;
    let view = shown(&world, "acme", CHAT).await;
    let record = view.record_name.as_str();
    dns.say("proof.elsewhere.example", Says::txt(&view.record_value));
    // At the domain itself, not at the challenge.
    dns.say(CHAT, Says::txt(&view.record_value));
    let pending = |problem| (Standing::Pending, Some(problem));
    let cut = &view.record_value[..63];
    let cases = [
        (Says::Empty, Problem::NoRecord),
        (Says::txt(cut), Problem::OtherValue),
        (Says::txt(""), Problem::OtherValue),
        (Says::txt(&format!("{}0", view.record_value)), Problem::OtherValue),
        (Says::txt(&view.record_value.to_uppercase()), Problem::OtherValue),
        (Says::Alias("proof.elsewhere.example".into()), Problem::Alias),
        (Says::failure(), Problem::NoAnswer),
        (Says::refusal(), Problem::NoAnswer),
        (Says::Referral, Problem::NoAnswer),
        (Says::Garbage, Problem::NoAnswer),
        (Says::Silence, Problem::NoAnswer),
    ];
    for (says, problem) in cases {
        dns.say(record, says.clone());
        let began = Instant::now();
        assert_eq!(verify(&world, "acme", CHAT).await, pending(problem), "{says:?}");
        assert!(began.elapsed() < Duration::from_secs(2), "{says:?} took {:?}", began.elapsed());
        assert_eq!(resolved(&world, &world.deps, CHAT).await, Err(Code::TenantUnnamed));
    }
    // An answer that is too long for UDP is asked for by TCP.
    dns.say(record, Says::LongTxt(vec![vec!["x".repeat(250)]; 20]));
    assert_eq!(verify(&world, "acme", CHAT).await, pending(Problem::OtherValue));
    let mut long = vec![vec!["x".repeat(250)]; 20];
    long.push(vec![view.record_value.clone()]);
    dns.say(record, Says::LongTxt(long));
    assert_eq!(verify(&world, "acme", CHAT).await, VERIFIED);
    world.stop().await;
}

#[tokio::test]
async fn the_proof_of_another_tenant_is_void() {
    let (world, dns) = still().await;
    for slug in ["acme", "globex"] {
        wishing(&world, slug, &[CHAT]).await;
    }
    let ours = shown(&world, "acme", CHAT).await;
    assert_ne!(ours.record_value, shown(&world, "globex", CHAT).await.record_value);
    prove(&world, &dns, "acme", CHAT).await;
    // The attacker wishes for a domain whose owner has set the record, and copies its value onto a domain of its own.
    assert_eq!(verify(&world, "globex", CHAT).await, (Standing::Pending, Some(Problem::OtherValue)));
    settles(&world, CHAT, NOBODY).await;
    wish(&world, "globex", &[CHAT, "globex.example"]).await.unwrap();
    dns.say("_tenantry-challenge.globex.example", Says::txt(&ours.record_value));
    assert_eq!(verify(&world, "globex", "globex.example").await, (Standing::Pending, Some(Problem::OtherValue)));
    assert_eq!(verify(&world, "acme", CHAT).await, VERIFIED);
    settles(&world, CHAT, Ok("acme")).await;
    // Without the record nothing is told of the other tenant; with it, only that the domain cannot be had.
    assert_eq!(verify(&world, "globex", CHAT).await, (Standing::Pending, Some(Problem::OtherValue)));
    prove(&world, &dns, "globex", CHAT).await;
    assert_eq!(verify(&world, "globex", CHAT).await, (Standing::Pending, Some(Problem::NotAvailable)));
    settles(&world, CHAT, Ok("acme")).await;
    // A domain that the tenant does not want cannot be verified, whoever else wants it.
    let refusal = domains::verify(&world.cx(), &world.deps, &name("acme"), "globex.example").await.unwrap_err();
    assert_eq!(refusal.code(), Code::ObjectNotFound);
    world.stop().await;
}

#[tokio::test]
async fn of_many_proofs_at_once_one_wins() {
    let (world, dns) = still().await;
    let slugs: Vec<String> = (0..6).map(|number| format!("racer-{number}")).collect();
    let mut records = Vec::new();
    for slug in &slugs {
        wishing(&world, slug, &[CHAT]).await;
        records.push(vec![shown(&world, slug, CHAT).await.record_value]);
    }
    dns.say("_tenantry-challenge.chat.acme.example", Says::Txt(records));
    let races = slugs.iter().map(|slug| verify(&world, slug, CHAT));
    let ends = futures_util::future::join_all(races).await;
    let winners: Vec<_> = slugs.iter().zip(&ends).filter(|(_, end)| **end == VERIFIED).map(|(slug, _)| slug).collect();
    assert_eq!(winners.len(), 1, "{ends:?}");
    let losers = ends.iter().filter(|end| **end == (Standing::Pending, Some(Problem::NotAvailable))).count();
    assert_eq!(losers, 5, "{ends:?}");
    settles(&world, CHAT, Ok(winners[0])).await;
    // Who gives it up makes room for the next one.
    wish(&world, winners[0], &[]).await.unwrap();
    settles(&world, CHAT, NOBODY).await;
    let heir = slugs.iter().find(|slug| *slug != winners[0]).unwrap();
    assert_eq!(verify(&world, heir, CHAT).await, VERIFIED);
    settles(&world, CHAT, Ok(heir)).await;
    world.stop().await;
}

#[tokio::test]
async fn a_wish_that_is_taken_back_takes_its_proof_along() {
    let (world, dns) = still().await;
    wishing(&world, "acme", &[CHAT, "acme.example"]).await;
    for domain in [CHAT, "acme.example"] {
        prove(&world, &dns, "acme", domain).await;
        assert_eq!(verify(&world, "acme", domain).await, VERIFIED);
    }
    let before = shown(&world, "acme", CHAT).await.record_value;
    settles(&world, CHAT, Ok("acme")).await;
    wish(&world, "acme", &["acme.example"]).await.unwrap();
    settles(&world, CHAT, NOBODY).await;
    settles(&world, "acme.example", Ok("acme")).await;
    // Wished for again, the old record proves nothing.
    wish(&world, "acme", &["acme.example", CHAT]).await.unwrap();
    assert_ne!(shown(&world, "acme", CHAT).await.record_value, before);
    assert_eq!(verify(&world, "acme", CHAT).await, (Standing::Pending, Some(Problem::OtherValue)));
    settles(&world, CHAT, NOBODY).await;
    world.stop().await;
}

#[tokio::test]
async fn a_proof_is_lost_only_when_its_record_is_gone_for_a_day() {
    let (world, dns) = still().await;
    wishing(&world, "acme", &[CHAT]).await;
    prove(&world, &dns, "acme", CHAT).await;
    assert_eq!(verify(&world, "acme", CHAT).await, VERIFIED);
    let record = "_tenantry-challenge.chat.acme.example";
    // Servers at fault say nothing about the record, however long.
    for says in [Says::failure(), Says::refusal(), Says::Silence, Says::Referral, Says::Garbage] {
        dns.say(record, says);
        for _ in 0..4 {
            world.skip_ahead(SignedDuration::from_hours(30));
            assert_eq!(verify(&world, "acme", CHAT).await, (Standing::Verified, Some(Problem::NoAnswer)));
        }
    }
    settles(&world, CHAT, Ok("acme")).await;
    dns.forget(record);
    let missing = (Standing::Verified, Some(Problem::NoRecord));
    for _ in 0..5 {
        assert_eq!(verify(&world, "acme", CHAT).await, missing);
    }
    world.skip_ahead(SignedDuration::from_hours(23));
    assert_eq!(verify(&world, "acme", CHAT).await, missing);
    assert!(shown(&world, "acme", CHAT).await.missing_since.is_some());
    settles(&world, CHAT, Ok("acme")).await;
    world.skip_ahead(SignedDuration::from_hours(2));
    assert_eq!(verify(&world, "acme", CHAT).await, (Standing::Lost, Some(Problem::NoRecord)));
    settles(&world, CHAT, NOBODY).await;
    // A lost domain is free for another one, and can be proven anew.
    prove(&world, &dns, "acme", CHAT).await;
    assert_eq!(verify(&world, "acme", CHAT).await, VERIFIED);
    settles(&world, CHAT, Ok("acme")).await;
    let kinds = kinds(&world).await;
    let expected = [Type::DomainVerified, Type::DomainLost, Type::DomainVerified];
    assert_eq!(kinds, expected.map(|kind| kind.as_str().to_owned()));
    world.stop().await;
}

/// The domain events of the environment, in order.
async fn kinds(world: &World) -> Vec<String> {
    let sql = "SELECT type FROM tenantry.outbox WHERE type LIKE 'domain.%' ORDER BY at, sequence";
    let conn = world.deps.store().pool().get().await.unwrap();
    let rows = conn.query(sql, &[]).await.unwrap();
    conn.release();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn domains_of_the_installation_are_refused_with_their_field() {
    let (world, _dns) = still().await;
    wishing(&world, "acme", &[]).await;
    for taken in ["app.example.com", "acme.app.example.com", "a.b.app.example.com"] {
        let refusal = wish(&world, "acme", &[CHAT, taken]).await.unwrap_err();
        assert_eq!(refusal.code(), Code::InvalidManifest);
        assert_eq!(refusal.fields()[0].field, "spec.domains[1]");
        assert!(refusal.fields()[0].message.contains("app.example.com"), "{:?}", refusal.fields());
        let mut wanted = spec("starter", Phase::Draft);
        wanted.domains = vec![taken.to_owned()];
        let slug = Slug::parse("globex").unwrap();
        let refusal = tenants::create(&world.cx(), &world.deps, slug, wanted).await.unwrap_err();
        assert_eq!(refusal.fields()[0].field, "spec.domains[0]");
    }
    wish(&world, "acme", &["example.com"]).await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn the_controller_finds_records_by_itself_and_looks_at_proven_ones_daily() {
    let dns = DnsServer::start();
    let mut world = World::with(asking(&dns)).await;
    world.runtime = Some(Runtime::start(&world.deps));
    // Two replicas at once: each domain is looked at by one of them.
    let twin = world.twin(asking(&dns)).await;
    let other = Runtime::start(&twin);
    let tenant = world.active("acme", "starter").await;
    assert!(tenant.spec.domains.is_empty());
    wish(&world, "acme", &[CHAT]).await.unwrap();
    looked(&world, |view| view.problem == Some(Problem::NoRecord)).await;
    assert_eq!(dns.queries(), 1);
    prove(&world, &dns, "acme", CHAT).await;
    world.skip_ahead(SignedDuration::from_secs(12));
    looked(&world, |view| view.standing == Standing::Verified).await;
    within_bound(&world, &twin, Ok("acme")).await;
    assert_eq!(dns.queries(), 2);
    // Suspended, the domain still says whose it is.
    let unpaid = Suspension { reason: SuspensionReason::Commercial, note: None };
    let suspended = tenants::suspend(&world.cx(), &world.deps, &name("acme"), Expected::Any, unpaid).await.unwrap();
    world.done(suspended.operation).await;
    let claims = Claims { host: Some(CHAT), ..Claims::default() };
    let began = Instant::now();
    while routes::resolve(&world.cx(), &twin, &claims).await.unwrap().tenant.state != routes::Openness::Suspended {
        assert!(began.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The record goes: three looks and a day later the domain names nobody, in every replica.
    dns.forget("_tenantry-challenge.chat.acme.example");
    world.skip_ahead(SignedDuration::from_hours(26));
    looked(&world, |view| view.missing_since.is_some()).await;
    within_bound(&world, &twin, Ok("acme")).await;
    for queries in 4..=5 {
        // What was asked must be written down before the clock moves on, or the next look is due later.
        let seen = shown(&world, "acme", CHAT).await.looked_at;
        world.skip_ahead(SignedDuration::from_hours(13));
        looked(&world, |view| view.looked_at > seen && dns.queries() >= queries).await;
    }
    looked(&world, |view| view.standing == Standing::Lost).await;
    within_bound(&world, &twin, NOBODY).await;
    other.shutdown(&twin).await.unwrap();
    world.stop().await;
}

async fn looked(world: &World, is_it: impl Fn(&DomainView) -> bool) {
    let began = Instant::now();
    loop {
        let view = shown(world, "acme", CHAT).await;
        if is_it(&view) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{view:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Both replicas answer so, soon.
async fn within_bound(world: &World, twin: &Deps, wanted: Result<&str, Code>) {
    let began = Instant::now();
    for deps in [&world.deps, twin] {
        while resolved(world, deps, CHAT).await.as_deref().map_err(|code| *code) != wanted {
            assert!(began.elapsed() < 4 * routes::BOUND, "{wanted:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn a_deleted_tenant_leaves_its_domain_to_others() {
    let dns = DnsServer::start();
    let mut world = World::with(asking(&dns)).await;
    world.runtime = Some(Runtime::start(&world.deps));
    let mut wanted = spec("starter", Phase::Active);
    wanted.domains = vec![CHAT.to_owned()];
    wanted.business.synthetic = true;
    let made = tenants::create(&world.cx(), &world.deps, Slug::parse("acme").unwrap(), wanted).await.unwrap();
    world.done(made.operation).await;
    prove(&world, &dns, "acme", CHAT).await;
    assert_eq!(verify(&world, "acme", CHAT).await, VERIFIED);
    wishing(&world, "globex", &[CHAT]).await;
    prove(&world, &dns, "globex", CHAT).await;
    assert_eq!(verify(&world, "globex", CHAT).await, (Standing::Pending, Some(Problem::NotAvailable)));
    for state in [Phase::Suspended, Phase::Archived] {
        let row = world.tenant("acme").await;
        let suspension =
            (state == Phase::Suspended).then_some(Suspension { reason: SuspensionReason::Commercial, note: None });
        let wanted = Spec { state, suspension, ..row.spec };
        let accepted = update(&world.cx(), &world.deps, &name("acme"), Expected::Any, wanted).await.unwrap();
        world.done(accepted.operation).await;
    }
    let request = DeleteRequest { confirm: "acme".into(), reason: None, grace: None, dry_run: false };
    let gone = tenants::delete(&world.cx(), &world.deps, &name("acme"), Expected::Any, request).await.unwrap();
    let DeleteOutcome::Accepted(gone) = gone else { panic!("{gone:?}") };
    world.done(gone.operation).await;
    assert_eq!(verify(&world, "globex", CHAT).await, VERIFIED);
    settles(&world, CHAT, Ok("globex")).await;
    world.stop().await;
}
