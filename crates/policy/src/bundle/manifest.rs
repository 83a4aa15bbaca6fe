//! `policy.toml`: what a bundle is called, what it needs, and its settings.

use serde::Deserialize;
use serde_json::Value;
use tenantry_domain::code::FieldError;

use super::{Bundle, MANIFEST, text};
use crate::settings::{self, Settings, Windows};

/// The product's version, which `minimum-product` is compared with.
pub const PRODUCT: &str = env!("CARGO_PKG_VERSION");

/// What `policy.toml` says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Manifest {
    /// Name of the bundle: lower-case letters, digits, `-`, 1 to 63 of them.
    pub name: String,
    /// The operator's own version of it: letters, digits, `.`, `_`, `-`, 1 to 63 of them.
    pub version: String,
    /// The oldest version of the product that it is written for.
    #[serde(default)]
    pub minimum_product: Option<String>,
    /// Which files of the shipped set belong to it, without their end; absent means all of them.
    #[serde(default)]
    pub governance: Option<Vec<String>>,
    /// Named windows of time.
    #[serde(default)]
    pub windows: Windows,
    /// Settings of the shipped rules and its own; absent ones have their defaults.
    #[serde(default)]
    settings: serde_json::Map<String, Value>,
}

impl Manifest {
    /// Reads that of a bundle.
    ///
    /// # Errors
    /// It is not there, or something in it is wrong.
    pub fn of(bundle: &Bundle) -> Result<Self, FieldError> {
        let bytes = bundle.file(MANIFEST).ok_or_else(|| FieldError::new(MANIFEST, "is missing"))?;
        let text = text(MANIFEST, bytes)?;
        let wrong = |error: toml::de::Error| FieldError::new(MANIFEST, error.to_string().trim_end());
        let manifest: Self = toml::from_str(text).map_err(wrong)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), FieldError> {
        let short = |text: &str| (1..=63).contains(&text.len());
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let wide = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if !short(&self.name) || !self.name.bytes().all(word) {
            return Err(FieldError::new("policy.toml: name", "1 to 63 lower-case letters, digits and `-`"));
        }
        if !short(&self.version) || !self.version.bytes().all(wide) {
            return Err(FieldError::new("policy.toml: version", "1 to 63 letters, digits, `.`, `_` and `-`"));
        }
        if let Some(minimum) = &self.minimum_product {
            let wanted = numbers(minimum).ok_or_else(|| {
                FieldError::new("policy.toml: minimum-product", format!("`{minimum}` is no version like `1.2.0`"))
            })?;
            if numbers(PRODUCT).is_some_and(|have| have < wanted) {
                let message = format!("the bundle is for {minimum} and newer, this is {PRODUCT}");
                return Err(FieldError::new("policy.toml: minimum-product", message));
            }
        }
        Ok(())
    }

    /// Its settings, with others laid over them.
    ///
    /// # Errors
    /// A setting is not known, or has another type.
    pub fn settings(&self, above: Option<&Value>) -> Result<Settings, FieldError> {
        let mut whole = Value::Object(self.settings.clone());
        if let Some(above) = above {
            settings::overlay(&mut whole, above);
        }
        serde_path_to_error::deserialize(whole)
            .map_err(|error| FieldError::new(format!("settings.{}", error.path()), error.inner()))
    }
}

fn numbers(version: &str) -> Option<[u32; 3]> {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}
