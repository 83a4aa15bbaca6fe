//! Limits, and fairness under them, on a real server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tenantry_sdk::{Error, Tenant, Tenantry};

use crate::world::World;

async fn work(tenantry: &Tenantry, tenant: &Tenant, seconds: &str) -> Result<(), Error> {
    let tx = tenantry.begin(tenant).await?;
    tx.query("SELECT pg_sleep($1::text::float8)", &[&seconds]).await?;
    tx.commit().await
}

/// Waits until at least so many wait.
async fn many_wait(tenantry: &Tenantry, many: usize) {
    let began = Instant::now();
    while tenantry.status().waiting < many {
        assert!(began.elapsed() < Duration::from_secs(15), "{} wait", tenantry.status().waiting);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_flood_of_one_tenant_delays_another_by_a_turn() {
    let world = World::new().await;
    let tenantry = world.tenantry_with(|settings| {
        (settings.login_connections, settings.cell_connections) = (4, 4);
        settings.wait = Duration::from_secs(60);
    });
    let factory = world.factory(&tenantry);
    let flood = factory.make("shared").await.unwrap().tenant;
    let others: Vec<Tenant> =
        vec![factory.make("shared").await.unwrap().tenant, factory.make("schema").await.unwrap().tenant];
    for tenant in others.iter().chain([&flood]) {
        work(&tenantry, tenant, "0").await.unwrap();
    }
    let flooding: Vec<_> = (0..300)
        .map(|_| {
            let (tenantry, flood) = (tenantry.clone(), flood.clone());
            tokio::spawn(async move { work(&tenantry, &flood, "0.02").await })
        })
        .collect();
    many_wait(&tenantry, 101).await;
    let in_use = tenantry.status().in_use;
    assert!(in_use <= 4, "{in_use} in use");
    let mut slowest = Duration::ZERO;
    for round in 0..10 {
        let tenant = &others[round % others.len()];
        let began = Instant::now();
        work(&tenantry, tenant, "0").await.unwrap();
        slowest = slowest.max(began.elapsed());
        let (open, _) = world.connections().await;
        assert!(open <= 5, "{open} connections, one of which may be closing");
    }
    assert!(tenantry.status().waiting > 0, "the flood still waits");
    // In a single line, some 250 callers of 20 ms by three would have come first: more than a second and a half.
    assert!(slowest < Duration::from_millis(600), "{slowest:?}");
    eprintln!("fair: slowest transaction of others beside a flood of 300: {slowest:?}");
    for task in flooding {
        task.await.unwrap().unwrap();
    }
    assert_eq!((tenantry.status().in_use, tenantry.status().waiting), (0, 0));
    world.end().await;
}

#[tokio::test]
async fn what_is_too_much_is_refused_with_a_hint() {
    let world = World::new().await;
    let tenantry = world.tenantry_with(|settings| {
        settings.wait = Duration::from_millis(200);
        settings.waiting = 3;
    });
    let factory = world.factory(&tenantry);
    let narrow = factory.make("narrow").await.unwrap().tenant;
    let held = tenantry.begin(&narrow).await.unwrap();
    assert_eq!(tenantry.route(&narrow).await.unwrap().connections, Some(1));
    let began = Instant::now();
    let (late, many) = tokio::join!(tenantry.begin(&narrow), async {
        tokio::join!(tenantry.begin(&narrow), tenantry.begin(&narrow), tenantry.begin(&narrow), tenantry.begin(&narrow))
    });
    let late = late.unwrap_err();
    assert_eq!((late.reason(), late.status(), late.retry_after()), ("TenantBusy", 503, Some(1)));
    assert!(began.elapsed() >= Duration::from_millis(200) && began.elapsed() < Duration::from_secs(2));
    let errors: Vec<String> =
        [many.0, many.1, many.2, many.3].into_iter().map(|tx| tx.unwrap_err().to_string()).collect();
    assert_eq!(
        errors.iter().filter(|text| text.contains("wait for a connection of this cell already")).count(),
        2,
        "{errors:?}"
    );
    held.commit().await.unwrap();
    tenantry.begin(&narrow).await.unwrap().commit().await.unwrap();
    world.end().await;
}

/// As many wait as may, all of one tenant: others are admitted where there is room, and wait for their turn where not.
#[tokio::test]
async fn a_flood_that_fills_the_queue_shuts_nobody_out() {
    let world = World::new().await;
    let tenantry = world.tenantry_with(|settings| {
        (settings.login_connections, settings.cell_connections, settings.tenant_connections) = (3, 20, 2);
        (settings.wait, settings.waiting) = (Duration::from_secs(60), 20);
    });
    let factory = world.factory(&tenantry);
    let flood = factory.make("shared").await.unwrap().tenant;
    let other = factory.make("shared").await.unwrap().tenant;
    let own = factory.make("schema").await.unwrap().tenant;
    for tenant in [&other, &own, &flood] {
        work(&tenantry, tenant, "0").await.unwrap();
    }
    let mut flooding = Vec::new();
    for _ in 0..100 {
        let (tenantry, flood) = (tenantry.clone(), flood.clone());
        flooding.push(tokio::spawn(async move { work(&tenantry, &flood, "0.2").await }));
    }
    many_wait(&tenantry, 20).await;
    assert_eq!(tenantry.status().waiting, 20, "as many as may");
    work(&tenantry, &own, "0").await.unwrap();
    let held = tenantry.begin(&other).await.unwrap();
    // The login that the two share is full: this one waits its turn.
    let ((), released) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            held.commit().await.unwrap();
        },
        work(&tenantry, &other, "0")
    );
    released.unwrap();
    for task in flooding {
        match task.await.unwrap() {
            Ok(()) => {}
            Err(error) => assert_eq!(error.reason(), "TenantBusy", "{error}"),
        }
    }
    assert_eq!((tenantry.status().in_use, tenantry.status().waiting), (0, 0));
    world.end().await;
}

/// Tenants with logins of their own, many more than the cell may have connections.
#[tokio::test]
async fn many_logins_share_few_connections() {
    let world = World::new().await;
    let tenantry = world.tenantry_with(|settings| {
        settings.cell_connections = 5;
        settings.wait = Duration::from_secs(60);
    });
    let factory = Arc::new(world.factory(&tenantry));
    let mut tenants = Vec::new();
    for _ in 0..20 {
        tenants.push(factory.make("schema").await.unwrap().tenant);
    }
    let mut tasks = Vec::new();
    for round in 0..200 {
        let (tenantry, tenant) = (tenantry.clone(), tenants[round % tenants.len()].clone());
        tasks.push(tokio::spawn(async move { work(&tenantry, &tenant, "0.002").await }));
    }
    let mut most = 0;
    while tenantry.status().waiting > 0 || most == 0 {
        most = most.max(world.connections().await.0);
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    eprintln!("fair: 20 logins, 200 transactions, at most {most} connections at a time (bound 5)");
    assert!(most <= 8, "{most}: five, and those that the server is still closing");
    world.end().await;
}
