//! `tenantry context`: which settings hold here and where each comes from. Secrets are named, not shown.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::config::{self, SETTINGS};
use crate::exit::{Failure, Result};
use crate::globals::Globals;
use crate::output::Format;

/// Show which settings hold here and where they come from
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tenantry context
  tenantry context -o wide")]
pub struct Args {}

/// Shows them.
///
/// # Errors
/// The file cannot be read.
pub fn run(_args: &Args, globals: &Globals) -> Result<()> {
    let path = globals.config().or_else(config::default_path);
    // Read twice: once to refuse what is wrong with it, once for the plain texts.
    globals.file()?;
    let text = path.as_ref().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let file: BTreeMap<String, toml::Value> =
        toml::from_str(&text).map_err(|error| Failure::broken("The file cannot be read", error.message()))?;
    let mut rows = Vec::new();
    for setting in SETTINGS {
        let environment = std::env::var(setting.variable).ok().filter(|value| !value.is_empty());
        let (value, source) = match (environment, file.get(setting.key)) {
            (Some(value), _) => (value, "environment"),
            (None, Some(value)) => (value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned), "file"),
            (None, None) => (setting.default.replace('`', ""), "default"),
        };
        let is_secret = matches!(setting.variable, "TENANTRY_TOKEN" | "TENANTRY_DATABASE_URL" | "TENANTRY_CELL_URL");
        let value = if is_secret && source != "default" { "(set, not shown)".to_owned() } else { value };
        rows.push((setting, value, source));
    }
    let output = globals.output();
    if output.format().is_document() {
        let settings: Vec<Value> = rows
            .iter()
            .map(|(setting, value, source)| json!({ "name": setting.variable, "value": value, "source": source }))
            .collect();
        return output.document(&json!({ "file": path, "settings": settings }));
    }
    if let Some(path) = path {
        output.note(&format!("file: {}{}", path.display(), if text.is_empty() { " (not there)" } else { "" }));
    }
    let is_wide = output.format() == Format::Wide;
    let rows = rows.into_iter().map(|(setting, value, source)| {
        let mut row = vec![setting.variable.to_owned(), or_dash(value), source.to_owned()];
        if is_wide {
            row.extend([or_dash(setting.flag.to_owned()), setting.meaning.replace('`', "")]);
        }
        row
    });
    let headings = ["SETTING", "VALUE", "FROM", "FLAG", "MEANING"];
    output.table(if is_wide { &headings } else { &headings[..3] }, rows.collect())
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}
