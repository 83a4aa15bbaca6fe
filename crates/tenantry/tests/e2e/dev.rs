//! `dev` over its life: started, stopped, killed, started twice.

use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use crate::program::{Home, PATIENCE, eventually, finish, listens, text};

#[tokio::test]
async fn it_goes_on_with_the_same_data() {
    let home = Home::new();
    let dev = home.dev(&[]).await;
    let port = dev.postgres_port();
    let token = text(&home.path("data/admin.token"));
    for secret in ["data/admin.token", "data/root.key", "data/postgres.password", "config/tenantry/context.toml"] {
        let mode = std::fs::metadata(home.path(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    let names = |list: &serde_json::Value| -> Vec<String> {
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut tenants = names(&home.json(&["get", "tenants"]).await);
    tenants.sort();
    assert_eq!(tenants, ["acme", "globex", "initech"]);
    assert_eq!(dev.stop().await, 0);
    assert!(!listens(port).await, "the database is gone");

    // Another start finds everything, and needs no new example.
    let dev = home.dev(&[]).await;
    assert_eq!(names(&home.json(&["get", "tenants"]).await).len(), 3);
    assert_eq!(text(&home.path("data/admin.token")), token);
    assert!(home.json(&["audit", "verify"]).await["findings"].as_array().unwrap().is_empty());
    dev.signal(Signal::TERM);
    let mut dev = dev;
    dev.until("stopped").await;
    assert!(dev.child.wait().await.unwrap().success());
}

#[tokio::test]
async fn one_folder_has_one_dev() {
    let home = Home::new();
    let dev = home.dev(&["--example", "none"]).await;
    let data = home.path("data");
    let second = home.run(&["dev", "--data-dir", data.to_str().unwrap(), "--no-context"]).await;
    assert_eq!(second.code, 5, "{second:?}");
    let pid = dev.child.id().unwrap();
    assert!(second.err.contains("is in use") && second.err.contains(&format!("process {pid}")), "{second:?}");
    assert!(second.err.contains("--data-dir"), "{second:?}");
    // The first one has not noticed.
    assert!(home.json(&["get", "tenants"]).await["items"].as_array().unwrap().is_empty());
    assert_eq!(dev.stop().await, 0);
}

#[tokio::test]
async fn a_killed_one_leaves_nothing_behind() {
    let home = Home::new();
    let mut dev = home.dev(&["--example", "none"]).await;
    let port = dev.postgres_port();
    dev.child.kill().await.unwrap();
    eventually("the database goes with its owner", || async { !listens(port).await }).await;

    let mut dev = home.dev(&["--example", "none"]).await;
    assert!(home.json(&["get", "plans"]).await["items"].as_array().unwrap().is_empty());
    // Killed and started again at once: whatever is still running is taken over.
    dev.child.kill().await.unwrap();
    let dev = home.dev(&["--example", "none"]).await;
    assert_eq!(dev.stop().await, 0);
}

/// The keeper of the server is killed too, as by an out-of-memory killer: the server is an orphan then.
#[tokio::test]
async fn an_orphaned_server_is_taken_over() {
    let home = Home::new();
    let mut dev = home.dev(&["--example", "none"]).await;
    let port = dev.postgres_port();
    let server: i32 = text(&home.path("data/postgres/data/postmaster.pid")).lines().next().unwrap().parse().unwrap();
    let keeper = parent_of(server);
    let kill =
        |pid: i32| rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    kill(keeper);
    dev.child.kill().await.unwrap();
    assert!(listens(port).await, "the orphan runs on");
    let dev = home.dev(&["--example", "none"]).await;
    assert_ne!(text(&home.path("data/postgres/data/postmaster.pid")).lines().next().unwrap(), server.to_string());
    assert_eq!(dev.stop().await, 0);
}

/// Without its database there is nothing to serve: it says so and ends.
#[tokio::test]
async fn it_ends_with_its_database() {
    let home = Home::new();
    let mut dev = home.dev(&["--example", "none"]).await;
    let server: i32 = text(&home.path("data/postgres/data/postmaster.pid")).lines().next().unwrap().parse().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(server).unwrap(), Signal::KILL).unwrap();
    let ended = tokio::time::timeout(PATIENCE, dev.child.wait()).await.expect("it ends in time").unwrap();
    assert_eq!(ended.code(), Some(70));
    // Its shared memory may still be in use for a moment.
    let dev = home.dev(&["--example", "none"]).await;
    assert_eq!(dev.stop().await, 0);
}

/// A server of the user's own serves as control database and cell.
#[tokio::test]
async fn another_database_can_be_named() {
    let home = Home::new();
    let server = tenantry_testkit::pg::private_server();
    let mut dev = home.dev_process_with(&[], |command| {
        command.env("TENANTRY_DATABASE_URL", server.url("postgres"));
    });
    dev.ready = dev.until("ready").await;
    assert!(dev.ready["postgresPort"].is_null());
    let placement = home.json(&["place", "globex"]).await;
    assert_eq!(placement["route"]["port"], server.port(), "{placement}");
    assert_eq!(dev.stop().await, 0);
}

fn parent_of(pid: i32) -> i32 {
    let status = text(std::path::Path::new(&format!("/proc/{pid}/stat")));
    // After the name in parentheses: state, parent.
    status.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_interrupted_start_is_taken_up_again() {
    let home = Home::new();
    let mut dev = home.dev_process(&[]);
    dev.until("applying").await;
    dev.child.kill().await.unwrap();
    let dev = home.dev(&[]).await;
    assert_eq!(home.json(&["get", "tenants", "--state", "active"]).await["items"].as_array().unwrap().len(), 3);
    assert_eq!(dev.stop().await, 0);
}

#[tokio::test]
async fn the_users_own_context_is_left_alone() {
    let home = Home::new();
    let context = home.path("config/tenantry/context.toml");
    std::fs::create_dir_all(context.parent().unwrap()).unwrap();
    std::fs::write(&context, "url = 'https://tenantry.example'\n").unwrap();
    let dev = home.dev(&["--example", "none"]).await;
    assert!(dev.ready["contextFile"].is_null());
    assert_eq!(text(&context), "url = 'https://tenantry.example'\n");
    let mut command = home.command(&["get", "tenants", "-o", "json"]);
    command.env("TENANTRY_URL", dev.ready["url"].as_str().unwrap());
    command.env("TENANTRY_TOKEN", text(&home.path("data/admin.token")).trim());
    let ended = finish(command).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(dev.stop().await, 0);
}

/// Root's stand-in cannot pass root's own folders: the database goes where it can.
#[tokio::test]
async fn a_folder_that_only_root_can_enter_works_too() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let home = Home::new();
    std::fs::create_dir(home.path("closed")).unwrap();
    std::fs::set_permissions(home.path("closed"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let data = home.path("closed/data");
    let dev = home.dev(&["--example", "none", "--data-dir", data.to_str().unwrap()]).await;
    let elsewhere = std::fs::read_link(data.join("postgres")).unwrap();
    assert!(elsewhere.starts_with("/var/lib/tenantry"), "{elsewhere:?}");
    assert_eq!(dev.stop().await, 0);
    std::fs::remove_dir_all(elsewhere).unwrap();
}
