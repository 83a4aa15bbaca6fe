//! The rules that come with the product, as a bundle of their own and as a part of others.

use std::collections::BTreeMap;

use tenantry_domain::code::FieldError;

use crate::bundle::{Bundle, BundleError, Compiled};

/// Rules, by the name under which `policy.toml` chooses them.
const RULES: &[(&str, &str)] = &[
    ("baseline", include_str!("../governance/baseline.cedar")),
    ("encryption", include_str!("../governance/encryption.cedar")),
    ("four-eyes", include_str!("../governance/four-eyes.cedar")),
    ("patch-windows", include_str!("../governance/patch-windows.cedar")),
    ("residency", include_str!("../governance/residency.cedar")),
    ("retention", include_str!("../governance/retention.cedar")),
    ("states", include_str!("../governance/states.cedar")),
];

/// What stands beside them in the bundle of their own.
const OTHERS: &[(&str, &str)] = &[
    ("policy.toml", include_str!("../governance/policy.toml")),
    ("tests/baseline.yaml", include_str!("../governance/tests/baseline.yaml")),
    ("tests/encryption.yaml", include_str!("../governance/tests/encryption.yaml")),
    ("tests/four-eyes.yaml", include_str!("../governance/tests/four-eyes.yaml")),
    ("tests/patch-windows.yaml", include_str!("../governance/tests/patch-windows.yaml")),
    ("tests/residency.yaml", include_str!("../governance/tests/residency.yaml")),
    ("tests/retention.yaml", include_str!("../governance/tests/retention.yaml")),
    ("tests/states.yaml", include_str!("../governance/tests/states.yaml")),
];

/// The files that a bundle chose; all of them when it did not choose.
pub(crate) fn files(chosen: Option<&[String]>) -> Result<Vec<(String, &'static str)>, FieldError> {
    let shown = |(name, text): &(&str, &'static str)| (format!("governance/{name}.cedar"), *text);
    let Some(chosen) = chosen else {
        return Ok(RULES.iter().map(shown).collect());
    };
    let mut files = BTreeMap::new();
    for name in chosen {
        let Some(file) = RULES.iter().find(|(known, _)| known == name) else {
            let known: Vec<_> = RULES.iter().map(|(name, _)| *name).collect();
            let message = format!("`{name}` is not in the shipped set; it has {}", known.join(", "));
            return Err(FieldError::new("policy.toml: governance", message));
        };
        let (path, text) = shown(file);
        files.insert(path, text);
    }
    Ok(files.into_iter().collect())
}

/// The shipped set as a bundle, with its tests.
///
/// # Errors
/// Never in a released version: a test compiles it and runs its tests.
pub fn bundle() -> Result<Bundle, BundleError> {
    let rules = RULES.iter().map(|(name, text)| (format!("{name}.cedar"), text.as_bytes().to_vec()));
    let others = OTHERS.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
    Bundle::new(rules.chain(others).collect())
}

/// The shipped set, ready to be asked: what holds as long as no bundle is configured.
///
/// # Errors
/// As of [`bundle`].
pub fn builtin() -> Result<Compiled, BundleError> {
    bundle()?.compile()
}
