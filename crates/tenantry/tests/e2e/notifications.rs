//! What people are told, by real processes that are killed and by a person at the command line.

use rustix::process::Signal;
use serde_json::Value;
use tenantry_testkit::mail::Sink;
use tokio::process::Child;

use crate::program::{Ended, Home, PATIENCE, eventually, finish, listens};

const MANIFESTS: &str = "apiVersion: tenantry.dev/v1
kind: App
metadata: { name: chat }
spec:
  migrations: { files: [{ name: 0001_init.sql, sql: \"create table notes (tenant_id uuid not null, id bigint not null, primary key (tenant_id, id))\" }] }
  tenantKey: tenant_id
---
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: starter }
spec: { isolation: shared }
---
apiVersion: tenantry.dev/v1
kind: Region
metadata: { name: here }
---
apiVersion: tenantry.dev/v1
kind: Cell
metadata: { name: one }
spec: { region: here, kind: pooled, database: { urlFrom: { env: CELL } }, capacity: { shared: 10 } }
---
apiVersion: tenantry.dev/v1
kind: Tenant
metadata: { name: acme }
spec:
  displayName: Acme
  app: chat
  plan: starter
  state: active
  residency: { allowedRegions: [here] }
  contacts:
    technical: [{ name: Tim, email: tim@acme.example }]
    incident: [{ name: Ida, email: ida@acme.example }]
";

/// An installation with its files.
struct Place {
    home: Home,
    database: tenantry_testkit::pg::TestDatabase,
    /// The cell: its home for the app belongs to this installation alone.
    server: tenantry_testkit::pg::PrivateServer,
}

impl Place {
    /// A replica that sends mail to a port.
    async fn serve(&self, smtp: u16, more: &[&str]) -> (Child, String) {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let mut serve = self.home.command(&["serve", "--migrate", "--listen", &address, "--drain-delay", "0s"]);
        serve
            .args(["--ready-schemas", "0", "--ready-databases", "0", "--guard-every", "off"])
            .args(more)
            .env("CELL", self.server.url("postgres"))
            .env("TENANTRY_DATABASE_URL", self.database.url())
            .env("TENANTRY_ROOT_KEY_FILE", self.home.path("root.key"))
            .env("TENANTRY_BOOTSTRAP_TOKEN_FILE", self.home.path("admin.token"))
            .env("TENANTRY_SMTP_URL", format!("smtp://127.0.0.1:{smtp}"))
            .env("TENANTRY_MAIL_FROM", "Example <no-reply@example.com>")
            .env("TENANTRY_INVITE_URL", "https://app.example.com/join#{token}");
        let child = serve.spawn().unwrap();
        eventually("it listens", || listens(port)).await;
        (child, address)
    }

    async fn run(&self, address: &str, arguments: &[&str]) -> Ended {
        let token = std::fs::read_to_string(self.home.path("admin.token")).unwrap().trim().to_owned();
        let mut command = self.home.command(arguments);
        command.env("TENANTRY_URL", format!("http://{address}")).env("TENANTRY_TOKEN", token);
        finish(command).await
    }

    async fn json(&self, address: &str, arguments: &[&str]) -> Value {
        let ended = self.run(address, &[arguments, &["-o", "json"]].concat()).await;
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        serde_json::from_str(&ended.out).unwrap()
    }

    async fn sql(&self, sql: &'static str) {
        let pool = tenantry_pg::Pool::new(
            tenantry_pg::Target::parse(&secrecy::SecretString::from(self.database.url())).unwrap(),
            tenantry_pg::PoolOptions { max: 1, ..tenantry_pg::PoolOptions::default() },
        );
        let conn = pool.get().await.unwrap();
        conn.execute(sql, &[]).await.unwrap();
        conn.release();
    }
}

async fn end(mut child: Child) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    tokio::time::timeout(PATIENCE, child.wait()).await.expect("it ends in time").unwrap();
}

/// PROV-10 and DOC-04: a worker gets SIGKILL while a mail is in its hands, two others take over; then a person tells of an incident.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_worker_sends_nothing_twice_and_loses_nothing() {
    let database = tenantry_testkit::pg::server().database();
    let place = Place { home: Home::new(), database, server: tenantry_testkit::pg::private_server() };
    for (what, file) in [("root-key", "root.key"), ("token", "admin.token")] {
        assert_eq!(place.home.run(&["secret", what, "--output-file", file]).await.code, 0);
    }
    std::fs::write(place.home.path("all.yaml"), MANIFESTS).unwrap();
    let sink = Sink::start(env!("CARGO_TARGET_TMPDIR")).await;
    // It takes connections and says nothing.
    let tarpit = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut first, address) = place.serve(tarpit.local_addr().unwrap().port(), &[]).await;
    let applied = place.run(&address, &["apply", "-f", "all.yaml"]).await;
    assert_eq!(applied.code, 0, "{applied:?}");
    let in_hand = async || {
        let listed = place.json(&address, &["notifications", "list", "--status", "waiting"]).await;
        listed["items"].as_array().unwrap().iter().any(|one| one["attempts"] == 1 && one["kind"] == "welcome")
    };
    eventually("a mail is in hand", in_hand).await;
    first.kill().await.unwrap();
    // A minute and a half, in no time.
    place.sql("UPDATE tenantry.notification SET due_at = now()").await;

    let (second, address) = place.serve(sink.port, &[]).await;
    let (third, _) = place.serve(sink.port, &[]).await;
    let listed = async || place.json(&address, &["notifications", "list"]).await["items"].clone();
    eventually("it is sent", async || listed().await[0]["status"] == "sent").await;
    assert_eq!(sink.subjects_to("tim@acme.example"), ["Acme is ready"]);
    assert_eq!((sink.mails().len(), listed().await[0]["to"].as_str().unwrap()), (1, "t…@acme.example"));

    let open = |rest: &'static [&'static str]| {
        let message = "Since 09:20 UTC about half of all logins fail.";
        let head =
            ["incidents", "open", "--all", "--severity", "major", "--title", "Logins fail", "--message", message];
        [&head[..], rest].concat()
    };
    let preview = place.run(&address, &open(&["--dry-run"])).await;
    assert!(preview.code == 0 && preview.out.contains("Subject: [major] Logins fail"), "{preview:?}");
    assert!(preview.err.contains("1 people of 1 tenants would get it by mail"), "{preview:?}");
    let unsure = place.run(&address, &open(&[])).await;
    assert!(unsure.code == 2 && unsure.err.contains("Nobody was told"), "{unsure:?}");
    assert_eq!(sink.mails().len(), 1);
    let opened = place.json(&address, &open(&["--yes"])).await;
    let id = opened["id"].as_str().unwrap();
    eventually("it is told", async || !sink.mails_to("ida@acme.example").is_empty()).await;
    let resolved = place.run(&address, &["incidents", "resolve", id, "--message", "Over."]).await;
    assert_eq!(resolved.code, 0, "{resolved:?}");
    eventually("its end is told", async || sink.mails_to("ida@acme.example").len() == 2).await;
    assert_eq!(sink.subjects_to("ida@acme.example"), ["[major] Logins fail", "Resolved: Logins fail"]);
    let over = place.run(&address, &["incidents", "update", id, "--phase", "monitoring", "--message", "x"]).await;
    assert!(over.code == 5 && over.err.contains("TEN-0098"), "{over:?}");
    let sent = async || place.json(&address, &["incidents", "show", id]).await["progress"]["sent"] == 2;
    eventually("it says so", sent).await;
    assert_eq!(sink.mails().len(), 3);
    end(second).await;
    end(third).await;
}

#[tokio::test]
async fn templates_are_shown_and_a_broken_one_is_named_before_anything_starts() {
    let home = Home::new();
    let shown = home.json(&["notifications", "templates"]).await;
    assert_eq!(shown["items"].as_array().unwrap().len(), 12);
    assert!(shown["items"][0]["source"].as_str().unwrap().contains("{{ tenant.name }}"), "{shown}");
    let folder = home.path("templates");
    std::fs::create_dir(&folder).unwrap();
    let folder = folder.to_str().unwrap();
    std::fs::write(home.path("templates/welcome.txt"), "Subject: Moin {{ tenant.name }}\n\nMoin.\n").unwrap();
    let own = home.run(&["notifications", "templates", "--check", folder, "--only", "welcome"]).await;
    assert!(own.code == 0 && own.out.contains("Subject: Moin Acme GmbH") && own.out.contains("your own"), "{own:?}");
    std::fs::write(home.path("templates/welcome.txt"), "Subject: x\n\nHello,\n{{ tenant.nme }}\n").unwrap();
    let checked = home.run(&["notifications", "templates", "--check", folder]).await;
    assert!(checked.code == 2 && checked.err.contains("welcome.txt, line 4"), "{checked:?}");
    let dev = home.run(&["dev", "--templates", folder]).await;
    assert!(dev.code == 2 && dev.err.contains("welcome.txt, line 4"), "{dev:?}");
    let unknown = home.run(&["dev", "--notify", "welcome,wellcome"]).await;
    assert!(unknown.code == 2 && unknown.err.contains("wellcome"), "{unknown:?}");
    let chat = home.run(&["dev", "--chat-url", "http://chat.example.com/hooks/hush"]).await;
    assert!(chat.code == 2 && chat.err.contains("https://"), "{chat:?}");
    let url = "TENANTRY_INVITE_URL";
    let mail = [("TENANTRY_MAIL_FROM", "no-reply@example.com"), (url, "https://app.example.com/join#{token}")];
    // What is wrong with a URL is said; the URL holds a secret, which whoever reads the log must not learn.
    for (name, flag, wrong, hint) in [
        ("TENANTRY_CHAT_URL", "--chat-url", "http://chat.example.com/hooks/hunter2", "https://"),
        ("TENANTRY_CHAT_URL", "--chat-url", "hunter2", "incoming webhook"),
        ("TENANTRY_SMTP_URL", "--smtp-url", "smtp://user:hunter2@mail.example.com", "encrypted"),
        ("TENANTRY_SMTP_URL", "--smtp-url", "smtps://user:hunter2@mail.example.com/?tls=maybe", "of the form"),
        ("TENANTRY_REDIS_URL", "--redis-url", "cache://:hunter2@cache:6379", "redis://HOST:PORT"),
    ] {
        let mut by_environment = home.command(&["dev"]);
        by_environment.envs(mail).env(name, wrong);
        let mut by_argument = home.command(&["dev", flag, wrong]);
        by_argument.envs(mail);
        if name != "TENANTRY_SMTP_URL" {
            for (name, _) in mail {
                by_environment.env_remove(name);
                by_argument.env_remove(name);
            }
        }
        for command in [by_environment, by_argument] {
            let ended = finish(command).await;
            assert!(ended.code == 2 && ended.err.contains(hint) && ended.err.contains(name), "{wrong}: {ended:?}");
            assert!(!ended.err.contains("hunter2") && !ended.out.contains("hunter2"), "{ended:?}");
        }
    }
}
