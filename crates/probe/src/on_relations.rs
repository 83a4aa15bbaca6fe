//! Probes that read: every way in which a query can reach the rows of a relation, and what locks and alters it.
//!
//! Pure. A statement aimed at the other tenant's rows says their canaries in halves, so that no echo of the statement
//! looks like a leak.

use tenantry_pg::Sql;

use crate::model::{Relation, RelationKind};
use crate::pen::Pen;
use crate::report::Verb;
use crate::statement::{Judge, Statement, Way};

/// What tells rows of the other tenant in a relation: texts that they hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Aim {
    pub pieces: Vec<String>,
    /// The object belongs to the other tenant alone: whatever works on it is a hit.
    pub foreign: bool,
}

/// Rows of a query are cut off here: enough to find a canary, and no burden for anybody.
const ROWS: i64 = 2_000;

/// All probes of one relation that need no values.
pub(crate) fn probes(relation: &Relation, other: Option<&Relation>, aim: &Aim) -> Vec<Statement> {
    if relation.kind == RelationKind::Sequence {
        return sequence(relation, aim);
    }
    let mut list = Vec::new();
    reading(&mut list, relation, other, aim);
    aimed(&mut list, relation, aim);
    if relation.holds_rows() {
        altering(&mut list, relation, aim);
    }
    list
}

/// `before schema.name AS r after`.
fn over(before: &'static str, relation: &Relation, after: &'static str) -> Pen {
    let mut pen = Pen::new(before);
    pen.full(&relation.schema, &relation.name).put(" AS tenantry_row").put(after);
    pen
}

fn limited(mut pen: Pen) -> Sql {
    pen.put(" LIMIT ").int(ROWS);
    pen.done()
}

fn reading(list: &mut Vec<Statement>, relation: &Relation, other: Option<&Relation>, aim: &Aim) {
    use Verb::{Aggregate, CopyTo, Explain, Join, Select};
    let judge = || if aim.foreign { Judge::Refused } else { Judge::Canary };
    let mut add = |verb, sql: Sql| list.push(Statement::new(verb, sql).judged(judge()));
    add(Select, limited(over("SELECT * FROM ", relation, "")));
    add(Select, limited(over("SELECT tenantry_row FROM ", relation, "")));
    add(Select, limited(over("SELECT to_jsonb(tenantry_row) FROM ", relation, "")));
    add(Select, limited(over("WITH seen AS (SELECT * FROM ", relation, ") SELECT * FROM seen")));
    let mut whole = Pen::new("WITH seen AS MATERIALIZED (TABLE ");
    whole.full(&relation.schema, &relation.name).put(") TABLE seen");
    add(Select, limited(whole));
    add(Select, limited(over("SELECT s FROM (SELECT tenantry_row::text AS s FROM ", relation, " OFFSET 0) q")));
    add(Select, limited(over("SELECT l.* FROM (VALUES (1)) v(n), LATERAL (SELECT * FROM ", relation, ") l")));
    let mut twice = over("SELECT * FROM ", relation, " UNION ALL SELECT * FROM ");
    twice.full(&relation.schema, &relation.name);
    add(Select, limited(twice));
    add(
        Select,
        limited(over(
            "SELECT first_value(tenantry_row::text) OVER () , lag(tenantry_row::text) OVER () FROM ",
            relation,
            "",
        )),
    );
    add(
        Aggregate,
        over("SELECT count(*), min(tenantry_row::text), max(tenantry_row::text) FROM ", relation, "").done(),
    );
    add(Aggregate, over("SELECT left(string_agg(tenantry_row::text, ','), 1000000) FROM ", relation, "").done());
    add(Aggregate, over("SELECT (SELECT array_agg(tenantry_row::text) FROM ", relation, ")").done());
    add(Aggregate, limited(over("SELECT tenantry_row::text FROM ", relation, " GROUP BY 1 ORDER BY 1 DESC")));
    if relation.holds_rows() {
        add(Select, limited(over("SELECT * FROM ONLY ", relation, "")));
        add(Select, limited(over("SELECT * FROM ", relation, " TABLESAMPLE SYSTEM (100)")));
    }
    if let Some(other) = other {
        let joined = [
            ("SELECT tenantry_row::text, o::text FROM ", " FULL JOIN (SELECT * FROM ", ") o ON true"),
            ("SELECT tenantry_row::text FROM ", " LEFT JOIN LATERAL (SELECT * FROM ", ") o ON true"),
        ];
        for (before, between, after) in joined {
            let mut pen = over(before, relation, between);
            pen.full(&other.schema, &other.name).put(" LIMIT 20").put(after);
            add(Join, limited(pen));
        }
    }
    list.push(
        Statement::new(CopyTo, over("COPY (SELECT * FROM ", relation, ") TO STDOUT").done())
            .by(Way::CopyOut)
            .judged(judge()),
    );
    if relation.kind == RelationKind::Table {
        let mut pen = Pen::new("COPY ");
        pen.full(&relation.schema, &relation.name).put(" TO STDOUT");
        list.push(Statement::new(CopyTo, pen.done()).by(Way::CopyOut).judged(judge()));
    }
    list.push(Statement::new(Explain, over("EXPLAIN SELECT * FROM ", relation, "").done()).judged(Judge::Estimate));
}

/// Statements that look for the other tenant's rows and must find none.
fn aimed(list: &mut Vec<Statement>, relation: &Relation, aim: &Aim) {
    use Verb::{Aggregate, Error, Exists, LockRows, Select};
    if aim.pieces.is_empty() {
        return;
    }
    let mut add = |verb, pen: Pen| list.push(Statement::new(verb, pen.done()).judged(Judge::NoRows));
    let mut found = over("SELECT * FROM ", relation, " WHERE ");
    matching(&mut found, aim);
    add(Select, found.clone());
    let mut there = over("SELECT 'there' WHERE EXISTS (SELECT FROM ", relation, " WHERE ");
    matching(&mut there, aim);
    there.put(")");
    add(Exists, there);
    let mut counted = over("SELECT count(*) FROM ", relation, " WHERE ");
    matching(&mut counted, aim);
    counted.put(" HAVING count(*) > 0");
    add(Aggregate, counted);
    let mut told = over("SELECT tenantry_row::text::integer FROM ", relation, " WHERE ");
    matching(&mut told, aim);
    add(Error, told);
    // An error that depends on the row tells one bit, even where it quotes nothing.
    let mut divided = over("SELECT 1 FROM ", relation, " WHERE CASE WHEN ");
    matching(&mut divided, aim);
    divided.put(" THEN 1 / length(left(tenantry_row::text, 0)) = 0 ELSE false END");
    add(Error, divided);
    if relation.holds_rows() {
        for strength in [" FOR UPDATE", " FOR KEY SHARE"] {
            let mut locked = found.clone();
            locked.put(strength);
            add(LockRows, locked);
        }
    }
}

/// `strpos(row, canary) > 0`, for any of them.
pub(crate) fn matching(pen: &mut Pen, aim: &Aim) {
    pen.put("(");
    for (index, piece) in aim.pieces.iter().enumerate() {
        pen.put(if index > 0 { " OR " } else { "" }).put("strpos(tenantry_row::text, ").halves(piece).put(") > 0");
    }
    pen.put(")");
}

fn altering(list: &mut Vec<Statement>, relation: &Relation, aim: &Aim) {
    let named = |before: &'static str, after: &'static str| {
        let mut pen = Pen::new(before);
        pen.full(&relation.schema, &relation.name).put(after);
        pen.done()
    };
    let mut refused = |verb, sql| list.push(Statement::new(verb, sql).judged(Judge::Refused));
    refused(Verb::Truncate, named("TRUNCATE ", " CASCADE"));
    refused(Verb::Alter, named("ALTER TABLE ", " DISABLE ROW LEVEL SECURITY"));
    refused(Verb::Alter, named("ALTER TABLE ", " NO FORCE ROW LEVEL SECURITY"));
    refused(Verb::Alter, named("CREATE POLICY tenantry_probe ON ", " USING (true)"));
    let lock = named("LOCK TABLE ", " IN ACCESS EXCLUSIVE MODE NOWAIT");
    let judge = if aim.foreign { Judge::Refused } else { Judge::Note("the login may lock the whole table") };
    list.push(Statement::new(Verb::LockTable, lock).judged(judge));
}

fn sequence(relation: &Relation, aim: &Aim) -> Vec<Statement> {
    let told = |what| if aim.foreign { Judge::Refused } else { Judge::Note(what) };
    let called = |before: &'static str, after: &'static str| {
        let mut pen = Pen::new(before);
        // Quoted names inside of a literal: the server reads it as it reads a name.
        pen.literal(&format!("{}.{}", relation.schema, relation.name)).put(after);
        pen.done()
    };
    let next = "the common counter tells how much others write";
    vec![
        Statement::new(Verb::Sequence, limited(over("SELECT last_value FROM ", relation, ""))).judged(told(next)),
        Statement::new(Verb::Sequence, called("SELECT nextval(", ")")).judged(told(next)),
        Statement::new(Verb::Sequence, called("SELECT nextval(", "), currval('pg_catalog.pg_class'::regclass)")),
        Statement::new(Verb::Sequence, called("SELECT setval(", ", 1000000000)"))
            .judged(told("the login may set the common counter")),
    ]
}
