//! Which server people sign in at, and for whom the tokens may be that it asks for.
//!
//! INVARIANT: a token of somebody travels over https or stays on this machine, and a server gets tokens for itself alone
//! unless its user says for whom.

use std::net::IpAddr;

use reqwest::Url;

use crate::exit::{Failure, Result};
use crate::output::clean;

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or(host == "localhost", |address| address.is_loopback())
}

/// Whether people may sign in at an address: over https, or on this machine.
///
/// # Errors
/// They may not.
pub fn check(server: &str) -> Result<()> {
    match Url::parse(server) {
        Ok(url) if url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url)) => Ok(()),
        _ => Err(Failure::usage(format!(
            "`{}` is no https address, and people sign in over https only",
            clean(server)
        ))
        .hint(
            "Anybody on the way could read the token, or name an issuer of their own. Set --url to the https address.",
        )),
    }
}

/// Whether tokens may be for whom the server says: for itself, or for the one that its user named.
///
/// # Errors
/// They may not.
pub fn check_resource(server: &str, named: Option<&str>, wanted: Option<&str>) -> Result<()> {
    let shown = named.map_or_else(|| "no resource".to_owned(), |named| format!("`{}`", clean(named)));
    if let Some(wanted) = wanted {
        let fault = || Failure::usage(format!("The server names {shown}, and --resource is `{}`", clean(wanted)));
        return if named == Some(wanted) { Ok(()) } else { Err(fault()) };
    }
    let (Some(named), Ok(server)) = (named, Url::parse(server)) else { return Ok(()) };
    // Each address without a host is an origin of its own, equal to none.
    if is_loopback(&server) || Url::parse(named).is_ok_and(|named| named.origin() == server.origin()) {
        return Ok(());
    }
    Err(Failure::usage(format!("The server wants a token for {shown}, which is not its own address")).hint(
        "A server that is not yours could take such a token there. If whoever runs this installation says that it is right, repeat it as --resource.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_sign_in_over_https_or_on_this_machine() {
        for good in [
            "https://tenantry.example.com",
            "http://127.0.0.1:7070",
            "http://127.9.9.9",
            "http://localhost:7070",
            "http://[::1]:7070",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "http://tenantry.example.com",
            "http://10.0.0.1",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "http://127.0.0.1@example.com",
            "ftp://127.0.0.1",
            "127.0.0.1:7070",
            "",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_is_for_the_server_or_for_whom_its_user_named() {
        let server = "https://tenantry.example.com";
        for own in [server, "https://tenantry.example.com/", "https://tenantry.example.com:443/v1"] {
            assert!(check_resource(server, Some(own), None).is_ok(), "{own}");
        }
        assert!(check_resource(server, None, None).is_ok());
        let others = ["https://bank.example.com", "https://tenantry.example.com:8443", "http://tenantry.example.com"];
        for other in others.into_iter().chain(["urn:bank", "api://tenantry.example.com", "bank"]) {
            assert!(check_resource(server, Some(other), None).is_err(), "{other}");
            assert!(check_resource(server, Some(other), Some(other)).is_ok(), "{other}");
            assert!(check_resource(server, Some(other), Some(server)).is_err(), "{other}");
            assert!(check_resource("http://127.0.0.1:7070", Some(other), None).is_ok(), "{other}");
        }
        assert!(check_resource(server, None, Some(server)).is_err());
    }
}
