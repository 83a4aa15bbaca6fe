//! Two tenants, and everything that one of them may try on the other.
//!
//! A *world* ([`world`]) is one server, one app and two tenants at one level. An attack is SQL run in tenant A's
//! transaction; [`attack`] records all that comes back and then looks for anything of tenant B's in it, for changes
//! in B's rows, and for something left behind in the session that B gets next. The tests in [`broken`] take one
//! protection away at a time and ask the same machinery to see the leak: it does not pass because it is blind.

mod attack;
mod bound;
mod broken;
mod fair;
mod file;
mod passes;
mod router;
mod vectors;
mod world;
