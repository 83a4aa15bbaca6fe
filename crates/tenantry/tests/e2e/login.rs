//! `tenantry login`, `logout` and `whoami` where there is no identity provider: which token is used, and what is said when
//! there is none. With a real provider: `scripts/sign-in`.

use std::os::unix::fs::PermissionsExt as _;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::program::{Ended, Home, eventually, finish, listens};

#[tokio::test]
async fn the_sign_in_is_used_where_no_token_is_given_and_ends_with_a_hint() {
    let home = Home::new();
    let database = tenantry_testkit::pg::server().database();
    for (what, file) in [("root-key", "root.key"), ("token", "admin.token")] {
        assert_eq!(home.run(&["secret", what, "--output-file", file]).await.code, 0);
    }
    let token = std::fs::read_to_string(home.path("admin.token")).unwrap().trim().to_owned();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let url = format!("http://{address}");
    let mut serve = home.command(&["serve", "--migrate", "--listen", &address, "--drain-delay", "0s"]);
    serve
        .env("TENANTRY_DATABASE_URL", database.url())
        .env("TENANTRY_ROOT_KEY_FILE", home.path("root.key"))
        .env("TENANTRY_BOOTSTRAP_TOKEN_FILE", home.path("admin.token"));
    let mut server = serve.spawn().unwrap();
    eventually("it listens", || listens(port)).await;
    let config = home.path("settings").join("context.toml");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    std::fs::write(&config, format!("url = \"{url}/\"\n")).unwrap();
    let run = async |arguments: &[&str], token: Option<&str>| -> Ended {
        let mut command = home.command(arguments);
        command.env("TENANTRY_CONFIG", &config).env_remove("TENANTRY_TOKEN").env_remove("TENANTRY_URL");
        if let Some(token) = token {
            command.env("TENANTRY_TOKEN", token);
        }
        finish(command).await
    };

    let nobody = run(&["whoami"], None).await;
    assert_eq!(nobody.code, 4, "{nobody:?}");
    assert!(nobody.err.contains("tenantry login"), "{nobody:?}");
    let none = run(&["login", "--no-browser"], None).await;
    assert_eq!(none.code, 3, "{none:?}");
    assert!(none.err.contains("no issuer to sign in with") && none.err.contains("sign-in.md"), "{none:?}");
    let out = run(&["logout"], None).await;
    assert!(out.code == 0 && out.err.contains("Nobody is signed in"), "{out:?}");
    let known = run(&["whoami", "-o", "json"], Some(&token)).await;
    let known: Value = serde_json::from_str(&known.out).unwrap();
    assert!(known["actor"].as_str().unwrap().starts_with("operator:tok_"), "{known}");
    assert_eq!(known["roles"], json!(["admin"]));

    // A sign-in as it is kept; the installation's own token stands for one of an issuer.
    let hash: String = digest(&SHA256, url.as_bytes()).as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let file = config.with_file_name("sign-ins").join(format!("{hash}.json"));
    let keep = |server: &str, text: &str, expires: &str| {
        let kept = json!({
            "server": server, "issuer": "https://login.example.com", "clientId": "cli", "accessToken": text,
            "expiresAt": expires,
        });
        std::fs::write(&file, kept.to_string()).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    keep(&url, &token, "2099-01-01T00:00:00Z");
    let table = run(&["whoami"], None).await;
    assert!(table.code == 0 && table.out.contains("operator:tok_"), "{table:?}");
    // A token that is given goes before, a sign-in that is over does not fall back to anything.
    let wrong = run(&["whoami"], Some("ten_live_wrong")).await;
    assert_eq!(wrong.code, 4, "{wrong:?}");
    keep(&url, &token, "2020-01-01T00:00:00Z");
    let over = run(&["whoami"], None).await;
    assert!(over.code == 4 && over.err.contains("has ended") && over.err.contains("tenantry login"), "{over:?}");
    keep("https://other.example", &token, "2099-01-01T00:00:00Z");
    assert_eq!(run(&["whoami"], None).await.code, 2, "a sign-in of another address is not sent here");
    keep(&url, &token, "2099-01-01T00:00:00Z");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let open = run(&["whoami"], None).await;
    assert!(open.code == 2 && open.err.contains("others may read it"), "{open:?}");
    server.kill().await.unwrap();
}
