//! Sends one probe, gathers everything that the server says, and judges it.
//!
//! INVARIANT: each probe runs in a savepoint that is rolled back, whether it succeeded or not.

use futures_util::{SinkExt as _, StreamExt as _, pin_mut};
use tenantry_pg::{PgError, Session, SimpleQueryMessage, Sql};

use crate::search::Canaries;
use crate::statement::{Judge, Statement, Way};

/// More than this of one answer is not searched: with the bounds that statements carry, nothing reaches it.
const ANSWER_MAX: usize = 16 << 20;
/// The most characters of a scrubbed statement in a report.
const SHOWN: usize = 600;

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Rows and COPY data.
    pub rows: String,
    /// Rows given or touched.
    pub count: u64,
    /// The error with all its fields, if there was one.
    pub error: String,
    pub sqlstate: Option<String>,
    pub constraint: Option<String>,
    /// Notices and warnings.
    pub notices: String,
    /// Rows in the answer itself.
    pub returned: u64,
}

/// What a probe means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Nothing,
    Note(String),
    /// In words that hold no value.
    Hit(String),
}

/// Runs one probe. An error means that the transaction cannot be used further.
pub(crate) async fn send(tx: &Session, probe: &Statement) -> Result<Answer, PgError> {
    tx.batch_static("SAVEPOINT tenantry_probe").await?;
    let mut answer = Answer::default();
    let result = match &probe.way {
        Way::Simple => simple(tx, &probe.sql, &mut answer).await,
        Way::CopyOut => copy_out(tx, &probe.sql, &mut answer).await,
        Way::CopyIn(line) => copy_in(tx, &probe.sql, line, &mut answer).await,
    };
    for notice in tx.take_notices() {
        answer.notices.push_str(&notice.message);
        answer.notices.push(' ');
        answer.notices.push_str(notice.detail.as_deref().unwrap_or_default());
        answer.notices.push('\n');
    }
    if let Err(error) = result {
        let Some(db) = error.db() else { return Err(error) };
        answer.error = format!("{db:?}");
        answer.sqlstate = Some(db.code().code().to_owned());
        answer.constraint = db.constraint().map(ToOwned::to_owned);
    }
    tx.batch_static("ROLLBACK TO SAVEPOINT tenantry_probe; RELEASE SAVEPOINT tenantry_probe").await?;
    Ok(answer)
}

async fn simple(tx: &Session, sql: &Sql, answer: &mut Answer) -> Result<(), PgError> {
    for message in tx.simple(sql).await? {
        match message {
            SimpleQueryMessage::Row(row) => {
                answer.returned += 1;
                for column in 0..row.len() {
                    if answer.rows.len() < ANSWER_MAX {
                        answer.rows.push_str(row.try_get(column).ok().flatten().unwrap_or_default());
                        answer.rows.push('|');
                    }
                }
                answer.rows.push('\n');
            }
            SimpleQueryMessage::CommandComplete(count) => answer.count += count,
            _ => {}
        }
    }
    Ok(())
}

async fn copy_out(tx: &Session, sql: &Sql, answer: &mut Answer) -> Result<(), PgError> {
    let stream = tx.copy_out(sql).await?;
    pin_mut!(stream);
    while let Some(bytes) = stream.next().await {
        let bytes = bytes?;
        answer.returned += 1;
        if answer.rows.len() < ANSWER_MAX {
            answer.rows.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    Ok(())
}

async fn copy_in(tx: &Session, sql: &Sql, line: &str, answer: &mut Answer) -> Result<(), PgError> {
    let sink = tx.copy_in(sql).await?;
    pin_mut!(sink);
    sink.send(bytes::Bytes::copy_from_slice(line.as_bytes())).await?;
    answer.count += sink.finish().await?;
    Ok(())
}

/// What the answer means. `seen` is how many rows of the object the tenant sees by a plain query.
pub(crate) fn judge(probe: &Statement, answer: &Answer, canaries: &Canaries, seen: Option<u64>) -> Verdict {
    for (what, text) in [("a row", &answer.rows), ("an error", &answer.error), ("a notice", &answer.notices)] {
        if let Some(needle) = canaries.find(text, &probe.spoken) {
            return Verdict::Hit([what, " held «", &needle.id, "»"].concat());
        }
    }
    let succeeded = answer.sqlstate.is_none();
    match &probe.judge {
        Judge::Canary => Verdict::Nothing,
        Judge::NoRows | Judge::ForeignRow if succeeded && answer.count > 0 => {
            Verdict::Hit(format!("{} rows of the other tenant answered", answer.count))
        }
        // Values that could not be read for the error are values that were reached.
        Judge::NoRows if matches!(answer.sqlstate.as_deref(), Some("22P02" | "22012")) => {
            Verdict::Hit("the error came from a row of the other tenant".to_owned())
        }
        // Policies are asked before keys: where a key answers, the policy had let the row through.
        Judge::ForeignRow if matches!(answer.sqlstate.as_deref(), Some("23505" | "23503" | "23P01")) => {
            let key = answer.constraint.as_deref().unwrap_or("of the table");
            Verdict::Hit(["only the key ", key, " refused a row for the other tenant"].concat())
        }
        Judge::Refused if succeeded => Verdict::Hit("the server did not refuse".to_owned()),
        Judge::Oracle(names) => {
            let broken = answer.constraint.as_ref().is_some_and(|name| names.contains(name));
            if matches!(answer.sqlstate.as_deref(), Some("23505" | "23P01")) && broken {
                Verdict::Hit(["the key ", &names.join(", "), " tells that another tenant holds the value"].concat())
            } else if succeeded && answer.count == 0 {
                Verdict::Hit("the row was left out because another tenant holds the value".to_owned())
            } else {
                Verdict::Nothing
            }
        }
        Judge::Note(text) if succeeded => Verdict::Note((*text).to_owned()),
        Judge::Estimate => estimate(answer, seen),
        _ => Verdict::Nothing,
    }
}

/// What a plan tells about rows that the tenant cannot see.
fn estimate(answer: &Answer, seen: Option<u64>) -> Verdict {
    let rows = answer.rows.split_once("rows=").and_then(|(_, rest)| rest.split(' ').next());
    match (rows.and_then(|rows| rows.parse::<u64>().ok()), seen) {
        (Some(rows), Some(seen)) if rows > 2 * seen + 10 => {
            Verdict::Note(format!("the planner estimates {rows} rows where the tenant sees {seen}"))
        }
        _ => Verdict::Nothing,
    }
}

/// A statement without canaries, cut to a length that can be read.
pub(crate) fn scrubbed(sql: &Sql, secrets: &[(String, String)]) -> String {
    let mut text = sql.as_str().to_owned();
    for (secret, name) in secrets {
        let middle = secret.char_indices().nth(secret.chars().count() / 2).map_or(0, |(at, _)| at);
        let (left, right) = secret.split_at(middle);
        let name = ["«", name, "»"].concat();
        let halves = ["'", left, "' || '", right, "'"].concat();
        text = text.replace(&halves, &["'", &name, "'"].concat()).replace(secret.as_str(), &name);
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => [&text[..at], "…"].concat(),
        None => text,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::report::Verb;
    use crate::search::Needle;

    fn canaries() -> Canaries {
        Canaries::new(vec![Needle { id: "b app.t.c".into(), text: "abcdefghij".into() }]).unwrap()
    }

    fn probe(judge: Judge) -> Statement {
        Statement::new(Verb::Select, Sql::new("SELECT 1")).judged(judge)
    }

    #[test]
    fn canaries_count_wherever_they_come_back() {
        let said = |rows: &str, error: &str, notices: &str| Answer {
            rows: rows.into(),
            error: error.into(),
            notices: notices.into(),
            ..Answer::default()
        };
        for answer in [said("abcdefghij", "", ""), said("", "x abcdefghij", ""), said("", "", "abcdefghij")] {
            let verdict = judge(&probe(Judge::Canary), &answer, &canaries(), None);
            assert!(matches!(&verdict, Verdict::Hit(text) if text.contains("«b app.t.c»")), "{verdict:?}");
        }
    }

    #[test]
    fn each_judge_tells_a_refusal_from_a_success() {
        let done = Answer { count: 1, ..Answer::default() };
        let none = Answer::default();
        let refused = |code: &str| Answer { sqlstate: Some(code.into()), ..Answer::default() };
        let hit = |judged, answer: &Answer| matches!(judge(&probe(judged), answer, &canaries(), None), Verdict::Hit(_));
        assert!(hit(Judge::NoRows, &done) && !hit(Judge::NoRows, &none) && !hit(Judge::NoRows, &refused("42501")));
        assert!(hit(Judge::NoRows, &refused("22012")));
        assert!(hit(Judge::Refused, &none) && !hit(Judge::Refused, &refused("42501")));
        assert!(hit(Judge::ForeignRow, &done) && hit(Judge::ForeignRow, &refused("23505")));
        assert!(!hit(Judge::ForeignRow, &refused("42501")) && !hit(Judge::ForeignRow, &none));
        let oracle = || Judge::Oracle(vec!["t_key".into()]);
        let taken = |name: &str| Answer { constraint: Some(name.into()), ..refused("23505") };
        assert!(hit(oracle(), &taken("t_key")) && !hit(oracle(), &taken("t_pkey")) && hit(oracle(), &none));
        assert!(!hit(oracle(), &done) && !hit(oracle(), &refused("42501")));
    }

    #[test]
    fn a_report_never_shows_a_canary() {
        let sql = Sql::new("SELECT strpos(x, ('abcde' || 'fghij')), 'abcdefghij'");
        let text = scrubbed(&sql, &[("abcdefghij".into(), "b app.t.c".into())]);
        assert_eq!(text, "SELECT strpos(x, ('«b app.t.c»')), '«b app.t.c»'");
    }
}
