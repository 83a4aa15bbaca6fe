//! `tenantry lint`: the static guard over files, logs and standard input. Nothing is asked of a server.
//!
//! Long because the options are; what they mean is decided in `tenantry-lint`. INVARIANT: exit code 0 says that nothing
//! was found of the severity that is denied, 1 that something was, 2 that the command or an input cannot be used.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;
use tenantry_api::manifest;
use tenantry_lint::input::{self, Format, InputError};
use tenantry_lint::{AllowList, Check, Options, Report, Schema, Severity, Tier, Unknown, render};

use crate::exit::{Failure, Result};
use crate::output::{self, Output};

/// Find SQL that could cross tenants: migrations, statements, logs
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Folders are searched for .sql files; .csv and .json files are logs of statements. Exit code: 0 nothing \
found, 1 something found, 2 wrong use or unreadable input.

Example:
  tenantry lint --app manifests/00-platform.yaml migrations queries
  psql -c 'COPY (SELECT query, calls FROM pg_stat_statements) TO STDOUT CSV HEADER' > s.csv && tenantry lint s.csv
  git diff --cached --name-only '*.sql' | xargs tenantry lint --schema structure.sql --format sarif
  tenantry lint --explain TL101"
)]
pub struct Args {
    /// Files and folders; without any, the migrations of the app
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Read standard input, too
    #[arg(long)]
    stdin: bool,
    /// Manifest of the app: its tenant key, reference tables and migrations
    #[arg(long, value_name = "FILE")]
    app: Option<PathBuf>,
    /// SQL that creates the tables; read, not judged; may be repeated
    #[arg(long, value_name = "FILE")]
    schema: Vec<PathBuf>,
    /// The tenant column [default: the app's, else tenant_id]
    #[arg(long, value_name = "COLUMN")]
    tenant_column: Option<String>,
    /// A table that all tenants read; may be repeated
    #[arg(long, value_name = "TABLE")]
    reference_table: Vec<String>,
    /// Take tables that nothing is known of as none of our business, instead of as tenant tables
    #[arg(long)]
    ignore_unknown_tables: bool,
    /// Isolation level that the statements run at
    #[arg(long, value_enum, default_value = "shared")]
    tier: TierWord,
    /// A function that gives the tenant of the transaction; may be repeated
    #[arg(long, value_name = "NAME")]
    context_function: Vec<String>,
    /// Refuse inserts that leave the tenant to the column's default
    #[arg(long)]
    no_default: bool,
    /// Ask migrations to enable, force and write row-level security themselves
    #[arg(long)]
    require_guard: bool,
    /// Rely on the policies of the database to pick the tenant's rows: report only what policies cannot hold
    #[arg(long)]
    trust_policies: bool,
    /// Type of the tenant column, or any
    #[arg(long, value_name = "TYPE", default_value = "uuid")]
    tenant_type: String,
    /// What the inputs are, if not SQL
    #[arg(long, value_enum)]
    log_format: Option<LogWord>,
    /// Form of the report
    #[arg(long, value_enum, default_value = "human")]
    format: Form,
    /// Least severity that makes the exit code 1
    #[arg(long, value_enum, default_value = "error")]
    deny: Least,
    /// Allow-list (TOML) [default: tenantry-lint.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    allow_list: Option<PathBuf>,
    /// Remove entries from the allow-list that are of no use any more; nothing is ever added
    #[arg(long)]
    update_allow_list: bool,
    /// Print all rules and end
    #[arg(long)]
    rules: bool,
    /// Print one rule with its examples and end
    #[arg(long, value_name = "RULE")]
    explain: Option<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum TierWord {
    Shared,
    Schema,
    Database,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Form {
    Human,
    Json,
    Sarif,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Least {
    Error,
    Warning,
    Note,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum LogWord {
    /// Look at the text
    Auto,
    /// Rows of pg_stat_statements as CSV
    StatementsCsv,
    /// Rows of pg_stat_statements as JSON
    StatementsJson,
    /// The server's log as CSV
    Csvlog,
    /// The server's log as JSON
    Jsonlog,
}

/// Where the allow-list is looked for.
const ALLOW_LIST: &str = "tenantry-lint.toml";

/// Checks the inputs and prints the report.
///
/// # Errors
/// The command or an input cannot be used, or the report cannot be written.
pub fn run(args: &Args, output: Output) -> Result<ExitCode> {
    if args.rules {
        output.line(render::table().trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(id) = &args.explain {
        let rule = tenantry_lint::rule(id)
            .ok_or_else(|| Failure::usage(format!("`{id}` is no rule")).hint("`tenantry lint --rules` lists them."))?;
        output.line(render::explanation(rule).trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    let app = args.app.as_deref().map(App::read).transpose()?;
    let mut check = Check::new(schema(args, app.as_ref()), options(args));
    add_sources(args, app.as_ref(), &mut check)?;
    let list = allow_list(args)?;
    if let Some((path, text)) = &list {
        check.allow(path.display().to_string(), parse_list(path, text)?);
    }
    let (mut report, used) = check.run();
    if args.update_allow_list
        && let Some((path, text)) = &list
    {
        shrink(path, text, &used, output)?;
        report.findings.retain(|finding| finding.rule.id != "TL004");
    }
    print(args, &report, output)?;
    let least = match args.deny {
        Least::Error => Severity::Error,
        Least::Warning => Severity::Warning,
        Least::Note => Severity::Note,
    };
    Ok(if report.denies(least) { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// What a manifest says of the app.
struct App {
    tenant_key: Option<String>,
    references: Vec<String>,
    migrations: Option<PathBuf>,
}

impl App {
    fn read(path: &Path) -> Result<Self> {
        let unusable = |what: String| Failure::usage(format!("`{}`: {what}", path.display()));
        let bytes = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
        let is_json = path.extension().is_some_and(|end| end == "json");
        let format = if is_json { manifest::Format::Json } else { manifest::Format::Yaml };
        let documents = manifest::read(&bytes, format)?;
        let mut apps = documents.iter().filter(|document| document["kind"] == "App");
        let (Some(app), None) = (apps.next(), apps.next()) else {
            return Err(unusable("it has to hold exactly one manifest of kind App".to_owned()));
        };
        let spec = &app["spec"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let folder = path.parent().unwrap_or(Path::new("."));
        let migrations = spec.pointer("/migrations/path").and_then(text_of).map(|relative| {
            let relative = relative.strip_prefix("./").unwrap_or(relative);
            let places = [PathBuf::new(), folder.to_owned(), folder.join("..")];
            let found = places.iter().map(|place| place.join(relative)).find(|place| place.is_dir());
            found.unwrap_or_else(|| PathBuf::from(relative))
        });
        let references = spec["referenceTables"].as_array().into_iter().flatten().filter_map(text).collect();
        Ok(Self { tenant_key: text(&spec["tenantKey"]), references, migrations })
    }
}

fn text_of(value: &Value) -> Option<&str> {
    value.as_str()
}

fn schema(args: &Args, app: Option<&App>) -> Schema {
    let of_app = app.map(|app| app.tenant_key.clone());
    let column = match (&args.tenant_column, of_app) {
        (Some(column), _) => Some(column.clone()),
        (None, Some(key)) => key,
        (None, None) => Some("tenant_id".to_owned()),
    };
    let schema = column.map_or_else(Schema::without_tenant_column, Schema::new);
    let schema = schema.reference_tables(&args.reference_table);
    let schema = schema.reference_tables(app.map(|app| app.references.as_slice()).unwrap_or_default());
    if args.ignore_unknown_tables { schema.unknown_tables(Unknown::Ignore) } else { schema }
}

fn options(args: &Args) -> Options {
    let defaults = Options::default();
    let mut context_functions = defaults.context_functions.clone();
    context_functions.extend(args.context_function.iter().map(|name| name.to_lowercase()));
    Options {
        tier: match args.tier {
            TierWord::Shared => Tier::Shared,
            TierWord::Schema => Tier::Schema,
            TierWord::Database => Tier::Database,
        },
        context_functions,
        allow_default: !args.no_default,
        require_guard: args.require_guard,
        trust_policies: args.trust_policies,
        tenant_type: Some(args.tenant_type.to_lowercase()).filter(|name| name != "any"),
        today: Some(jiff::Zoned::now().date()),
        ..defaults
    }
}

fn add_sources(args: &Args, app: Option<&App>, check: &mut Check) -> Result<()> {
    let format = args.log_format.map(|word| match word {
        LogWord::Auto => Format::Auto,
        LogWord::StatementsCsv => Format::StatementsCsv,
        LogWord::StatementsJson => Format::StatementsJson,
        LogWord::Csvlog => Format::Csvlog,
        LogWord::Jsonlog => Format::Jsonlog,
    });
    let migrations = app.and_then(|app| app.migrations.as_ref());
    let mut paths = args.paths.clone();
    if paths.is_empty() && !args.stdin {
        paths.extend(migrations.cloned());
    } else if let Some(migrations) = migrations.filter(|path| !covers(&args.paths, path) && path.is_dir()) {
        // The app's own migrations say what tables there are, even when others are to be judged.
        for file in input::files(migrations).map_err(|error| unreadable(&error))? {
            check.source(input::file(&file, None).map_err(|error| unreadable(&error))?.only_structure());
        }
    }
    for path in &args.schema {
        for file in input::files(path).map_err(|error| unreadable(&error))? {
            check.source(input::file(&file, None).map_err(|error| unreadable(&error))?.only_structure());
        }
    }
    if paths.is_empty() && !args.stdin {
        return Err(Failure::usage("Nothing to look at").hint("Name files or folders, or use --stdin."));
    }
    for path in &paths {
        for file in input::files(path).map_err(|error| unreadable(&error))? {
            check.source(input::file(&file, format).map_err(|error| unreadable(&error))?);
        }
    }
    if args.stdin {
        let source = input::read(std::io::stdin().lock(), "standard input", format);
        check.source(source.map_err(|error| unreadable(&error))?);
    }
    Ok(())
}

fn covers(paths: &[PathBuf], folder: &Path) -> bool {
    let full = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    paths.iter().any(|path| full(folder).starts_with(full(path)))
}

fn unreadable(error: &InputError) -> Failure {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Failure::usage(format!("{error}{cause}")).hint("Check the path, and --log-format for logs.")
}

fn allow_list(args: &Args) -> Result<Option<(PathBuf, String)>> {
    let path = match &args.allow_list {
        Some(path) => path.clone(),
        None if Path::new(ALLOW_LIST).is_file() => PathBuf::from(ALLOW_LIST),
        None if args.update_allow_list => return Err(Failure::usage("There is no allow-list to update")),
        None => return Ok(None),
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Failure::usage(format!("`{}` cannot be read: {error}", path.display())))?;
    Ok(Some((path, text)))
}

fn parse_list(path: &Path, text: &str) -> Result<AllowList> {
    AllowList::parse(text).map_err(|error| {
        Failure::usage(format!("`{}`: {error}", path.display()))
            .hint("An entry is `[[allow]]` with rule, reason, and file or fingerprint; expires is a date.")
    })
}

fn shrink(path: &Path, text: &str, used: &[bool], output: Output) -> Result<()> {
    let unused = used.iter().filter(|used| !**used).count();
    if unused > 0 {
        let shorter = parse_list(path, text)?.without_unused(used);
        std::fs::write(path, shorter)
            .map_err(|error| Failure::usage(format!("`{}` cannot be written: {error}", path.display())))?;
        output.note(&format!("removed {unused} of {} entries from {}", used.len(), path.display()));
    }
    Ok(())
}

fn print(args: &Args, report: &Report, output: Output) -> Result<()> {
    let broken = |error: serde_json::Error| Failure::broken("The report cannot be written", error);
    let machine = matches!(output.format(), output::Format::Json);
    let text = match args.format {
        Form::Sarif => render::sarif(report).map_err(broken)?,
        Form::Json => render::json(report).map_err(broken)?,
        Form::Human if machine => render::json(report).map_err(broken)?,
        Form::Human => render::human(report, colour()),
    };
    output.line(text.trim_end())
}

fn colour() -> render::Colour {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    if std::io::stdout().is_terminal() && !refused { render::Colour::Always } else { render::Colour::Never }
}
