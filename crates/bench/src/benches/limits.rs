//! How long a decision about a rate takes, in this process and by a Redis server, and by how much three replicas
//! overshoot that ask for three times the limit.
//!
//! The server runs on this machine, so the figure of the shared decision is without a network. Overshoot counts all that
//! was let through against the burst and what came evenly until the last request ended.

use std::net::TcpListener;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use secrecy::SecretString;
use tenantry_domain::limit::Limit;
use tenantry_domain::quantity::Rate;
use tenantry_limits::{Ask, Limiter, Options};

use super::Bench;
use crate::measure::Samples;
use crate::report::Figure;

const PROGRAMS: [&str; 2] = ["/usr/bin/redis-server", "/usr/bin/valkey-server"];

/// Replicas that share the limit.
const REPLICAS: u32 = 3;

/// A server of this benchmark. It ends with this value.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    async fn start() -> Result<Self> {
        let program = PROGRAMS.into_iter().find(|path| Path::new(path).exists());
        let program = program.context("neither redis-server nor valkey-server is installed")?;
        // Free a moment ago; nobody else asks for this very one.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let port_text = port.to_string();
        let arguments = ["--port", &port_text, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let child = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let server = Self { child, url: format!("redis://127.0.0.1:{port}/0") };
        let end = Instant::now() + Duration::from_secs(20);
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            ensure!(Instant::now() < end, "{program} does not answer");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(server)
    }

    fn replica(&self) -> Result<Limiter> {
        let shared = Some(SecretString::from(self.url.clone()));
        Ok(Limiter::new(&Options { shared, ..Options::default() })?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn limit(amount: u32, seconds: u32) -> Result<Limit> {
    let (amount, seconds) = NonZeroU32::new(amount).zip(NonZeroU32::new(seconds)).context("a rate of nothing")?;
    Ok(Limit::of(Rate { amount, seconds }))
}

pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let decisions = bench.size.pick(200_000, 50_000, 2_000);
    let alone = decide(&Limiter::alone(100_000), decisions).await?;
    bench.say(Figure::latency("in process, principal and two rates of a tenant", &alone).p99_at_most(0.2));
    let server = Server::start().await?;
    let shared = decide(&server.replica()?, decisions / 20).await?;
    bench.say(Figure::latency("by Redis on this machine, the same three in one script", &shared));
    let seconds = bench.size.pick(20, 5, 1);
    let mut rounds = Vec::new();
    for round in 0..bench.size.pick(5, 3, 1) {
        rounds.push(overshoot(&server, round, seconds).await?);
    }
    let title = format!("overshoot of {REPLICAS} replicas at three times the limit");
    bench.say(Figure::rounds(title, "%", &rounds).at_most(1.0));
    Ok(())
}

/// The time of single decisions, for ten thousand tenants in turn; every hundredth is refused.
async fn decide(limiter: &Limiter, count: u32) -> Result<Samples> {
    let (wide, narrow) = (limit(1_000_000, 1)?, limit(100, 3_600)?);
    let mut samples = Samples::default();
    for index in 0..count {
        let tenant = index % 10_000;
        let keys = [
            format!("p:write:operator:tok_{}", tenant % 100),
            format!("t:prod:{tenant}:api"),
            format!("t:prod:{tenant}:write"),
        ];
        let last = if index % 100 == 0 { narrow } else { wide };
        let key = if index % 100 == 0 { "t:prod:narrow:write" } else { &keys[2] };
        let asks = [Ask { key: &keys[0], limit: wide }, Ask { key: &keys[1], limit: wide }, Ask { key, limit: last }];
        let began = Instant::now();
        let verdicts = limiter.take(&asks, 1).await;
        samples.push(began.elapsed());
        ensure!(verdicts.len() == 3, "a rate was not judged");
    }
    ensure!(!limiter.is_away(), "the server went away");
    Ok(samples)
}

/// By how much per cent more was let through than the limit allows; negative when it was less.
async fn overshoot(server: &Server, round: u32, seconds: u64) -> Result<f64> {
    let rate = limit(600, 1)?;
    let replicas = (0..REPLICAS).map(|_| server.replica()).collect::<Result<Vec<_>>>()?;
    for replica in &replicas {
        // The connection and the script are there before the clock runs.
        replica.take(&[Ask { key: "warm", limit: rate }], 0).await;
    }
    let began = Instant::now();
    let end = began + Duration::from_secs(seconds);
    let callers = replicas.iter().map(|replica| {
        let (replica, key) = (replica.clone(), format!("round-{round}"));
        tokio::spawn(async move {
            let (mut allowed, mut asked) = (0_u32, 0_u32);
            let mut tick = tokio::time::interval(Duration::from_micros(1_600));
            while Instant::now() < end {
                tick.tick().await;
                asked += 1;
                let verdicts = replica.take(&[Ask { key: &key, limit: rate }], 1).await;
                allowed += u32::from(verdicts.iter().all(|verdict| verdict.allowed));
            }
            (allowed, asked)
        })
    });
    let (mut allowed, mut asked) = (0, 0);
    for caller in callers.collect::<Vec<_>>() {
        let (some, all) = caller.await?;
        allowed += some;
        asked += all;
    }
    let most = f64::from(rate.burst()) * (1.0 + began.elapsed().as_secs_f64());
    if replicas.iter().any(|replica| replica.counts().failures() > 0) {
        bail!("the server did not answer in time");
    }
    ensure!(f64::from(asked) > most, "{asked} requests are less than the limit");
    Ok((f64::from(allowed) / most - 1.0) * 100.0)
}
