//! A rollout over two cells, one of which hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tenantry_control::tenants;
use tenantry_domain::cell::{CellSpec, RegionSpec, SecretRef};
use tenantry_domain::manifest::Manifest;
use tenantry_domain::name::{CellName, RegionName};
use tenantry_domain::rollout::{Canary, Status, Strategy, TargetStatus};
use tenantry_domain::tenant::Slug;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_testkit::pg;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::rollouts::{ADD, with};
use crate::world::{World, catalog, spec};

/// Carries connections to the test server until it is cut: then nothing comes through, and nobody is told before it is
/// mended.
struct Wire {
    port: u16,
    is_cut: Arc<AtomicBool>,
}

impl Wire {
    async fn new(server: u16) -> Self {
        let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, is_cut) = (front.local_addr().unwrap().port(), Arc::new(AtomicBool::new(false)));
        let cut = Arc::clone(&is_cut);
        tokio::spawn(async move {
            while let Ok((client, _)) = front.accept().await {
                let cut = Arc::clone(&cut);
                tokio::spawn(async move {
                    let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                    let ((from, to), (back, forth)) = (client.into_split(), server.into_split());
                    tokio::join!(pass(from, forth, &cut), pass(back, to, &cut));
                });
            }
        });
        Self { port, is_cut }
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_cut: &AtomicBool) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if is_cut.load(Ordering::SeqCst) {
            while is_cut.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            return;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// A server that took part and hangs from one moment to the next holds up its own tenants and nobody else's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cell_that_hangs_holds_up_no_other() {
    let world = World::running().await;
    let server = pg::private_server();
    let wire = Wire::new(server.port()).await;
    let url = server.url("postgres").replace(&format!(":{}/", server.port()), &format!(":{}/", wire.port));
    let file = std::env::temp_dir().join(format!("tenantry-{}.url", world.environment));
    std::fs::write(&file, &url).unwrap();
    let north = RegionName::parse("eu-north").unwrap();
    let far = catalog().into_iter().find_map(|manifest| match manifest {
        Manifest::Cell { spec, .. } => Some(spec),
        _ => None,
    });
    let database = SecretRef::File(file.to_str().unwrap().to_owned());
    let far = CellSpec { region: north.clone(), database, ..far.unwrap() };
    world
        .apply(&[
            Manifest::Region { name: north.clone(), spec: RegionSpec::default() },
            Manifest::Cell { name: CellName::parse("eu-north-1").unwrap(), spec: far },
        ])
        .await;
    for number in 0..6 {
        world.active(&format!("here-{number}"), "standard").await;
        let mut wanted = spec("standard", Phase::Active);
        wanted.residency.allowed_regions = vec![north.clone()];
        let slug = Slug::parse(&format!("far-{number}")).unwrap();
        let made = tenants::create(&world.cx(), &world.deps, slug, wanted).await.unwrap();
        world.done(made.operation).await;
    }
    let slow = format!("{ADD} SELECT pg_sleep(0.3);");
    let strategy = Strategy {
        waves: vec![100],
        canary: Canary { count: 0, ..Canary::default() },
        parallel: 1,
        ..Strategy::default()
    };
    world.apply(&with(&[&slow], strategy)).await;
    let began = Instant::now();
    let here = async |status| {
        let rollout = world.newest().await;
        let targets = world.targets(&rollout).await;
        targets.iter().filter(|(name, target)| name.starts_with("here-") && target.0 == status).count()
    };
    // The pace of both cells has been looked at by then, over connections that stay.
    while here(TargetStatus::Done).await < 1 {
        assert!(began.elapsed() < Duration::from_secs(20), "it does not begin");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    wire.is_cut.store(true, Ordering::SeqCst);
    let cut = Instant::now();
    while here(TargetStatus::Done).await < 6 {
        let waited = cut.elapsed();
        assert!(waited < Duration::from_secs(25), "{waited:?}: {:#?}", world.targets(&world.newest().await).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_ne!(world.newest().await.row.status, Status::Completed, "the other cell's are not done");
    std::fs::remove_file(&file).unwrap();
    wire.is_cut.store(false, Ordering::SeqCst);
    world.stop().await;
}
