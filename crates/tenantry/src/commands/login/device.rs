//! The sign-in with a browser of another machine (RFC 8628).

use std::time::{Duration, Instant};

use serde::Deserialize;
use tenantry_api::v1::person::SignInIssuer;
use tenantry_domain::code::Kind;

use super::issuer::{Fault, Issuer, Refused, Tokens, broken, refusal};
use crate::exit::{Failure, Result};
use crate::output::{Output, clean};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Section 3.2.
#[derive(Deserialize)]
struct Device {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u32,
    #[serde(default = "five")]
    interval: u32,
}

const fn five() -> u32 {
    5
}

/// The longest pause between two questions, and the longest time for all.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// Shows a code, and asks until somebody has entered it.
///
/// # Errors
/// Nobody did in time, or the issuer refuses.
pub async fn sign_in(issuer: &Issuer, chosen: &SignInIssuer, output: &Output) -> Result<Tokens> {
    let (client, scope) = (chosen.client_id.as_str(), chosen.scopes.join(" "));
    let resource = chosen.resource.as_deref().map(|resource| ("resource", resource));
    let mut fields = vec![("client_id", client), ("scope", scope.as_str())];
    fields.extend(resource);
    let (status, bytes) = issuer.post(issuer.device()?, &fields).await?;
    if status != 200 {
        let refused: Option<Refused> = serde_json::from_slice(&bytes).ok();
        let unknown = || broken(&format!("its device endpoint has status {status}"));
        return Err(refused.map_or_else(unknown, |refused| refusal(&refused)));
    }
    let device: Device = serde_json::from_slice(&bytes).map_err(|_| broken("its device code cannot be read"))?;
    if !device.verification_uri.starts_with("https://") {
        return Err(broken("`verification_uri` is no https address"));
    }
    output.note(&format!("Open {} in any browser and enter", clean(&device.verification_uri)));
    output.note(&format!("\n  {}\n", clean(&device.user_code)));
    if let Some(complete) = device.verification_uri_complete.as_deref().filter(|uri| uri.starts_with("https://")) {
        output.note(&format!("or open {}", clean(complete)));
    }
    let mut fields = vec![("grant_type", GRANT), ("device_code", device.device_code.as_str()), ("client_id", client)];
    fields.extend(resource);
    let end = Instant::now() + Duration::from_secs(u64::from(device.expires_in)).min(LONGEST);
    let mut pause = Duration::from_secs(u64::from(device.interval.clamp(1, 60)));
    loop {
        tokio::time::sleep(pause).await;
        if Instant::now() >= end {
            return Err(late());
        }
        match issuer.tokens(client, &fields, None).await {
            Ok(tokens) => return Ok(tokens),
            Err(Fault::Refused(refused)) => pause = next(pause, &refused)?,
            // Section 3.5: an issuer that is away is asked less often, until the code is over.
            Err(Fault::Failed(_)) => pause = (pause * 2).min(LONGEST_PAUSE),
        }
    }
}

fn late() -> Failure {
    Failure::local(Kind::Unauthenticated, "Nobody entered the code in time", "").hint("Try again.")
}

/// The pause before the next question (section 3.5).
fn next(pause: Duration, refused: &Refused) -> Result<Duration> {
    match refused.error.as_str() {
        "authorization_pending" => Ok(pause),
        "slow_down" => Ok((pause + Duration::from_secs(5)).min(LONGEST_PAUSE)),
        "expired_token" => Err(late()),
        _ => Err(refusal(refused)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_sets_the_pace_and_ends_it() {
        let of =
            |word: &str| next(Duration::from_secs(5), &Refused { error: word.to_owned(), error_description: None });
        assert_eq!(of("authorization_pending").unwrap(), Duration::from_secs(5));
        assert_eq!(of("slow_down").unwrap(), Duration::from_secs(10));
        assert!(of("expired_token").unwrap_err().to_string().contains("in time"));
        for word in ["access_denied", "invalid_grant", "invalid_client", ""] {
            assert!(of(word).is_err(), "{word}");
        }
    }
}
