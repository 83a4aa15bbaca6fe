//! `migrate` and `serve` on a PostgreSQL of the user's own.

use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

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
    let pid = i32::try_from(server.id().unwrap()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    let ended = tokio::time::timeout(PATIENCE, server.wait()).await.expect("it drains").unwrap();
    assert!(ended.success());
}
