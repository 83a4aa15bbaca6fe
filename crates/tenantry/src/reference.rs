//! The reference pages, rendered from what clap and the settings' table know; a test refuses stale ones.
//!
//! `UPDATE_DOCS=1 cargo test -p tenantry reference` writes them anew between their marks; all else on the pages is
//! written by hand.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Arg, Command, CommandFactory as _};

use crate::config::SETTINGS;

const BEGIN: &str = "<!-- begin: rendered from the program, see crates/tenantry/src/reference.rs -->\n";
const END: &str = "<!-- end -->\n";

fn commands() -> String {
    let mut text = String::from("\n### Options of every command\n\n");
    let mut root = crate::Cli::command();
    root.build();
    let globals: Vec<_> = root.get_arguments().filter(|arg| arg.is_global_set()).cloned().collect();
    options(&mut text, globals.iter());
    for command in root.get_subcommands().filter(|command| command.get_name() != "help") {
        describe(&mut text, command, "tenantry");
    }
    text
}

fn describe(text: &mut String, command: &Command, parent: &str) {
    let name = format!("{parent} {}", command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = write!(text, "\n### `{name}`\n\n{about}.\n");
    let mut usage = command.clone();
    let usage = usage.render_usage().to_string();
    let line =
        usage.trim_start_matches("Usage:").split_whitespace().skip_while(|word| *word != command.get_name()).skip(1);
    let line: Vec<_> = line.collect();
    let _ = write!(text, "\n```\n{}\n```\n", format!("{name} {}", line.join(" ")).trim_end());
    let own: Vec<_> = command.get_arguments().filter(|arg| !arg.is_global_set() && arg.get_id() != "help").collect();
    if !own.is_empty() {
        text.push('\n');
        options(text, own.into_iter());
    }
    if let Some(help) = command.get_after_help() {
        let help = help.to_string();
        let (prose, examples) =
            help.split_once("Example").map_or((help.as_str(), None), |(prose, rest)| (prose, Some(rest)));
        if !prose.trim().is_empty() {
            let _ = write!(text, "\n{}\n", prose.trim());
        }
        if let Some(examples) = examples {
            let lines: Vec<_> = examples.lines().skip(1).map(|line| line.strip_prefix("  ").unwrap_or(line)).collect();
            let _ = write!(text, "\n```sh\n{}\n```\n", lines.join("\n"));
        }
    }
    for inner in command.get_subcommands().filter(|command| command.get_name() != "help") {
        describe(text, inner, &name);
    }
}

fn options<'a>(text: &mut String, args: impl Iterator<Item = &'a Arg>) {
    text.push_str("| | |\n|---|---|\n");
    for arg in args.filter(|arg| arg.get_id() != "help" && arg.get_id() != "version") {
        let help = arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
        let values: Vec<_> = if arg.get_action().takes_values() {
            arg.get_possible_values()
                .iter()
                .filter(|value| !value.is_hide_set())
                .map(|value| format!("`{}`", value.get_name()))
                .collect()
        } else {
            Vec::new()
        };
        let values = if values.is_empty() { String::new() } else { format!(": {}", values.join(", ")) };
        let default: Vec<_> = arg.get_default_values().iter().filter_map(|value| value.to_str()).collect();
        let default = if default.is_empty() || !arg.get_action().takes_values() {
            String::new()
        } else {
            format!(" [default: {}]", default.join(" "))
        };
        let variable =
            arg.get_env().and_then(|name| name.to_str()).map(|name| format!(" (`{name}`)")).unwrap_or_default();
        let help = format!("{help}{values}{default}{variable}").replace('|', "\\|").replace('<', "&lt;");
        let _ = writeln!(text, "| `{}` | {help} |", shown(arg).replace('|', "\\|"));
    }
}

fn shown(arg: &Arg) -> String {
    let names: Vec<_> = arg.get_value_names().unwrap_or_default().iter().map(|name| format!("<{name}>")).collect();
    let value = if arg.get_action().takes_values() { names.join(" ") } else { String::new() };
    if arg.is_positional() {
        return value;
    }
    let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    let long = arg.get_long().map(|long| format!("--{long}")).unwrap_or_default();
    format!("{short}{long} {value}").trim_end().to_owned()
}

fn settings() -> String {
    let mut text = String::from("\n| variable | flag | key in the file | default | meaning |\n|---|---|---|---|---|\n");
    for setting in SETTINGS {
        let code = |word: &str| if word.is_empty() { String::new() } else { format!("`{word}`") };
        let default = if setting.default.is_empty() { "none" } else { setting.default };
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {default} | {} |",
            setting.variable,
            code(setting.flag),
            code(setting.key),
            setting.meaning
        );
    }
    text.push('\n');
    text
}

fn check(page: &str, rendered: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(BEGIN).unwrap_or_else(|| panic!("{page} has no mark `{BEGIN}`"));
    let (found, tail) = rest.split_once(END).unwrap_or_else(|| panic!("{page} has no mark `{END}`"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{rendered}{END}{tail}")).unwrap();
    } else {
        let line = found.lines().zip(rendered.lines()).find(|(found, rendered)| found != rendered);
        assert!(
            found == rendered,
            "docs/{page} is stale, first at {line:?}: UPDATE_DOCS=1 cargo test -p tenantry reference"
        );
    }
}

#[test]
fn pages_are_fresh() {
    check("cli.md", &commands());
    check("configuration.md", &settings());
}

/// A setting that no flag or variable of the program knows would be a promise that nobody keeps.
#[test]
fn settings_are_those_of_the_commands() {
    let mut root = crate::Cli::command();
    root.build();
    let mut known: Vec<String> = Vec::new();
    let mut queue: Vec<Command> = vec![root];
    while let Some(command) = queue.pop() {
        known.extend(command.get_arguments().filter_map(|arg| arg.get_env()?.to_str().map(ToOwned::to_owned)));
        queue.extend(command.get_subcommands().cloned());
    }
    known.sort();
    known.dedup();
    let mut listed: Vec<_> = SETTINGS
        .iter()
        .map(|setting| setting.variable.to_owned())
        .filter(|name| !matches!(name.as_str(), "NO_COLOR" | "TENANTRY_CELL_URL"))
        .collect();
    listed.sort();
    assert_eq!(known, listed, "what commands read on the left, what the table lists on the right");
}

#[test]
fn the_command_line_is_well_formed() {
    crate::Cli::command().debug_assert();
}
