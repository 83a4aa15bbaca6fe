//! `tenantry guard`: looks at a running database and reports every known way from one tenant to another.
//!
//! It speaks to the database itself and needs no control plane, so it works on any product's database. It reads only.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use tenantry_domain::isolation::Isolation;
use tenantry_guard::{Catalog, Guard, Input, PublicKey, Report, Severity, SignedReport, SigningKey, render};
use tenantry_pg::{Pool, PoolOptions, Target};

use crate::exit::{Failure, Result};
use crate::output::Output;

/// Look for ways from one tenant to another in a running database
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Reads only. A superuser sees everything; for another login the report says what it could not see.
Exit code 0: nothing of this severity; 1: findings; 2: wrong input; 7: the database does not answer.

Examples:
  tenantry guard --database-url postgres://postgres@db.internal/shop --level shared --tenant-column tenant_id
  tenantry guard --database-url … --input guard.json --sign-key root.key --report report.json
  tenantry guard --verify report.json --public-key 3b6a…
  tenantry guard --checks
  tenantry guard --explain T8a"
)]
pub struct Args {
    /// The database to look at; a superuser's login sees most
    #[arg(long, env = "TENANTRY_GUARD_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<SecretString>,
    /// What separates tenants in it
    #[arg(long, value_name = "LEVEL", value_parser = level, conflicts_with = "input")]
    level: Option<Isolation>,
    /// Column that says whose a row is
    #[arg(long, value_name = "COLUMN", conflicts_with = "input")]
    tenant_column: Option<String>,
    /// Role of the application; several with commas [default: every login with rights that is no superuser]
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',', conflicts_with = "input")]
    roles: Vec<String>,
    /// Table that all tenants share on purpose; several with commas
    #[arg(long = "reference-table", value_name = "TABLE", value_delimiter = ',', conflicts_with = "input")]
    references: Vec<String>,
    /// File with all of this and the accepted findings with their reasons, as JSON
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Leave the server as a whole out: roles, settings, other databases
    #[arg(long)]
    database_only: bool,
    /// Least severity that counts as a finding for the exit code
    #[arg(long, value_name = "SEVERITY", default_value = "low", value_parser = severity)]
    deny: Severity,
    /// Write the report to this file as well, signed when there is a key
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// File with the seed of an Ed25519 key, 64 hex digits, to sign the report with
    #[arg(long, value_name = "FILE", requires = "report")]
    sign_key: Option<PathBuf>,
    /// Verify a signed report instead of looking
    #[arg(long, value_name = "FILE", requires = "public_key")]
    verify: Option<PathBuf>,
    /// The public key that a report is verified with, in hex
    #[arg(long, value_name = "HEX")]
    public_key: Option<String>,
    /// List every check instead of looking
    #[arg(long)]
    checks: bool,
    /// Explain one check instead of looking
    #[arg(long, value_name = "CHECK")]
    explain: Option<String>,
}

fn level(text: &str) -> std::result::Result<Isolation, String> {
    text.parse().map_err(|_| "expected shared, schema, database or cluster".to_owned())
}

fn severity(text: &str) -> std::result::Result<Severity, String> {
    let known = Severity::ALL.into_iter().find(|severity| word(severity) == text);
    known.ok_or_else(|| "expected critical, high, medium or low".to_owned())
}

/// A serialised word.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(ToOwned::to_owned)).unwrap_or_default()
}

/// Both looks, as they go into a file.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Looked {
    database: Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Report>,
}

/// Looks, or does what was asked instead.
///
/// # Errors
/// The input is wrong, or the database does not answer.
pub async fn run(args: &Args, output: Output) -> Result<ExitCode> {
    if args.checks || args.explain.is_some() {
        return explain(args, output);
    }
    if let (Some(path), Some(key)) = (&args.verify, &args.public_key) {
        return verify(path, key, output);
    }
    let looked = look(args).await?;
    if let Some(path) = &args.report {
        store(path, &looked, args.sign_key.as_deref(), output)?;
    }
    if output.format().is_document() {
        output.document(&looked)?;
    } else {
        for report in std::iter::once(&looked.database).chain(&looked.server) {
            output.line(render(report).trim_end())?;
        }
    }
    let reports = std::iter::once(&looked.database).chain(&looked.server);
    // The worst severity is the least value.
    let is_denied = reports.filter_map(Report::worst).any(|worst| worst <= args.deny);
    Ok(if is_denied { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

async fn look(args: &Args) -> Result<Looked> {
    let url = args.database_url.as_ref().ok_or_else(|| {
        Failure::usage("No database is given").hint("Set --database-url or TENANTRY_GUARD_URL to the one to look at.")
    })?;
    let input = input(args)?;
    let target = Target::parse(url)
        .map_err(|error| Failure::usage("The database URL cannot be used").hint(error.to_string()))?;
    let options = PoolOptions {
        max: 1,
        application: "tenantry guard",
        // Large catalogs and busy machines take their time; nothing is locked meanwhile.
        statement: std::time::Duration::from_secs(120),
        ..PoolOptions::default()
    };
    let pool = Pool::new(target, options);
    let unavailable = |error: &dyn std::fmt::Display| {
        Failure::local(tenantry_domain::code::Kind::Unavailable, "The database does not answer", error)
    };
    let conn = pool.get().await.map_err(|error| unavailable(&error))?;
    let failed = |error: tenantry_guard::GuardError| unavailable(&error);
    let database = Guard::run(&conn, &input).await.map_err(failed)?;
    let server = if args.database_only { None } else { Some(Guard::server(&conn, &input).await.map_err(failed)?) };
    conn.release();
    Ok(Looked { database, server })
}

fn input(args: &Args) -> Result<Input> {
    if let Some(path) = &args.input {
        let text = read(path)?;
        return serde_json::from_str(&text).map_err(|error| {
            Failure::usage(format!("`{}` is not the input of a run: {error}", path.display()))
                .hint("See docs/guard.md for its form.")
        });
    }
    let level = args.level.ok_or_else(|| {
        Failure::usage("The level is not given")
            .hint("Say --level shared, schema or database, or give an --input file.")
    })?;
    let mut input = Input::new(level);
    input.tenant_column.clone_from(&args.tenant_column);
    input.roles = (!args.roles.is_empty()).then(|| args.roles.clone());
    input.references.clone_from(&args.references);
    Ok(input)
}

fn store(path: &Path, looked: &Looked, key: Option<&Path>, output: Output) -> Result<()> {
    let broken = |error: &dyn std::fmt::Display| Failure::broken("The report cannot be written", error);
    let text = match key {
        None => serde_json::to_string_pretty(looked).map_err(|error| broken(&error))?,
        Some(key) => {
            let key = signing_key(key)?;
            // One signature for what was found at both looks.
            let mut report = looked.database.clone();
            if let Some(server) = &looked.server {
                let mut section = server.section.clone();
                section.skipped.retain(|skipped| !report.section.run.contains(&skipped.check));
                report.add(section, &Input::new(report.level));
                report.accepted.extend(server.accepted.iter().cloned());
            }
            let signed = report.sign(&key).map_err(|error| broken(&error))?;
            let public = key.public_key().map_err(|error| broken(&error))?;
            output.note(&format!("signed; the public key is {}", public.to_hex()));
            signed.document().map_err(|error| broken(&error))?
        }
    };
    crate::config::write_private(path, &format!("{}\n", text.trim_end()))
        .map_err(|error| Failure::usage(format!("`{}` cannot be written: {error}", path.display())))
}

fn signing_key(path: &Path) -> Result<SigningKey> {
    let text = SecretString::from(read(path)?);
    let wrong = || {
        Failure::usage(format!("`{}` holds no key", path.display()))
            .hint("It must hold 64 hex digits, such as `tenantry secret root-key` makes.")
    };
    let digits = text.expose_secret().trim();
    let mut seed = zeroize::Zeroizing::new([0_u8; 32]);
    if digits.len() != 64 || !digits.is_ascii() {
        return Err(wrong());
    }
    for (byte, place) in seed.iter_mut().zip((0..64).step_by(2)) {
        *byte = digits.get(place..place + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(wrong)?;
    }
    SigningKey::from_seed(&seed).map_err(|_| wrong())
}

fn verify(path: &Path, key: &str, output: Output) -> Result<ExitCode> {
    let wrong = |error: tenantry_guard::SignError| Failure::ended("The report does not verify", error);
    let key =
        PublicKey::parse(key).map_err(|error| Failure::usage(format!("The public key cannot be used: {error}")))?;
    let text = read(path)?;
    let report = SignedReport::parse(text.trim_end()).and_then(|signed| signed.verify(&key)).map_err(wrong)?;
    if output.format().is_document() {
        output.document(&report)?;
    } else {
        output.line(render(&report).trim_end())?;
        output.line("the signature is good")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn explain(args: &Args, output: Output) -> Result<ExitCode> {
    let catalog = Catalog::get().map_err(|error| Failure::broken("The checks cannot be read", error))?;
    let Some(id) = &args.explain else {
        let row = |check: &tenantry_guard::Check| {
            vec![check.id.clone(), word(&check.severity), word(&check.scope), check.title.clone()]
        };
        output.table(&["CHECK", "SEVERITY", "SCOPE", "TITLE"], catalog.checks().iter().map(row).collect())?;
        return Ok(ExitCode::SUCCESS);
    };
    let check = catalog.check(id).ok_or_else(|| {
        Failure::usage(format!("There is no check `{id}`")).hint("`tenantry guard --checks` lists them.")
    })?;
    output.line(&format!(
        "{} ({}): {}\n\n{}\n\nFix: {}",
        check.id,
        word(&check.severity),
        check.title,
        check.why.trim(),
        check.fix.trim()
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("`{}` cannot be read: {error}", path.display())))
}
