//! Runs what was typed: starts the runtime, picks the role or command, turns its end into an exit code.

use std::process::ExitCode;

use clap::Parser as _;

use crate::exit::{Failure, Result};
use crate::{Cli, Command, commands, roles};

/// The whole program.
pub fn run() -> ExitCode {
    // clap answers --help, --version and mistakes itself; its code for mistakes, 2, is that of invalid requests.
    let cli = Cli::parse();
    let format = cli.globals.output().format();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(command(cli)),
        Err(error) => Err(Failure::broken("The program cannot be started", error)),
    };
    ended.unwrap_or_else(|failure| failure.report(format))
}

async fn command(cli: Cli) -> Result<ExitCode> {
    let Cli { globals, command } = cli;
    let session = || globals.session();
    match command {
        Command::Dev(args) => roles::dev::run(args, &globals).await,
        Command::Serve(args) => roles::serve::run(args, &globals).await,
        Command::Gateway(args) => roles::gateway::run(*args, &globals).await,
        Command::Migrate(args) => roles::migrate::run(args, &globals).await,
        Command::Demo(args) => roles::demo::run(args, &globals).await,
        Command::Plan(args) => return commands::plan::plan(&args, &session()?).await,
        Command::Diff(args) => return commands::plan::diff(&args, &session()?).await,
        Command::Apply(args) => commands::apply::run(&args, &session()?).await,
        Command::Get(args) => commands::get::run(&args, &session()?).await,
        Command::Describe(args) => commands::describe::run(&args, &session()?).await,
        Command::Create(args) => commands::create::run(&args, &session()?).await,
        Command::Activate(args) => commands::lifecycle::activate(&args, &session()?).await,
        Command::Suspend(args) => commands::lifecycle::suspend(&args, &session()?).await,
        Command::Resume(args) => commands::lifecycle::resume(&args, &session()?).await,
        Command::Archive(args) => commands::lifecycle::archive(&args, &session()?).await,
        Command::Restore(args) => commands::lifecycle::restore(&args, &session()?).await,
        Command::Delete(args) => commands::delete::run(&args, &session()?).await,
        Command::Undelete(args) => commands::lifecycle::undelete(&args, &session()?).await,
        Command::History(args) => commands::history::run(&args, &session()?).await,
        Command::Rollback(args) => commands::rollback::run(&args, &session()?).await,
        Command::Place(args) => commands::place::run(&args, &session()?).await,
        Command::Resolve(args) => commands::resolve::run(&args, &session()?).await,
        Command::Route(args) => commands::route::run(&args, &session()?).await,
        Command::Logins(args) => commands::logins::run(&args, &session()?).await,
        Command::Quotas(args) => commands::quotas::run(&args, &session()?).await,
        Command::Usage(args) => commands::usage::run(&args, &session()?).await,
        Command::Members(args) => commands::members::run(&args, &session()?).await,
        Command::Roles(args) => commands::members::roles::run(&args, &session()?).await,
        Command::Invitations(args) => commands::members::invitations::run(&args, &session()?).await,
        Command::Tokens(args) => commands::tokens::run(&args, &session()?).await,
        Command::Access(args) => commands::access::run(&args, &session()?).await,
        Command::Approvals(args) => commands::approvals::run(&args, &session()?).await,
        Command::Domains(args) => return commands::domains::run(&args, &session()?).await,
        Command::Flags(args) => commands::flags::run(&args, &session()?).await,
        Command::Isolation(args) => return commands::isolation::run(&args, &session()?).await,
        Command::Plans(args) => return commands::plans::run(&args, &session()?).await,
        Command::Migrations(args) => return commands::migrations::run(&args, &session()?).await,
        Command::Events(args) => commands::events::run(&args, &session()?).await,
        Command::Webhooks(args) => commands::webhooks::run(&args, &session()?).await,
        Command::Incidents(args) => commands::incidents::run(&args, &session()?).await,
        Command::Notifications(args) => match args.templates() {
            Some((folder, only)) => roles::notify::show(folder, only, globals.output()),
            None => commands::notifications::run(&args, &session()?).await,
        },
        Command::Audit(args) => commands::audit::run(&args, &globals).await,
        Command::Operations(args) => commands::operations::run(&args, &session()?).await,
        Command::Context(args) => commands::context::run(&args, &globals),
        Command::Login(args) => commands::login::run(&args, &globals).await,
        Command::Logout(args) => commands::login::logout(&args, &globals).await,
        Command::Whoami(args) => commands::login::whoami(&args, &session()?).await,
        Command::Guard(args) => return roles::guard::run(&args, globals.output()).await,
        Command::Policy(args) if args.is_status() => commands::approvals::status(&session()?).await,
        Command::Policy(args) => match args.shelf() {
            Some(verb) => roles::shelf::run(verb, globals.output()).await,
            None => return commands::policy::run(&args, globals.output()),
        },
        Command::Lint(args) => return roles::lint::run(&args, globals.output()),
        Command::Secret(args) => roles::secret::run(&args, globals.output()),
        Command::Completion(args) => commands::completion::run(&args, globals.output()),
        Command::Version(args) => commands::version::run(&args, globals.output()),
    }
    .map(|()| ExitCode::SUCCESS)
}
