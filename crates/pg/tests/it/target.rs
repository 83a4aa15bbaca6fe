//! Connection URLs.

use secrecy::SecretString;
use tenantry_pg::{PgKind, Pool, PoolOptions, Target, TargetError};

use tenantry_testkit::pg::private_server;

use crate::fresh;

fn parse(url: &str) -> Result<Target, TargetError> {
    Target::parse(&SecretString::from(url))
}

#[test]
fn parts_are_read_and_changed() {
    let target =
        parse("postgres://us%40er:p%2Fw@db.example:6543/my%20db?sslmode=verify-full&application_name=x").unwrap();
    assert_eq!((target.host().as_str(), target.port()), ("db.example", 6543));
    assert_eq!((target.user(), target.database()), ("us@er", "my db"));
    assert_eq!(format!("{target:?}"), "us@er@db.example:6543/my db");
    let moved = target.with_database("other").with_user("role", &"secret".into()).with_host("two.example", 1);
    assert_eq!(format!("{moved:?}"), "role@two.example:1/other");
    let bare = parse("postgresql://me@h").unwrap();
    assert_eq!((bare.database(), bare.port()), ("me", 5432));
    assert_eq!(bare.with_user("you", &"x".into()).database(), "me");
    assert_eq!(parse("postgres://me@/db?host=/run/pg").unwrap().host(), "/run/pg");
}

#[test]
fn what_cannot_be_used_is_refused_without_showing_it() {
    for (url, error) in [
        ("mysql://me:hush@h/d", TargetError::Scheme),
        ("postgres://:hush@h/d", TargetError::NoUser),
        ("postgres://me:hush@h/d?sslmode=allow", TargetError::SslMode),
    ] {
        assert_eq!(parse(url).err(), Some(error), "{url}");
    }
    for url in
        ["postgres://me:hush@h:port/d", "postgres://me:hush@h/d?hush=1", "postgres://me:hush@h/d?sslrootcert=%zz"]
    {
        let Err(TargetError::Malformed(reason)) = parse(url) else { panic!("{url}") };
        assert!(!reason.contains("hush@"), "{reason}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_when_tls_is_required() {
    let db = fresh();
    let plain = db.url();
    for (mode, works) in [("disable", true), ("prefer", true), ("require", false), ("verify-full", false)] {
        let url = plain.replace("sslmode=disable", &format!("sslmode={mode}"));
        let opened = Pool::new(parse(&url).unwrap(), PoolOptions::default()).get().await;
        assert_eq!(opened.is_ok(), works, "{mode}");
    }
    let closed = parse(&plain).unwrap().with_host("127.0.0.1", 1);
    assert_eq!(
        Pool::new(closed, PoolOptions::default()).get().await.err().map(|e| e.kind()),
        Some(PgKind::Unavailable)
    );
}

#[tokio::test]
async fn tls_means_what_libpq_means() {
    let server = private_server();
    let program = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key \
        -out server.crt -subj /CN=test -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
    server.sql("postgres", &format!("COPY (SELECT) TO PROGRAM $p${program}$p$"));
    server.sql("postgres", "ALTER SYSTEM SET ssl = on");
    server.sql("postgres", "SELECT pg_reload_conf()");
    let plain = server.url("postgres");
    let with = |options: &str| plain.replace("sslmode=disable", options);
    let ask = "SELECT ssl, pg_read_file('server.crt') FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let mut certificate = String::new();
    while !certificate.starts_with("-----BEGIN") {
        // Until the postmaster has read its new settings.
        let Ok(conn) = Pool::new(parse(&with("sslmode=require")).unwrap(), PoolOptions::default()).get().await else {
            continue;
        };
        let row = conn.query_one(ask, &[]).await.unwrap();
        assert!(row.get::<_, bool>(0));
        certificate = row.get(1);
    }
    let file = std::env::temp_dir().join(format!("root {}.crt", std::process::id()));
    std::fs::write(&file, certificate).unwrap();
    let root = format!("sslrootcert={}", file.display().to_string().replace(' ', "%20"));
    for (options, host, works) in [
        ("sslmode=prefer".to_owned(), "127.0.0.1", true),
        ("sslmode=verify-full".to_owned(), "127.0.0.1", false),
        (format!("sslmode=verify-full&{root}"), "127.0.0.1", true),
        (format!("sslmode=require&{root}"), "127.0.0.1", true),
        // The certificate is good, but for another name.
        (format!("sslmode=verify-full&{root}"), "localhost", false),
    ] {
        let target = parse(&with(&options)).unwrap().with_host(host, server.port());
        let pool = Pool::new(target, PoolOptions::default());
        assert_eq!(pool.get().await.is_ok(), works, "{options} {host}");
        if works {
            // A cancel request goes the same way.
            let conn = pool.get().await.unwrap();
            let limit = std::time::Duration::from_millis(50);
            tokio::time::timeout(limit, conn.query("SELECT pg_sleep(600)", &[])).await.unwrap_err();
            drop(conn);
            let watch = pool.get().await.unwrap();
            let asleep =
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()";
            while watch.query_one(asleep, &[]).await.unwrap().get::<_, i64>(0) > 0 {}
        }
    }
    std::fs::remove_file(file).unwrap();
}
