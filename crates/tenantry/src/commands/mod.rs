//! The operator's commands. Each speaks the public API through its client, so that it can do what the API allows
//! and nothing else: policies, audit and errors are those of the server.

pub mod access;
pub mod apply;
pub mod audit;
mod bundle;
pub mod changes;
pub mod completion;
pub mod context;
pub mod create;
pub mod delete;
pub mod describe;
mod documents;
pub mod domains;
pub mod flags;
mod follow;
pub mod get;
pub mod history;
pub mod isolation;
mod kind;
pub mod lifecycle;
pub mod logins;
pub mod members;
pub mod migrations;
pub mod operations;
pub mod place;
pub mod plan;
pub mod policy;
pub mod quotas;
pub mod resolve;
pub mod rollback;
pub mod route;
mod settle;
mod times;
pub mod tokens;
pub mod version;
