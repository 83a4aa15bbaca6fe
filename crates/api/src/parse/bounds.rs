//! Grammars and bounds that several kinds of object share.

use jiff::SignedDuration;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;
use tenantry_domain::Timestamp;
use tenantry_domain::quantity::Quantity;

use super::read::{Node, Report, shorten};

/// Reads a moment: RFC 3339, or a date, which means its first second in UTC.
///
/// # Errors
/// What would be right.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    let wrong = || format!("`{}` is not a time; expected `2027-03-31` or `2027-03-31T12:00:00Z`", shorten(text));
    // Fewer than ten characters cannot be either; more than forty are no longer a time somebody wrote.
    if !(10..=40).contains(&text.len()) {
        return Err(wrong());
    }
    let time = text
        .parse::<Timestamp>()
        .or_else(|_| text.parse::<Date>().and_then(|date| date.to_zoned(TimeZone::UTC)).map(|zoned| zoned.timestamp()))
        .map_err(|_| wrong())?;
    // The years that every database, calendar and reader of ours agree on.
    let year = time.to_zoned(TimeZone::UTC).year();
    if (1970..=9998).contains(&year) { Ok(time) } else { Err("must lie between the years 1970 and 9998".to_owned()) }
}

/// Reads a span: a whole number with `s`, `m`, `h` or `d`.
///
/// # Errors
/// What would be right.
pub fn parse_duration(text: &str) -> Result<SignedDuration, String> {
    let wrong = || {
        format!(
            "`{}` is not a span; expected a whole number with a unit, such as `30s`, `15m`, `24h` or `7d`",
            shorten(text)
        )
    };
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let number: i64 = digits.parse().map_err(|_| wrong())?;
    Ok(SignedDuration::from_secs(number * seconds))
}

/// Whole days, `30d`, 1 to 36,500.
pub(super) fn days(node: &Node<'_>, report: &Report) -> Option<u32> {
    node.check(report, |text| {
        let digits = text.strip_suffix('d').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        let days = digits.and_then(|digits| digits.parse::<u32>().ok()).filter(|days| (1..=36_500).contains(days));
        days.ok_or_else(|| format!("`{}` is not a number of days between `1d` and `36500d`", shorten(text)))
    })
}

pub(super) fn time(node: &Node<'_>, report: &Report) -> Option<Timestamp> {
    node.check(report, parse_time)
}

/// An amount; plain numbers may stand without quotes.
pub(super) fn quantity(node: &Node<'_>, report: &Report) -> Option<Quantity> {
    amount(node, report, str::parse)
}

/// An amount that names its period.
pub(super) fn rate(node: &Node<'_>, report: &Report) -> Option<Quantity> {
    amount(node, report, Quantity::parse_rate)
}

fn amount<E: std::fmt::Display>(
    node: &Node<'_>,
    report: &Report,
    read: impl Fn(&str) -> Result<Quantity, E>,
) -> Option<Quantity> {
    let text = match node.value() {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => {
            node.complain(report, "expected an amount such as 100, `50Gi`, `1000/min` or `unlimited`");
            return None;
        }
    };
    if text.len() > 64 {
        node.complain(report, "must have at most 64 characters");
        return None;
    }
    read(&text).map_err(|error| node.complain(report, error)).ok()
}

/// Names of quotas, limits and features: letters first, then letters, digits, `_`, `.`, `-`; at most 63.
pub(super) fn key(name: &str, node: &Node<'_>, report: &Report) -> Option<String> {
    let mut characters = name.chars();
    let is_led = characters.next().is_some_and(|c| c.is_ascii_alphabetic());
    let is_word = is_led && characters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if is_word && name.len() <= 63 {
        return Some(name.to_owned());
    }
    node.complain(report, "the name must begin with a letter and hold at most 63 of a-z, A-Z, 0-9, `_`, `.` and `-`");
    None
}

/// A feature: a flag, or a small value of the app's own.
pub(super) fn feature(node: &Node<'_>, report: &Report) -> Option<Value> {
    const MAX: usize = 4096;
    let size = node.value().to_string().len();
    if size > MAX {
        node.complain(report, format_args!("must take at most {MAX} bytes as JSON, this takes {size}"));
        return None;
    }
    Some(node.value().clone())
}

/// A name of PostgreSQL's own grammar, unquoted: what people type without thinking of case.
pub(super) fn identifier(text: &str) -> Result<String, String> {
    let mut characters = text.chars();
    let is_led = characters.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_');
    let is_plain = is_led && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_plain && text.len() <= 63 {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{}` is not a plain SQL name: at most 63 of a-z, 0-9 and `_`, not beginning with a digit",
        shorten(text)
    ))
}

/// How many mappings and lists stand inside each other.
pub(super) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// Complains about the second of two equal items.
pub(super) fn unique<T: PartialEq>(items: &[T], path: &str, report: &Report) -> bool {
    let mut is_unique = true;
    for (index, item) in items.iter().enumerate() {
        if let Some(first) = items[..index].iter().position(|earlier| earlier == item) {
            report.add(format!("{path}[{index}]"), format_args!("is given twice, first at [{first}]"));
            is_unique = false;
        }
    }
    is_unique
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_spans() {
        assert_eq!(parse_time("2027-03-31").unwrap().to_string(), "2027-03-31T00:00:00Z");
        assert_eq!(parse_time("2027-03-31T02:00:00+02:00").unwrap().to_string(), "2027-03-31T00:00:00Z");
        for bad in [
            "",
            "tomorrow",
            "2027-13-01",
            "2027-02-30",
            "31.03.2027",
            "1969-12-31",
            "9999-01-01",
            "2027-03-31T25:00:00Z",
        ] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_duration("7d").unwrap(), SignedDuration::from_hours(168));
        assert_eq!(parse_duration("30s").unwrap().as_secs(), 30);
        for bad in ["", "d", "7", "-7d", "1.5h", "7 d", "9999999999d", "7w", "７d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sql_names() {
        for good in ["tenant_id", "_x", "a1"] {
            assert!(identifier(good).is_ok(), "{good}");
        }
        for bad in ["", "Tenant", "1a", "a-b", "a\"b", "a b", "tenant.id", &"a".repeat(64)] {
            assert!(identifier(bad).is_err(), "{bad}");
        }
    }
}
