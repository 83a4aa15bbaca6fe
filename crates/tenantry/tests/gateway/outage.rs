//! The control plane is away: nobody notices. It is back: what it says arrives.

use std::time::{Duration, Instant};

use crate::chosen;
use crate::load::{Load, Pace, Said};
use crate::world::{PATIENCE, World, get, wait};

/// After the control plane is back, its changes arrive within this.
const SOON: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_notice_nothing_while_the_control_plane_is_dead() {
    let outage = Duration::from_secs(chosen("GATEWAY_OUTAGE", 5));
    let mut world = World::new(1, 2).await;
    let (one, two) = (world.gate("one", &[]).await, world.gate("two", &[]).await);
    // Nobody's load is on it, because a gateway that is restarted ends its sessions.
    let mut third = world.gate("third", &[]).await;
    let routes = world.path("third.routes");
    wait("the table is in its file", SOON, async || routes.exists().then_some(())).await;
    // A long run has as many rows as a server can hold easily.
    let pause = Duration::from_millis(if outage.as_secs() > 60 { 25 } else { 4 });
    let load = Load::start(&world, &[one.port, two.port], Pace { pause, ..Pace::default() }).await;
    world.kill_control_plane().await;
    let died = Instant::now();

    let mut logins = 0;
    let mut slowest = Duration::ZERO;
    let mut started_again = None;
    while died.elapsed() < outage {
        for tenant in &world.tenants {
            let began = Instant::now();
            let (client, connection) = one.config(tenant).connect(tokio_postgres::NoTls).await.unwrap();
            let connection = tokio::spawn(connection);
            client.batch_execute("SELECT count(*) FROM note WHERE n < 10").await.unwrap();
            drop(client);
            connection.await.unwrap().unwrap();
            slowest = slowest.max(began.elapsed());
            logins += 1;
        }
        if started_again.is_none() && died.elapsed() > outage / 2 {
            third.stop().await;
            started_again = Some(world.again(&mut third).await);
            let log = third.process.log();
            assert!(log.contains("starting with the table from the file"), "{log}");
            for tenant in &world.tenants {
                let (client, connection) = third.config(tenant).connect(tokio_postgres::NoTls).await.unwrap();
                tokio::spawn(connection);
                client.batch_execute("SELECT count(*) FROM note WHERE n < 10").await.unwrap();
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let errors = load.errors(|_| true);
    assert_eq!(errors, Said::new(), "nobody notices");
    for gate in [&one, &two, &third] {
        assert_eq!(gate.numbers().await["tenantry_gateway_control_away"], 1.0);
        assert_eq!(get(gate.status, "/readyz").await.unwrap().0, 200, "an old table is better than none");
    }
    // What is asked for now reaches all of them, also the one that knows its table from a file.
    let tenant = world.tenant("shared-0-1").clone();
    let (idle, connection) = third.config(&tenant).connect(tokio_postgres::NoTls).await.unwrap();
    let ended = tokio::spawn(connection);
    idle.batch_execute("SELECT count(*) FROM note WHERE n < 10").await.unwrap();
    world.restore_control_plane().await;
    let returned = Instant::now();
    world.done(&["suspend", &tenant.slug, "--reason", "commercial", "--no-wait", "--yes"]).await;
    let error = tokio::time::timeout(PATIENCE, ended).await.expect("the suspension arrives").unwrap();
    let arrived = returned.elapsed();
    assert_eq!(error.unwrap_err().code().unwrap().code(), "57P01");
    for gate in [&one, &two, &third] {
        let noticed = async || (gate.numbers().await["tenantry_gateway_control_away"] == 0.0).then_some(());
        wait("the gateway notices", PATIENCE, noticed).await;
    }
    let noticed = returned.elapsed();
    let others = load.errors(|other| other.slug != tenant.slug);
    assert_eq!(others, Said::new(), "neighbours of the one that is suspended");
    let verdict = load.end(&world).await;
    let again = started_again.expect("the third was started again");
    eprintln!("gateway: control plane dead for {} s: {verdict}", outage.as_secs());
    eprintln!(
        "gateway: meanwhile {logins} logins, the slowest {} ms; a gateway started from its file in {} ms; all noticed the \
         return within {} ms; a suspension, asked for at once, arrived after {} ms",
        slowest.as_millis(),
        again.as_millis(),
        noticed.as_millis(),
        arrived.as_millis()
    );
    assert!(arrived < SOON, "the suspension arrived {} ms after the return", arrived.as_millis());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspension_ends_sessions_within_a_second() {
    let world = World::new(1, 2).await;
    let gate = world.gate("one", &[]).await;
    for level in crate::world::LEVELS {
        let (tenant, neighbour) = (world.tenant(&format!("{level}-0-0")), world.tenant(&format!("{level}-0-1")));
        let (idle, ended) = gate.config(tenant).connect(tokio_postgres::NoTls).await.unwrap();
        let ended = tokio::spawn(ended);
        let (busy, connection) = gate.config(tenant).connect(tokio_postgres::NoTls).await.unwrap();
        let busy_ended = tokio::spawn(connection);
        let (beside, connection) = gate.config(neighbour).connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        idle.batch_execute("SELECT count(*) FROM note").await.unwrap();
        busy.batch_execute("BEGIN; SELECT count(*) FROM note").await.unwrap();
        beside.batch_execute("BEGIN; SELECT count(*) FROM note").await.unwrap();
        world.done(&["suspend", &tenant.slug, "--reason", "commercial", "--no-wait", "--yes"]).await;
        // From the answer to the command on: how long its process takes to start is another question.
        let began = Instant::now();
        let (mut times, mut codes) = (Vec::new(), Vec::new());
        for ended in [ended, busy_ended] {
            let error = tokio::time::timeout(Duration::from_secs(5), ended).await.expect("it is ended").unwrap();
            times.push(began.elapsed().as_millis());
            codes.push(error.unwrap_err().code().map(|code| code.code().to_owned()));
        }
        eprintln!(
            "gateway: suspended at {level}: an idle session ended after {} ms, one in a transaction after {} ms",
            times[0], times[1]
        );
        assert!(codes.iter().all(|code| code.as_deref() == Some("57P01")), "{codes:?}");
        assert!(times.iter().all(|time| *time < 1000), "{times:?}");
        beside.batch_execute("SELECT count(*) FROM note; COMMIT").await.unwrap();
        let refused = gate.config(tenant).connect(tokio_postgres::NoTls).await.err().expect("the door is shut");
        assert!(refused.as_db_error().is_some_and(|db| db.message().contains("suspended")), "{refused:?}");
    }
}
