//! Load by pgbench, which comes with PostgreSQL and knows no pooler.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::process::{Child, Command};

use crate::host::Host;
use crate::measure::rank;

/// How pgbench sends statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One message each.
    Simple,
    /// Parse, Bind, Execute each.
    Extended,
    /// Parse once.
    Prepared,
}

impl Mode {
    /// Its word, for pgbench and for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Extended => "extended",
            Self::Prepared => "prepared",
        }
    }
}

/// What is to be done.
#[derive(Clone)]
pub struct Load {
    /// How the server is reached.
    pub environment: Vec<(&'static str, String)>,
    /// A file with one transaction.
    pub script: PathBuf,
    /// How it is sent.
    pub mode: Mode,
    /// By how many clients.
    pub clients: usize,
    /// For how long.
    pub seconds: u64,
    /// How many a second at most, evenly.
    pub rate: Option<u32>,
    /// Whether each transaction has a connection of its own.
    pub reconnects: bool,
}

/// What was done.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Transactions.
    pub count: f64,
    /// Of them a second; the time to connect is left out, unless each has its own.
    pub rate: f64,
}

impl Load {
    /// Does it.
    pub async fn run(&self, host: &Host) -> Result<Outcome> {
        Running { child: self.start(host, None)? }.outcome().await
    }

    /// Does it, and keeps the time of each transaction.
    pub fn timed(&self, host: &Host, folder: &Path, name: &str) -> Result<Timed> {
        let prefix = folder.join(name);
        Ok(Timed { running: Running { child: self.start(host, Some(&prefix))? }, prefix })
    }

    fn start(&self, host: &Host, log: Option<&Path>) -> Result<Child> {
        let mut command = Command::new(host.program("pgbench"));
        let numbers = [("-c", self.clients.to_string()), ("-j", "1".to_owned()), ("-T", self.seconds.to_string())];
        command.args(["-n", "-M", self.mode.word()]);
        command.args(numbers.iter().flat_map(|(flag, value)| [*flag, value]));
        command.arg("-f").arg(&self.script).envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(rate) = self.rate {
            command.arg("-R").arg(rate.to_string());
        }
        if self.reconnects {
            command.arg("-C");
        }
        if let Some(prefix) = log {
            command.arg("-l").arg("--log-prefix").arg(prefix);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn().context("starting pgbench")
    }
}

struct Running {
    child: Child,
}

impl Running {
    async fn outcome(self) -> Result<Outcome> {
        let output = self.child.wait_with_output().await?;
        let (said, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "pgbench failed: {}", complaints.trim());
        let outcome = read_outcome(&said).context("pgbench said something else")?;
        ensure!(outcome.count > 0.0, "pgbench got nothing done");
        Ok(outcome)
    }
}

fn read_outcome(said: &str) -> Option<Outcome> {
    let number = |name: &str| {
        let rest = said.lines().find_map(|line| line.strip_prefix(name))?;
        rest.trim().split([' ', '/']).next()?.parse::<f64>().ok()
    };
    Some(Outcome { count: number("number of transactions actually processed:")?, rate: number("tps =")? })
}

/// A line of its log: client, number, microseconds, script, seconds, microseconds.
fn read_line(line: &str) -> Option<Transaction> {
    let numbers: Vec<f64> = line.split(' ').map_while(|word| word.parse().ok()).collect();
    let &[_, _, took, _, seconds, micros, ..] = numbers.as_slice() else { return None };
    let to = seconds + micros / 1e6;
    Some(Transaction { from: to - took / 1e6, to })
}

/// Load whose transactions are timed one by one.
pub struct Timed {
    running: Running,
    prefix: PathBuf,
}

/// One transaction, in seconds of the epoch.
#[derive(Debug, Clone, Copy)]
pub struct Transaction {
    /// When it began.
    pub from: f64,
    /// When its answer was there.
    pub to: f64,
}

impl Timed {
    /// Its transactions, in the order of their ends, once it is over.
    pub async fn transactions(self) -> Result<Vec<Transaction>> {
        let process = self.running.child.id().context("pgbench ended at once")?;
        self.running.outcome().await?;
        let mut path = self.prefix.into_os_string();
        path.push(format!(".{process}"));
        let text = std::fs::read_to_string(&path).context("pgbench wrote no log")?;
        std::fs::remove_file(&path)?;
        Ok(text.lines().filter_map(read_line).collect())
    }
}

impl Transaction {
    /// Milliseconds.
    pub fn took(self) -> f64 {
        (self.to - self.from) * 1e3
    }
}

/// A nearest rank of transactions' times, in milliseconds.
pub fn at(transactions: &[Transaction], share: f64) -> f64 {
    let times: Vec<f64> = transactions.iter().map(|one| one.took()).collect();
    rank(&times, share)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn what_pgbench_says_is_read() {
        let said = "number of transactions actually processed: 1234\nnumber of failed transactions: 0 (0.000%)\n\
            tps = 617.5 (without initial connection time)\n";
        let found = read_outcome(said).unwrap();
        assert_eq!((found.count, found.rate), (1234.0, 617.5));
        assert_eq!(read_outcome("number of transactions actually processed: 12/12\ntps = 3 (x)").unwrap().count, 12.0);
        assert!(read_outcome("pgbench: error").is_none());
        let line = read_line("0 199 2241 0 1175850568 995598").unwrap();
        assert!((line.to - 1_175_850_568.995_598).abs() < 1e-6 && (line.took() - 2.241).abs() < 1e-3);
        assert!(read_line("0 199 skipped 0 1 2").is_none());
    }
}
