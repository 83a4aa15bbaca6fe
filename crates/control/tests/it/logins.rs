//! Logins of the gateway: what is made, shown once, recorded and taken back.

use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};
use tenantry_control::logins::{
    self, Access, Allowed, Issued, Mode, Proof, Query, RotateRequest, Server, Standing, Wanted, WantedWhose, Whose,
};
use tenantry_control::tenants::{DeleteOutcome, DeleteRequest, Expected, update};
use tenantry_control::{Ctx, IdempotencyKey, Options, Refusal, events, tenants};
use tenantry_domain::code::Code;
use tenantry_domain::gateway::LoginName;
use tenantry_domain::name::AppName;
use tenantry_domain::page::PageSize;
use tenantry_domain::tenant::lifecycle::{Phase, SuspensionReason};
use tenantry_domain::tenant::spec::Suspension;
use tenantry_domain::tenant::{Slug, Spec};
use tenantry_pg::{Pool, PoolOptions, Target};
use tenantry_testkit::pg;

use crate::world::{World, name, options, spec};

fn login(text: &str) -> LoginName {
    LoginName::parse(text).unwrap()
}

/// A name that no other test uses: names are the installation's, and roles of the shared server are made of them.
fn own(world: &World, text: &str) -> LoginName {
    login(&format!("{}-{text}", world.environment))
}

fn wanted(name: LoginName, whose: WantedWhose) -> Wanted {
    Wanted {
        name,
        whose,
        mode: Mode::Transaction,
        access: Access::ReadWrite,
        server: Server::Primary,
        proof: Proof::Password,
        connections: None,
        expires: None,
    }
}

fn of_tenant(slug: &str) -> WantedWhose {
    WantedWhose::Tenant(name(slug))
}

fn of_app(app: &str, only: Option<&[&str]>) -> WantedWhose {
    let only = only.map(|only| only.iter().map(|slug| name(slug)).collect());
    WantedWhose::Service { app: AppName::parse(app).unwrap(), only }
}

async fn draft(world: &World, slug: &str) {
    let wanted = spec("starter", Phase::Draft);
    tenants::create(&world.cx(), &world.deps, Slug::parse(slug).unwrap(), wanted).await.unwrap();
}

async fn make(world: &World, wanted: Wanted) -> Result<Issued, Refusal> {
    logins::create(&world.cx(), &world.deps, wanted).await
}

fn open(secret: Option<&SecretString>) -> &str {
    secret.unwrap().expose_secret()
}

/// Whether the text stands in any column of any table of ours.
async fn is_stored(world: &World, text: &str) -> bool {
    let sql = "SELECT coalesce(bool_or(query_to_xml(format('SELECT t::text FROM tenantry.%I AS t', relname), false, true, '')::text
            LIKE '%' || $1 || '%'), false)
        FROM pg_class WHERE relnamespace = 'tenantry'::regnamespace AND relkind = 'r'";
    let conn = world.deps.store().pool().get().await.unwrap();
    let row = conn.query_one(sql, &[&text]).await.unwrap();
    conn.release();
    row.get(0)
}

/// Types and payloads of the login events, in order.
async fn told(world: &World, tenant: Option<&str>) -> Vec<(String, serde_json::Value)> {
    let tenant = tenant.map(name);
    let all = events::list(&world.cx(), &world.deps, tenant.as_ref(), 0, 1000).await.unwrap();
    let own = all.into_iter().filter(|event| event.kind.as_str().starts_with("gateway."));
    own.map(|event| (event.kind.to_string(), event.data)).collect()
}

#[tokio::test]
async fn a_password_is_shown_once_and_is_the_one_of_the_verifier() {
    let with_address =
        Options { gateway: Some("postgres://db.example.com:6432?sslmode=verify-full".parse().unwrap()), ..options() };
    let world = World::with(with_address).await;
    draft(&world, "acme").await;
    let name = own(&world, "app");
    let issued = make(&world, wanted(name.clone(), of_tenant("acme"))).await.unwrap();
    let password = open(issued.password.as_ref()).to_owned();
    assert!(password.len() == 43 && password.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let url = format!("postgres://{name}:{password}@db.example.com:6432/acme?sslmode=verify-full");
    assert_eq!(open(issued.url.as_ref()), url);
    assert!(!format!("{issued:?}").contains(&password));
    assert!(!is_stored(&world, &password).await, "the password is stored");
    assert!(is_stored(&world, name.as_str()).await, "the search finds what is there");

    // PostgreSQL itself takes the verifier and lets the password in, which shows that the two belong together.
    let row = world.deps.store().read(&world.environment).login(&name).await.unwrap().unwrap();
    let verifier = row.verifiers.current.unwrap().text().expose_secret().to_owned();
    let server = pg::server();
    server.sql("postgres", &format!("CREATE ROLE \"{name}\" LOGIN PASSWORD '{verifier}'"));
    let enter = async |password: &str| {
        let target = Target::parse(&SecretString::from(server.url("postgres"))).unwrap();
        let target = target.with_user(name.as_str(), &SecretString::from(password));
        let conn = Pool::new(target, PoolOptions::default()).get().await;
        conn.map(|conn| conn.release()).is_ok()
    };
    let (right, wrong) = (enter(&password).await, enter("another").await);
    server.sql("postgres", &format!("DROP ROLE \"{name}\""));
    assert!(right && !wrong);

    let service = make(&world, wanted(own(&world, "svc"), of_app("notes", None))).await.unwrap();
    assert!(open(service.url.as_ref()).contains("/TENANT?"), "the tenant is the client's to name");
    let token = Wanted { proof: Proof::Token, ..wanted(own(&world, "jwt"), of_tenant("acme")) };
    let token = make(&world, token).await.unwrap();
    assert!(token.password.is_none());
    assert_eq!(
        open(token.url.as_ref()),
        format!("postgres://{}@db.example.com:6432/acme?sslmode=verify-full", own(&world, "jwt"))
    );
    world.stop().await;
}

#[tokio::test]
async fn a_repetition_makes_nothing_and_shows_no_password() {
    let world = World::new().await;
    draft(&world, "acme").await;
    let repeat = |route: &str| Ctx {
        idempotency: Some(IdempotencyKey { route: route.into(), key: "0123456789abcdef".into(), fingerprint: [1; 32] }),
        ..world.cx()
    };
    let name = own(&world, "app");
    let wanted = wanted(name.clone(), of_tenant("acme"));
    let first = logins::create(&repeat("POST logins"), &world.deps, wanted.clone()).await.unwrap();
    let again = logins::create(&repeat("POST logins"), &world.deps, wanted).await.unwrap();
    assert_eq!(again.login, first.login);
    assert!(first.password.is_some() && again.password.is_none() && again.url.is_none());
    let rotate = async || {
        let cx = repeat("POST rotate");
        logins::rotate(&cx, &world.deps, &name, Expected::Version(1), RotateRequest::default()).await.unwrap()
    };
    let (rotated, repeated) = (rotate().await, rotate().await);
    assert_eq!((rotated.login.version, repeated.login.version), (2, 2), "the version has passed, the request has not");
    assert!(rotated.password.is_some() && repeated.password.is_none());
    let kinds: Vec<_> = told(&world, Some("acme")).await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["gateway.login.created", "gateway.login.rotated"]);
    world.stop().await;
}

#[tokio::test]
async fn passwords_follow_each_other_and_a_revoked_login_gets_no_other() {
    let mut world = World::new().await;
    draft(&world, "acme").await;
    let name = own(&world, "app");
    make(&world, wanted(name.clone(), of_tenant("acme"))).await.unwrap();
    let rotate = async |world: &World, expected, request| {
        logins::rotate(&world.cx(), &world.deps, &name, expected, request).await
    };
    let stale = rotate(&world, Expected::Version(7), RotateRequest::default()).await.unwrap_err();
    assert_eq!(stale.code(), Code::StaleVersion);
    let rotated = rotate(&world, Expected::Version(1), RotateRequest::default()).await.unwrap();
    // A gateway tells one salt before it knows which of the two passwords is coming.
    let row = world.deps.store().read(&world.cx().environment).login(&name).await.unwrap().unwrap();
    let salt = |verifier: &tenantry_store::logins::Verifier| {
        verifier.text().expose_secret().split('$').nth(1).map(str::to_owned).unwrap()
    };
    let (current, old) = (row.verifiers.current.as_ref().unwrap(), &row.verifiers.old.as_ref().unwrap().0);
    assert_eq!(salt(current), salt(old));
    assert_ne!(current.text().expose_secret(), old.text().expose_secret());
    let until = rotated.login.old_until.unwrap();
    let day = SignedDuration::from_hours(24);
    assert!((until.duration_since(world.cx().now) - day).abs() < SignedDuration::from_secs(60), "{until}");
    world.skip_ahead(SignedDuration::from_hours(25));
    let shown = logins::get(&world.cx(), &world.deps, &name).await.unwrap();
    assert_eq!((shown.old_until, shown.standing), (None, Standing::Active));
    let at_once = RotateRequest {
        grace: Some(SignedDuration::ZERO),
        expires: Some(world.cx().now.round(jiff::Unit::Second).unwrap() + day),
    };
    let rotated = rotate(&world, Expected::Any, at_once).await.unwrap();
    assert_eq!((rotated.login.old_until, rotated.login.login.expires), (None, at_once.expires));
    for wrong in [
        RotateRequest { grace: Some(SignedDuration::from_hours(32 * 24)), expires: None },
        RotateRequest { grace: None, expires: Some(world.cx().now) },
    ] {
        let refused = rotate(&world, Expected::Any, wrong).await.unwrap_err();
        assert_eq!((refused.code(), refused.fields().len()), (Code::InvalidParameter, 1), "{refused:?}");
    }
    world.skip_ahead(SignedDuration::from_hours(25));
    assert_eq!(logins::get(&world.cx(), &world.deps, &name).await.unwrap().standing, Standing::Expired);

    let revoke = async |expected| logins::revoke(&world.cx(), &world.deps, &name, expected).await;
    assert_eq!(revoke(Expected::Version(1)).await.unwrap_err().code(), Code::StaleVersion);
    let revoked = revoke(Expected::Version(3)).await.unwrap();
    assert_eq!((revoked.standing, revoked.version), (Standing::Revoked, 4));
    // Already so: nothing happens, and nothing is recorded.
    assert_eq!(revoke(Expected::Any).await.unwrap().version, 4);
    assert_eq!(rotate(&world, Expected::Any, RotateRequest::default()).await.unwrap_err().code(), Code::LoginRevoked);
    let events = told(&world, Some("acme")).await;
    let kinds: Vec<_> = events.iter().map(|(kind, _)| kind.trim_start_matches("gateway.login.")).collect();
    assert_eq!(kinds, ["created", "rotated", "rotated", "revoked"]);
    assert_eq!((&events[0].1["login"], &events[0].1["slug"]), (&name.as_str().into(), &"acme".into()));

    let again = make(&world, wanted(name.clone(), of_tenant("acme"))).await.unwrap();
    assert_eq!((again.login.version, again.login.standing), (5, Standing::Active));
    let verified = tenantry_control::audit::verify(&world.cx(), &world.deps, None).await.unwrap();
    assert!(verified.findings.is_empty(), "{verified:?}");
    world.pause().await;
    world.stop().await;
}

#[tokio::test]
async fn what_a_login_names_must_exist_and_belong_together() {
    let world = World::new().await;
    for slug in ["acme", "globex"] {
        draft(&world, slug).await;
    }
    let name = own(&world, "app");
    let refused = async |wanted: Wanted| {
        let refusal = make(&world, wanted).await.unwrap_err();
        (refusal.code(), refusal.fields().into_iter().map(|field| field.field).collect::<Vec<_>>())
    };
    let of = |whose| wanted(name.clone(), whose);
    assert_eq!(refused(of(of_tenant("initech"))).await.0, Code::TenantNotFound);
    assert_eq!(refused(of(of_app("shop", None))).await, (Code::InvalidReference, vec!["app".to_owned()]));
    let list = of_app("notes", Some(&["acme", "initech", "globex", "acme"]));
    let fields = vec!["only[1]".to_owned(), "only[3]".to_owned()];
    assert_eq!(refused(of(list)).await, (Code::InvalidParameter, fields));
    assert_eq!(refused(of(of_app("notes", Some(&[])))).await.1, ["only"]);
    let past = Wanted { expires: Some(world.cx().now), connections: Some(0), ..of(of_tenant("acme")) };
    assert_eq!(refused(past).await.1, ["connections", "expiresAt"]);
    assert!(told(&world, Some("acme")).await.is_empty() && told(&world, None).await.is_empty());

    let made = make(&world, of(of_app("notes", Some(&["globex", "acme"])))).await.unwrap();
    let (acme, globex) = (world.tenant("acme").await.id, world.tenant("globex").await.id);
    let app = AppName::parse("notes").unwrap();
    assert_eq!(made.login.login.whose, Whose::Service { app, tenants: Allowed::These(vec![globex, acme]) });
    assert_eq!(refused(of(of_tenant("acme"))).await, (Code::LoginTaken, vec!["name".to_owned()]));
    let token = Wanted { proof: Proof::Token, ..wanted(own(&world, "jwt"), of_app("notes", None)) };
    make(&world, token).await.unwrap();
    let rotated =
        logins::rotate(&world.cx(), &world.deps, &own(&world, "jwt"), Expected::Any, RotateRequest::default()).await;
    assert_eq!(rotated.unwrap_err().code(), Code::InvalidParameter);
    let nobody = own(&world, "nobody");
    assert_eq!(logins::get(&world.cx(), &world.deps, &nobody).await.unwrap_err().code(), Code::ObjectNotFound);
    let revoked = logins::revoke(&world.cx(), &world.deps, &nobody, Expected::Any).await;
    assert_eq!(revoked.unwrap_err().code(), Code::ObjectNotFound);
    // Those of services are the environment's.
    let kinds: Vec<_> = told(&world, None).await.into_iter().map(|(_, data)| data["tenants"].clone()).collect();
    assert_eq!(kinds, [serde_json::json!(2), serde_json::Value::Null]);
    world.stop().await;
}

#[tokio::test]
async fn a_session_is_for_tenants_with_a_login_of_their_own_and_a_deleted_tenants_logins_go() {
    let world = World::running().await;
    let mut synthetic = spec("starter", Phase::Active);
    synthetic.business.synthetic = true;
    let made = tenants::create(&world.cx(), &world.deps, Slug::parse("acme").unwrap(), synthetic).await.unwrap();
    world.done(made.operation).await;
    world.active("globex", "standard").await;
    let session = |slug: &str| Wanted { mode: Mode::Session, ..wanted(own(&world, slug), of_tenant(slug)) };
    let refused = make(&world, session("acme")).await.unwrap_err();
    assert_eq!((refused.code(), refused.fields()[0].field.as_str()), (Code::InvalidParameter, "mode"));
    make(&world, session("globex")).await.unwrap();
    make(&world, wanted(own(&world, "acme"), of_tenant("acme"))).await.unwrap();
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
    let query = Query { with_revoked: true, ..Query::default() };
    let left = logins::list(&world.cx(), &world.deps, &query, PageSize::default(), None).await.unwrap();
    let names: Vec<_> = left.items.iter().map(|login| login.name.clone()).collect();
    assert_eq!(names, [own(&world, "globex")]);
    let of_globex = Query { tenant: Some(name("globex")), ..Query::default() };
    let found = logins::list(&world.cx(), &world.deps, &of_globex, PageSize::default(), None).await.unwrap();
    assert_eq!(found.items[0].slug.as_ref().map(Slug::as_str), Some("globex"));
    world.stop().await;
}
