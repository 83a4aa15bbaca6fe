//! Rules about the input itself and about allowances.

use super::Severity::Error;
use super::{ALL, Example, Rule};

pub const RULES: &[Rule] = &[
    Rule {
        id: "TL001",
        severity: Error,
        tiers: ALL,
        title: "the statement cannot be parsed",
        explanation: "PostgreSQL's own grammar refuses the text, so nothing can be said about it. Placeholders of \
                      drivers (`?`, `%s`, `%(name)s`, `:name`) and commands of psql are understood.",
        bad: "SELECT FROM WHERE id = $1",
        good: "SELECT id FROM orders WHERE tenant_id = $1",
        example: Example::Plain,
    },
    Rule {
        id: "TL002",
        severity: Error,
        tiers: ALL,
        title: "the statement is too large or nested too deeply",
        explanation: "A statement beyond the bounds is not parsed: its tree might not fit into memory or onto the \
                      stack. Split it.",
        bad: "SELECT ((((((((((((((((((((((((((((((((((((((((1))))))))))))))))))))))))))))))))))))))))",
        good: "SELECT ((1))",
        example: Example::Shallow,
    },
    Rule {
        id: "TL003",
        severity: Error,
        tiers: ALL,
        title: "a part of the statement cannot be judged",
        explanation: "A table is named in a place that the analysis does not follow, a body has a statement that cannot be \
                      read, or text is put together and executed at run time. What cannot be judged is not passed: write \
                      it plainly, or allow it with a reason.",
        bad: "SELECT 1 WHERE EXISTS (SELECT 1 WHERE EXISTS (SELECT 1 WHERE EXISTS (SELECT 1 WHERE EXISTS (SELECT 1 \
              FROM countries))))",
        good: "SELECT 1 WHERE EXISTS (SELECT 1 FROM countries)",
        example: Example::Shallow,
    },
    Rule {
        id: "TL004",
        severity: Error,
        tiers: ALL,
        title: "an entry of the allow-list is of no use any more",
        explanation: "The entry matches no finding, or has expired. The list only shrinks: remove the entry, for \
                      example with `--update-allow-list`.",
        bad: "SELECT id FROM orders WHERE tenant_id = $1",
        good: "SELECT count(*) FROM orders",
        example: Example::Allow("[[allow]]\nrule = \"TL101\"\nfile = \"*\"\nreason = \"counted for the invoice\"\n"),
    },
    Rule {
        id: "TL005",
        severity: Error,
        tiers: ALL,
        title: "an allowance in a comment is malformed or of no use",
        explanation: "Write `-- tenantry:allow TL101 reason`, on the line before the statement or inside of it. It \
                      holds for that one statement. The reason is for the next reader and must not be missing; an \
                      allowance that allows nothing hides the next mistake.",
        bad: "-- tenantry:allow TL101\nSELECT count(*) FROM orders",
        good: "-- tenantry:allow TL101 the invoice counts the rows of all tenants\nSELECT count(*) FROM orders",
        example: Example::Plain,
    },
];
