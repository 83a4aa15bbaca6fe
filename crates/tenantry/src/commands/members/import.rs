//! `tenantry members import`: many members out of a file, with a report per row.

use std::path::PathBuf;

use tenantry_api::v1::member::{MemberImport, MemberImportReport, MemberImportRow};

use crate::exit::{Failure, Result};
use crate::globals::Session;
use crate::output::clean;

/// Most rows of one request; longer files are sent in several.
const MOST: usize = 1000;

/// Bring members into line with a file
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A CSV file begins with a line of column names out of issuer, pool, subject, email, name, role, remove.
A JSON file is a list of objects with the same names. The same file again changes nothing."
)]
pub struct Args {
    /// The tenant, by name or id
    tenant: String,
    /// The file; `.json` for JSON, anything else is CSV
    file: PathBuf,
    /// Say what would happen, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// On behalf of this member
    #[arg(long, value_name = "USER")]
    acting_user: Option<String>,
}

/// Sends the file.
///
/// # Errors
/// The file cannot be read, the API refuses, or a row was refused.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let shown = clean(&args.file.display().to_string());
    let text = std::fs::read_to_string(&args.file)
        .map_err(|error| Failure::usage(format!("`{shown}` cannot be read: {error}")))?;
    let is_json = args.file.extension().is_some_and(|end| end == "json");
    let rows = if is_json { serde_json::from_str(&text).map_err(|error| error.to_string()) } else { csv(&text) };
    let rows = rows.map_err(|error| Failure::usage(format!("`{shown}` cannot be read: {error}")))?;
    let mut all: Option<MemberImportReport> = None;
    for (place, chunk) in rows.chunks(MOST).enumerate() {
        let import = MemberImport {
            rows: chunk.to_vec(),
            dry_run: args.dry_run.then_some(true),
            acting_user: args.acting_user.clone(),
        };
        let mut report = session.client.import_members(&args.tenant, &import).await?;
        for row in &mut report.rows {
            row.row += place * MOST;
        }
        match &mut all {
            None => all = Some(report),
            Some(all) => add(all, report),
        }
    }
    let Some(report) = all else { return Err(Failure::usage(format!("`{shown}` holds no row"))) };
    show(session, &report)?;
    if report.refused == 0 {
        return Ok(());
    }
    let refused = Failure::usage(format!("{} of {} row(s) were refused", report.refused, report.rows.len()));
    Err(refused.hint("Correct those rows and import the file again; what is done already stays as it is."))
}

fn add(all: &mut MemberImportReport, more: MemberImportReport) {
    all.added += more.added;
    all.changed += more.changed;
    all.removed += more.removed;
    all.unchanged += more.unchanged;
    all.refused += more.refused;
    all.rows.extend(more.rows);
}

fn show(session: &Session, report: &MemberImportReport) -> Result<()> {
    if session.output.format().is_document() {
        return session.output.document(report);
    }
    let told = report.rows.iter().filter(|row| row.outcome != "unchanged");
    let rows: Vec<_> = told
        .map(|row| {
            let why = row.message.clone().unwrap_or_default();
            vec![row.row.to_string(), row.outcome.clone(), row.code.clone().unwrap_or_default(), why]
        })
        .collect();
    if !rows.is_empty() {
        session.output.table(&["ROW", "OUTCOME", "CODE", "WHY"], rows)?;
    }
    let prefix = if report.dry_run { "would be " } else { "" };
    session.output.line(&format!(
        "{prefix}{} added, {} changed, {} removed, {} unchanged, {} refused",
        report.added, report.changed, report.removed, report.unchanged, report.refused
    ))
}

/// Rows of a CSV file (RFC 4180), by the names in its first line. Empty cells count as absent.
fn csv(text: &str) -> std::result::Result<Vec<MemberImportRow>, String> {
    let mut lines = records(text.strip_prefix('\u{feff}').unwrap_or(text))?.into_iter();
    let names = lines.next().ok_or("it is empty")?;
    const KNOWN: [&str; 7] = ["issuer", "pool", "subject", "email", "name", "role", "remove"];
    if let Some(unknown) = names.iter().find(|name| !KNOWN.contains(&name.trim())) {
        return Err(format!("column `{}` is not known; expected {}", clean(unknown), KNOWN.join(", ")));
    }
    let read = |(index, cells): (usize, Vec<String>)| {
        if cells.len() != names.len() {
            return Err(format!("row {} has {} cells, the first line has {}", index + 1, cells.len(), names.len()));
        }
        let mut row = MemberImportRow::default();
        for (name, cell) in names.iter().zip(cells).filter(|(_, cell)| !cell.trim().is_empty()) {
            let cell = cell.trim().to_owned();
            match name.trim() {
                "issuer" => row.issuer = cell,
                "pool" => row.pool = Some(cell),
                "subject" => row.subject = cell,
                "email" => row.email = Some(cell),
                "name" => row.name = Some(cell),
                "role" => row.role = Some(cell),
                _ => {
                    let parsed = cell.parse();
                    row.remove =
                        Some(parsed.map_err(|_| format!("row {}: `remove` must be true or false", index + 1))?);
                }
            }
        }
        Ok(row)
    };
    lines.enumerate().map(read).collect()
}

/// Cells by record. Quoted cells may hold commas, doubled quotes and line breaks.
fn records(text: &str) -> std::result::Result<Vec<Vec<String>>, String> {
    let (mut records, mut record, mut cell) = (Vec::new(), Vec::new(), String::new());
    let (mut is_quoted, mut was_quoted) = (false, false);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' if is_quoted && rest.peek() == Some(&'"') => {
                rest.next();
                cell.push('"');
            }
            '"' if is_quoted => is_quoted = false,
            other if is_quoted => cell.push(other),
            '"' if cell.is_empty() && !was_quoted => (is_quoted, was_quoted) = (true, true),
            ',' => {
                record.push(std::mem::take(&mut cell));
                was_quoted = false;
            }
            '\r' if rest.peek() == Some(&'\n') => {}
            '\n' => {
                record.push(std::mem::take(&mut cell));
                was_quoted = false;
                let done = std::mem::take(&mut record);
                // An empty line is none.
                if done != [""] {
                    records.push(done);
                }
            }
            other => cell.push(other),
        }
    }
    if is_quoted {
        return Err("a quoted cell does not end".to_owned());
    }
    if !cell.is_empty() || !record.is_empty() {
        record.push(cell);
        records.push(record);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use super::*;

    #[test]
    fn csv_is_read_by_its_names() {
        let text = "subject,issuer,email,name,role,remove\r\n1,https://i,a@example.com,\"Lee, \"\"Anna\"\"\nX\",member,\r\n\n2,https://i,,,,true";
        let rows = csv(text).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].subject.as_str(), rows[0].name.as_deref()), ("1", Some("Lee, \"Anna\"\nX")));
        assert_eq!((rows[0].role.as_deref(), rows[0].remove), (Some("member"), None));
        assert_eq!((rows[1].email.as_deref(), rows[1].remove), (None, Some(true)));
        for (wrong, why) in [
            ("", "empty"),
            ("subject,colour\n1,red", "colour"),
            ("subject,issuer\n1", "1 cells"),
            ("subject,remove\n1,perhaps", "true or false"),
            ("subject\n\"1", "does not end"),
        ] {
            let error = csv(wrong).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
