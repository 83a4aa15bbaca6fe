//! `tenantry demo`: the product told as a story, on a fresh installation of its own. Every claim is checked; one that
//! does not hold is printed as FAIL and ends the demo with exit code 1.
//!
//! A role, not a command: it looks behind the API on purpose, as an application with a customer's connection, as a
//! curious administrator with a superuser's, and as somebody who tampers.

mod attack;
mod audit;
mod change;
mod drift;
mod onboarding;
mod rows;
mod stage;
mod story;
mod suspension;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tenantry_control::Options;

use self::stage::Stage;
use self::story::Story;
use super::local::{Local, Wanted};
use super::signals;
use crate::config::File;
use crate::exit::{Failure, INTERRUPTED, Result};
use crate::globals::Globals;
use crate::telemetry::LogArgs;

/// Marks a folder as one that the demo may remove.
const MARK: &str = "demo";

/// Show the product at work in half a minute, on an installation of its own
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Nothing outside its own folder is touched, which is a temporary one unless --data-dir says otherwise. On a
terminal the installation stays up after the story for a look around, until Ctrl-C.

Examples:
  tenantry demo
  tenantry demo --once --rows 20000
  tenantry demo --once --data-dir ./story --keep && tenantry dev --data-dir ./story"
)]
pub struct Args {
    /// End after the story; implied where there is no terminal
    #[arg(long)]
    once: bool,
    /// Folder for database, keys and token, made anew [default: a temporary one]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Go on with the data of an earlier demo there, and keep them
    #[arg(long, requires = "data_dir")]
    keep: bool,
    /// Messages that each customer gets
    #[arg(long, default_value_t = 3000, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    rows: u32,
    /// Folder of `initdb` and `postgres`
    #[arg(long, env = "TENANTRY_PG_BIN", value_name = "FOLDER")]
    pg_bin: Option<PathBuf>,
    #[command(flatten)]
    log: LogArgs,
}

/// Tells the story.
///
/// # Errors
/// A claim did not hold, or something that is needed is missing.
pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let file = globals.file()?;
    // What the story provokes is logged as errors; whoever wants to read them says so.
    args.log.start(&file, "off")?;
    let folder = Folder::prepare(&args)?;
    let mut story = Story::new(globals.output());
    let end = signals::end()?;
    tokio::pin!(end);
    let began = Instant::now();
    let stage = tokio::select! {
        stage = start(&args, &file, &folder, &story) => stage?,
        _ = &mut end => return Err(interrupted()),
    };
    let told = tokio::select! {
        told = tell(&mut story, &stage, args.rows, began) => told,
        _ = &mut end => Err(interrupted()),
    };
    let stays = told.is_ok() && !args.once && globals.output().is_live();
    if stays {
        story.say(&stage.invitation())?;
        (&mut end).await;
    }
    let stopped = stage.stop().await;
    told.and(stopped)
}

async fn start(args: &Args, file: &File, folder: &Folder, story: &Story) -> Result<Stage> {
    let wanted = Wanted {
        data_dir: folder.path.clone(),
        database_url: None,
        pg_bin: args.pg_bin.clone().or_else(|| file.pg_bin.clone()),
        pg_port: None,
        listen: Some(([127, 0, 0, 1], 0).into()),
        // Nobody needs the demo's data after a power cut.
        has_gateway: false,
        is_durable: false,
        keeps_cell: true,
        options: Options { sweep: Duration::from_secs(1), ..Options::default() },
        rules: None,
    };
    let environment = stage::environment()?;
    let local = Local::start(wanted, &environment).await?;
    story.say(&format!("A private PostgreSQL and a control plane run in {}.", folder.path.display()))?;
    Stage::open(local, environment).await
}

async fn tell(story: &mut Story, stage: &Stage, rows: u32, began: Instant) -> Result<()> {
    let customers = onboarding::tell(story, stage).await?;
    let customers = rows::tell(story, stage, customers, rows).await?;
    attack::tell(story, stage, &customers).await?;
    suspension::tell(story, stage, &customers).await?;
    change::tell(story, stage).await?;
    drift::tell(story, stage, &customers).await?;
    audit::tell(story, stage, &customers).await?;
    story.close(&customers, began.elapsed())
}

fn interrupted() -> Failure {
    Failure::ended("The demo was interrupted", "").exit(INTERRUPTED)
}

/// The demo's folder; a temporary one goes with this value.
struct Folder {
    path: PathBuf,
    is_temporary: bool,
}

impl Folder {
    fn prepare(args: &Args) -> Result<Self> {
        let wrong = |path: &Path| {
            let path = path.display().to_string();
            move |error: std::io::Error| Failure::usage(format!("The folder `{path}` cannot be used: {error}"))
        };
        let Some(path) = args.data_dir.clone() else {
            let name = crate::random::hex::<6>().map_err(|error| Failure::broken("No randomness", error))?;
            let path = std::env::temp_dir().join(format!("tenantry-demo-{name}"));
            fs::create_dir(&path).map_err(wrong(&path))?;
            return Ok(Self { path, is_temporary: true });
        };
        let is_empty = fs::read_dir(&path).map_or(true, |mut entries| entries.next().is_none());
        let is_ours = path.join(MARK).is_file();
        if !is_empty && !is_ours {
            return Err(Failure::usage(format!("The folder `{}` is not empty and not a demo's", path.display()))
                .hint("Give a new folder: the demo begins by emptying it."));
        }
        if is_ours && !args.keep {
            // Only when nobody runs on it: the lock tells.
            drop(super::folder::DataFolder::open(&path)?);
            remove(&path).map_err(wrong(&path))?;
        }
        fs::create_dir_all(&path).map_err(wrong(&path))?;
        fs::write(path.join(MARK), "made by `tenantry demo`, which may remove it\n").map_err(wrong(&path))?;
        Ok(Self { path, is_temporary: false })
    }
}

/// The database may be elsewhere, behind a link.
fn remove(path: &Path) -> std::io::Result<()> {
    if let Ok(elsewhere) = fs::read_link(path.join("postgres")) {
        fs::remove_dir_all(elsewhere)?;
    }
    fs::remove_dir_all(path)
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.is_temporary {
            let _ = remove(&self.path);
        }
    }
}
