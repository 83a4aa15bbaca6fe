//! The bytes of PostgreSQL's protocol, versions 3.0 to 3.2: framing, the start, and the few messages that a relay reads
//! or makes.
//!
//! No sockets, no clock, no cryptography: bytes in, values out, and the other way round. INVARIANT: no input makes it
//! panic, nothing is allocated for a length that a peer only claims, and everything is read in linear time.
//!
//! [`frame`] finds where a message ends, [`start`] reads what comes before the first tagged message, [`client`] and
//! [`server`] have what the two sides send, [`words`] has the little SQL that is read.

mod body;
pub mod client;
pub mod frame;
pub mod server;
pub mod start;
pub mod words;
mod write;

pub use body::BodyError;
