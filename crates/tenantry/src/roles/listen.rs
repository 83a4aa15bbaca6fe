//! The address that the API is served on.

use std::net::SocketAddr;

use tenantry_domain::code::Kind;
use tokio::net::TcpListener;

use crate::exit::{Failure, Result};

/// The usual port.
const PORT: u16 = 7070;

/// The usual address: this machine only.
pub const DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), PORT);

/// How many further ports are tried when nobody asked for a certain one.
const MORE: u16 = 30;

/// Binds the wanted address or, when none was wanted, the usual one or the next that is free.
///
/// # Errors
/// The address is taken or not ours.
pub async fn bind(wanted: Option<SocketAddr>) -> Result<TcpListener> {
    if let Some(address) = wanted {
        return TcpListener::bind(address).await.map_err(|error| {
            Failure::local(Kind::Unavailable, format!("The address {address} cannot be listened on"), error)
                .hint("Give another one with --listen, or stop whoever has it.")
        });
    }
    let mut last = None;
    for port in PORT..=PORT + MORE {
        match TcpListener::bind(("127.0.0.1", port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(error),
        }
    }
    let why = last.map(|error| error.to_string()).unwrap_or_default();
    Err(Failure::local(Kind::Unavailable, format!("No port from {PORT} to {} is free", PORT + MORE), why)
        .hint("Give one with --listen."))
}
