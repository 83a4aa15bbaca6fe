//! `tenantry logout`: the tokens are taken back at the issuer (RFC 7009) and forgotten here, in any case.

use tenantry_domain::code::Kind;

use super::issuer::Issuer;
use super::kept::{Kept, Place};
use crate::exit::{Failure, Result};
use crate::globals::Globals;

/// Sign out: take the tokens back at the issuer and forget them here
#[derive(Debug, clap::Args)]
#[command(after_help = "An access token that was used stays good until its end where the issuer cannot take it back.

Example:
  tenantry logout")]
pub struct Args {}

/// Signs out.
///
/// # Errors
/// They could not be taken back; they are forgotten here nevertheless.
pub async fn run(_args: &Args, globals: &Globals) -> Result<()> {
    let (url, output) = (globals.address()?, globals.output());
    let place = Place::of(globals.config().as_deref(), &url)?;
    let locked = place.lock().await?;
    let read = place.read();
    locked.remove()?;
    let Some(kept) = read? else {
        output.note(&format!("Nobody is signed in at {url}."));
        return Ok(());
    };
    revoke(&kept).await.map_err(|failure| {
        Failure::local(Kind::Unavailable, "Signed out here, but not at the issuer", failure)
            .hint("The tokens are forgotten on this machine. Ask the issuer to end the session if somebody may have copied them.")
    })?;
    output.note(&format!("Signed out at {url}."));
    Ok(())
}

async fn revoke(kept: &Kept) -> Result<()> {
    let issuer = Issuer::discover(&kept.door()).await?;
    let Some(address) = issuer.revocation()? else { return Ok(()) };
    let refresh = kept.refresh_token.as_deref().map(|token| (token, "refresh_token"));
    for (token, hint) in refresh.into_iter().chain([(kept.access_token.as_str(), "access_token")]) {
        let fields = [("token", token), ("token_type_hint", hint), ("client_id", kept.client_id.as_str())];
        let (status, _) = issuer.post(address.clone(), &fields).await?;
        // Some issuers cannot take back an access token that they do not store (section 2.2.1).
        if status != 200 && hint == "refresh_token" {
            return Err(super::issuer::broken(&format!("its revocation endpoint has status {status}")));
        }
    }
    Ok(())
}
