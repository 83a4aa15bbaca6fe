//! Whose request it is, how to reach the data, with which credential; and what proxies are told.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tenantry_pg::{Pool, PoolOptions, Target};

use crate::world::{Reply, World, manifest};

/// An active tenant at the shared level.
async fn open(world: &World, slug: &str) -> Value {
    let mut wanted = manifest(slug);
    wanted["spec"]["state"] = json!("active");
    wanted["spec"]["plan"] = json!("starter");
    let made = world.post("tenants?wait=30s").keyed().json(&wanted).send().await;
    assert_eq!(made.status, 200, "{made:?}");
    made.json()
}

async fn suspend(world: &World, slug: &str) {
    let path = format!("tenants/{slug}:suspend?wait=30s");
    let body = json!({ "reason": "commercial" });
    let reply = world.post(&path).keyed().header("if-match", "*").json(&body).send().await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[tokio::test]
async fn every_pair_of_sources_agrees_or_is_refused() {
    let world = World::running().await;
    let acme = open(&world, "acme").await["status"]["id"].as_str().unwrap().to_owned();
    let globex = open(&world, "globex").await["status"]["id"].as_str().unwrap().to_owned();
    let forms = |slug: &str, id: &str| {
        [
            ("host", format!("host={slug}.app.example.com")),
            ("path", format!("path=/t/{slug}/orders")),
            ("header", format!("tenant={slug}")),
            ("token", format!("claim={id}")),
        ]
    };
    let (ours, theirs) = (forms("acme", &acme), forms("globex", &globex));
    for (a, (first, mine)) in ours.iter().enumerate() {
        let alone = world.get(&format!("resolve?{mine}")).send().await.json();
        assert_eq!((&alone["tenant"], &alone["sources"]), (&json!(acme), &json!([first])), "{alone}");
        for (b, (second, other)) in theirs.iter().enumerate().filter(|(b, _)| *b != a) {
            let same = world.get(&format!("resolve?{mine}&{}", ours[b].1)).send().await;
            assert_eq!(same.json()["slug"], "acme", "{same:?}");
            let differ = world.get(&format!("resolve?{mine}&{other}")).send().await;
            let problem = differ.problem("TEN-0043");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains(first) && detail.contains(second), "{detail}");
        }
    }
    world.get("resolve").send().await.problem("TEN-0044");
    world.get("resolve?host=app.example.com&path=/orders").send().await.problem("TEN-0044");
    world.get("resolve?tenant=initech").send().await.problem("TEN-0005");
    world.get("resolve?tenant=acme&claim=initech").send().await.problem("TEN-0005");
    world.end().await;
}

#[tokio::test]
async fn no_form_of_a_host_reaches_another_tenant() {
    let world = World::running().await;
    open(&world, "acme").await;
    for host in ["acme.app.example.com", "ACME.APP.EXAMPLE.COM", "acme.app.example.com.", "acme.app.example.com:8443"] {
        let found = world.get(&format!("resolve?host={host}")).send().await;
        assert_eq!(found.json()["slug"], "acme", "{host}: {found:?}");
    }
    let long = format!("{}.app.example.com", "a".repeat(280));
    let hosts = [
        ("acme.app.example.com.evil.net", "TEN-0044"),
        ("acme-app.example.com", "TEN-0044"),
        ("evil-app.example.com", "TEN-0044"),
        ("a.acme.app.example.com", "TEN-0044"),
        ("acme..app.example.com", "TEN-0044"),
        (".app.example.com", "TEN-0044"),
        ("xn--cme-5cd.app.example.com", "TEN-0044"),
        ("acme%2500.app.example.com", "TEN-0044"),
        ("acme.app.example.com:0", "TEN-0044"),
        ("127.0.0.1", "TEN-0044"),
        ("[::1]:80", "TEN-0044"),
        ("initech.app.example.com", "TEN-0005"),
        (long.as_str(), "TEN-0044"),
    ];
    for (host, code) in hosts {
        world.get(&format!("resolve?host={host}")).send().await.problem(code);
    }
    world.get("resolve?host=acme%00.app.example.com").send().await.problem("TEN-0027");
    world.get("resolve?host=acme.app.example.com&host=globex.app.example.com").send().await.problem("TEN-0027");
    world.end().await;
}

/// Longest time in which a change must be seen.
const BOUND: Duration = tenantry_control::routes::BOUND;

async fn until(world: &World, path: &str, wanted: impl Fn(&Reply) -> bool) -> Duration {
    let began = Instant::now();
    loop {
        let reply = world.get(path).send().await;
        if wanted(&reply) {
            return began.elapsed();
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{reply:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_change_of_a_tenant_or_its_plan_is_seen_soon() {
    let world = World::running().await;
    open(&world, "acme").await;
    let is = |state: &'static str| move |reply: &Reply| reply.status == 200 && reply.json()["state"] == state;
    until(&world, "resolve?tenant=acme", is("open")).await;
    suspend(&world, "acme").await;
    let took = until(&world, "resolve?tenant=acme", is("suspended")).await;
    eprintln!("routes: a suspension was seen {took:?} after its end; the bound is {BOUND:?}");
    let plan = "apiVersion: tenantry.dev/v1\nkind: Plan\nmetadata: { name: starter }\nspec: { isolation: shared, quotas: { connections: 3 } }";
    let before = world.get("tenants/acme/route").send().await.json();
    assert_eq!(before.get("connections"), None, "{before}");
    let applied = world.post("manifests:apply").keyed().header("if-match", "*").yaml(plan).send().await;
    assert!(applied.status.is_success(), "{applied:?}");
    until(&world, "tenants/acme/route", |reply| reply.json()["connections"] == 3).await;
    world.end().await;
}

#[tokio::test]
async fn a_route_and_its_credential_open_the_tenants_database() {
    let world = World::running().await;
    let tenant = open(&world, "acme").await;
    open(&world, "globex").await;
    let route = world.get("tenants/acme/route").send().await.json();
    assert_eq!(
        (&route["state"], &route["isolation"], &route["generation"]),
        (&json!("open"), &json!("shared"), &json!(1))
    );
    assert_eq!(route["tenant"], tenant["status"]["id"]);
    assert_eq!(route["secretRef"], "cell/eu-west-1/app/chat");
    assert!(!route.to_string().contains("password"), "{route}");
    assert_eq!(world.get("tenants/globex/route").send().await.json()["secretRef"], route["secretRef"]);

    let reply = world.post("credentials").json(&json!({ "secretRef": route["secretRef"] })).send().await;
    let credential = reply.json();
    assert_eq!((reply.status.as_u16(), &credential["role"]), (200, &route["role"]), "{reply:?}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let url = format!(
        "postgres://{}:{}@{}:{}/{}",
        text(&credential["role"]),
        text(&credential["password"]),
        text(&route["host"]),
        route["port"],
        text(&route["database"])
    );
    let target = Target::parse(&secrecy::SecretString::from(url)).unwrap();
    let pool = Pool::new(target, PoolOptions { max: 1, ..PoolOptions::default() });
    let conn = pool.get().await.unwrap();
    let hello = conn.query_one("SELECT pid, started FROM seal.hello()", &[]).await.unwrap();
    let (pid, started): (i32, i64) = (hello.get(0), hello.get(1));

    // The arithmetic of the contract, written down a second time.
    let key = STANDARD.decode(text(&credential["seal"]["key"])).unwrap();
    let sha =
        |parts: &[&[u8]]| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &parts.concat()).as_ref().to_vec();
    let backend = [pid.to_be_bytes().to_vec(), started.to_be_bytes().to_vec()].concat();
    let mac = |text: &str| sha(&[&key, &sha(&[&key, text.as_bytes(), &backend])]);
    let proof = mac("tenantry seal arm 1");
    let capability = mac("tenantry seal capability 1")[..16].to_vec();
    let uuid: uuid::Uuid = text(&route["uuid"]).parse().unwrap();
    let generation = route["generation"].as_i64().unwrap();
    let token = sha(&[b"tenantry seal enter 1", &capability, uuid.as_bytes(), &generation.to_be_bytes()]);
    let kid = i32::try_from(credential["seal"]["kid"].as_i64().unwrap()).unwrap();
    conn.execute("SELECT seal.arm($1, $2)", &[&kid, &proof]).await.unwrap();
    let tx = conn.begin(tenantry_pg::TxMode::ReadCommitted).await.unwrap();
    tx.execute("SELECT seal.enter($1, $2, $3)", &[&uuid, &generation, &token]).await.unwrap();
    let own: uuid::Uuid = tx.query_one("SELECT tenantry.current_tenant()", &[]).await.unwrap().get(0);
    assert_eq!(own, uuid);
    tx.rollback().await.unwrap();

    let audit = world.get("audit?category=access&action=credential.issue").send().await.json();
    assert_eq!(audit["items"].as_array().unwrap().len(), 1, "{audit}");
    assert_eq!(audit["items"][0]["target"], "cell/eu-west-1/app/chat");
    assert!(!audit.to_string().contains(&text(&credential["password"])), "no secret in the audit");
    world.end().await;
}

#[tokio::test]
async fn only_real_references_have_credentials() {
    let world = World::running().await;
    let acme = open(&world, "acme").await["status"]["id"].as_str().unwrap().to_owned();
    for reference in [
        "cell/eu-west-1/app/nothing".to_owned(),
        "cell/nowhere/app/chat".to_owned(),
        format!("cell/eu-west-1/tenant/{acme}"),
        "cell/eu-west-1/tenant/ten_01jd8x3v9mfk2t5h7q0w4z6y8c".to_owned(),
        "postgres".to_owned(),
        "cell/eu-west-1/app/chat/../x".to_owned(),
    ] {
        let reply = world.post("credentials").json(&json!({ "secretRef": reference })).send().await;
        assert_eq!(reply.status, 404, "{reference}: {reply:?}");
        assert!(!reply.text.contains("password"), "{reply:?}");
    }
    world.post("credentials").json(&json!({})).send().await.problem("TEN-0027");
    world.post("credentials").json(&json!({ "secretRef": "x", "role": "y" })).send().await.problem("TEN-0027");
    world.end().await;
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn proxies_are_told_who_it_is_or_no() {
    let world = World::running().await;
    let acme = open(&world, "acme").await["status"]["id"].as_str().unwrap().to_owned();
    open(&world, "globex").await;
    suspend(&world, "globex").await;
    world.draft("hooli").await;
    until(&world, "resolve?tenant=globex", |reply| reply.text.contains("suspended")).await;

    let ask = |proxy: &str, host: &str, uri: &str| match proxy {
        "traefik" => world.get("forward-auth/traefik").header("x-forwarded-host", host).header("x-forwarded-uri", uri),
        "envoy" => world.get(&format!("forward-auth/envoy{uri}")).header("host", host),
        other => {
            let path = format!("forward-auth/{other}");
            world.get(&path).header("x-original-host", host).header("x-original-uri", uri)
        }
    };
    for proxy in ["nginx", "haproxy", "traefik", "envoy"] {
        let good = ask(proxy, "acme.app.example.com", "/orders?x=1").send().await;
        assert_eq!((good.status.as_u16(), good.header("x-tenant-id")), (200, acme.as_str()), "{proxy}: {good:?}");
        assert_eq!((good.header("x-tenant-slug"), good.header("x-tenant-isolation")), ("acme", "shared"));
        assert_eq!(claims(good.header("tenantry-context"))["tid"], acme);
        assert_eq!(good.header("cache-control"), "no-store");
        for (host, uri, status, code) in [
            ("initech.app.example.com", "/", 404, "TEN-0005"),
            ("globex.app.example.com", "/", 403, "TEN-0045"),
            ("hooli.app.example.com", "/", 503, "TEN-0046"),
            ("acme.app.example.com", "/t/globex/x", 400, "TEN-0043"),
            ("app.example.com", "/", 400, "TEN-0044"),
            ("acme.app.example.com.evil.net", "/", 400, "TEN-0044"),
        ] {
            let reply = ask(proxy, host, uri).send().await;
            // nginx takes any other refusal for a fault of ours.
            let status = if proxy == "nginx" && status != 503 { 403 } else { status };
            assert_eq!((reply.status.as_u16(), reply.header("x-tenant-error")), (status, code), "{proxy} {host}{uri}");
            assert_eq!(reply.header("x-tenant-id"), "");
        }
        let foreign = ask(proxy, "acme.app.example.com", "/").header("x-tenant-id", "globex").send().await;
        assert_eq!(foreign.header("x-tenant-error"), "TEN-0043", "{proxy}: {foreign:?}");
        let alone = ask(proxy, "app.example.com", "/").header("x-tenant-id", "acme").send().await;
        assert_eq!(alone.header("x-tenant-error"), "TEN-0044", "the client's word alone: {alone:?}");
    }
    // Traefik can send a token only as a password, and only here is one taken.
    let basic = format!("Basic {}", STANDARD.encode(format!("proxy:{}", world.token)));
    let path = format!("/v1/environments/{}/forward-auth/traefik", world.environment);
    let good = world.bare("GET", &path).header("authorization", &basic);
    let good = good.header("x-forwarded-host", "acme.app.example.com").header("x-forwarded-uri", "/").send().await;
    assert_eq!(good.header("x-tenant-slug"), "acme", "{good:?}");
    let path = format!("/v1/environments/{}/tenants", world.environment);
    assert_eq!(world.bare("GET", &path).header("authorization", &basic).send().await.status, 401);
    world.get("forward-auth/nginx").send().await.problem("TEN-0042");
    world.get("forward-auth/apache").send().await.problem("TEN-0023");
    let path = format!("/v1/environments/{}/forward-auth/nginx", world.environment);
    assert_eq!(world.bare("GET", &path).send().await.status, 401, "a proxy has a token of its own");
    world.end().await;
}

/// What a service behind the proxy does.
#[tokio::test]
async fn a_context_token_verifies_and_a_changed_one_does_not() {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
    let world = World::running().await;
    open(&world, "acme").await;
    let good = world
        .get("forward-auth/nginx")
        .header("x-original-host", "acme.app.example.com")
        .header("x-original-uri", "/")
        .send()
        .await;
    let token = good.header("tenantry-context").to_owned();
    let keys = world.bare("GET", "/v1/context-keys").bearer().send().await.json();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let head: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split('.').next().unwrap()).unwrap()).unwrap();
    assert_eq!((&head["alg"], &head["kid"]), (&json!("EdDSA"), &keys["keys"][0]["kid"]));
    let key = URL_SAFE_NO_PAD.decode(keys["keys"][0]["x"].as_str().unwrap()).unwrap();
    let key = UnparsedPublicKey::new(&ED25519, key);
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    key.verify(signed.as_bytes(), &signature).unwrap();
    let (claims, env) = (claims(&token), world.environment.to_string());
    assert_eq!((&claims["aud"], &claims["gen"]), (&json!(env), &json!(1)));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
    for place in 0..signed.len() {
        let mut changed = signed.as_bytes().to_vec();
        changed[place] ^= 1;
        assert!(key.verify(&changed, &signature).is_err(), "byte {place}");
    }
    world.end().await;
}
