//! Incidents: exactly those whom they concern are told, and nobody else learns of them.

use tenantry_control::incidents::{self, Incident, Said, Wanted, Whom};
use tenantry_control::{Ctx, IdempotencyKey, Refusal, Runtime, audit, events};
use tenantry_domain::code::Code;
use tenantry_domain::incident::{Phase, Severity};
use tenantry_domain::name::CellName;
use tenantry_domain::page::PageSize;
use tenantry_domain::policy::{Rights, Role};
use tenantry_testkit::mail::Sink;

use super::{Tellers, active, eventually, log, settled, telling, wanted};
use crate::members::mail::TMP;
use crate::members::refused;
use crate::world::{World, name, options};

fn about(whom: Whom) -> Wanted {
    Wanted {
        whom,
        severity: Severity::Major,
        title: "Logins fail".into(),
        phase: Phase::Investigating,
        message: "Since 09:20 UTC about half of all logins fail.\nData is not affected. {{ 7 * 7 }}".into(),
    }
}

fn said(phase: Phase) -> Said {
    Said { phase, message: format!("This is {phase}.") }
}

async fn open(world: &World, whom: Whom) -> Incident {
    incidents::open(&world.cx(), &world.deps, about(whom)).await.unwrap()
}

/// Three tenants that are served, one of them from another cell as far as the registry says; one that is suspended, one that is
/// a draft. All welcomes are out.
async fn fleet(sink: &Sink) -> World {
    let mut world = World::with(options()).await;
    world.runtime = Some(Runtime::start(&world.deps));
    for slug in ["acme", "globex", "initech", "paused"] {
        active(&world, slug, wanted(slug, &format!("{slug}.example"))).await;
    }
    let mut paused = wanted("paused", "paused.example");
    paused.state = tenantry_domain::tenant::lifecycle::Phase::Suspended;
    paused.suspension = Some(tenantry_domain::tenant::spec::Suspension {
        reason: tenantry_domain::tenant::lifecycle::SuspensionReason::Commercial,
        note: None,
    });
    let any = tenantry_control::tenants::Expected::Any;
    let accepted =
        tenantry_control::tenants::update(&world.cx(), &world.deps, &name("paused"), any, paused).await.unwrap();
    world.done(accepted.operation).await;
    let mut draft = wanted("draft", "draft.example");
    draft.state = tenantry_domain::tenant::lifecycle::Phase::Draft;
    let slug = tenantry_domain::tenant::Slug::parse("draft").unwrap();
    tenantry_control::tenants::create(&world.cx(), &world.deps, slug, draft).await.unwrap();
    world.pause().await;
    let deps = world.twin(telling(sink.port)).await;
    let tellers = Tellers::start(&deps);
    settled(&world.deps).await;
    tellers.kill().await;
    // Who is told goes by the registry alone, so this stands for a tenant that was placed elsewhere.
    let conn = world.deps.store().pool().get().await.unwrap();
    conn.execute("UPDATE tenantry.tenant SET cell = 'eu-west-2' WHERE slug = 'globex'", &[]).await.unwrap();
    conn.release();
    world
}

fn told(sink: &Sink) -> Vec<String> {
    let slugs = ["acme", "globex", "initech", "paused", "draft"];
    let is_told = |slug: &&str| {
        sink.subjects_to(&format!("alarm@{slug}.example")).iter().any(|subject| subject.contains("Logins fail"))
    };
    slugs.into_iter().filter(is_told).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cell_reaches_its_tenants_all_reaches_all_and_one_reaches_one() {
    for (whom, expected, people) in [
        (Whom::Cell(CellName::parse("eu-west-1").unwrap()), &["acme", "initech", "paused"][..], 3),
        (Whom::All, &["acme", "globex", "initech", "paused"][..], 4),
        (Whom::Tenant(name("globex")), &["globex"][..], 1),
        (Whom::Tenant(name("draft")), &["draft"][..], 1),
    ] {
        let sink = Sink::start(TMP).await;
        let world = fleet(&sink).await;
        assert!(told(&sink).is_empty());
        let deps = world.twin(telling(sink.port)).await;
        let preview = incidents::preview(&world.cx(), &deps, &about(whom.clone())).await.unwrap();
        assert_eq!((preview.tenants, preview.people), (expected.len(), people), "{whom:?}");
        assert!(preview.by_mail && !preview.by_chat && preview.subject == "[major] Logins fail", "{preview:?}");
        assert!(preview.body.contains("Data is not affected. {{ 7 * 7 }}"), "{preview:?}");
        let tellers = Tellers::start(&deps);
        let incident = open(&world, whom.clone()).await;
        settled(&world.deps).await;
        assert_eq!(told(&sink), expected, "{whom:?}");
        // Billing and technical contacts have nothing to do with it.
        assert!(sink.mails().iter().filter(|mail| mail.contains("Logins fail")).count() == people);
        let names = sink.mails().into_iter().filter(|mail| mail.contains("Logins fail"));
        let named = names.filter(|mail| mail.contains("This concerns")).count();
        assert_eq!(named, usize::from(matches!(whom, Whom::Tenant(_))), "who else is concerned is nobody's business");
        let detail = incidents::get(&world.cx(), &world.deps, incident.id).await.unwrap();
        let progress = detail.progress.unwrap();
        assert_eq!((progress.waiting, progress.sent, progress.dropped), (0, i64::try_from(people).unwrap(), 0));

        incidents::update(&world.cx(), &world.deps, incident.id, said(Phase::Resolved)).await.unwrap();
        settled(&world.deps).await;
        let last = |slug: &str| sink.subjects_to(&format!("alarm@{slug}.example")).pop().unwrap();
        assert!(expected.iter().all(|slug| last(slug) == "Resolved: Logins fail"), "{whom:?}");
        let over = incidents::update(&world.cx(), &world.deps, incident.id, said(Phase::Monitoring)).await;
        refused(over, Code::IncidentOver);
        tellers.kill().await;
        world.stop().await;
    }
}

/// More tenants than are looked at together, with one mailbox that is in charge of all of them.
async fn many() -> World {
    let world = World::new().await;
    let conn = world.deps.store().pool().get().await.unwrap();
    // Rows as an activation leaves them, without the databases behind.
    for number in 0..450 {
        let slug = tenantry_domain::tenant::Slug::parse(&format!("firm-{number}")).unwrap();
        let mut draft = wanted("Many", &format!("t{number}.example"));
        draft.state = tenantry_domain::tenant::lifecycle::Phase::Draft;
        draft.contacts.incident.push(super::contact("noc@everywhere.example"));
        tenantry_control::tenants::create(&world.cx(), &world.deps, slug, draft).await.unwrap();
    }
    conn.execute("UPDATE tenantry.tenant SET phase = 'active', cell = 'eu-west-1', activated_at = now()", &[])
        .await
        .unwrap();
    conn.release();
    world
}

fn message_id(mail: &str) -> &str {
    mail.lines().find_map(|line| line.strip_prefix("Message-ID: ")).expect("a Message-ID")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_of_many_tenants_gets_one_mail() {
    let sink = Sink::start(TMP).await;
    let world = many().await;
    open(&world, Whom::All).await;
    let (one, other) = (world.process(telling(sink.port)).await, world.process(telling(sink.port)).await);
    let tellers = (Tellers::start(&one), Tellers::start(&other));
    settled(&world.deps).await;
    assert_eq!((sink.mails_to("noc@everywhere.example").len(), sink.mails().len()), (1, 451));
    tellers.0.kill().await;
    tellers.1.kill().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_pages_or_mails_loses_none_and_all_copies_are_one_message() {
    let sink = Sink::start(TMP).await;
    let world = many().await;
    open(&world, Whom::All).await;
    // Each of these is ended soon, wherever it is.
    for _ in 0..15 {
        let deps = world.twin(telling(sink.port)).await;
        let tellers = Tellers::start(&deps);
        tokio::time::sleep(std::time::Duration::from_millis(15)).await;
        tellers.kill().await;
        world.skip_ahead(super::LEASE);
    }
    let deps = world.twin(telling(sink.port)).await;
    let (one, other) = (Tellers::start(&deps), Tellers::start(&world.twin(telling(sink.port)).await));
    settled(&world.deps).await;
    let conn = world.deps.store().pool().get().await.unwrap();
    let row = conn
        .query_one("SELECT count(*) AS all, count(DISTINCT address_key) AS different FROM tenantry.notification", &[]);
    let row = row.await.unwrap();
    assert_eq!((row.get::<_, i64>("all"), row.get::<_, i64>("different")), (451, 451));
    conn.release();
    let mut all: Vec<String> = (0..450).map(|number| format!("alarm@t{number}.example")).collect();
    all.push("noc@everywhere.example".to_owned());
    for address in all {
        let copies = sink.mails_to(&address);
        let first = message_id(copies.first().unwrap_or_else(|| panic!("{address} is told")));
        // One that was ended behind the server's yes sends again; whoever gets it knows it for the same.
        assert!(copies.iter().all(|copy| message_id(copy) == first), "{address}: {copies:?}");
    }
    one.kill().await;
    other.kill().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newer_word_takes_the_place_of_what_is_still_on_its_way() {
    let sink = Sink::start(TMP).await;
    let world = fleet(&sink).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let away = world.twin(telling(closed)).await;
    let tellers = Tellers::start(&away);
    let incident = open(&world, Whom::Tenant(name("acme"))).await;
    eventually("it is tried", async || log(&world).await.iter().any(|one| one.incident.is_some() && one.attempts > 0))
        .await;
    tellers.kill().await;
    incidents::update(&world.cx(), &world.deps, incident.id, said(Phase::Identified)).await.unwrap();
    incidents::update(&world.cx(), &world.deps, incident.id, said(Phase::Resolved)).await.unwrap();
    world.skip_ahead(super::LEASE);
    let back = world.twin(telling(sink.port)).await;
    let tellers = Tellers::start(&back);
    settled(&world.deps).await;
    let subjects = sink.subjects_to("alarm@acme.example");
    assert_eq!(subjects, ["Resolved: Logins fail"]);
    let detail = incidents::get(&world.cx(), &world.deps, incident.id).await.unwrap();
    assert_eq!(detail.updates.len(), 3);
    assert_eq!((detail.progress.unwrap().sent, detail.progress.unwrap().dropped), (1, 2));
    tellers.kill().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_sees_what_concerns_it_and_nobody_opens_without_the_right() {
    let sink = Sink::start(TMP).await;
    let world = fleet(&sink).await;
    let here = open(&world, Whom::Cell(CellName::parse("eu-west-1").unwrap())).await;
    let hers = open(&world, Whom::Tenant(name("globex"))).await;
    let all = open(&world, Whom::All).await;
    let globex = Rights { tenant: Some(world.tenant("globex").await.id), ..Rights::of([Role::Tenant]) };
    let cx = Ctx { rights: globex, ..world.cx() };
    let size = PageSize::new(50).unwrap();
    let seen = incidents::list(&cx, &world.deps, (None, false), size, None).await.unwrap().items;
    assert_eq!(seen.iter().map(|one| one.id).collect::<Vec<_>>(), [all.id, hers.id]);
    refused(incidents::get(&cx, &world.deps, here.id).await, Code::IncidentNotFound);
    let detail = incidents::get(&cx, &world.deps, all.id).await.unwrap();
    assert!(detail.progress.is_none(), "how many others there are is not told");
    refused(
        incidents::list(&cx, &world.deps, (Some(&name("acme")), false), size, None).await.map(|_| ()),
        Code::TenantNotFound,
    );
    let of_acme = incidents::list(&world.cx(), &world.deps, (Some(&name("acme")), true), size, None).await.unwrap();
    assert_eq!(of_acme.items.iter().map(|one| one.id).collect::<Vec<_>>(), [all.id, here.id]);

    for role in [Role::Tenant, Role::Auditor, Role::Support, Role::Application, Role::Monitor] {
        let cx = Ctx { rights: Rights::of([role]), ..world.cx() };
        for whom in [Whom::All, Whom::Tenant(name("acme"))] {
            let refusal = incidents::open(&cx, &world.deps, about(whom.clone())).await.map(|_| ());
            assert!(matches!(refusal, Err(Refusal::Denied(_))), "{role}: {refusal:?}");
            let refusal = incidents::preview(&cx, &world.deps, &about(whom)).await.map(|_| ());
            assert!(matches!(refusal, Err(Refusal::Denied(_))), "{role}: {refusal:?}");
        }
        let refusal = incidents::update(&cx, &world.deps, all.id, said(Phase::Resolved)).await.map(|_| ());
        assert!(matches!(refusal, Err(Refusal::Denied(_))), "{role}: {refusal:?}");
    }
    for (whom, code) in [
        (Whom::Tenant(name("stranger")), Code::TenantNotFound),
        (Whom::Cell(CellName::parse("moon").unwrap()), Code::ObjectNotFound),
    ] {
        refused(incidents::open(&world.cx(), &world.deps, about(whom)).await, code);
    }
    let title = Wanted { title: "a\r\nBcc: eve@example.com".into(), ..about(Whom::All) };
    let refusal = incidents::open(&world.cx(), &world.deps, title).await.unwrap_err();
    assert_eq!(refusal.fields()[0].field, "title");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repetition_opens_nothing_and_everything_leaves_an_entry_and_an_event() {
    let world = World::new().await;
    crate::members::tenant(&world, "acme", "starter").await;
    let key = IdempotencyKey { route: "POST incidents".into(), key: "k".repeat(20), fingerprint: [1; 32] };
    let cx = Ctx { idempotency: Some(key), ..world.cx() };
    let first = incidents::open(&cx, &world.deps, about(Whom::All)).await.unwrap();
    let again = incidents::open(&cx, &world.deps, about(Whom::All)).await.unwrap();
    assert_eq!(first, again);
    let hers = open(&world, Whom::Tenant(name("acme"))).await;
    incidents::update(&world.cx(), &world.deps, hers.id, said(Phase::Monitoring)).await.unwrap();
    incidents::update(&world.cx(), &world.deps, hers.id, said(Phase::Resolved)).await.unwrap();
    let kinds = async |of: Option<&str>| -> Vec<String> {
        let of = of.map(name);
        let all = events::list(&world.cx(), &world.deps, of.as_ref(), 0, 1000).await.unwrap();
        all.iter().map(|event| event.kind.to_string()).filter(|kind| kind.starts_with("incident.")).collect()
    };
    assert_eq!(kinds(None).await, ["incident.opened"], "that of one tenant is an event of the tenant");
    assert_eq!(kinds(Some("acme")).await, ["incident.opened", "incident.updated", "incident.resolved"]);
    let verified = audit::verify(&world.cx(), &world.deps, None).await;
    assert!(verified.is_ok(), "{:?}", verified.err());
    let conn = world.deps.store().pool().get().await.unwrap();
    let sql = "SELECT action FROM tenantry.audit WHERE action LIKE 'incident.%' ORDER BY at, seq";
    let actions: Vec<String> = conn.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    conn.release();
    assert_eq!(actions, ["incident.open", "incident.open", "incident.update", "incident.update"]);
    world.stop().await;
}
