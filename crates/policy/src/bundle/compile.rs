//! From files to an engine: manifest, schema, rules, settings, tests, with all complaints of a stage at once.

use tenantry_domain::code::FieldError;

use super::{Bundle, BundleError, MANIFEST, Manifest, SCHEMA};
use crate::cases::{self, Case};
use crate::engine::Engine;
use crate::rules::Rules;
use crate::{governance, schema};

/// A bundle that is valid.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// What it is called, and its settings.
    pub manifest: Manifest,
    /// Its rules, ready to be asked.
    pub engine: Engine,
    /// Its tests, not run yet.
    pub cases: Vec<Case>,
}

impl Bundle {
    /// Reads and validates everything in it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile(&self) -> Result<Compiled, BundleError> {
        let one = |complaint: FieldError| BundleError::Invalid(vec![complaint]);
        let manifest = Manifest::of(self).map_err(one)?;
        let settings = manifest.settings(None).map_err(one)?;
        let own = match self.file(SCHEMA) {
            Some(bytes) => Some(super::text(SCHEMA, bytes).map_err(one)?),
            None => None,
        };
        let schema = schema::whole(own).map_err(one)?;
        let mut files = governance::files(manifest.governance.as_deref()).map_err(one)?;
        files.extend(self.texts(&[".cedar"]).map_err(one)?);
        let rules = Rules::read(&files, schema).map_err(BundleError::Invalid)?;
        let fingerprint = self.fingerprint(&manifest);
        let engine = Engine::new(rules, &settings, &manifest.windows, &fingerprint).map_err(one)?;
        let cases = cases::read(self).map_err(BundleError::Invalid)?;
        Ok(Compiled { manifest, engine, cases })
    }

    /// Name, version and the first half of the digest.
    fn fingerprint(&self, manifest: &Manifest) -> String {
        let hex = self.digest().hex();
        format!("{}/{}+sha256:{}", manifest.name, manifest.version, &hex[..32])
    }

    /// Whether there is a manifest at all: what a folder that is no bundle lacks.
    #[must_use]
    pub fn has_manifest(&self) -> bool {
        self.file(MANIFEST).is_some()
    }
}
