//! `tenantry login`, `logout` and `whoami`: people of the operator sign in where the server says.
//!
//! The access token goes to the server and nowhere else; an ID token is looked at once and kept nowhere. Read [`code`] for
//! the way with a browser, [`device`] for the one without, [`kept`] for what stays on this machine.

mod code;
mod device;
mod idtoken;
mod issuer;
pub mod kept;
mod leave;
mod loopback;
pub mod server;
mod whoami;

pub use leave::{Args as LogoutArgs, run as logout};
pub use whoami::{Args as WhoamiArgs, run as whoami};

use secrecy::SecretString;
use tenantry_api::Client;
use tenantry_api::v1::person::{SignIn, SignInIssuer};
use tenantry_domain::code::{Code, Kind};

use crate::exit::{Failure, Result};
use crate::globals::Globals;
use issuer::{Issuer, Tokens};
use kept::{Kept, Place};

/// Sign in with the identity provider of this installation
#[derive(Debug, clap::Args)]
#[command(after_help = "The browser of this machine is opened, and asked to come back to a port of 127.0.0.1.
Where there is none, `--device` shows a code for the browser of another machine.

Examples:
  tenantry login
  tenantry login --device
  tenantry login --issuer https://login.example.com --no-browser")]
pub struct Args {
    /// Issuer to sign in with, where the server knows several: its address, or a part that only one has
    #[arg(long, value_name = "ISSUER")]
    issuer: Option<String>,
    /// Sign in for this address, where the server names one that is not its own: exactly as it is named
    #[arg(long, value_name = "URL")]
    resource: Option<String>,
    /// Show a code to enter in a browser of another machine
    #[arg(long)]
    device: bool,
    /// Print the address instead of opening the browser
    #[arg(long, conflicts_with = "device")]
    no_browser: bool,
}

/// Signs in, asks the server who one is, and keeps the tokens for later commands.
///
/// # Errors
/// The server is not asked over https, knows no issuer, or wants tokens for somebody else; the issuer does not answer or
/// refuses; or the server does not believe what it gave.
pub async fn run(args: &Args, globals: &Globals) -> Result<()> {
    let (url, output) = (globals.address()?, globals.output());
    server::check(&url)?;
    let place = Place::of(globals.config().as_deref(), &url)?;
    let chosen = choose(Client::sign_in(&url).await?, args.issuer.as_deref())?;
    server::check_resource(&url, chosen.resource.as_deref(), args.resource.as_deref())?;
    let issuer = Issuer::discover(&chosen).await?;
    let tokens = match args.device {
        true => device::sign_in(&issuer, &chosen, &output).await?,
        false => code::sign_in(&issuer, &chosen, args.no_browser, &output).await?,
    };
    let known = confirmed(globals, &url, &tokens).await?;
    place.lock().await?.write(&kept(&url, &chosen, tokens))?;
    let name = known.display.as_ref().or(known.person.as_ref()).unwrap_or(&known.actor);
    output.note(&format!("Signed in at {url} as {}.", crate::output::clean(name)));
    if known.roles.is_empty() {
        output.note("None of your groups gives a role here. Ask whoever runs this installation for one.");
    }
    if globals.has_token() {
        output.note("A token is set by --token or TENANTRY_TOKEN, and goes before the sign-in.");
    }
    Ok(())
}

fn kept(url: &str, chosen: &SignInIssuer, tokens: Tokens) -> Kept {
    Kept {
        server: url.to_owned(),
        issuer: chosen.issuer.clone(),
        client_id: chosen.client_id.clone(),
        resource: chosen.resource.clone(),
        subject: tokens.subject,
        access_token: tokens.access,
        expires_at: tokens.expires,
        refresh_token: tokens.refresh,
    }
}

/// The issuer that was meant.
fn choose(known: SignIn, wanted: Option<&str>) -> Result<SignInIssuer> {
    let none = || {
        Failure::local(Kind::NotFound, "This server has no issuer to sign in with", "")
            .hint("Use a token of the installation (TENANTRY_TOKEN), or have an issuer with `client` configured, see docs/howto/sign-in.md.")
    };
    let list = |issuers: &[SignInIssuer]| {
        issuers.iter().map(|one| crate::output::clean(&one.issuer)).collect::<Vec<_>>().join(", ")
    };
    let mut issuers = known.issuers;
    if issuers.is_empty() {
        return Err(none());
    }
    let all = list(&issuers);
    if let Some(wanted) = wanted {
        let is_exact = issuers.iter().any(|one| one.issuer == wanted);
        issuers.retain(|one| if is_exact { one.issuer == wanted } else { one.issuer.contains(wanted) });
    }
    match (issuers.pop(), issuers.is_empty()) {
        (Some(one), true) => Ok(one),
        (None, _) => Err(Failure::usage("The server does not know this issuer").hint(format!("It knows {all}."))),
        (Some(_), false) => {
            Err(Failure::usage("The server knows several issuers").hint(format!("Say which by --issuer: {all}.")))
        }
    }
}

/// Who one is to the server. A token that it does not believe is not worth keeping.
async fn confirmed(globals: &Globals, url: &str, tokens: &Tokens) -> Result<tenantry_api::v1::person::Whoami> {
    let environment = globals.environment(&globals.file()?)?;
    let client = Client::new(url, SecretString::from(tokens.access.clone()), environment)?;
    client.whoami().await.map_err(|error| match error {
        tenantry_api::ClientError::Problem(problem) if problem.code() == Some(Code::Unauthenticated) => {
            Failure::local(Kind::Unauthenticated, "The issuer's access token is not believed by the server", "")
                .hint("Audience, type, algorithm or lifetime differ from what the server expects: compare the issuer's client with `operators` of the server's issuers file, see docs/howto/sign-in.md.")
        }
        error => error.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(names: &[&str]) -> SignIn {
        let one = |name: &&str| SignInIssuer {
            issuer: (*name).to_owned(),
            discovery: String::new(),
            client_id: "cli".to_owned(),
            scopes: Vec::new(),
            resource: None,
        };
        SignIn { issuers: names.iter().map(one).collect() }
    }

    #[test]
    fn one_issuer_is_chosen_or_none() {
        let (staff, other) = ("https://staff.example.com", "https://staff.example.com/two");
        assert_eq!(choose(known(&[staff]), None).unwrap().issuer, staff);
        assert_eq!(choose(known(&[staff, other]), Some(staff)).unwrap().issuer, staff);
        assert_eq!(choose(known(&[staff, other]), Some("two")).unwrap().issuer, other);
        assert!(choose(known(&[]), None).unwrap_err().to_string().contains("no issuer"));
        assert!(choose(known(&[staff, other]), None).unwrap_err().to_string().contains(other));
        assert!(choose(known(&[staff, other]), Some("staff")).is_err());
        assert!(choose(known(&[staff]), Some("nobody")).is_err());
    }
}
