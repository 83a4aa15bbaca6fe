//! What a column may be given: the canary in several shapes first, then plain values, until one passes the checks.
//!
//! Pure. A value that carries the canary says by which text it is recognised when it comes back.

use crate::canary::Mark;
use crate::model::{Base, Column};

/// A text canary shorter than this could come back by chance.
const SHORTEST: u32 = 8;
/// A number with fewer digits could come back by chance.
const FEWEST_DIGITS: u32 = 9;

/// One value to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// As the server reads it.
    pub text: String,
    /// What to look for in answers; absent for plain values.
    pub needle: Option<String>,
}

impl Candidate {
    fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), needle: None }
    }

    fn marked(text: impl Into<String>, needle: impl Into<String>) -> Self {
        Self { text: text.into(), needle: Some(needle.into()) }
    }
}

/// The values to try for a column, best first. Empty when no value of the type is known.
pub(crate) fn candidates(column: &Column, mark: &Mark, checks: &[&str]) -> Vec<Candidate> {
    let mut list = of_base(&column.base, mark);
    // What a check compares with is often what it accepts.
    for check in checks.iter().copied().chain(column.domain_checks.iter().map(String::as_str)) {
        list.extend(literals(check).into_iter().take(8).map(Candidate::plain));
    }
    list
}

pub(crate) fn of_base(base: &Base, mark: &Mark) -> Vec<Candidate> {
    let token = &mark.text;
    match base {
        Base::Text(bound) => texts(*bound, token),
        Base::Uuid => {
            let id = mark.uuid().to_string();
            vec![Candidate::marked(&id, &id)]
        }
        Base::Int(digits) => {
            let number = mark.number(*digits).to_string();
            let first =
                if *digits >= FEWEST_DIGITS { Candidate::marked(&number, &number) } else { Candidate::plain(number) };
            vec![first, Candidate::plain("1"), Candidate::plain("0"), Candidate::plain("10"), Candidate::plain("100")]
        }
        Base::Bytes => {
            let hex: String = token.bytes().map(|byte| format!("{byte:02x}")).collect();
            vec![Candidate::marked(["\\x", &hex].concat(), hex)]
        }
        Base::Json => vec![
            Candidate::marked(["{\"canary\": \"", token, "\"}"].concat(), token),
            Candidate::marked(["[\"", token, "\"]"].concat(), token),
            Candidate::marked(["\"", token, "\""].concat(), token),
            Candidate::plain("{}"),
            Candidate::plain("[]"),
        ],
        Base::Xml => vec![Candidate::marked(["<canary>", token, "</canary>"].concat(), token)],
        Base::Hstore => vec![Candidate::marked(["canary=>", token].concat(), token)],
        Base::Moment => {
            let (moment, tail) = mark.moment();
            vec![Candidate::marked(moment, tail), Candidate::plain("2001-01-01"), Candidate::plain("2040-01-01")]
        }
        Base::Bool => vec![Candidate::plain("true"), Candidate::plain("false")],
        Base::Enum(labels) => labels.iter().take(8).map(Candidate::plain).collect(),
        Base::Address => {
            let id = mark.uuid().simple().to_string();
            let groups: Vec<String> = (0..7).map(|group| ["1", &id[group * 4 + 1..group * 4 + 4]].concat()).collect();
            let address = ["fd00:", &groups.join(":")].concat();
            vec![Candidate::marked(&address, &address), Candidate::plain("10.0.0.1")]
        }
        Base::Array(element) => {
            let wrap = |one: Candidate| Candidate { text: array(&one.text), needle: one.needle };
            of_base(element, mark).into_iter().map(wrap).chain([Candidate::plain("{}")]).collect()
        }
        Base::Other(name) => fixed(name).into_iter().map(Candidate::plain).collect(),
    }
}

fn texts(bound: Option<u32>, token: &str) -> Vec<Candidate> {
    let fits = |text: &str| bound.is_none_or(|bound| text.chars().count() <= bound as usize);
    let mut list = Vec::new();
    for (before, after) in [("", ""), ("", "@canary.example"), ("https://", ".example/"), ("C", "")] {
        let text = [before, token, after].concat();
        if fits(&text) {
            list.push(Candidate::marked(text, token));
        }
    }
    if let Some(bound) = bound.filter(|bound| (*bound as usize) < token.len()) {
        let short = &token[token.len() - bound as usize..];
        let one = if bound >= SHORTEST { Candidate::marked(short, short) } else { Candidate::plain(short) };
        list.push(one);
    }
    list.extend(["1", "a", "A", "canary", "2001-01-01"].into_iter().filter(|text| fits(text)).map(Candidate::plain));
    list
}

fn array(element: &str) -> String {
    ["{\"", &element.replace('\\', "\\\\").replace('"', "\\\""), "\"}"].concat()
}

/// Values of types that hold no canary.
fn fixed(name: &str) -> Vec<&'static str> {
    match name {
        "date" | "timestamp" | "timestamptz" => vec!["2031-03-04", "2001-01-01"],
        "time" | "timetz" => vec!["12:00"],
        "interval" => vec!["1 day"],
        "money" | "oid" | "float4" => vec!["1"],
        "cidr" => vec!["10.0.0.0/8"],
        "macaddr" => vec!["08:00:2b:01:02:03"],
        "macaddr8" => vec!["08:00:2b:01:02:03:04:05"],
        "point" => vec!["(1,1)"],
        "lseg" | "box" | "path" => vec!["(1,1),(2,2)"],
        "line" => vec!["{1,1,1}"],
        "polygon" => vec!["(1,1),(2,2),(3,1)"],
        "circle" => vec!["<(1,1),1>"],
        "varbit" | "bit" | "tsquery" | "char" => vec!["1"],
        "regclass" => vec!["pg_catalog.pg_class"],
        "regtype" => vec!["text"],
        "pg_lsn" => vec!["0/1"],
        range if range.ends_with("multirange") => vec!["{}"],
        range if range.ends_with("range") => vec!["empty"],
        _ => Vec::new(),
    }
}

/// Quoted texts and bare numbers of an expression, as the server writes it.
pub(crate) fn literals(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('\'') {
        let Some((literal, behind)) = after.split_once('\'') else { break };
        found.push(literal.to_owned());
        rest = behind;
    }
    let digits = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.parse::<i64>().is_ok());
    found.extend(digits.map(ToOwned::to_owned));
    found
}

/// The first value of a partition's bound for each key column: the least of a range, the first of a list. Absent for
/// hashes, defaults, and ranges without a lower end.
pub(crate) fn first_of_bound(bound: &str) -> Option<Vec<String>> {
    let list = bound.split_once("FROM (").or_else(|| bound.split_once("IN ("))?.1;
    let mut values = vec![String::new()];
    let mut quoted = false;
    for c in list.chars() {
        match c {
            '\'' => quoted = !quoted,
            ')' if !quoted => break,
            ',' if !quoted => values.push(String::new()),
            ' ' if !quoted => {}
            other => values.last_mut()?.push(other),
        }
    }
    let open = values.iter().any(|value| matches!(value.as_str(), "MINVALUE" | "MAXVALUE" | "NULL" | ""));
    (!open).then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_give_their_first_values() {
        assert_eq!(first_of_bound("FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')"), Some(vec!["2024-01-01".into()]));
        assert_eq!(first_of_bound("FOR VALUES IN ('a, b', 'c')"), Some(vec!["a, b".into(), "c".into()]));
        assert_eq!(first_of_bound("FOR VALUES FROM (1, 'x') TO (2, 'y')"), Some(vec!["1".into(), "x".into()]));
        for open in ["DEFAULT", "FOR VALUES WITH (modulus 4, remainder 1)", "FOR VALUES FROM (MINVALUE) TO (1)"] {
            assert_eq!(first_of_bound(open), None, "{open}");
        }
    }

    #[test]
    fn checks_give_what_they_compare_with() {
        let check = "CHECK ((state = ANY (ARRAY['open'::text, 'closed'::text])) AND (weight > 5))";
        assert_eq!(literals(check), ["open", "closed", "5"]);
    }

    #[test]
    fn a_short_text_is_no_canary() {
        let key = crate::CanaryKey::new([7; 32]);
        let mark = key.mark(uuid::Uuid::nil(), "app.t", "c", 0);
        assert!(texts(Some(4), &mark.text).iter().all(|one| one.needle.is_none()));
        assert!(texts(Some(8), &mark.text)[0].needle.is_some());
        let array = of_base(&Base::Array(Box::new(Base::Text(None))), &mark);
        assert_eq!(array[0].needle.as_deref(), Some(mark.text.as_str()));
    }
}
