//! `tenantry members directory` and `groups`: the customer's directory, and which of its groups give which roles.

use serde_json::json;
use tenantry_api::client::{Expected, PageQuery};
use tenantry_api::v1::directory::{Directory, DirectoryGroup, DirectoryGroupRole, DirectoryRequest};
use tenantry_domain::code::Code;

use crate::exit::{Failure, Result};
use crate::globals::Session;
use crate::output::clean;

/// The customer's directory.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show how it is set up and how much it keeps here
    Show {
        /// The tenant, by name or id
        tenant: String,
    },
    /// Set it up; what is left out is as if it had never been set
    Set {
        /// The tenant, by name or id
        tenant: String,
        /// Whose subjects the external ids are, `iss`; without it people are claimed by a verified address
        #[arg(long)]
        issuer: Option<String>,
        /// The pool inside the issuer, where it has several
        #[arg(long, requires = "issuer")]
        pool: Option<String>,
        /// What somebody holds whom no group gives a role
        #[arg(long, default_value = "readonly", value_name = "ROLE")]
        default_role: String,
    },
}

/// The directory's groups.
#[derive(Debug, clap::Args)]
pub struct GroupArgs {
    #[command(subcommand)]
    verb: GroupVerb,
}

#[derive(Debug, clap::Subcommand)]
enum GroupVerb {
    /// List groups with the roles that they give
    List {
        /// The tenant, by name or id
        tenant: String,
    },
    /// Say which role a group gives to all who are in it
    Map {
        /// The tenant, by name or id
        tenant: String,
        /// The group, by name or id
        group: String,
        /// admin, member, readonly, or a role of the tenant's own
        role: String,
        /// On behalf of this member
        #[arg(long, value_name = "USER")]
        acting_user: Option<String>,
    },
    /// Let a group give no role
    Unmap {
        /// The tenant, by name or id
        tenant: String,
        /// The group, by name or id
        group: String,
        /// On behalf of this member
        #[arg(long, value_name = "USER")]
        acting_user: Option<String>,
    },
}

/// `tenantry members directory`.
///
/// # Errors
/// The API refuses.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let found = match &args.verb {
        Verb::Show { tenant } => session.client.directory(tenant).await?,
        Verb::Set { tenant, issuer, pool, default_role } => {
            let request = DirectoryRequest {
                issuer: issuer.clone(),
                pool: pool.clone(),
                default_role: Some(default_role.clone()),
                acting_user: None,
            };
            session.client.set_directory(tenant, Expected::Any, &request).await?.value
        }
    };
    show(session, &found)
}

fn show(session: &Session, found: &Directory) -> Result<()> {
    if session.output.format().is_document() {
        return session.output.document(found);
    }
    let who = match (&found.issuer, &found.pool) {
        (Some(issuer), Some(pool)) => format!("whom {issuer} (pool {pool}) calls by externalId"),
        (Some(issuer), None) => format!("whom {issuer} calls by externalId"),
        (None, _) => "claimed by a verified address at the first log-in".to_owned(),
    };
    let rows = [
        ("people are", who),
        ("without a group they hold", found.default_role.clone()),
        ("users", format!("{}, of whom {} are members", found.users, found.members)),
        ("groups", found.groups.to_string()),
    ];
    let rows = rows.into_iter().map(|(name, text)| vec![name.to_owned(), text]).collect();
    session.output.table(&["DIRECTORY", ""], rows)
}

/// `tenantry members groups`.
///
/// # Errors
/// The API refuses, or no group has the name.
pub async fn groups(args: &GroupArgs, session: &Session) -> Result<()> {
    match &args.verb {
        GroupVerb::List { tenant } => {
            let items = all(session, tenant).await?;
            if session.output.format().is_document() {
                return session.output.document(&json!({ "items": items }));
            }
            let row = |group: &DirectoryGroup| {
                let role = group.role.clone().unwrap_or_default();
                vec![group.id.clone(), group.name.clone(), role, group.size.to_string()]
            };
            session.output.table(&["GROUP", "NAME", "ROLE", "USERS"], items.iter().map(row).collect())
        }
        GroupVerb::Map { tenant, group, role, acting_user } => {
            let request = DirectoryGroupRole { role: Some(role.clone()), acting_user: acting_user.clone() };
            map(session, (tenant, group), &request).await
        }
        GroupVerb::Unmap { tenant, group, acting_user } => {
            let request = DirectoryGroupRole { role: None, acting_user: acting_user.clone() };
            map(session, (tenant, group), &request).await
        }
    }
}

async fn map(session: &Session, (tenant, group): (&str, &str), request: &DirectoryGroupRole) -> Result<()> {
    let known = all(session, tenant).await?;
    // The directory chooses names, so a name that looks like an id must not stand for another group.
    let by_id = known.iter().find(|one| one.id == group);
    let found = by_id.or_else(|| known.iter().find(|one| one.name.to_lowercase() == group.to_lowercase()));
    let found = found.ok_or_else(|| {
        let failure =
            Failure::new(Code::ObjectNotFound, format_args!("the directory of `{tenant}` has no group `{group}`"));
        failure.hint("See `tenantry members groups list`; the directory has to provision a group first.")
    })?;
    let mapped = session.client.map_directory_group(tenant, &found.id, request).await?.value;
    if session.output.format().is_document() {
        return session.output.document(&mapped);
    }
    let gives = mapped.role.as_deref().map_or_else(|| "no role".to_owned(), |role| format!("role {role}"));
    session.output.line(&clean(&format!("group {} gives {gives} to {} user(s)", mapped.name, mapped.size)))
}

async fn all(session: &Session, tenant: &str) -> Result<Vec<DirectoryGroup>> {
    let (mut items, mut page_token) = (Vec::new(), None);
    loop {
        let page = PageQuery { page_size: Some(200), page_token };
        let page = session.client.directory_groups(tenant, &page).await?;
        items.extend(page.items);
        page_token = page.next_page_token;
        if page_token.is_none() {
            return Ok(items);
        }
    }
}
