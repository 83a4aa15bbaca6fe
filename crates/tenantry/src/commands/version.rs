//! `tenantry version`: which program this is.

use serde_json::json;

use crate::exit::Result;
use crate::output::Output;

/// Print the version of this program
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints it.
///
/// # Errors
/// It cannot be written.
pub fn run(_args: &Args, output: Output) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    if output.format().is_document() {
        return output
            .document(&json!({ "name": "tenantry", "version": version, "api": "v1", "manifests": "tenantry.dev/v1" }));
    }
    output.line(&format!("tenantry {version}"))
}
