//! Usage: what became of a batch, reports as JSON and as CSV.

use std::collections::BTreeMap;

use tenantry_api::parse::usage::UsageFault;
use tenantry_api::v1::usage::{UsageAnswer, UsageError, UsageRanking, UsageReport, UsageShare, UsageWindow};
use tenantry_control::usage::{Counted, Ranking, Report};

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// What became of a batch.
#[must_use]
pub fn answer(counted: Counted) -> UsageAnswer {
    let error = |fault: UsageFault| UsageError {
        index: number(fault.index),
        id: fault.id,
        code: fault.code.to_string(),
        field: fault.field,
        message: fault.message,
    };
    UsageAnswer {
        accepted: number(counted.accepted),
        duplicates: number(counted.duplicates),
        refused: number(counted.faults.len()),
        errors: counted.faults.into_iter().map(error).collect(),
    }
}

/// What a tenant used.
#[must_use]
pub fn report(report: &Report) -> UsageReport {
    let query = &report.query;
    let items = report.rows.iter().map(|row| UsageWindow {
        from: row.from,
        to: query.window.end(row.from),
        value: row.value.to_string(),
        events: row.events,
        dimensions: serde_json::from_str(&row.dimensions).unwrap_or_default(),
    });
    UsageReport {
        tenant: report.tenant.to_string(),
        meter: query.meter.to_string(),
        unit: report.meter.unit.clone(),
        aggregation: query.aggregation.as_str().to_owned(),
        window: query.window.as_str().to_owned(),
        from: query.from,
        to: query.to,
        items: items.collect(),
        is_cut: report.is_cut,
    }
}

/// What tenants used.
#[must_use]
pub fn ranking(ranking: &Ranking) -> UsageRanking {
    let query = &ranking.query;
    let items = ranking.shares.iter().map(|share| UsageShare {
        id: share.tenant.to_string(),
        tenant: share.slug.to_string(),
        value: share.value.to_string(),
        events: share.events,
    });
    UsageRanking {
        meter: query.meter.to_string(),
        unit: ranking.meter.unit.clone(),
        aggregation: query.aggregation.as_str().to_owned(),
        from: query.from,
        to: query.to,
        items: items.collect(),
    }
}

/// A report as CSV (RFC 4180), one line for each window; dimensions have a column each.
#[must_use]
pub fn report_csv(report: &UsageReport, group: &[String]) -> String {
    let mut heading: Vec<&str> = vec!["tenant", "meter", "unit", "from", "to", "value", "events"];
    heading.extend(group.iter().map(String::as_str));
    let mut text = line(heading);
    let none: BTreeMap<String, String> = BTreeMap::new();
    for item in &report.items {
        let (from, to, events) = (item.from.to_string(), item.to.to_string(), item.events.to_string());
        let mut fields: Vec<&str> = vec![&report.tenant, &report.meter, &report.unit, &from, &to, &item.value, &events];
        let dimensions = if item.dimensions.is_empty() { &none } else { &item.dimensions };
        fields.extend(group.iter().map(|name| dimensions.get(name).map_or("", String::as_str)));
        text.push_str(&line(fields));
    }
    text
}

/// A ranking as CSV.
#[must_use]
pub fn ranking_csv(ranking: &UsageRanking) -> String {
    let mut text = line(vec!["tenant", "id", "meter", "unit", "from", "to", "value", "events"]);
    let (from, to) = (ranking.from.to_string(), ranking.to.to_string());
    for item in &ranking.items {
        let events = item.events.to_string();
        let fields: Vec<&str> =
            vec![&item.tenant, &item.id, &ranking.meter, &ranking.unit, &from, &to, &item.value, &events];
        text.push_str(&line(fields));
    }
    text
}

fn line(fields: Vec<&str>) -> String {
    let mut line = fields.into_iter().map(field).collect::<Vec<_>>().join(",");
    line.push_str("\r\n");
    line
}

/// Quoted where it has to be. What a table program would take for a formula is led by a quote: dimensions are texts of
/// tenants' users.
fn field(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_csv_are_quoted_and_no_formulas() {
        assert_eq!(line(vec!["a", "b,c", "d\"e", "", "=1+1"]), "a,\"b,c\",\"d\"\"e\",,'=1+1\r\n");
    }
}
