//! Attacks with real keys, and sources of keys over real sockets.

mod attacks;
mod kit;
mod people;
mod sources;
