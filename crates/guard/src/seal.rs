//! The seal's functions as they are shipped, by hash.
//!
//! The guard does not depend on the data plane that installs them; a test compares the hashes with what it installs.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `checks/seal.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shipped {
    /// Signature to the hashes that are right.
    functions: BTreeMap<String, Vec<String>>,
}

impl Shipped {
    /// The form in which the queries take it.
    pub fn json(&self) -> String {
        serde_json::json!(self.functions).to_string()
    }
}
