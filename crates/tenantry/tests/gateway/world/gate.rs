//! One `tenantry gateway`, which can be ended in any way and started again at the same ports.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tenantry_testkit::process::{Ending, Process, steady_port};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{CONTROL, PATIENCE, Tenant, World, program};

/// The console's password.
pub const CONSOLE: &str = "the-password-of-the-console";

/// See the module.
pub struct Gate {
    pub process: Process,
    /// Where clients connect.
    pub port: u16,
    /// Where probes ask.
    pub status: u16,
    name: String,
    more: Vec<String>,
}

impl World {
    /// Starts a gateway and waits until it is ready.
    pub async fn gate(&self, name: &str, more: &[&str]) -> Gate {
        std::fs::write(self.path("console"), CONSOLE).unwrap();
        let more: Vec<String> = more.iter().map(|argument| (*argument).to_owned()).collect();
        let (port, status) = (steady_port(), steady_port());
        let mut gate =
            Gate { process: self.launch(name, (port, status), &more), port, status, name: name.to_owned(), more };
        gate.ready().await;
        gate
    }

    fn launch(&self, name: &str, ports: (u16, u16), more: &[String]) -> Process {
        let file = |name: &str| self.path(name).display().to_string();
        let (listen, status) = (format!("127.0.0.1:{}", ports.0), format!("127.0.0.1:{}", ports.1));
        let (routes, console) = (file(&format!("{name}.routes")), file("console"));
        let mut arguments = vec![
            "gateway",
            "--allow-plain",
            "--listen",
            &listen,
            "--status-listen",
            &status,
            "--routes-file",
            &routes,
            "--admin-password-file",
            &console,
        ];
        arguments.extend(more.iter().map(String::as_str));
        let mut environment = self.environment();
        let (password, port) = (self.control.password(), self.control.port());
        let url = format!("postgres://edge:{password}@127.0.0.1:{port}/{CONTROL}?sslmode=disable");
        environment.push(("TENANTRY_DATABASE_URL".to_owned(), url));
        Process::start(&program(), &arguments, &environment, &self.path(&format!("{name}.log")))
    }

    /// Starts a gateway again that has ended, and waits until it is ready; gives how long that took.
    pub async fn again(&self, gate: &mut Gate) -> Duration {
        let began = Instant::now();
        gate.process = self.launch(&gate.name, (gate.port, gate.status), &gate.more);
        gate.ready().await;
        began.elapsed()
    }
}

impl Gate {
    async fn ready(&mut self) {
        let until = Instant::now() + PATIENCE;
        while get(self.status, "/readyz").await.is_none_or(|(status, _)| status != 200) {
            let ended = self.process.has_ended();
            assert!(ended.is_none() && Instant::now() < until, "gateway, {ended:?}: {}", self.process.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Asks it to stop and waits for an orderly end; gives how long that took.
    pub async fn stop(&mut self) -> Duration {
        let began = Instant::now();
        self.process.signal(Signal::TERM);
        let ending = self.process.ended(PATIENCE).await;
        assert_eq!(ending, Some(Ending::Exit(0)), "the end after SIGTERM: {}", self.process.log());
        began.elapsed()
    }

    /// Ends it as no destructor can help with.
    pub async fn kill(&mut self) {
        self.process.signal(Signal::KILL);
        assert_eq!(self.process.ended(PATIENCE).await, Some(Ending::KILLED));
    }

    /// How a tenant's client connects here and, if this gateway is away, to the others.
    pub fn config(&self, tenant: &Tenant) -> tokio_postgres::Config {
        config(&[self.port], tenant)
    }

    /// Its numbers. Every line has to be one.
    pub async fn numbers(&self) -> BTreeMap<String, f64> {
        let (status, text) = get(self.status, "/metrics").await.expect("metrics are served");
        assert_eq!(status, 200);
        let mut kinds = BTreeMap::new();
        let mut numbers = BTreeMap::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                let words: Vec<&str> = rest.splitn(3, ' ').collect();
                assert!(matches!(words[..], ["HELP" | "TYPE", _, _]), "{line}");
                if words[0] == "TYPE" {
                    assert!(["counter", "gauge", "histogram"].contains(&words[2]), "{line}");
                    assert!(kinds.insert(words[1].to_owned(), words[2].to_owned()).is_none(), "twice: {line}");
                }
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no number: {line}"));
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            let name = series.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            let is_known = kinds.contains_key(name) || kinds.get(family).is_some_and(|kind| kind == "histogram");
            assert!(is_known, "without a type: {line}");
            assert!(series.matches('"').count() % 2 == 0 && series.contains('{') == series.ends_with('}'), "{line}");
            assert!(numbers.insert(series.to_owned(), value).is_none(), "twice: {line}");
        }
        numbers
    }

    /// Memory that it has in use, in KiB.
    pub fn memory(&self) -> u64 {
        let pid = self.process.id().expect("it runs");
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }
}

/// How a tenant's client connects to whichever of several gateways is there.
pub fn config(ports: &[u16], tenant: &Tenant) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    for port in ports {
        config.host("127.0.0.1").port(*port);
    }
    config.user(tenant.login()).password(&tenant.password).dbname(&tenant.slug);
    config.ssl_mode(tokio_postgres::config::SslMode::Disable);
    config.load_balance_hosts(tokio_postgres::config::LoadBalanceHosts::Random);
    config
}

/// Asks over HTTP; nothing if nobody answers.
pub async fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
