//! The sign-in with a browser of this machine: authorization code (RFC 6749, section 4.1) with PKCE (RFC 7636, S256), back to
//! a port of loopback (RFC 8252, section 7.3), with `state`, `nonce`, and the issuer's own word who answers (RFC 9207).

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tenantry_api::v1::person::SignInIssuer;
use tenantry_domain::code::Kind;

use super::issuer::{Issuer, Refused, Tokens, broken, refusal};
use super::loopback::{Answer, Loopback};
use crate::exit::{Failure, Result};
use crate::output::Output;
use crate::random;

/// How long the browser may take.
const WITHIN: Duration = Duration::from_secs(5 * 60);

/// Sends the browser to the issuer, waits for it to come back, and trades its code for tokens.
///
/// # Errors
/// Nobody came back in time, the issuer refuses, or somebody else answers.
pub async fn sign_in(issuer: &Issuer, chosen: &SignInIssuer, is_silent: bool, output: &Output) -> Result<Tokens> {
    let fresh = || random::bytes::<32>().map_err(|error| Failure::broken("No randomness is to be had", error));
    // 256 bits each; 43 characters, which is the least that a verifier may have (RFC 7636, section 4.1).
    let [verifier, state, nonce] = [fresh()?, fresh()?, fresh()?].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
    let loopback = Loopback::bind(&state).await?;
    let (address, scope) = (loopback.address(), chosen.scopes.join(" "));
    let mut url = issuer.authorization()?;
    let mut fields = vec![
        ("response_type", "code"),
        ("client_id", chosen.client_id.as_str()),
        ("redirect_uri", address.as_str()),
        ("scope", scope.as_str()),
        ("state", state.as_str()),
        ("nonce", nonce.as_str()),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    // A refresh token is given for consent alone (OpenID Connect Core 1.0, section 11).
    if chosen.scopes.iter().any(|scope| scope == "offline_access") {
        fields.push(("prompt", "consent"));
    }
    fields.extend(chosen.resource.as_deref().map(|resource| ("resource", resource)));
    url.query_pairs_mut().extend_pairs(&fields);
    if is_silent || !open(url.as_str()) {
        output.note("Open this address in a browser of this machine:");
    } else {
        output.note("The browser was opened. If it shows nothing, open this address:");
    }
    output.note(&format!("\n  {url}\n"));
    let answer = tokio::time::timeout(WITHIN, loopback.answer()).await.map_err(|_| {
        Failure::local(Kind::Unauthenticated, "Nobody signed in within five minutes", "")
            .hint("Try again, or sign in with a browser of another machine by --device.")
    })??;
    let code = judged(answer, issuer)?;
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", address.as_str()),
        ("client_id", chosen.client_id.as_str()),
        ("code_verifier", verifier.as_str()),
    ];
    fields.extend(chosen.resource.as_deref().map(|resource| ("resource", resource)));
    Ok(issuer.tokens(&chosen.client_id, &fields, Some(&nonce)).await?)
}

/// The code of an answer to this question by this issuer.
fn judged(answer: Answer, issuer: &Issuer) -> Result<String> {
    who(answer.iss.as_deref(), issuer.name(), issuer.says_who())?;
    match (answer.code, answer.error) {
        (Some(code), None) if !code.is_empty() => Ok(code),
        (_, Some(error)) => Err(refusal(&Refused { error, error_description: answer.error_description })),
        _ => Err(broken("its answer has no code")),
    }
}

/// RFC 9207, section 2.4: what names another issuer is nobody's answer here, and one that always says who it is does not
/// leave it out.
fn who(said: Option<&str>, name: &str, says_who: bool) -> Result<()> {
    match said {
        Some(said) if said == name => Ok(()),
        None if !says_who => Ok(()),
        _ => Err(broken("another issuer answered, or nobody says which")),
    }
}

/// Opens the browser; `false` where that cannot even be tried.
fn open(url: &str) -> bool {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let has_screen = cfg!(target_os = "macos")
        || ["DISPLAY", "WAYLAND_DISPLAY"]
            .iter()
            .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    let nothing = std::process::Stdio::null;
    has_screen
        && tokio::process::Command::new(program)
            .arg(url)
            .stdin(nothing())
            .stdout(nothing())
            .stderr(nothing())
            .spawn()
            .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_is_the_one_who_was_asked() {
        let name = "https://login.example.com";
        assert!(who(Some(name), name, true).is_ok() && who(Some(name), name, false).is_ok());
        assert!(who(None, name, false).is_ok());
        for said in [None, Some("https://evil.example"), Some("https://login.example.com/"), Some("")] {
            assert!(who(said, name, true).is_err(), "{said:?}");
        }
        assert!(who(Some("https://evil.example"), name, false).is_err());
    }

    #[test]
    fn the_challenge_is_that_of_the_standard() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        assert_eq!(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
