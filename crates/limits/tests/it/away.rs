//! The shared server is killed, stands still, comes back; nobody is refused for that, and not much more is let through.

use std::time::{Duration, Instant};

use crate::redis::{Redis, is_allowed, limit, limiter, until};

#[tokio::test]
async fn a_server_that_was_never_there_leaves_each_replica_its_share() {
    // Nobody listens there: the port is held by a socket that does not.
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    drop(held);
    let limiter = limiter(&format!("redis://127.0.0.1:{port}/0"));
    limiter.set_replicas(4);
    let hourly = limit(100, 3_600, 100);
    let mut allowed = 0;
    for _ in 0..100 {
        allowed += u32::from(is_allowed(&limiter, "t", hourly).await);
    }
    assert_eq!(allowed, 25);
    assert!(limiter.is_away());
    assert_eq!(limiter.counts().failures(), 1, "it is not asked again for each request");
    let text = limiter.render();
    for line in [
        "tenantry_rate_shared_away 1",
        "{by=\"share\",verdict=\"allowed\"} 25",
        "{by=\"share\",verdict=\"refused\"} 75",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[tokio::test]
async fn a_killed_server_is_no_outage_and_its_return_is_noticed() {
    let mut redis = Redis::start().await;
    let (first, second) = (redis.limiter(), redis.limiter());
    for replica in [&first, &second] {
        replica.set_replicas(2);
    }
    let hourly = limit(10, 3_600, 10);
    for _ in 0..5 {
        assert!(is_allowed(&first, "t", hourly).await && is_allowed(&second, "t", hourly).await);
    }
    assert!(!is_allowed(&first, "t", hourly).await && !is_allowed(&second, "t", hourly).await);
    redis.kill().await;
    // Each has its half, of a limit that begins anew, and none waits long for that.
    for replica in [&first, &second] {
        let began = Instant::now();
        let mut allowed = 0;
        for _ in 0..10 {
            allowed += u32::from(is_allowed(replica, "t", hourly).await);
        }
        assert_eq!(allowed, 5);
        assert!(replica.is_away() && began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
    redis.again().await;
    // Whoever asks is answered at once, and the server is looked for beside that.
    let ask = limit(1_000_000, 1, 1_000);
    let end = Instant::now() + Duration::from_secs(20);
    while first.is_away() || second.is_away() {
        assert!(Instant::now() < end, "its return is not noticed");
        assert!(is_allowed(&first, "other", ask).await && is_allowed(&second, "other", ask).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut allowed = 0;
    for _ in 0..20 {
        allowed += u32::from(is_allowed(&first, "t", hourly).await) + u32::from(is_allowed(&second, "t", hourly).await);
    }
    assert_eq!(allowed, 10, "both share one limit again");
}

#[tokio::test]
async fn a_server_that_stands_still_costs_one_request_a_moment() {
    let redis = Redis::start().await;
    let limiter = redis.limiter();
    let rate = limit(1_000, 1, 1_000);
    assert!(is_allowed(&limiter, "t", rate).await);
    redis.freeze();
    let began = Instant::now();
    assert!(is_allowed(&limiter, "t", rate).await);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(limiter.is_away());
    let began = Instant::now();
    for _ in 0..200 {
        assert!(is_allowed(&limiter, "t", rate).await);
    }
    // If each of them asked the server, they would wait for twenty seconds.
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    redis.thaw();
    let asking = async {
        loop {
            is_allowed(&limiter, "t", rate).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = until("it is used again", || !limiter.is_away()) => {}
        () = asking => {}
    }
}

/// A server that answers and cannot write, as one without memory or a replica: it is away until it decides again.
#[tokio::test]
async fn a_server_that_only_reads_is_away_all_the_time() {
    let redis = Redis::start().await;
    let limiter = redis.limiter();
    let ask = limit(1_000_000, 1, 1_000);
    assert!(is_allowed(&limiter, "t", ask).await && !limiter.is_away());
    let client = ::redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let set = |limit: &'static str| {
        let mut command = ::redis::cmd("CONFIG");
        command.arg("SET").arg("maxmemory").arg(limit);
        command
    };
    set("1").query_async::<()>(&mut connection).await.unwrap();
    assert!(is_allowed(&limiter, "t", ask).await, "nobody is refused for that");
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        assert!(limiter.is_away());
        is_allowed(&limiter, "t", ask).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(limiter.counts().failures() <= 2, "{} failures", limiter.counts().failures());
    set("0").query_async::<()>(&mut connection).await.unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while limiter.is_away() {
        assert!(Instant::now() < end);
        is_allowed(&limiter, "t", ask).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A rate that was slower, and used up, does not keep those waiting who have a faster one now.
#[tokio::test]
async fn nobody_waits_for_the_limit_before_this_one() {
    let redis = Redis::start().await;
    let limiter = redis.limiter();
    for _ in 0..6 {
        assert!(is_allowed(&limiter, "t", limit(6, 86_400, 6)).await);
    }
    assert!(!is_allowed(&limiter, "t", limit(6, 86_400, 6)).await);
    let quick = limit(1_000, 60, 1_000);
    let end = Instant::now() + Duration::from_secs(5);
    while !is_allowed(&limiter, "t", quick).await {
        assert!(Instant::now() < end, "one comes every 60 ms");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
