//! What the shared server decides.

use std::time::{Duration, Instant};

use secrecy::SecretString;
use tenantry_limits::{Ask, Limiter, Options, SharedError};

use crate::redis::{Redis, is_allowed, limit, limiter};

#[tokio::test]
async fn it_decides_as_the_domain_does() {
    let redis = Redis::start().await;
    let limiter = redis.limiter();
    let hourly = limit(20, 3_600, 5);
    let ask = [Ask { key: "t", limit: hourly }];
    for left in (0..5).rev() {
        let verdict = limiter.take(&ask, 1).await[0];
        assert_eq!((verdict.allowed, verdict.remaining, verdict.retry), (true, left, Some(Duration::ZERO)));
    }
    let refused = limiter.take(&ask, 1).await[0];
    assert_eq!((refused.allowed, refused.remaining), (false, 0));
    let wait = refused.retry.unwrap();
    assert!((178..=180).contains(&wait.as_secs()), "{wait:?}");
    assert!((898..=900).contains(&refused.reset.as_secs()), "{refused:?}");
    // More than ever comes at once is not told to wait, a look takes nothing, and another key is another rate.
    assert_eq!(limiter.take(&ask, 6).await[0].retry, None);
    assert!(limiter.take(&[Ask { key: "u", limit: hourly }], 0).await[0].allowed);
    assert!(limiter.take(&[Ask { key: "u", limit: hourly }], 5).await[0].allowed);
    assert!(!limiter.is_away() && limiter.counts().failures() == 0);
}

#[tokio::test]
async fn who_waits_as_told_is_let_in() {
    let redis = Redis::start().await;
    let limiter = redis.limiter();
    let ask = [Ask { key: "t", limit: limit(10, 1, 3) }];
    for round in 0..5 {
        while limiter.take(&ask, 1).await[0].allowed {}
        let wait = limiter.take(&ask, 0).await[0].reset.min(Duration::from_millis(100));
        let told = limiter.take(&ask, 1).await[0].retry.unwrap();
        assert!(told <= wait, "{told:?} {wait:?}");
        tokio::time::sleep(told + Duration::from_millis(1)).await;
        assert!(limiter.take(&ask, 1).await[0].allowed, "round {round}");
    }
}

#[tokio::test]
async fn all_rates_of_a_request_are_charged_or_none() {
    let redis = Redis::start().await;
    let (wide, narrow) = (limit(100, 3_600, 100), limit(2, 3_600, 2));
    for limiter in [redis.limiter(), Limiter::alone(1_000)] {
        let both = [Ask { key: "wide", limit: wide }, Ask { key: "narrow", limit: narrow }];
        for _ in 0..2 {
            assert!(limiter.take(&both, 1).await.iter().all(|verdict| verdict.allowed));
        }
        for _ in 0..50 {
            let verdicts = limiter.take(&both, 1).await;
            assert_eq!((verdicts[0].allowed, verdicts[1].allowed), (true, false));
            assert_eq!(verdicts[0].remaining, 98);
        }
        // Fifty refusals have cost the wide one nothing.
        assert_eq!(limiter.take(&both[..1], 1).await[0].remaining, 97);
        assert!(limiter.take(&[], 1).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_at_three_times_the_limit_let_through_one_limit() {
    let redis = Redis::start().await;
    let rate = limit(500, 1, 500);
    // Connections and script are there before the clock runs.
    let replicas = [redis.limiter(), redis.limiter(), redis.limiter()];
    for replica in &replicas {
        assert!(is_allowed(replica, "warm", rate).await);
    }
    let began = Instant::now();
    let end = began + Duration::from_secs(4);
    let callers = replicas.iter().map(|replica| {
        let replica = replica.clone();
        tokio::spawn(async move {
            let (mut allowed, mut asked) = (0_u32, 0_u32);
            let mut tick = tokio::time::interval(Duration::from_micros(2_000));
            while Instant::now() < end {
                tick.tick().await;
                asked += 1;
                allowed += u32::from(is_allowed(&replica, "t", rate).await);
            }
            (allowed, asked)
        })
    });
    let (mut allowed, mut asked) = (0, 0);
    for caller in callers.collect::<Vec<_>>() {
        let (some, all) = caller.await.unwrap();
        allowed += some;
        asked += all;
    }
    let took = began.elapsed().as_secs_f64();
    let most = 500.0 + 500.0 * took;
    assert!(f64::from(asked) > most * 1.5, "{asked} requests are no load");
    assert!(f64::from(allowed) <= most * 1.01, "{allowed} of {asked} allowed, {most} are");
    assert!(f64::from(allowed) >= most * 0.97, "{allowed} of {asked} allowed, {most} are");
    assert_eq!(replicas.iter().map(|replica| replica.counts().failures()).sum::<u64>(), 0);
}

#[tokio::test]
async fn keys_of_rates_that_are_as_good_as_new_go_by_themselves() {
    let redis = Redis::start().await;
    let limiter = redis.limiter();
    let quick = limit(1_000, 1, 10);
    for index in 0..50 {
        assert!(is_allowed(&limiter, &format!("k{index}"), quick).await);
    }
    let client = ::redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let keys: usize = ::redis::cmd("DBSIZE").query_async(&mut connection).await.unwrap();
        if keys == 0 {
            break;
        }
        assert!(keys <= 50 && Instant::now() < end, "{keys} keys are left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_wrong_url_is_told_without_its_password() {
    for bad in ["http://:geheim@host", "redis//:geheim@", "", "redis://:geheim@host:port"] {
        let error = Limiter::new(&Options { most: 10, shared: Some(SecretString::from(bad)) }).unwrap_err();
        assert!(matches!(error, SharedError::Url), "{bad}");
        assert!(!format!("{error} {error:?}").contains("geheim"), "{error:?}");
    }
    // A server without TLS, asked for TLS, is one that is away; it is no panic either.
    let redis = Redis::start().await;
    let limiter = limiter(&redis.url().replace("redis://", "rediss://"));
    assert!(is_allowed(&limiter, "t", limit(1, 60, 1)).await);
    assert!(limiter.is_away());
}
