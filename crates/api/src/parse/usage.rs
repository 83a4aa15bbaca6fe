//! Meters, and usage events in the JSON form of CloudEvents 1.0.
//!
//! A batch is read event by event: one that is wrong is answered by itself, and the others are counted.

use serde_json::{Map, Value};
use tenantry_domain::Timestamp;
use tenantry_domain::code::Code;
use tenantry_domain::limit::QuotaName;
use tenantry_domain::name::MeterName;
use tenantry_domain::usage::{Aggregation, Field, MeterSpec};

use super::bounds::parse_time;
use super::read::{Node, Report, shorten};
use super::request::json;
use crate::problem::Rejection;

/// Most events of one call.
pub const MOST: usize = 1_000;

/// Most bytes of an event's id and of its source.
pub const LONGEST: usize = 256;

/// Reads a meter's `spec`.
pub(super) fn meter(node: &Node<'_>, report: &Report) -> Option<MeterSpec> {
    let object = node.object(report)?;
    let description = object.optional("description", |node| node.line(report, 1000));
    let unit = object.required("unit").and_then(|node| node.line(report, 50));
    let words = Aggregation::ALL.map(|aggregation| (aggregation.as_str(), aggregation));
    let aggregation = object.required("aggregation").and_then(|node| node.word(report, &words));
    let value = object.optional("value", |node| node.parse::<Field>(report));
    let dimensions = object.or("dimensions", Vec::new(), |node| dimensions(node, report));
    let quota = object.optional("quota", |node| quota(node, report));
    if let (Some(aggregation), Some(None)) = (aggregation, &value)
        && aggregation != Aggregation::Sum
    {
        report.add(object.field("value"), "is required, unless `aggregation` is sum: then each event counts one");
    }
    if let (Some(aggregation), Some(Some(_))) = (aggregation, &quota)
        && aggregation != Aggregation::Sum
    {
        report.add(object.field("quota"), "goes with `aggregation: sum` only; a quota counts up");
    }
    object.finish();
    Some(MeterSpec {
        description: description?,
        unit: unit?,
        aggregation: aggregation?,
        value: value?,
        dimensions: dimensions?,
        quota: quota?,
    })
}

fn dimensions(node: &Node<'_>, report: &Report) -> Option<Vec<Field>> {
    let fields = node.list(report, MeterSpec::DIMENSIONS, |node| node.parse::<Field>(report))?;
    let mut seen = fields.clone();
    seen.sort();
    if seen.windows(2).any(|pair| pair[0] == pair[1]) {
        node.complain(report, "names a field twice");
        return None;
    }
    Some(fields)
}

fn quota(node: &Node<'_>, report: &Report) -> Option<QuotaName> {
    let name: QuotaName = node.parse(report)?;
    if let Some(what) = name.counted() {
        node.complain(report, format_args!("is counted by Tenantry itself ({what})"));
        return None;
    }
    Some(name)
}

/// An event as it came, with its own place.
#[derive(Debug, Clone, PartialEq)]
pub struct UsageEvent {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// Unique in its source.
    pub id: String,
    /// Who made it.
    pub source: String,
    /// The meter: the event's `type`.
    pub meter: MeterName,
    /// The tenant's slug or id: the event's `subject`.
    pub subject: String,
    /// Its own time.
    pub at: Timestamp,
    /// What is measured.
    pub data: Map<String, Value>,
}

/// Why one event is not counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageFault {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// Its id, where it has one.
    pub id: Option<String>,
    /// What kind of mistake.
    pub code: Code,
    /// The attribute at fault.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// Reads a batch: each event, or what is wrong with it.
///
/// # Errors
/// The body is no list, or too long; then nothing of it was looked at.
pub fn events(bytes: &[u8]) -> Result<Vec<Result<UsageEvent, UsageFault>>, Rejection> {
    let Value::Array(items) = json(bytes, Code::MalformedRequest)? else {
        return Err(Rejection::field(Code::MalformedRequest, "", "a batch is a list of events"));
    };
    if items.len() > MOST {
        let message = format_args!("at most {MOST} events in one call, this has {}", items.len());
        return Err(Rejection::new(Code::BodyTooLarge, message));
    }
    Ok(items.into_iter().enumerate().map(|(index, item)| event(index, item)).collect())
}

/// Reads one event that came by itself.
///
/// # Errors
/// The body is no JSON.
pub fn single(bytes: &[u8]) -> Result<Result<UsageEvent, UsageFault>, Rejection> {
    Ok(event(0, json(bytes, Code::MalformedRequest)?))
}

/// Reads one event. Attributes that are not asked for are let be, as CloudEvents wants it.
fn event(index: usize, value: Value) -> Result<UsageEvent, UsageFault> {
    let Value::Object(mut members) = value else {
        let message = "an event is a mapping".to_owned();
        return Err(UsageFault { index, id: None, code: Code::UsageEvent, field: String::new(), message });
    };
    let data = members.remove("data");
    let id = text(&members, "id").ok().map(ToOwned::to_owned);
    let fault = |field: &str, message: String| UsageFault {
        index,
        id: id.clone(),
        code: Code::UsageEvent,
        field: field.to_owned(),
        message,
    };
    let get = |name: &'static str| text(&members, name).map_err(|message| fault(name, message));
    let version = get("specversion")?;
    if version != "1.0" {
        return Err(fault("specversion", format!("`{}` is not known; expected `1.0`", shorten(version))));
    }
    let (id_text, source, kind, subject, time) =
        (get("id")?, get("source")?, get("type")?, get("subject")?, get("time")?);
    let meter = kind.parse::<MeterName>().map_err(|error| fault("type", error.to_string()))?;
    let at = parse_time(time).map_err(|error| fault("time", error.to_string()))?;
    let data = match data {
        Some(Value::Object(data)) => data,
        None | Some(Value::Null) => Map::new(),
        Some(_) => return Err(fault("data", "must be a mapping".to_owned())),
    };
    Ok(UsageEvent {
        index,
        id: id_text.to_owned(),
        source: source.to_owned(),
        meter,
        subject: subject.to_owned(),
        at,
        data,
    })
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    match members.get(name) {
        Some(Value::String(text)) if text.is_empty() => Err("must not be empty".to_owned()),
        Some(Value::String(text)) if text.len() > LONGEST => Err(format!("must have at most {LONGEST} bytes")),
        Some(Value::String(text)) => Ok(text),
        Some(Value::Null) | None if name == "time" => {
            Err("is required: it says in which hour the event counts, and a repetition repeats it".to_owned())
        }
        Some(Value::Null) | None => Err("is required".to_owned()),
        Some(_) => Err("must be a text".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(spec: Value) -> Result<MeterSpec, Vec<String>> {
        let report = Report::new();
        let read = meter(&Node::root(&spec), &report);
        let complaints: Vec<_> = report.into_complaints().into_iter().map(|error| error.field).collect();
        read.filter(|_| complaints.is_empty()).ok_or(complaints)
    }

    #[test]
    fn a_meter_says_what_it_reads() {
        assert!(read(json!({ "unit": "request", "aggregation": "sum" })).is_ok());
        let tokens = json!({ "unit": "token", "aggregation": "sum", "value": "tokens", "dimensions": ["model"], "quota": "tokens" });
        assert_eq!(read(tokens).unwrap().dimensions.len(), 1);
        let wrong: [(Value, &[&str]); 6] = [
            (json!({ "aggregation": "mean" }), &["unit", "aggregation"]),
            (json!({ "unit": "u", "aggregation": "max" }), &["value"]),
            (json!({ "unit": "u", "aggregation": "max", "value": "v", "quota": "q" }), &["quota"]),
            (json!({ "unit": "u", "aggregation": "sum", "quota": "users" }), &["quota"]),
            (
                json!({ "unit": "u", "aggregation": "sum", "dimensions": ["a", "b", "c", "d", "e", "f"] }),
                &["dimensions"],
            ),
            (json!({ "unit": "u", "aggregation": "sum", "dimensions": ["a", "a"], "x": 1 }), &["dimensions", "x"]),
        ];
        for (spec, fields) in wrong {
            assert_eq!(read(spec.clone()).unwrap_err(), fields, "{spec}");
        }
    }

    fn sample() -> Value {
        json!({
            "specversion": "1.0", "id": "e-1", "source": "/api", "type": "api-calls", "subject": "acme",
            "time": "2027-03-31T12:00:00Z", "data": { "bytes": 5 }, "extension": true, "datacontenttype": "application/json",
        })
    }

    #[test]
    fn each_event_is_judged_by_itself() {
        let mut late = sample();
        late["time"] = Value::Null;
        let mut old = sample();
        old["specversion"] = json!("0.3");
        let batch = json!([sample(), late, 7, old, { "specversion": "1.0", "id": "" }]).to_string();
        let found = events(batch.as_bytes()).unwrap();
        assert_eq!(found[0].as_ref().unwrap().meter.as_str(), "api-calls");
        let faults: Vec<_> = found[1..].iter().map(|found| found.as_ref().unwrap_err().field.as_str()).collect();
        assert_eq!(faults, ["time", "", "specversion", "id"]);
        assert_eq!(found[1].as_ref().unwrap_err().id.as_deref(), Some("e-1"));
    }

    #[test]
    fn a_batch_is_a_bounded_list() {
        assert_eq!(events(b"{}").unwrap_err().code, Code::MalformedRequest);
        assert_eq!(events(b"[").unwrap_err().code, Code::MalformedRequest);
        assert_eq!(events(b"[]").unwrap(), []);
        let many = Value::Array(vec![sample(); MOST + 1]).to_string();
        assert_eq!(events(many.as_bytes()).unwrap_err().code, Code::BodyTooLarge);
        assert!(single(sample().to_string().as_bytes()).unwrap().is_ok());
    }
}
