//! Settings of notifications, and a look at their templates.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tenantry_control::notify::templates::BUILT_IN;
use tenantry_control::notify::{ChatUrl, NotifyOptions, TemplateError, Templates};
use tenantry_domain::code::FieldError;
use tenantry_domain::notice::Kinds;

use crate::exit::{Failure, Result};
use crate::output::{Output, Paint, clean};

/// Settings of what people are told.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Notifications")]
pub struct Notify {
    /// What people are told of: all, none, or words such as welcome,ready,limit, separated by commas
    #[arg(long = "notify", env = "TENANTRY_NOTIFY", default_value = "all", value_name = "KINDS")]
    kinds: Kinds,
    /// Folder with templates of your own; checked at the start
    #[arg(long, env = "TENANTRY_TEMPLATES", value_name = "FOLDER")]
    templates: Option<PathBuf>,
    /// Incoming webhook of your chat, which is told as well
    #[arg(long, env = "TENANTRY_CHAT_URL", hide_env_values = true, value_name = "URL")]
    chat_url: Option<SecretString>,
}

impl Notify {
    /// The settings as the brain takes them.
    ///
    /// # Errors
    /// A template is broken, or the chat's URL cannot be used. Whoever has that URL can write to the chat, so it is read here, and
    /// not where arguments are: a complaint about an argument repeats it.
    pub fn options(&self) -> Result<NotifyOptions> {
        let read = |url: &SecretString| {
            let read = url.expose_secret().parse::<ChatUrl>();
            read.map_err(|error| Failure::usage(format!("The chat's URL (TENANTRY_CHAT_URL) {error}")))
        };
        Ok(NotifyOptions {
            kinds: self.kinds.clone(),
            templates: Arc::new(load(self.templates.as_deref())?),
            chat: self.chat_url.as_ref().map(read).transpose()?,
            ..NotifyOptions::default()
        })
    }
}

fn load(folder: Option<&Path>) -> Result<Templates> {
    let Some(folder) = folder else { return Ok(Templates::default()) };
    Templates::load(folder).map_err(|wrong| {
        let told: Vec<String> = wrong.iter().map(TemplateError::to_string).collect();
        let fields = told.iter().map(|text| FieldError::new("templates", text)).collect();
        Failure::usage(format!("The templates in `{}` cannot be used: {}", folder.display(), told.join("; ")))
            .fields(fields)
            .hint("Try them by `tenantry notifications templates --check FOLDER`; docs/notifications.md lists what they can use.")
    })
}

/// Shows every template filled with a sample, those of a folder in the place of those that come along.
///
/// # Errors
/// A template is broken.
pub fn show(folder: Option<&Path>, only: Option<&str>, output: Output) -> Result<()> {
    let templates = load(folder)?;
    let mut shown = Vec::new();
    for (name, source) in BUILT_IN.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        let text = templates.sample(name).map_err(|error| Failure::broken("A template is broken", error))?;
        shown.push((*name, *source, text));
    }
    if shown.is_empty() {
        let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        return Err(Failure::usage(format!("No template is called `{}`", clean(only.unwrap_or_default())))
            .hint(format!("Templates are {}.", names.join(", "))));
    }
    let is_own = |name: &str| templates.own().iter().any(|own| own == name);
    if output.format().is_document() {
        let item = |(name, source, text): &(&str, &str, tenantry_control::notify::templates::Text)| {
            // Of an own one the file is at hand.
            let source = (!is_own(name)).then_some(*source);
            json!({ "name": name, "own": is_own(name), "subject": text.subject, "body": text.body, "source": source })
        };
        return output.document(&json!({ "items": shown.iter().map(item).collect::<Vec<_>>() }));
    }
    for (name, _, text) in &shown {
        let whose = if is_own(name) { "your own" } else { "built in" };
        output.line(&output.paint(Paint::Strong, &format!("{name}.txt ({whose})")))?;
        output.line(&format!("Subject: {}\n", clean(&text.subject)))?;
        for line in text.body.lines() {
            output.line(&clean(line))?;
        }
        output.line("")?;
    }
    output.note("filled with a sample; the source of those that come along is in the JSON form (-o json)");
    Ok(())
}
