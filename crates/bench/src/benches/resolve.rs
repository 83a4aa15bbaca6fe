//! Whose request it is, out of memory: as a call in the process, over HTTP, and as a proxy asks.
//!
//! A thousand tenants, asked for by turns. The call in the process is what a gateway pays; over HTTP the server is the
//! product's binary, asked over connections that are kept open.

use anyhow::{Context as _, Result, ensure};
use tenantry_control::routes::{self, resolve};
use tenantry_domain::access::Claims;

use super::Bench;
use crate::bed::Bed;
use crate::crowd;
use crate::measure::{Samples, timed};
use crate::report::Figure;
use crate::served::{MISSING, Served, Wire, binary};

/// An installation whose tenants have places.
async fn crowded(bench: &Bench<'_>, name: &str) -> Result<(Bed, Vec<String>)> {
    let bed = Bed::install(bench.host, name, 10).await?;
    let members = crowd::make(&bed, "known", bench.size.pick(1_000, 1_000, 20), |_, _| {})?;
    crowd::register(&bed, bench.host, &members).await?;
    let slugs = members.iter().map(|one| one.slug.to_string()).collect();
    Ok((bed, slugs))
}

/// The call, and the call over HTTP.
pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let (bed, slugs) = crowded(bench, "resolve").await?;
    let (mut first, mut known) = (Samples::default(), Samples::default());
    let paths: Vec<String> = slugs.iter().map(|slug| format!("/t/{slug}/orders")).collect();
    for path in &paths {
        timed(&mut first, ask(&bed, path)).await?;
    }
    for step in 0..bench.size.pick(200_000_usize, 20_000, 100) {
        timed(&mut known, ask(&bed, &paths[step * 7 % paths.len()])).await?;
    }
    bench.say(
        Figure::latency("in the process, known", &known).against("not known, read", first.at(0.5)).p99_at_most(0.05),
    );
    let Some(binary) = binary() else {
        bench.note(MISSING);
        return Ok(());
    };
    let served = Served::start(bench.host, &bed, &binary).await?;
    let ways: Vec<String> =
        slugs.iter().map(|slug| format!("/v1/environments/prod/resolve?host={slug}.example.com")).collect();
    let headers = format!("Authorization: Bearer {}\r\n", served.token);
    let bare = healthy(&served, bench.size.pick(20_000, 4_000, 20)).await?;
    let alone = over_http(bench, &served, &ways, &headers).await?;
    bench.say(Figure::latency("over HTTP, 1 connection", &alone).against("/livez", bare.at(0.5)));
    let many = together(bench, &served, &ways, &headers).await?;
    bench.say(Figure::latency("over HTTP, 8 connections", &many));
    served.stop().await
}

/// What proxies ask before each request.
pub async fn forward_auth(bench: &mut Bench<'_>) -> Result<()> {
    let Some(binary) = binary() else {
        bench.note(MISSING);
        return Ok(());
    };
    let (bed, slugs) = crowded(bench, "forward-auth").await?;
    let served = Served::start(bench.host, &bed, &binary).await?;
    let bare = healthy(&served, bench.size.pick(20_000, 4_000, 20)).await?;
    let path = vec!["/v1/environments/prod/forward-auth/nginx".to_owned()];
    let mut all = Samples::default();
    let mut wire = served.connect().await?;
    let headers: Vec<String> = slugs
        .iter()
        .map(|slug| {
            let token = &served.token;
            format!(
                "Authorization: Bearer {token}\r\nX-Original-Host: {slug}.example.com\r\nX-Original-URI: /orders?page=1\r\n"
            )
        })
        .collect();
    for lines in &headers {
        expect(&mut wire, &path[0], lines).await?;
    }
    for step in 0..bench.size.pick(20_000_usize, 4_000, 20) {
        timed(&mut all, expect(&mut wire, &path[0], &headers[step * 7 % headers.len()])).await?;
    }
    bench.say(Figure::latency("1 connection", &all).against("/livez", bare.at(0.5)).p99_at_most(5.0));
    let many = together(bench, &served, &path, &headers[0]).await?;
    bench.say(Figure::latency("8 connections", &many));
    served.stop().await
}

async fn ask(bed: &Bed, path: &str) -> Result<()> {
    let claims = Claims { host: None, path: Some(path), header: None, token: None };
    let found: resolve::Resolved = routes::resolve(&bed.cx(), &bed.deps, &claims).await?;
    ensure!(found.tenant.state == routes::Openness::Open, "not open");
    Ok(())
}

async fn expect(wire: &mut Wire, path: &str, headers: &str) -> Result<()> {
    let reply = wire.get(path, headers).await?;
    ensure!(reply.status == 200, "{} {}", reply.status, reply.body);
    Ok(())
}

/// What one request costs that is answered with nothing.
async fn healthy(served: &Served, times: usize) -> Result<Samples> {
    let (mut samples, mut wire) = (Samples::default(), served.connect().await?);
    for _ in 0..times {
        timed(&mut samples, expect(&mut wire, "/livez", "")).await?;
    }
    Ok(samples)
}

async fn over_http(bench: &Bench<'_>, served: &Served, ways: &[String], headers: &str) -> Result<Samples> {
    let (mut samples, mut wire) = (Samples::default(), served.connect().await?);
    for way in ways {
        expect(&mut wire, way, headers).await?;
    }
    for step in 0..bench.size.pick(20_000_usize, 4_000, 20) {
        timed(&mut samples, expect(&mut wire, &ways[step * 7 % ways.len()], headers)).await?;
    }
    Ok(samples)
}

async fn together(bench: &Bench<'_>, served: &Served, ways: &[String], headers: &str) -> Result<Samples> {
    let each = bench.size.pick(5_000_usize, 1_000, 5);
    let mut hands = tokio::task::JoinSet::new();
    for hand in 0..8_usize {
        let mut wire = served.connect().await?;
        let (ways, headers) = (ways.to_vec(), headers.to_owned());
        hands.spawn(async move {
            let mut samples = Samples::default();
            for step in 0..each {
                timed(&mut samples, expect(&mut wire, &ways[(hand + step * 7) % ways.len()], &headers)).await?;
            }
            anyhow::Ok(samples)
        });
    }
    let mut all = Samples::default();
    while let Some(done) = hands.join_next().await {
        all.extend(&done.context("a client ended")??);
    }
    Ok(all)
}
