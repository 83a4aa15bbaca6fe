//! The addresses that a role serves on.

use std::net::SocketAddr;

use tenantry_domain::code::Kind;
use tokio::net::TcpListener;

use crate::exit::{Failure, Result};

/// The usual port of the API.
pub const API: u16 = 7070;

/// The usual port of the gateway, which is that of other poolers too.
pub const GATEWAY: u16 = 6432;

/// The usual address of the API: this machine only.
pub const DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), API);

/// How many further ports are tried when nobody asked for a certain one.
const MORE: u16 = 30;

/// Binds the wanted address or, when none was wanted, the usual port of this machine or the next that is free.
///
/// # Errors
/// The address is taken or not ours.
pub async fn bind(wanted: Option<SocketAddr>, usual: u16) -> Result<TcpListener> {
    if let Some(address) = wanted {
        return TcpListener::bind(address).await.map_err(|error| {
            Failure::local(Kind::Unavailable, format!("The address {address} cannot be listened on"), error)
                .hint("Give another one with --listen, or stop whoever has it.")
        });
    }
    let mut last = None;
    for port in usual..=usual + MORE {
        match TcpListener::bind(("127.0.0.1", port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(error),
        }
    }
    let why = last.map(|error| error.to_string()).unwrap_or_default();
    Err(Failure::local(Kind::Unavailable, format!("No port from {usual} to {} is free", usual + MORE), why)
        .hint("Give one with --listen."))
}
