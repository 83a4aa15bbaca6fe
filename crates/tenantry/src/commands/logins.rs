//! `tenantry logins`: what applications put into their connection strings.

use jiff::Timestamp;
use serde_json::json;
use tenantry_api::client::{Expected, LoginQuery, PageQuery};
use tenantry_api::parse::{parse_duration, parse_time};
use tenantry_api::v1::login::{GatewayLogin, GatewayLoginRequest, GatewayLoginRotation, IssuedGatewayLogin};
use tenantry_domain::gateway::Server;

use super::times::{age, moment};
use crate::exit::{Failure, Result};
use crate::globals::Session;
use crate::output::{Paint, clean};

/// Make, rotate and revoke logins of the gateway
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A login is a tenant's, or a service's that enters tenants of one app. Its password is shown once.

Examples:
  tenantry logins create acme-reports --tenant acme --read-only --expires 90d
  tenantry logins create acme-bi --tenant acme --read-only --server prefer-standby
  tenantry logins create chat-api --app chat --only acme,globex
  tenantry logins list --tenant acme
  tenantry logins rotate chat-api --grace 2h
  tenantry logins revoke acme-reports"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a login and show its password, once
    Create(Box<Create>),
    /// List logins, by name
    List(List),
    /// Show a login
    Show {
        /// Name of the login
        name: String,
    },
    /// Give a login another password and show it, once; the old one stays good for a while
    Rotate {
        /// Name of the login
        name: String,
        /// How long the old password stays good, 0s to 31d [default: 24h]
        #[arg(long, value_name = "DURATION")]
        grace: Option<String>,
        /// New end of the login: a duration from now, or a time
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
    },
    /// Take a login back; its sessions end
    Revoke {
        /// Name of the login
        name: String,
    },
}

/// A login that is wanted.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("whose").required(true)))]
struct Create {
    /// Name that clients will give as their user: 3 to 63 of a-z, 0-9, `_` and `-`
    name: String,
    /// The tenant that it enters, by name or id
    #[arg(long, value_name = "TENANT", group = "whose")]
    tenant: Option<String>,
    /// The app whose tenants it enters; a client names one of them as its database
    #[arg(long, value_name = "APP", group = "whose")]
    app: Option<String>,
    /// Only these tenants of the app, separated by commas
    #[arg(long, value_name = "TENANT", value_delimiter = ',', conflicts_with = "tenant")]
    only: Vec<String>,
    /// Keep a server session for as long as a client is connected (levels schema, database and cluster)
    #[arg(long)]
    session: bool,
    /// Let it read and not write
    #[arg(long)]
    read_only: bool,
    /// Server of the tenant's cell: `prefer-standby` reads from a standby that is not too far behind, else from the primary;
    /// `standby` from standbys only
    #[arg(long, value_name = "SERVER", default_value_t, requires_ifs = [("prefer-standby", "read_only"), ("standby", "read_only")])]
    server: Server,
    /// Let it prove itself by an access token of a configured issuer in place of a password
    #[arg(long)]
    access_token: bool,
    /// Most client connections of it on one gateway
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    connections: Option<u32>,
    /// End of the login: a duration from now, or a time
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
}

/// Which logins.
#[derive(Debug, clap::Args)]
struct List {
    /// Only those of this tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Only those of services of this app
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// Revoked ones, too
    #[arg(long)]
    revoked: bool,
    /// Most items to show
    #[arg(long, default_value_t = 200, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
}

/// `tenantry logins`.
///
/// # Errors
/// The API refuses.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    match &args.verb {
        Verb::Create(create) => {
            let issued = session.client.create_login(&create.request()?).await?;
            issue(session, &issued.value)
        }
        Verb::List(list) => list.run(session).await,
        Verb::Show { name } => show(session, &session.client.login(name).await?.value),
        Verb::Rotate { name, grace, expires } => {
            let rotation =
                GatewayLoginRotation { grace: grace.clone(), expires_at: expires.as_deref().map(end).transpose()? };
            let issued = session.client.rotate_login(name, Expected::Any, &rotation).await?;
            issue(session, &issued.value)
        }
        Verb::Revoke { name } => {
            let revoked = session.client.revoke_login(name, Expected::Any).await?.value;
            if session.output.format().is_document() {
                return session.output.document(&revoked);
            }
            session.output.line(&clean(&format!("login {} is revoked", revoked.name)))
        }
    }
}

impl Create {
    fn request(&self) -> Result<GatewayLoginRequest> {
        let given = |is_given: bool, word: &str| is_given.then(|| word.to_owned());
        Ok(GatewayLoginRequest {
            name: self.name.clone(),
            tenant: self.tenant.clone(),
            app: self.app.clone(),
            only: (!self.only.is_empty()).then(|| self.only.clone()),
            mode: given(self.session, "session"),
            access: given(self.read_only, "read-only"),
            server: given(self.server.may_be_standby(), self.server.as_str()),
            proof: given(self.access_token, "token"),
            connections: self.connections,
            expires_at: self.expires.as_deref().map(end).transpose()?,
        })
    }
}

/// `90d` from now, or a time as it is.
fn end(text: &str) -> Result<String> {
    let at = match parse_duration(text) {
        Ok(span) => Timestamp::now().checked_add(span).map_err(|error| error.to_string()),
        Err(_) => parse_time(text),
    };
    at.map(moment).map_err(|_| {
        Failure::usage(format!("`{}` is no end of a login", clean(text)))
            .hint("Give a duration from now such as `90d`, or a time such as `2027-03-31`.")
    })
}

impl List {
    async fn run(&self, session: &Session) -> Result<()> {
        let (mut items, mut page_token) = (Vec::new(), None);
        loop {
            let left = usize::from(self.limit).saturating_sub(items.len());
            let page_size = u16::try_from(left.clamp(1, 200)).ok();
            let query = LoginQuery {
                tenant: self.tenant.clone(),
                app: self.app.clone(),
                revoked: self.revoked.then_some(true),
                page: PageQuery { page_size, page_token },
            };
            let page = session.client.logins(&query).await?;
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
        let row = |login: &GatewayLogin| {
            vec![
                login.name.clone(),
                whose(login),
                traits(login),
                login.status.clone(),
                age(login.rotated_at.unwrap_or(login.created_at), now),
                login.expires_at.map_or_else(|| "never".to_owned(), moment),
            ]
        };
        let headings = ["LOGIN", "ENTERS", "MAY", "STATUS", "PASSWORD AGE", "EXPIRES"];
        session.output.table(&headings, items.iter().map(row).collect())?;
        if has_more {
            session.output.note("there are more; raise --limit");
        }
        Ok(())
    }
}

/// Which tenants a login enters, in a few words.
fn whose(login: &GatewayLogin) -> String {
    match (&login.app, &login.only) {
        (Some(app), None) => format!("app {app}"),
        (Some(app), Some(only)) => format!("{} of app {app}", only.len()),
        (None, _) => login.slug.clone().or_else(|| login.tenant.clone()).unwrap_or_default(),
    }
}

/// What a login may, in a few words.
fn traits(login: &GatewayLogin) -> String {
    let mut words = vec![login.access.as_str()];
    words.extend((login.mode != "transaction").then_some(login.mode.as_str()));
    words.extend((login.server != "primary").then_some(login.server.as_str()));
    words.extend((login.proof != "password").then_some(login.proof.as_str()));
    words.join(", ")
}

fn show(session: &Session, login: &GatewayLogin) -> Result<()> {
    let output = session.output;
    if output.format().is_document() {
        return output.document(login);
    }
    let time = |at: Option<Timestamp>| at.map(moment);
    let rows = [
        ("login", Some(login.name.clone())),
        ("status", Some(login.status.clone())),
        ("enters", Some(whose(login))),
        ("may", Some(traits(login))),
        ("connections", login.connections.map(|most| most.to_string())),
        ("created", Some(format!("{} by {}", moment(login.created_at), login.created_by))),
        ("rotated", time(login.rotated_at)),
        ("old password", login.old_password_until.map(|at| format!("good until {}", moment(at)))),
        ("expires", time(login.expires_at)),
        ("revoked", time(login.revoked_at)),
    ];
    for (what, text) in rows {
        if let Some(text) = text {
            output.line(&format!("{what:<14}{}", clean(&text)))?;
        }
    }
    Ok(())
}

/// Shows a login with what will never be shown again.
fn issue(session: &Session, issued: &IssuedGatewayLogin) -> Result<()> {
    let output = session.output;
    if output.format().is_document() {
        return output.document(issued);
    }
    show(session, &issued.login)?;
    match &issued.password {
        Some(password) => output.line(&format!("{:<14}{}", "password", clean(password)))?,
        None if issued.login.proof == "token" => {}
        None => output.note(&output.paint(
            Paint::Warn,
            "the answer with the password was lost; make another one: tenantry logins rotate, with --grace 0s",
        )),
    }
    if let Some(url) = &issued.url {
        output.line(&format!("{:<14}{}", "url", clean(url)))?;
    } else if issued.password.is_some() {
        output.note(
            "no URL: the control plane does not know where its gateway is; TENANTRY_GATEWAY_URL of `serve` says it",
        );
    }
    if issued.password.is_some() {
        output.note("keep the password now; it is not shown again");
    }
    Ok(())
}
