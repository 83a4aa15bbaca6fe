//! What the client programs in Rust share: where they connect to, and how they say what came of it.
//!
//! The runner hands the place over as an application gets it: `DATABASE_URL` and libpq's variables. Each check is a future;
//! one that ends without an error is fine. The last line of the output is the report, one JSON object.

use std::error::Error;
use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

/// How many rows of its own every place has, one of them with the canary.
pub const ROWS: usize = 3;
pub const LARGE_ROWS: i64 = 100_000;
pub const LARGE_TEXT: usize = 5_000_000;
/// The longest that one check may take.
const LONGEST: Duration = Duration::from_secs(60);

pub type Wrong = Box<dyn Error + Send + Sync>;
pub type Checked = Result<(), Wrong>;

/// A variable that the runner sets.
pub fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; scripts/clients sets it"))
}

/// Whether the place is said to have this feature.
pub fn has(feature: &str) -> bool {
    std::env::var("CLIENT_FEATURES").is_ok_and(|features| features.split(' ').any(|one| one == feature))
}

pub fn is_tls() -> bool {
    given("CLIENT_TLS") == "1"
}

/// Only what stands in the lock file is what was built.
pub fn version_of(package: &str) -> String {
    let head = format!("name = \"{package}\"\nversion = \"");
    let (_, rest) = include_str!("../Cargo.lock").split_once(&head).expect("the lock file names it");
    rest.split('"').next().unwrap_or_default().to_owned()
}

/// The checks of one client.
pub struct Program {
    name: &'static str,
    version: String,
    results: Vec<Value>,
}

impl Program {
    pub fn new(name: &'static str) -> Self {
        Self { name, version: version_of(name), results: Vec::new() }
    }

    /// Rows with this beginning are ours; the runner removes what a program that died has left.
    pub fn mark(&self) -> String {
        format!("client {} {}", self.name, Uuid::new_v4())
    }

    pub async fn check(&mut self, name: &str, work: impl Future<Output = Checked>) {
        let began = Instant::now();
        let outcome = match tokio::time::timeout(LONGEST, work).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(whole(error.as_ref())),
            Err(_) => Err(format!("took longer than {} s", LONGEST.as_secs())),
        };
        let (result, detail) = match outcome {
            Ok(()) => ("ok", String::new()),
            Err(error) => ("error", error.chars().take(600).collect()),
        };
        let ms = (began.elapsed().as_secs_f64() * 1e4).round() / 10.0;
        self.results.push(json!({ "name": name, "result": result, "detail": detail, "ms": ms }));
    }

    /// Names a check that the client cannot do.
    pub fn absent(&mut self, name: &str, reason: &str) {
        self.results.push(json!({ "name": name, "result": "absent", "detail": reason, "ms": 0 }));
    }

    /// Prints the report and ends the process.
    pub fn end(self) -> ! {
        let is_fine = self.results.iter().all(|one| one["result"] != "error");
        println!("{}", json!({ "client": self.name, "version": self.version, "checks": self.results }));
        std::process::exit(i32::from(!is_fine))
    }
}

/// An error with what lies below it.
fn whole(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        text = format!("{text}: {error}");
        below = error.source();
    }
    text
}

pub fn same<T: PartialEq + Debug>(got: T, wanted: T, what: &str) -> Checked {
    if got == wanted {
        return Ok(());
    }
    let shown = |value: T| format!("{value:?}").chars().take(200).collect::<String>();
    Err(format!("{what}: {} instead of {}", shown(got), shown(wanted)).into())
}

pub fn holds(is_fine: bool, what: &str) -> Checked {
    if is_fine { Ok(()) } else { Err(what.into()) }
}

/// Says whether these are the rows of this tenant and of nobody else.
pub fn own(bodies: &[String]) -> Checked {
    let (own, foreign) = (given("NOTE_OWN"), given("NOTE_FOREIGN"));
    holds(bodies.iter().all(|body| !body.contains(&foreign)), "a row of another tenant is seen")?;
    same(bodies.len(), ROWS, "number of rows")?;
    holds(bodies.iter().any(|body| body.contains(&own)), "the own row is not seen")
}
