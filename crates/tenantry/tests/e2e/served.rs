//! A `serve` on a control database of its own, and the commands that are sent to it.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tenantry_testkit::pg::{TestDatabase, server};
use tokio::process::{Child, Command};

use crate::program::{Ended, Home, PATIENCE, eventually, finish, listens};

/// A running installation of one process.
pub struct Served {
    pub home: Home,
    child: Child,
    url: String,
    token: String,
    _database: TestDatabase,
}

impl Served {
    /// Starts it and waits until it listens.
    pub async fn start() -> Self {
        Self::with(|_, _| {}).await
    }

    /// The same after `prepare` has changed with what it runs; it is given the URL of the database.
    pub async fn with(prepare: impl FnOnce(&mut Command, &str)) -> Self {
        let home = Home::new();
        let database = server().database();
        for (what, file) in [("root-key", "root.key"), ("token", "admin.token")] {
            assert_eq!(home.run(&["secret", what, "--output-file", file]).await.code, 0);
        }
        let token = std::fs::read_to_string(home.path("admin.token")).unwrap().trim().to_owned();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let mut serve = home.command(&["serve", "--migrate", "--listen", &address, "--drain-delay", "0s"]);
        serve
            .env("TENANTRY_DATABASE_URL", database.url())
            .env("TENANTRY_ROOT_KEY_FILE", home.path("root.key"))
            .env("TENANTRY_BOOTSTRAP_TOKEN_FILE", home.path("admin.token"));
        prepare(&mut serve, &database.url());
        let child = serve.spawn().unwrap();
        eventually("it listens", || listens(port)).await;
        Self { home, child, url: format!("http://{address}"), token, _database: database }
    }

    /// Runs a command against it as its first token.
    pub async fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = self.home.command(arguments);
        command.env("TENANTRY_URL", &self.url).env("TENANTRY_TOKEN", &self.token);
        finish(command).await
    }

    /// Runs a command that has to succeed and gives its document.
    pub async fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.run(&[arguments, &["-o", "json"]].concat()).await;
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        serde_json::from_str(&ended.out).unwrap()
    }

    /// Applies manifests, which have to be right.
    pub async fn apply(&self, text: &str) {
        std::fs::write(self.home.path("all.yaml"), text).unwrap();
        let applied = self.run(&["apply", "-f", "all.yaml"]).await;
        assert_eq!(applied.code, 0, "{applied:?}");
    }

    /// Ends it in an orderly way.
    pub async fn stop(mut self) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it drains").unwrap();
        assert!(ended.success());
    }
}
