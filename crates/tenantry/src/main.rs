//! The one binary: roles that run Tenantry, and the operator's commands.
//!
//! Here is only what can be typed. `dispatch` runs it; `commands` speak the public API, `roles` wire the crates.

mod commands;
mod config;
mod dispatch;
mod example;
mod exit;
mod globals;
mod output;
#[cfg(test)]
mod pages;
mod random;
#[cfg(test)]
mod reference;
mod roles;
mod telemetry;

/// Tenants declared, isolated and kept that way.
#[derive(Debug, clap::Parser)]
#[command(name = "tenantry", version, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    globals: globals::Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Dev(roles::dev::Args),
    Serve(roles::serve::Args),
    Gateway(Box<roles::gateway::Args>),
    Migrate(roles::migrate::Args),
    Demo(roles::demo::Args),
    Apply(commands::apply::Args),
    Plan(commands::plan::PlanArgs),
    Diff(commands::plan::DiffArgs),
    Get(commands::get::Args),
    Describe(commands::describe::Args),
    Create(commands::create::Args),
    Activate(commands::lifecycle::Activate),
    Suspend(commands::lifecycle::Suspend),
    Resume(commands::lifecycle::Resume),
    Archive(commands::lifecycle::Archive),
    Restore(commands::lifecycle::Restore),
    Delete(commands::delete::Args),
    Undelete(commands::lifecycle::Undelete),
    History(commands::history::Args),
    Rollback(commands::rollback::Args),
    Place(commands::place::Args),
    Resolve(commands::resolve::Args),
    Domains(commands::domains::Args),
    #[command(alias = "flag")]
    Flags(commands::flags::Args),
    Route(commands::route::Args),
    Logins(commands::logins::Args),
    Quotas(commands::quotas::Args),
    Usage(commands::usage::Args),
    #[command(alias = "member")]
    Members(Box<commands::members::Args>),
    #[command(alias = "role")]
    Roles(commands::members::roles::Args),
    #[command(alias = "invitation")]
    Invitations(commands::members::invitations::Args),
    Tokens(commands::tokens::Args),
    Access(commands::access::Args),
    Approvals(commands::approvals::Args),
    Policy(commands::policy::Args),
    Audit(commands::audit::Args),
    #[command(alias = "event")]
    Events(commands::events::Args),
    #[command(alias = "webhook")]
    Webhooks(Box<commands::webhooks::Args>),
    #[command(alias = "incident")]
    Incidents(commands::incidents::Args),
    #[command(alias = "notification")]
    Notifications(commands::notifications::Args),
    Isolation(commands::isolation::Args),
    Context(commands::context::Args),
    Login(commands::login::Args),
    Logout(commands::login::LogoutArgs),
    Whoami(commands::login::WhoamiArgs),
    #[command(alias = "rollouts")]
    Migrations(commands::migrations::Args),
    Plans(commands::plans::Args),
    #[command(alias = "operation")]
    Operations(commands::operations::Args),
    Guard(roles::guard::Args),
    Lint(roles::lint::Args),
    Secret(roles::secret::Args),
    Completion(commands::completion::Args),
    Version(commands::version::Args),
}

fn main() -> std::process::ExitCode {
    dispatch::run()
}
