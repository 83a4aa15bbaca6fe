//! `tenantry policy`: a bundle of rules tested, explained, compared, packed and signed before it goes anywhere.
//!
//! Everything here works on files and asks no server: what a bundle does is the same on every machine. What works on the
//! folder of a server is in [`crate::roles::shelf`].

mod files;
pub mod shelf;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;
use tenantry_domain::code::Kind;
use tenantry_policy::{Answer, Effect, Engine, Explanation, cases, schema_text};

use crate::exit::{CHANGES, FAILED, Failure, Result};
use crate::output::{Output, Paint, clean};

/// Test, explain, compare bundles of policy, and choose which one is in force
#[derive(Debug, clap::Args)]
#[command(after_help = "A bundle is a folder with `policy.toml`, rules (`*.cedar`) and tests (`tests/*.yaml`).
`builtin` stands for the shipped rules.

Examples:
  tenantry policy test policies/acme
  tenantry policy explain policies/acme --question suspend.json
  tenantry policy what-if policies/acme --against builtin --questions last-week.jsonl
  tenantry policy sign policies/acme --key-file policy.pem
  tenantry policy pack policies/acme --output-file acme.tar.gz
  tenantry policy bundles --policy-folder /var/lib/tenantry/policy
  tenantry policy rollback --policy-folder /var/lib/tenantry/policy --reason \"Nobody can suspend, INC-42\"")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show which rules a control plane goes by, and what they did
    Status,
    /// Run a bundle's tests; exit code 1 when one fails
    Test {
        /// Folder of the bundle, or `builtin`
        #[arg(value_name = "FOLDER")]
        bundle: String,
    },
    /// Show which rules decide a question, which were considered, and what to do
    Explain {
        /// Folder of the bundle, or `builtin`
        #[arg(value_name = "FOLDER")]
        bundle: String,
        /// The question, as JSON or YAML; `-` for standard input
        #[arg(long, value_name = "FILE")]
        question: PathBuf,
    },
    /// Show which questions would be answered in another way; exit code 10 when there is one
    WhatIf {
        /// Folder of the bundle that is looked at, or `builtin`
        #[arg(value_name = "FOLDER")]
        bundle: String,
        /// Folder of the bundle that it would replace, or `builtin`
        #[arg(long, value_name = "FOLDER", default_value = files::BUILTIN)]
        against: String,
        /// The questions, one JSON document a line; `-` for standard input
        #[arg(long, value_name = "FILE")]
        questions: PathBuf,
        /// Most differences to show
        #[arg(long, default_value_t = 100, value_name = "COUNT")]
        limit: usize,
    },
    /// Show the digest of a bundle's content
    Digest {
        /// Folder of the bundle, or `builtin`
        #[arg(value_name = "FOLDER")]
        bundle: String,
    },
    /// Sign a bundle: writes `bundle.sig` into its folder
    Sign {
        /// Folder of the bundle
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
        /// Ed25519 key, PKCS#8 in PEM (`openssl genpkey -algorithm ed25519`)
        #[arg(long, value_name = "FILE")]
        key_file: PathBuf,
    },
    /// Pack a bundle into the archive that web servers and registries serve
    Pack {
        /// Folder of the bundle
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
        /// Where to
        #[arg(long, value_name = "FILE")]
        output_file: PathBuf,
    },
    /// Print the schema that rules are validated against
    Schema,
    #[command(flatten)]
    Shelf(shelf::Verb),
}

impl Args {
    /// Whether a control plane is asked, and not files.
    pub const fn is_status(&self) -> bool {
        matches!(self.verb, Verb::Status)
    }

    /// What is wanted of the folder that a server keeps its bundles in, if that is what is worked on.
    pub const fn shelf(&self) -> Option<&shelf::Verb> {
        match &self.verb {
            Verb::Shelf(verb) => Some(verb),
            _ => None,
        }
    }
}

/// Runs it.
///
/// # Errors
/// A bundle, a key or a question cannot be used.
pub fn run(args: &Args, output: Output) -> Result<ExitCode> {
    match &args.verb {
        // A control plane's own affair, see `approvals::status`; and that of whoever runs one, see `roles::shelf`.
        Verb::Status | Verb::Shelf(_) => Ok(ExitCode::SUCCESS),
        Verb::Test { bundle } => test(bundle, output),
        Verb::Explain { bundle, question } => explain(bundle, question, output),
        Verb::WhatIf { bundle, against, questions, limit } => what_if(bundle, against, questions, *limit, output),
        Verb::Digest { bundle } => digest(bundle, output),
        Verb::Sign { folder, key_file } => sign(folder, key_file, output),
        Verb::Pack { folder, output_file } => pack(folder, output_file, output),
        Verb::Schema => output.line(schema_text().trim_end()).map(|()| ExitCode::SUCCESS),
    }
}

fn test(bundle: &str, output: Output) -> Result<ExitCode> {
    let (digest, compiled) = files::compiled(bundle)?;
    let outcomes = cases::run(&compiled);
    let failed = outcomes.iter().filter(|outcome| !outcome.passed).count();
    let manifest = &compiled.manifest;
    if output.format().is_document() {
        output.document(&json!({
            "bundle": manifest.name, "version": manifest.version, "digest": digest,
            "rules": compiled.engine.len(), "passed": outcomes.len() - failed, "failed": failed, "tests": outcomes,
        }))?;
    } else {
        for outcome in outcomes.iter().filter(|outcome| !outcome.passed) {
            let word = output.paint(Paint::Bad, "failed");
            output.line(&format!("{word}  {}: {}", clean(&outcome.file), clean(&outcome.name)))?;
            for difference in &outcome.differences {
                output.line(&format!("        {}", clean(difference)))?;
            }
        }
        let (name, version, rules) = (&manifest.name, &manifest.version, compiled.engine.len());
        output.line(&format!("{name} {version}: {rules} rules, {} tests, {failed} failed", outcomes.len()))?;
        if outcomes.is_empty() {
            output.line("The bundle has no tests; put some into tests/*.yaml.")?;
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn explain(bundle: &str, question: &Path, output: Output) -> Result<ExitCode> {
    let (_, compiled) = files::compiled(bundle)?;
    let explanation = compiled.engine.explain(&files::question(question)?);
    if output.format().is_document() {
        output.document(&explanation)?;
    } else {
        told(&explanation, output)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn told(explanation: &Explanation, output: Output) -> Result<()> {
    let Explanation { answer, rules, considered } = explanation;
    let word = if answer.allowed { output.paint(Paint::Good, "allowed") } else { output.paint(Paint::Bad, "refused") };
    output.line(&format!("{word} by {}", clean(&answer.rules.join(", "))))?;
    if let Some(remedy) = &answer.remedy {
        output.line(&format!("remedy: {}", clean(remedy)))?;
    }
    for fault in &answer.faults {
        output.line(&format!("rule {} cannot be evaluated: {}", clean(&fault.rule), clean(&fault.problem)))?;
    }
    output.line(&format!("bundle: {}\n", answer.fingerprint))?;
    let rows = considered.iter().map(|one| {
        let effect = match one.effect {
            Effect::Permit => "permits",
            Effect::Forbid => "forbids",
        };
        let holds = match (one.problem.is_some(), one.holds) {
            (true, _) => "cannot be evaluated",
            (_, true) => "holds",
            _ => "does not hold",
        };
        let decided = if one.decided { "decided" } else { "" };
        vec![one.rule.clone(), effect.into(), holds.into(), decided.into(), one.about.clone().unwrap_or_default()]
    });
    output.table(&["RULE", "EFFECT", "CONDITIONS", "", "ABOUT"], rows.collect())?;
    output.line(&format!("\n{} of {rules} rules are about this action and this sort of thing", considered.len()))
}

/// One question that is answered in another way.
#[derive(Serialize)]
struct Change {
    line: usize,
    action: String,
    principal: String,
    before: Answer,
    after: Answer,
}

fn what_if(bundle: &str, against: &str, questions: &Path, limit: usize, output: Output) -> Result<ExitCode> {
    let (_, after) = files::compiled(bundle)?;
    let (_, before) = files::compiled(against)?;
    let (mut asked, mut changed, mut shown) = (0_usize, 0_usize, Vec::new());
    let mut turned: BTreeMap<&str, usize> = BTreeMap::new();
    for found in files::questions(questions)? {
        let (line, question) = found?;
        asked += 1;
        let ask = |engine: &Engine| engine.ask(&question);
        let (before, after) = (ask(&before.engine), ask(&after.engine));
        let word = match (before.allowed, after.allowed) {
            (true, false) => "allowed before, refused now",
            (false, true) => "refused before, allowed now",
            (false, false) if before.rules != after.rules => "refused by other rules",
            _ => continue,
        };
        changed += 1;
        *turned.entry(word).or_default() += 1;
        if shown.len() < limit {
            let (action, principal) = (question.action.clone(), question.principal.name());
            shown.push(Change { line, action, principal, before, after });
        }
    }
    if output.format().is_document() {
        output.document(&json!({ "asked": asked, "changed": changed, "by": turned, "changes": shown }))?;
    } else {
        let verdict = |answer: &Answer| {
            format!("{} by {}", if answer.allowed { "allowed" } else { "refused" }, answer.rules.join(", "))
        };
        let row = |one: &Change| {
            let (action, principal) = (one.action.clone(), one.principal.clone());
            vec![one.line.to_string(), action, principal, verdict(&one.before), verdict(&one.after)]
        };
        if !shown.is_empty() {
            output.table(&["LINE", "ACTION", "PRINCIPAL", "BEFORE", "NOW"], shown.iter().map(row).collect())?;
        }
        let by: Vec<_> = turned.iter().map(|(word, count)| format!("{count} {word}")).collect();
        let by = if by.is_empty() { String::new() } else { format!(": {}", by.join(", ")) };
        output.line(&format!("{changed} of {asked} questions are answered in another way{by}"))?;
    }
    Ok(if changed == 0 { ExitCode::SUCCESS } else { ExitCode::from(CHANGES) })
}

fn digest(bundle: &str, output: Output) -> Result<ExitCode> {
    let read = files::bundle(bundle)?;
    if output.format().is_document() {
        let files: Vec<_> = read.files().map(|(path, bytes)| json!({"path": path, "bytes": bytes.len()})).collect();
        output.document(&json!({ "digest": read.digest(), "files": files }))?;
    } else {
        output.line(&read.digest().to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn sign(folder: &Path, key_file: &Path, output: Output) -> Result<ExitCode> {
    let key = files::key(key_file)?;
    let name = folder.display().to_string();
    // What is signed has to be valid: a signature says that somebody stands for it.
    let (digest, compiled) = files::compiled(&name)?;
    cases::passed(&cases::run(&compiled)).map_err(|error| files::invalid(&name, &error))?;
    let path = folder.join(tenantry_policy::bundle::SIGNATURE);
    write(&path, key.sign(digest).as_bytes())?;
    if output.format().is_document() {
        output.document(&json!({ "digest": digest, "file": path, "publicKey": key.public() }))?;
    } else {
        output.line(&format!("{}: signed {digest}", path.display()))?;
        output.line(&format!("public key: {}", key.public()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn pack(folder: &Path, output_file: &Path, output: Output) -> Result<ExitCode> {
    let read = files::bundle(&folder.display().to_string())?;
    let packed = tenantry_policy::bundle::pack(&read).map_err(|error| Failure::broken("cannot be packed", error))?;
    write(output_file, &packed)?;
    if output.format().is_document() {
        output.document(&json!({ "digest": read.digest(), "file": output_file, "bytes": packed.len() }))?;
    } else {
        output.line(&format!("{}: {} bytes, {}", output_file.display(), packed.len(), read.digest()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::File::create(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|error| Failure::local(Kind::Invalid, format!("`{}` cannot be written", path.display()), error))
}
