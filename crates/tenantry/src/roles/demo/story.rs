//! How the demo speaks, and how it keeps count of what it claimed.

use std::fmt::Display;
use std::time::Duration;

use super::stage::Customer;
use crate::exit::{Failure, Result};
use crate::output::{Output, Paint, duration};

/// The teller.
pub struct Story {
    output: Output,
    chapter: u32,
    checks: u32,
    failed: Vec<String>,
}

impl Story {
    /// Nothing told yet.
    pub const fn new(output: Output) -> Self {
        Self { output, chapter: 0, checks: 0, failed: Vec::new() }
    }

    /// The terminal.
    pub const fn output(&self) -> Output {
        self.output
    }

    /// Begins a chapter.
    ///
    /// # Errors
    /// It cannot be written; the same below.
    pub fn chapter(&mut self, title: &str) -> Result<()> {
        self.chapter += 1;
        self.output.line(&format!("\n{}", self.output.paint(Paint::Strong, &format!("{}. {title}", self.chapter))))
    }

    /// Tells something.
    pub fn say(&self, text: &str) -> Result<()> {
        self.output.line(text)
    }

    /// Tells something that matters less, set apart.
    pub fn detail(&self, text: &str) -> Result<()> {
        for line in text.lines() {
            self.output.line(&format!("    {}", self.output.paint(Paint::Faint, line)))?;
        }
        Ok(())
    }

    /// Claims something. What does not hold is printed and remembered, and the story goes on.
    pub fn check(&mut self, claim: impl Display, holds: bool, seen: impl Display) -> Result<()> {
        self.checks += 1;
        let seen = seen.to_string();
        let seen = if seen.is_empty() { seen } else { format!("  ({seen})") };
        if holds {
            return self.output.line(&format!("  {} {claim}{seen}", self.output.paint(Paint::Good, "ok  ")));
        }
        self.failed.push(claim.to_string());
        self.output.line(&format!("  {} {claim}{seen}", self.output.paint(Paint::Bad, "FAIL")))
    }

    /// Prints rows below headings.
    pub fn table(&self, headings: &[&str], rows: Vec<Vec<String>>) -> Result<()> {
        self.output.table(headings, rows)
    }

    /// Ends the story with its numbers.
    ///
    /// # Errors
    /// A claim did not hold.
    pub fn close(&self, customers: &[Customer], took: Duration) -> Result<()> {
        self.output.line("")?;
        let rows = customers.iter().map(|customer| {
            vec![
                customer.slug.clone(),
                customer.door.isolation.to_string(),
                customer.place.clone(),
                customer.rows.to_string(),
                customer.onboarding.map_or_else(|| "earlier".to_owned(), duration),
            ]
        });
        self.table(&["TENANT", "ISOLATION", "PLACE", "MESSAGES", "ONBOARDED IN"], rows.collect())?;
        let seconds = format!("{:.1} s", took.as_secs_f64());
        if self.failed.is_empty() {
            let text = format!("\ndemo: all {} checks passed in {seconds}", self.checks);
            return self.output.line(&self.output.paint(Paint::Good, &text));
        }
        Err(Failure::ended(
            format!("demo: {} of {} checks FAILED in {seconds}", self.failed.len(), self.checks),
            self.failed.join("; "),
        ))
    }
}
