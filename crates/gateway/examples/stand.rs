//! A gateway with two tenants at each level, for clients of all kinds.
//!
//! `stand FOLDER` writes what `scripts/clients` and `scripts/residue` read into the folder, says so, and stays until its
//! input ends. `POOL` is the size of its pools (20), `WORKERS` the number of its threads (1).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tenantry_domain::gateway::{Mode, Whose};
use tenantry_domain::isolation::Isolation;
use tenantry_gateway::{Settings, Tls};
use tenantry_testkit::pg::private_server;

#[path = "../tests/world/mod.rs"]
mod world;

use world::{Tenant, World, password};

const LEVELS: [Isolation; 3] = [Isolation::Shared, Isolation::Schema, Isolation::Database];

#[tokio::main]
async fn main() {
    let folder = PathBuf::from(std::env::args().nth(1).expect("usage: stand FOLDER"));
    std::fs::create_dir_all(&folder).unwrap();
    let number = |name: &str, otherwise: usize| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    // Those who try to get in by force all come from this machine.
    let mut settings = Settings { failures: 1_000_000, ..Settings::default() };
    settings.pool.shared = number("POOL", 20);
    settings.pool.own = number("POOL", 20);
    settings.workers = number("WORKERS", 1);
    let tls = certificate(&folder);
    let server = private_server();
    let world =
        World::new(&server.url("postgres"), &LEVELS.map(|level| (level, 2)), settings.clone(), Some(tls.clone())).await;
    let mut wide = settings;
    wide.pool.shared = 4;
    wide.pool.own = 4;
    let wide = world.another(wide, Some(tls)).await;
    for tenant in &world.tenants {
        let client = world.client(tenant).await;
        for row in 0..3 {
            let body = if row == 0 { canary(tenant) } else { format!("plain {row}") };
            client.execute("INSERT INTO note (body) VALUES ($1)", &[&body]).await.unwrap();
        }
        if tenant.level != Isolation::Shared {
            let name = format!("{}_session", tenant.slug.replace('-', "_"));
            world.login(&name, Whose::Tenant(tenant.id), Mode::Session);
        }
    }
    let (port, ca) = (world.gateway().address().port(), folder.join("server.crt"));
    let places = world.tenants.iter().enumerate().flat_map(|(place, tenant)| {
        // The two of a level are neighbours.
        let other = &world.tenants[place ^ 1];
        [false, true].map(|tls| {
            let features = if tls { vec!["plus", "direct"] } else { vec![] };
            json!({ "level": tenant.level.as_str(), "tls": tls, "dsn": dsn(tenant, port, tls.then_some(&ca)),
                "own": canary(tenant), "foreign": canary(other), "features": features })
        })
    });
    // One tenant of each level is enough for the clients; the other one is there to be seen.
    let places: Vec<Value> =
        places.enumerate().filter(|(place, _)| place / 2 % 2 == 0).map(|(_, value)| value).collect();
    write(&folder.join("places.json"), &json!({ "places": places }));
    let poolers = world.tenants.chunks(2).map(|pair| {
        let side = |tenant: &Tenant| {
            json!({ "dsn": dsn(tenant, port, Some(&ca)), "tenant": tenant.id.uuid().to_string(),
                "canary": canary(tenant), "slug": tenant.slug })
        };
        let far = wide.address().port();
        json!({ "name": format!("gateway, {}", pair[0].level.as_str()), "a": side(&pair[0]), "b": side(&pair[1]),
            "wide": { "a": dsn(&pair[0], far, Some(&ca)), "b": dsn(&pair[1], far, Some(&ca)) }, "admin": server.url(&pair[0].database) })
    });
    write(&folder.join("poolers.json"), &json!({ "poolers": poolers.collect::<Vec<_>>() }));
    println!("ready");
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await;
}

fn canary(tenant: &Tenant) -> String {
    format!("canary of {}", tenant.slug)
}

fn dsn(tenant: &Tenant, port: u16, ca: Option<&PathBuf>) -> String {
    let login = tenant.slug.replace('-', "_");
    let password = password(&login).replace(' ', "%20");
    let ssl = match ca {
        Some(ca) => format!("sslmode=verify-full&sslrootcert={}", ca.display()),
        None => "sslmode=disable".to_owned(),
    };
    format!("postgresql://{login}:{password}@localhost:{port}/{}?{ssl}", tenant.slug)
}

fn write(path: &Path, value: &Value) {
    std::fs::write(path, serde_json::to_vec_pretty(value).unwrap()).unwrap();
}

/// A certificate that signs itself.
fn certificate(folder: &Path) -> Tls {
    let made = Command::new("openssl")
        .args(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost".split(' '),
        )
        .args(["-keyout", "server.key", "-out", "server.crt", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Tls::read(&folder.join("server.crt"), &folder.join("server.key")).unwrap()
}
