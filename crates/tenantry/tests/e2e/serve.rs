//! `migrate` and `serve` on a PostgreSQL of the user's own.

use rustix::process::Signal;
use secrecy::ExposeSecret as _;

use crate::program::{Home, PATIENCE, eventually, finish, listens};

#[tokio::test]
async fn a_server_of_ones_own() {
    let home = Home::new();
    let database = tenantry_testkit::pg::server().database();
    let token = tenantry_control::tokens::mint_text().unwrap();
    std::fs::write(home.path("root.key"), "0f".repeat(31) + "10").unwrap();
    std::fs::write(home.path("admin.token"), token.expose_secret()).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let serve = || {
        let mut command = home.command(&["serve", "--listen", &address, "--drain-delay", "0s"]);
        command
            .env("TENANTRY_DATABASE_URL", database.url())
            .env("TENANTRY_ROOT_KEY_FILE", home.path("root.key"))
            .env("TENANTRY_BOOTSTRAP_TOKEN_FILE", home.path("admin.token"));
        command
    };
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

    let mut server = serve().spawn().unwrap();
    eventually("it listens", || listens(port)).await;
    let mut command = home.command(&["get", "tenants", "-o", "json"]);
    command.env("TENANTRY_URL", format!("http://{address}")).env("TENANTRY_TOKEN", token.expose_secret());
    let ended = finish(command).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let pid = i32::try_from(server.id().unwrap()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    let ended = tokio::time::timeout(PATIENCE, server.wait()).await.expect("it drains").unwrap();
    assert!(ended.success());
}
