//! Statements out of logs: rows of `pg_stat_statements`, and the server's own log as CSV or JSON.
//!
//! INVARIANT: a record that holds no statement is passed over; a text that is no such log at all is an error.

use serde_json::Value;

use super::csv;
use crate::finding::Origin;

/// What a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Whatever it looks like.
    Auto,
    /// `pg_stat_statements` as CSV with a header that has `query`.
    StatementsCsv,
    /// `pg_stat_statements` as a JSON array, or as one object per line, with `query`.
    StatementsJson,
    /// `log_destination = csvlog`.
    Csvlog,
    /// `log_destination = jsonlog`.
    Jsonlog,
}

/// Why a text is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The header is missing a column.
    #[error("the header has no column `query`")]
    NoQuery,
    /// A record of the server's log has too few fields.
    #[error("line {line} has {fields} fields, a record of csvlog has at least {CSVLOG_MIN}")]
    Short {
        /// The record's line.
        line: usize,
        /// Its fields.
        fields: usize,
    },
    /// A line is no JSON.
    #[error("line {line} is no JSON")]
    Json {
        /// The line.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Fields of a record of csvlog in PostgreSQL 13; later versions append.
const CSVLOG_MIN: usize = 23;
const USER: usize = 1;
const MESSAGE: usize = 13;
const APPLICATION: usize = 22;

/// A statement with the line of its record.
pub type Logged = (usize, String, Origin);

/// The statements of a log.
///
/// # Errors
/// The text is no log of that format.
pub fn records(text: &str, format: Format) -> Result<Vec<Logged>, LogError> {
    match format {
        Format::Auto => records(text, guess(text)),
        Format::StatementsCsv => statements_csv(text),
        Format::Csvlog => csvlog(text),
        Format::StatementsJson | Format::Jsonlog => json(text),
    }
}

fn guess(text: &str) -> Format {
    let first = text.trim_start();
    if first.starts_with('[') || first.starts_with('{') {
        return Format::Jsonlog;
    }
    let header = csv::read(text.lines().next().unwrap_or_default());
    let has_query = header.first().is_some_and(|record| column(&record.fields, "query").is_some());
    if has_query { Format::StatementsCsv } else { Format::Csvlog }
}

fn column(header: &[String], name: &str) -> Option<usize> {
    header.iter().position(|field| field.trim().eq_ignore_ascii_case(name))
}

fn statements_csv(text: &str) -> Result<Vec<Logged>, LogError> {
    let mut records = csv::read(text).into_iter();
    let header = records.next().map(|record| record.fields).unwrap_or_default();
    let query = column(&header, "query").ok_or(LogError::NoQuery)?;
    let calls = column(&header, "calls");
    let caller = ["application_name", "rolname", "usename", "user", "userid"].iter().find_map(|it| column(&header, it));
    let mut found = Vec::new();
    for record in records {
        let field = |index: Option<usize>| index.and_then(|index| record.fields.get(index)).filter(|it| !it.is_empty());
        if let Some(sql) = field(Some(query)) {
            let origin = Origin {
                calls: field(calls).and_then(|calls| calls.parse().ok()).unwrap_or(1),
                caller: field(caller).cloned(),
            };
            found.push((record.line, sql.clone(), origin));
        }
    }
    Ok(found)
}

fn csvlog(text: &str) -> Result<Vec<Logged>, LogError> {
    let mut found = Vec::new();
    for record in csv::read(text) {
        if record.fields.len() < CSVLOG_MIN {
            return Err(LogError::Short { line: record.line, fields: record.fields.len() });
        }
        if let Some(sql) = statement(&record.fields[MESSAGE]) {
            let caller = [APPLICATION, USER].into_iter().map(|at| &record.fields[at]).find(|it| !it.is_empty());
            found.push((record.line, sql.to_owned(), Origin { calls: 1, caller: caller.cloned() }));
        }
    }
    Ok(found)
}

/// The statement in a message of the server: `statement: …`, `execute name: …`, after `duration: …` or not.
fn statement(message: &str) -> Option<&str> {
    let message = match message.strip_prefix("duration: ") {
        Some(rest) => rest.split_once(" ms").map(|(_, rest)| rest.trim_start())?,
        None => message,
    };
    if let Some(sql) = message.strip_prefix("statement: ") {
        return Some(sql);
    }
    // `parse` and `bind` of the same statement come beside its `execute`.
    let rest = message.strip_prefix("execute ")?;
    rest.split_once(": ").map(|(_, sql)| sql)
}

fn json(text: &str) -> Result<Vec<Logged>, LogError> {
    if text.trim_start().starts_with('[') {
        let rows: Vec<Value> = serde_json::from_str(text).map_err(|source| LogError::Json { line: 1, source })?;
        // The array says nothing about lines; a row is found by its number.
        return Ok(rows.iter().enumerate().filter_map(|(index, row)| logged(row, index + 1)).collect());
    }
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let row: Value = serde_json::from_str(line).map_err(|source| LogError::Json { line: index + 1, source })?;
        found.extend(logged(&row, index + 1));
    }
    Ok(found)
}

fn logged(row: &Value, line: usize) -> Option<Logged> {
    let text = |name: &str| row.get(name).and_then(Value::as_str).filter(|it| !it.is_empty());
    let sql = match text("query") {
        Some(sql) => sql,
        None => text("message").and_then(statement)?,
    };
    let calls = row.get("calls").and_then(Value::as_u64).unwrap_or(1);
    let caller = ["application_name", "rolname", "user", "usename"].iter().find_map(|name| text(name));
    Some((line, sql.to_owned(), Origin { calls, caller: caller.map(str::to_owned) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_server_are_understood() {
        for (message, sql) in [
            ("statement: SELECT 1", Some("SELECT 1")),
            ("duration: 0.041 ms  statement: SELECT 1", Some("SELECT 1")),
            ("execute <unnamed>: SELECT 1", Some("SELECT 1")),
            ("duration: 12.5 ms  execute s1: SELECT ': '", Some("SELECT ': '")),
            ("duration: 12.5 ms", None),
            ("parse s1: SELECT 1", None),
            ("connection received", None),
        ] {
            assert_eq!(statement(message), sql, "{message}");
        }
    }

    #[test]
    fn formats_are_guessed() {
        assert_eq!(guess("userid,calls,query\n"), Format::StatementsCsv);
        assert_eq!(guess("2026-01-01 00:00:00 UTC,\"app\",\"db\""), Format::Csvlog);
        assert_eq!(guess("{\"timestamp\":"), Format::Jsonlog);
        assert_eq!(guess(" [{"), Format::Jsonlog);
    }

    #[test]
    fn other_texts_are_refused() {
        assert!(matches!(records("a,b\n1,2\n", Format::StatementsCsv), Err(LogError::NoQuery)));
        assert!(matches!(records("a,b\n", Format::Csvlog), Err(LogError::Short { line: 1, fields: 2 })));
        assert!(matches!(records("{}\nx", Format::Jsonlog), Err(LogError::Json { line: 2, .. })));
    }
}
