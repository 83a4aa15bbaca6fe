//! `tenantry roles`: what members of a tenant may do.

use tenantry_api::client::Expected;
use tenantry_api::v1::member::{MemberRole, MemberRoleRequest};

use crate::exit::Result;
use crate::globals::Session;
use crate::output::clean;

/// List, define and delete roles of a tenant
#[derive(Debug, clap::Args)]
#[command(after_help = "owner, admin, member and readonly are there in every tenant and cannot be changed.

Examples:
  tenantry roles list acme
  tenantry roles set acme support --permission tenant:data:read --permission feature:exports --title Support
  tenantry roles delete acme support")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List all roles with their permissions
    List {
        /// The tenant, by name or id
        tenant: String,
    },
    /// Define a role of the tenant's own, or change one; it has exactly the permissions given
    Set {
        /// The tenant, by name or id
        tenant: String,
        /// The role's name
        name: String,
        /// What it lets its holders do; may be repeated
        #[arg(long = "permission", value_name = "PERMISSION", required = true)]
        permissions: Vec<String>,
        /// For people
        #[arg(long)]
        title: Option<String>,
    },
    /// Delete a role that nobody holds
    Delete {
        /// The tenant, by name or id
        tenant: String,
        /// The role's name
        name: String,
    },
}

/// `tenantry roles`.
///
/// # Errors
/// The API refuses.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    match &args.verb {
        Verb::List { tenant } => list(session, tenant).await,
        Verb::Set { tenant, name, permissions, title } => {
            let request =
                MemberRoleRequest { title: title.clone(), permissions: permissions.clone(), acting_user: None };
            let made = session.client.set_member_role(tenant, name, Expected::Any, &request).await?.value;
            tell(session, &made, "is defined")
        }
        Verb::Delete { tenant, name } => {
            let gone = session.client.delete_member_role(tenant, name, Expected::Any).await?.value;
            tell(session, &gone, "is deleted")
        }
    }
}

async fn list(session: &Session, tenant: &str) -> Result<()> {
    let found = session.client.member_roles(tenant).await?;
    if session.output.format().is_document() {
        return session.output.document(&found);
    }
    let row = |role: &MemberRole| {
        let kind = if role.standard { "standard" } else { "own" };
        vec![role.name.clone(), kind.to_owned(), role.title.clone().unwrap_or_default(), role.permissions.join(", ")]
    };
    session.output.table(&["ROLE", "KIND", "TITLE", "PERMISSIONS"], found.items.iter().map(row).collect())
}

fn tell(session: &Session, role: &MemberRole, what: &str) -> Result<()> {
    if session.output.format().is_document() {
        return session.output.document(role);
    }
    session.output.line(&clean(&format!("role {} {what}: {}", role.name, role.permissions.join(", "))))
}
