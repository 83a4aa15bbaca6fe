//! The little SQL that is read: by which words a statement begins, and where one ends.
//!
//! A lexer that knows quotes and comments, and nothing else: linear in time, without recursion. Nothing may rest on it
//! but convenience: functions, `DO` blocks and settings can do what no first word tells, and a text that the server
//! cuts differently (`standard_conforming_strings = off`) must harm its sender alone. The seal keeps tenants apart.

mod lead;
mod lex;
mod split;

pub use lead::{Lead, lead};
pub use split::statements;
