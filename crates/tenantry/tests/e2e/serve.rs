//! `migrate` and `serve` on a PostgreSQL of the user's own.

use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;
use secrecy::SecretString;
use tenantry_pg::{Pool, PoolOptions, Target};

use crate::program::{Home, PATIENCE, eventually, finish, listens};

#[tokio::test]
async fn a_server_of_ones_own() {
    let home = Home::new();
    let database = tenantry_testkit::pg::server().database();
    for (what, file) in [("root-key", "root.key"), ("token", "admin.token")] {
        let made = home.run(&["secret", what, "--output-file", file]).await;
        assert_eq!((made.code, made.out.as_str()), (0, ""), "{made:?}");
        let mode = std::fs::metadata(home.path(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
        let again = home.run(&["secret", what, "--output-file", file]).await;
        assert_eq!(again.code, 2, "a secret in use is not replaced: {again:?}");
    }
    let token = std::fs::read_to_string(home.path("admin.token")).unwrap().trim().to_owned();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let serve_at = |address: &str| {
        let mut command = home.command(&["serve", "--listen", address, "--drain-delay", "0s"]);
        command
            .env("TENANTRY_DATABASE_URL", database.url())
            .env("TENANTRY_ROOT_KEY_FILE", home.path("root.key"))
            .env("TENANTRY_BOOTSTRAP_TOKEN_FILE", home.path("admin.token"));
        command
    };
    let serve = || serve_at(&address);
    let ended = finish(serve()).await;
    assert_eq!(ended.code, 7, "an empty database is told as such: {ended:?}");
    assert!(ended.err.contains("tenantry migrate"), "{ended:?}");

    let migrate = || {
        let mut command = home.command(&["migrate", "-o", "json"]);
        command.env("TENANTRY_DATABASE_URL", database.url());
        command
    };
    let first = finish(migrate()).await;
    assert_eq!(first.code, 0, "{first:?}");
    let again = finish(migrate()).await;
    assert!(again.out.contains("\"applied\": []"), "{again:?}");

    let mut lab = serve();
    lab.arg("--webhooks-lab");
    let ended = finish(lab).await;
    assert_eq!(ended.code, 2, "webhooks to this machine are for laboratories: {ended:?}");
    assert!(ended.err.contains("TENANTRY_LABORATORY"), "{ended:?}");

    let mut server = serve().spawn().unwrap();
    eventually("it listens", || listens(port)).await;
    let mut command = home.command(&["get", "tenants", "-o", "json"]);
    command.env("TENANTRY_URL", format!("http://{address}")).env("TENANTRY_TOKEN", token);
    let ended = finish(command).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    // Another key would lock every tenant out: it is refused before anything is written with it.
    let made = home.run(&["secret", "root-key", "--output-file", "other.key"]).await;
    assert_eq!(made.code, 0, "{made:?}");
    for extra in [None, Some("--migrate")] {
        let mut other = serve_at("127.0.0.1:0");
        other.args(extra).env("TENANTRY_ROOT_KEY_FILE", home.path("other.key"));
        let ended = finish(other).await;
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.err.contains("TEN-0111"), "{ended:?}");
    }
    term(&server);
    let ended = tokio::time::timeout(PATIENCE, server.wait()).await.expect("it drains").unwrap();
    assert!(ended.success());

    // Tables that a release cannot work with are told before it begins.
    let sql = |statement: &str| tenantry_testkit::pg::server().sql(database.name(), statement);
    sql("DELETE FROM tenantry.migration WHERE version = (SELECT max(version) FROM tenantry.migration)");
    let ended = finish(serve()).await;
    assert_eq!(ended.code, 7, "{ended:?}");
    assert!(ended.err.contains("TEN-0110") && ended.err.contains("tenantry migrate"), "{ended:?}");
}

fn term(server: &tokio::process::Child) {
    let pid = i32::try_from(server.id().unwrap()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
}

/// Whoever ends processes waits half a minute in all: work is given back while the door is still open. Who cannot wait says so
/// a second time.
#[tokio::test]
async fn work_is_given_back_before_the_door_has_closed() {
    let home = Home::new();
    let database = tenantry_testkit::pg::server().database();
    assert_eq!(home.run(&["secret", "root-key", "--output-file", "root.key"]).await.code, 0);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command =
        home.command(&["serve", "--migrate", "--drain-delay", "60s", "--listen", &format!("127.0.0.1:{port}")]);
    command.env("TENANTRY_DATABASE_URL", database.url()).env("TENANTRY_ROOT_KEY_FILE", home.path("root.key"));
    let mut server = command.spawn().unwrap();
    eventually("it listens", || listens(port)).await;
    let target = Target::parse(&SecretString::from(database.url())).unwrap();
    let pool = Pool::new(target, PoolOptions { max: 1, ..PoolOptions::default() });
    let hears = async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'";
        let conn = pool.get().await.unwrap();
        let count: i64 = conn.query_one(sql, &[]).await.unwrap().get(0);
        conn.release();
        count > 0
    };
    eventually("its brain works", &hears).await;
    term(&server);
    eventually("its brain has ended", async || !hears().await).await;
    assert!(listens(port).await, "and its door is open");
    term(&server);
    let ended = tokio::time::timeout(PATIENCE, server.wait()).await.expect("it ends at once").unwrap();
    assert_eq!(ended.code(), Some(130));
}
