//! `tenantry members`: who belongs to a tenant. Roles and invitations are next door.

pub mod directory;
pub mod import;
pub mod invitations;
pub mod roles;

use jiff::Timestamp;
use serde_json::json;
use tenantry_api::client::{Expected, MemberQuery, PageQuery};
use tenantry_api::v1::member::{InvitationRequest, Member, MemberPatch, MemberRequest};

use super::times::age;
use crate::exit::Result;
use crate::globals::Session;
use crate::output::clean;

/// List, invite, change and remove people of a tenant
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tenantry members list acme
  tenantry members add acme --issuer https://login.example.com --subject 248289761001 --email anna@example.com --role owner
  tenantry members invite acme anna@example.com --role admin
  tenantry members role acme usr_01jd8x3v9mfk2t5h7q0w4z6y8c member
  tenantry members remove acme usr_01jd8x3v9mfk2t5h7q0w4z6y8c
  tenantry members import acme people.csv --dry-run
  tenantry members directory set acme --issuer https://login.acme.example
  tenantry members groups map acme Engineering member")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List members, in the order in which they became known
    List(List),
    /// Make somebody a member whose account at the issuer exists
    Add(Box<Add>),
    /// Invite somebody by mail, or show the link once
    Invite(Invite),
    /// Give a member another role
    Role {
        /// The tenant, by name or id
        tenant: String,
        /// The user's id
        user: String,
        /// owner, admin, member, readonly, or a role of the tenant's own
        role: String,
        /// On behalf of this member
        #[arg(long, value_name = "USER")]
        acting_user: Option<String>,
    },
    /// Remove a member; the last owner stays
    Remove {
        /// The tenant, by name or id
        tenant: String,
        /// The user's id
        user: String,
        /// On behalf of this member; the member's own id to leave
        #[arg(long, value_name = "USER")]
        acting_user: Option<String>,
    },
    /// Bring members into line with a CSV or JSON file
    Import(import::Args),
    /// Show or set up the customer's directory (SCIM) that keeps the members
    Directory(directory::Args),
    /// Show the directory's groups, and say which roles they give
    Groups(directory::GroupArgs),
}

/// Which members.
#[derive(Debug, clap::Args)]
struct List {
    /// The tenant, by name or id
    tenant: String,
    /// Only those who hold this role
    #[arg(long)]
    role: Option<String>,
    /// Most items to show
    #[arg(long, default_value_t = 200, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
}

/// A member that is wanted.
#[derive(Debug, clap::Args)]
struct Add {
    /// The tenant, by name or id
    tenant: String,
    /// Who issues their tokens, `iss`
    #[arg(long)]
    issuer: String,
    /// The pool inside the issuer, where it has several
    #[arg(long)]
    pool: Option<String>,
    /// What the issuer calls them, `sub`
    #[arg(long)]
    subject: String,
    /// Their address
    #[arg(long)]
    email: String,
    /// Their name
    #[arg(long)]
    name: Option<String>,
    /// What they will hold
    #[arg(long)]
    role: String,
}

/// An invitation that is wanted.
#[derive(Debug, clap::Args)]
struct Invite {
    /// The tenant, by name or id
    tenant: String,
    /// Who
    email: String,
    /// As what
    #[arg(long, default_value = "member")]
    role: String,
    /// How long it holds, 5m to 72h [default: 72h]
    #[arg(long, value_name = "DURATION")]
    valid_for: Option<String>,
    /// Send nothing and show the token, once
    #[arg(long)]
    link: bool,
    /// Make an account in the tenant's own pool beforehand, and mail the link to set a password as well
    #[arg(long, conflicts_with = "link")]
    account: bool,
    /// On behalf of this member
    #[arg(long, value_name = "USER")]
    acting_user: Option<String>,
}

/// `tenantry members`.
///
/// # Errors
/// The API refuses.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    match &args.verb {
        Verb::List(list) => list.run(session).await,
        Verb::Add(add) => {
            let made = session.client.add_member(&add.tenant, &add.request()).await?.value;
            tell(session, &made, "is a member as")
        }
        Verb::Invite(invite) => {
            let request = InvitationRequest {
                email: invite.email.clone(),
                role: invite.role.clone(),
                valid_for: invite.valid_for.clone(),
                delivery: invite.link.then(|| "link".to_owned()),
                account: invite.account,
                acting_user: invite.acting_user.clone(),
            };
            let issued = session.client.invite(&invite.tenant, &request).await?.value;
            invitations::issue(session, &issued)
        }
        Verb::Role { tenant, user, role, acting_user } => {
            let patch = MemberPatch { role: role.clone(), acting_user: acting_user.clone() };
            let changed = session.client.change_member(tenant, user, Expected::Any, &patch).await?.value;
            tell(session, &changed, "is a member as")
        }
        Verb::Remove { tenant, user, acting_user } => {
            let gone = session.client.remove_member(tenant, user, Expected::Any, acting_user.as_deref()).await?.value;
            tell(session, &gone, "is no member any more; was")
        }
        Verb::Import(import) => import::run(import, session).await,
        Verb::Directory(args) => directory::run(args, session).await,
        Verb::Groups(args) => directory::groups(args, session).await,
    }
}

impl Add {
    fn request(&self) -> MemberRequest {
        MemberRequest {
            issuer: self.issuer.clone(),
            pool: self.pool.clone(),
            subject: self.subject.clone(),
            email: self.email.clone(),
            name: self.name.clone(),
            role: self.role.clone(),
            acting_user: None,
        }
    }
}

impl List {
    async fn run(&self, session: &Session) -> Result<()> {
        let (mut items, mut page_token) = (Vec::new(), None);
        loop {
            let left = usize::from(self.limit).saturating_sub(items.len());
            let page_size = u16::try_from(left.clamp(1, 200)).ok();
            let page = PageQuery { page_size, page_token };
            let query = MemberQuery { role: self.role.clone(), acting_user: None, page };
            let page = session.client.members(&self.tenant, &query).await?;
            items.extend(page.items);
            page_token = page.next_page_token;
            if page_token.is_none() || items.len() >= usize::from(self.limit) {
                break;
            }
        }
        let has_more = page_token.is_some();
        if session.output.format().is_document() {
            return session.output.document(&json!({ "items": items, "hasMore": has_more }));
        }
        let now = Timestamp::now();
        let row = |member: &Member| {
            let name = member.name.clone().unwrap_or_default();
            vec![member.user.clone(), member.email.clone(), name, member.role.clone(), age(member.created_at, now)]
        };
        session.output.table(&["USER", "E-MAIL", "NAME", "ROLE", "AGE"], items.iter().map(row).collect())?;
        if has_more {
            session.output.note("there are more; raise --limit");
        }
        Ok(())
    }
}

fn tell(session: &Session, member: &Member, what: &str) -> Result<()> {
    if session.output.format().is_document() {
        return session.output.document(member);
    }
    session.output.line(&clean(&format!("{} ({}) {what} {}", member.user, member.email, member.role)))
}
