//! What commands print: tables for people, documents for machines, notes and progress beside them.
//!
//! INVARIANT: stdout carries the result and nothing else; notes, progress and errors go to stderr. Text that came
//! from a server never reaches a terminal with control characters in it. Colour appears on a terminal only, and
//! never when `NO_COLOR` is set.

use std::io::{IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::exit::{Failure, Result};

/// The form of the result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns for people
    #[default]
    Table,
    /// More columns
    Wide,
    /// One JSON document
    Json,
    /// One YAML document
    Yaml,
}

impl Format {
    /// Whether a program reads the result.
    pub const fn is_document(self) -> bool {
        matches!(self, Self::Json | Self::Yaml)
    }
}

/// What a word is painted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Went well.
    Good,
    /// Needs a look.
    Warn,
    /// Went wrong.
    Bad,
    /// A heading or a name.
    Strong,
    /// Less important.
    Faint,
}

/// Where and how to print.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: Format,
    quiet: bool,
    colour: bool,
    live: bool,
}

impl Output {
    /// Looks at the terminal once.
    pub fn new(format: Format, quiet: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let colour = std::io::stdout().is_terminal() && !plain && !format.is_document();
        let live = std::io::stderr().is_terminal() && !quiet && !format.is_document();
        Self { format, quiet, colour, live }
    }

    /// The wanted form.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Whether progress may be drawn over itself.
    pub const fn is_live(&self) -> bool {
        self.live
    }

    /// Prints a value as the document that was asked for.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn document<T: Serialize>(&self, value: &T) -> Result<()> {
        let text = match self.format {
            Format::Yaml => serde_saphyr::to_string(value).map_err(|error| unwritable(&error))?,
            _ => serde_json::to_string_pretty(value).map_err(|error| unwritable(&error))?,
        };
        self.line(text.trim_end())
    }

    /// Prints rows below headings; nothing but the headings when there are no rows.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn table(&self, headings: &[&str], rows: Vec<Vec<String>>) -> Result<()> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(headings.iter().copied());
        for row in rows {
            table.add_row(row.iter().map(|cell| clean(cell)));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let text = table.to_string();
        let lines: Vec<_> = text.lines().map(str::trim_end).collect();
        self.line(&lines.join("\n"))
    }

    /// Prints one or more lines of the result.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn line(&self, text: &str) -> Result<()> {
        match writeln!(std::io::stdout(), "{text}") {
            Ok(()) => Ok(()),
            // Whoever reads has seen enough (`| head`): the shell's convention for a broken pipe.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(141),
            Err(error) => Err(unwritable(&error)),
        }
    }

    /// Tells something beside the result, unless `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    /// The text in the colour of its meaning, where colours are wanted.
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Good => "32",
            Paint::Warn => "33",
            Paint::Bad => "31",
            Paint::Strong => "1",
            Paint::Faint => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

fn unwritable(error: &dyn std::fmt::Display) -> Failure {
    Failure::broken("The result cannot be written", error)
}

/// Replaces control characters: names are other people's text, and a terminal obeys.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A duration as people say it: `340 ms`, `2.1 s`, `4 m 10 s`.
pub fn duration(elapsed: std::time::Duration) -> String {
    let seconds = elapsed.as_secs();
    match elapsed.as_millis() {
        0 => "<1 ms".to_owned(),
        millis @ 1..=999 => format!("{millis} ms"),
        _ if seconds < 60 => format!("{:.1} s", elapsed.as_secs_f64()),
        _ => format!("{} m {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn terminals_get_no_control_characters() {
        assert_eq!(clean("Acme\u{1b}[2J\r\n"), "Acme\u{fffd}[2J\u{fffd}\u{fffd}");
    }

    #[test]
    fn durations_read_well() {
        for (millis, text) in [(0, "<1 ms"), (340, "340 ms"), (2_140, "2.1 s"), (250_000, "4 m 10 s")] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn documents_are_not_coloured() {
        let output = Output { format: Format::Json, quiet: false, colour: false, live: false };
        assert_eq!(output.paint(Paint::Bad, "x"), "x");
        let output = Output { colour: true, ..output };
        assert_eq!(output.paint(Paint::Bad, "x"), "\u{1b}[31mx\u{1b}[0m");
    }
}
