//! Bundles of rules that a server keeps: gone back to and put in force from beside it, while it runs.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tenantry_testkit::pg::{TestDatabase, server};
use tokio::process::Child;

use crate::program::{Ended, Home, PATIENCE, eventually, finish, listens};

const FOUR_EYES: &str = "[settings.fourEyes]\nenabled = true\n";

/// An installation that takes its rules from one folder and keeps them in another.
struct World {
    home: Home,
    database: TestDatabase,
    token: String,
    port: u16,
}

impl World {
    async fn new() -> Self {
        let home = Home::new();
        for (what, file) in [("root-key", "root.key"), ("token", "admin.token")] {
            assert_eq!(home.run(&["secret", what, "--output-file", file]).await.code, 0);
        }
        std::fs::create_dir(home.path("source")).unwrap();
        let token = std::fs::read_to_string(home.path("admin.token")).unwrap().trim().to_owned();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { home, database: server().database(), token, port }
    }

    /// Puts a bundle of the shipped rules with settings into the source; gives its digest.
    async fn publish(&self, version: &str, settings: &str) -> String {
        let text = format!("name = 'acme'\nversion = '{version}'\n{settings}");
        // In one step: half a file would be refused, and told of in the log.
        std::fs::write(self.home.path("next.toml"), text).unwrap();
        std::fs::rename(self.home.path("next.toml"), self.home.path("source/policy.toml")).unwrap();
        self.home.run(&["policy", "digest", "source"]).await.out.trim().to_owned()
    }

    async fn serve(&self, way: &str, every: &str) -> Child {
        let address = format!("127.0.0.1:{}", self.port);
        let mut serve = self.home.command(&["serve", "--migrate", "--listen", &address, "--drain-delay", "0s"]);
        serve
            .env("TENANTRY_DATABASE_URL", self.database.url())
            .env("TENANTRY_ROOT_KEY_FILE", self.home.path("root.key"))
            .env("TENANTRY_BOOTSTRAP_TOKEN_FILE", self.home.path("admin.token"))
            .env("TENANTRY_POLICY_SOURCE", self.home.path("source"))
            .env("TENANTRY_POLICY_FOLDER", self.home.path("kept"))
            .env("TENANTRY_POLICY_WAY", way)
            .env("TENANTRY_POLICY_EVERY", every);
        let child = serve.spawn().unwrap();
        eventually("it listens", || listens(self.port)).await;
        child
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = self.home.command(arguments);
        command.env("TENANTRY_URL", format!("http://127.0.0.1:{}", self.port)).env("TENANTRY_TOKEN", &self.token);
        finish(command).await
    }

    async fn status(&self) -> Value {
        let status = self.run(&["policy", "status", "-o", "json"]).await;
        assert_eq!(status.code, 0, "{status:?}");
        serde_json::from_str(&status.out).unwrap()
    }

    async fn is_active(&self, version: &str) -> bool {
        let active = format!("acme/{version}+sha256:");
        self.status().await["active"].as_str().is_some_and(|text| text.starts_with(&active))
    }

    /// A command on the folder, which asks nobody: without the address, the token and the settings of the server.
    async fn shelf(&self, arguments: &[&str]) -> Ended {
        self.home.run(&[&["policy"][..], arguments, &["--policy-folder", "kept", "-o", "json"]].concat()).await
    }

    async fn turn(&self, arguments: &[&str]) -> Value {
        let ended = self.shelf(arguments).await;
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        serde_json::from_str(&ended.out).unwrap()
    }
}

async fn stop(mut server: Child) {
    let pid = i32::try_from(server.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    let ended = tokio::time::timeout(PATIENCE, server.wait()).await.expect("it drains").unwrap();
    assert!(ended.success());
}

#[tokio::test]
async fn who_runs_the_server_goes_back_from_a_bundle_while_it_serves() {
    let world = World::new().await;
    assert_eq!(world.shelf(&["bundles"]).await.code, 2, "a mistyped folder is not made");
    let one = world.publish("one", "").await;
    let server = world.serve("active", "1s").await;
    assert!(world.is_active("one").await);
    let two = world.publish("two", FOUR_EYES).await;
    eventually("the new one is in force", || world.is_active("two")).await;
    assert!(world.status().await.get("chosenBy").is_none());

    let kept = world.turn(&["bundles"]).await;
    for (at, stands, digest) in [(0, "in force", &two), (1, "earlier", &one)] {
        assert_eq!(kept["items"][at]["stands"], stands, "{kept}");
        assert_eq!(kept["items"][at]["bundle"]["digest"], digest.as_str(), "{kept}");
    }

    let back = world.turn(&["rollback", "--reason", "nobody can delete, INC-42"]).await;
    assert_eq!(back["changed"], true);
    assert_eq!(back["before"]["version"], "two");
    assert_eq!(back["now"]["version"], "one");
    eventually("the server follows", || world.is_active("one")).await;
    let status = world.status().await;
    assert_eq!(status["chosenReason"], "nobody can delete, INC-42");
    assert!(status["chosenBy"].as_str().unwrap().contains("uid ") && status["chosenAt"].is_string(), "{status}");
    // The source is looked at twice meanwhile, and still has the other one.
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    assert!(world.is_active("one").await);

    let again = world.turn(&["rollback", "--to", &one]).await;
    assert_eq!(again["changed"], false);
    assert_eq!(again["now"]["digest"], one.as_str());
    let further = world.shelf(&["rollback"]).await;
    assert!(further.code == 3 && further.err.contains("TEN-0079"), "{further:?}");
    assert_eq!(world.shelf(&["rollback", "--to", "sha256:1"]).await.code, 2);
    // Whoever asks for it by name gets it, and a restart changes nothing.
    assert_eq!(world.turn(&["rollback", "--to", &two]).await["changed"], true);
    eventually("the server follows again", || world.is_active("two")).await;
    stop(server).await;
    assert_eq!(world.turn(&["rollback", "--to", &one]).await["changed"], true);
    let server = world.serve("active", "1s").await;
    assert!(world.is_active("one").await);
    stop(server).await;
}

#[tokio::test]
async fn a_bundle_that_is_tried_is_promoted_while_the_server_runs() {
    let world = World::new().await;
    let one = world.publish("one", FOUR_EYES).await;
    // The source is looked at once: what happens later comes from the folder.
    let server = world.serve("shadow", "1h").await;
    let status = world.status().await;
    assert!(status["shadow"].as_str().unwrap().starts_with("acme/one+sha256:"), "{status}");
    assert!(!world.is_active("one").await);
    let stranger = format!("sha256:{}", "0".repeat(64));
    let other = world.shelf(&["promote", "--expect", &stranger]).await;
    assert!(other.code == 3 && other.err.contains("is being tried"), "{other:?}");

    let promoted = world.turn(&["promote", "--expect", &one, "--reason", "a week without differences"]).await;
    assert!(promoted["changed"] == true && promoted["before"].is_null(), "{promoted}");
    eventually("the server follows", || world.is_active("one")).await;
    assert!(world.status().await.get("shadow").is_none());
    for arguments in [&["promote"][..], &["promote", "--expect", &one]] {
        assert_eq!(world.turn(arguments).await["changed"], false, "{arguments:?}");
    }
    stop(server).await;

    // Somebody chose rules; if they cannot be read, it is not the shipped ones that decide.
    let archive = format!("kept/{}.tar.gz", one.strip_prefix("sha256:").unwrap());
    let whole = std::fs::read(world.home.path(&archive)).unwrap();
    std::fs::write(world.home.path(&archive), b"torn").unwrap();
    // The source has another one; its own archive would mend the torn one.
    world.publish("two", "").await;
    let server = world.serve("shadow", "1s").await;
    let region = "apiVersion: tenantry.dev/v1\nkind: Region\nmetadata: { name: here }\n";
    std::fs::write(world.home.path("region.yaml"), region).unwrap();
    let refused = world.run(&["apply", "-f", "region.yaml"]).await;
    assert!(refused.code == 7 && refused.err.contains("TEN-0075"), "{refused:?}");
    std::fs::write(world.home.path(&archive), whole).unwrap();
    eventually("they are in force again", || world.is_active("one")).await;
    let applied = world.run(&["apply", "-f", "region.yaml"]).await;
    assert_eq!(applied.code, 0, "{applied:?}");
    stop(server).await;
}
