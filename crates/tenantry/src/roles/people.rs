//! Where people of the operator sign in: the part `operators` of the file of issuers.

use std::fs::File;
use std::path::Path;

use tenantry_domain::access::people::OperatorSpec;
use tenantry_domain::access::token::KeysSpec;
use tenantry_domain::access::{Issuer, Operators};

/// Checks the issuers of people beside those of tenants' users. Files of keys are found from the folder of the file, and
/// have to be there.
///
/// # Errors
/// A file of keys cannot be read, or an issuer would be believed too much; the text says which and why.
pub fn check(mut specs: Vec<OperatorSpec>, folder: &Path, tenants: &[Issuer]) -> Result<Vec<Operators>, String> {
    for spec in &mut specs {
        if let KeysSpec::File(keys) = &mut spec.keys {
            *keys = folder.join(&*keys);
            File::open(&*keys).map_err(|error| format!("keys of `{}`: {error}", spec.issuer))?;
        }
    }
    Operators::check(specs, tenants)
        .map_err(|error| format!("operators: {error}; see docs/howto/sign-in.md for its form"))
}
