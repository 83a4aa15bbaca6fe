//! Probes that write: rows for the other tenant, rows that collide with its rows, references to them, and changes
//! that are aimed at them.
//!
//! Pure. The values are drafted as the canaries' are, so that a row is refused for its tenant and for nothing else.

use tenantry_pg::Ident;

use crate::draft::{Slot, insertion};
use crate::model::{Relation, Unique};
use crate::on_relations::{Aim, matching};
use crate::pen::Pen;
use crate::plant::{Planted, Planter, Row};
use crate::report::Verb;
use crate::statement::{Judge, Statement, Way};

/// The turn of drafts that must not collide with any canary.
const FRESH: u32 = 1_000;

/// What both tenants hold.
pub(crate) struct Sides<'a> {
    pub a: &'a Planter<'a>,
    pub a_rows: &'a Planted,
    pub b: &'a Planter<'a>,
    pub b_rows: &'a Planted,
}

/// All probes that write to one table. `root` is a table of A's place, `theirs` the same table of B's.
pub(crate) fn probes(root: &Relation, theirs: &Relation, sides: &Sides<'_>, aim: &Aim) -> Vec<Statement> {
    let mut list = Vec::new();
    let leaf = |side: &Planter<'_>, rows: &Planted, table: &Relation| -> Option<(u32, Row)> {
        rows.row(table.oid).cloned().map(|row| (row.leaf, row)).filter(|(oid, _)| side.model.relation(*oid).is_some())
    };
    aimed(&mut list, root, aim);
    let (ours, others) = (leaf(sides.a, sides.a_rows, root), leaf(sides.b, sides.b_rows, theirs));
    if let (Some((a_leaf, a_row)), Some((b_leaf, b_row))) = (ours, others)
        && let (Some(a_leaf), Some(b_leaf)) = (sides.a.model.relation(a_leaf), sides.b.model.relation(b_leaf))
    {
        foreign_rows(&mut list, root, (a_leaf, &a_row), (b_leaf, &b_row), sides);
    }
    giving(&mut list, root, sides);
    list
}

/// Changes of rows that only the other tenant has.
pub(crate) fn aimed(list: &mut Vec<Statement>, root: &Relation, aim: &Aim) {
    let Some(column) = root.columns.iter().find(|column| !column.generated && !column.identity_always) else { return };
    if aim.pieces.is_empty() {
        return;
    }
    let mut add = |verb, pen: Pen| list.push(Statement::new(verb, pen.done()).judged(Judge::NoRows));
    let table = |before: &'static str| {
        let mut pen = Pen::new(before);
        pen.full(&root.schema, &root.name).put(" AS tenantry_row");
        pen
    };
    let set = |pen: &mut Pen| {
        pen.put("SET ").name(&column.name).put(" = tenantry_row.").name(&column.name);
    };
    for returning in ["", " RETURNING tenantry_row.*"] {
        let mut update = table("UPDATE ");
        update.put(" ");
        set(&mut update);
        update.put(" WHERE ");
        matching(&mut update, aim);
        update.put(returning);
        add(Verb::Update, update);
        let mut delete = table("DELETE FROM ");
        delete.put(" WHERE ");
        matching(&mut delete, aim);
        delete.put(returning);
        add(Verb::Delete, delete);
    }
    for action in ["UPDATE ", "DELETE"] {
        let mut merge = table("MERGE INTO ");
        merge.put(" USING (VALUES (1)) v(n) ON ");
        matching(&mut merge, aim);
        merge.put(" WHEN MATCHED THEN ").put(action);
        if action == "UPDATE " {
            set(&mut merge);
        }
        add(Verb::Merge, merge);
    }
    // Without a condition: own rows may be touched, others must not be among them.
    for (verb, before) in [(Verb::Update, "UPDATE "), (Verb::Delete, "DELETE FROM ")] {
        let mut all = table(before);
        all.put(" ");
        if verb == Verb::Update {
            set(&mut all);
        }
        all.put(" RETURNING tenantry_row.*");
        list.push(Statement::new(verb, all.done()));
    }
}

/// Rows that name the other tenant, its keys, or its unique values.
fn foreign_rows(
    list: &mut Vec<Statement>,
    root: &Relation,
    (a_leaf, a_row): (&Relation, &Row),
    (b_leaf, b_row): (&Relation, &Row),
    sides: &Sides<'_>,
) {
    let common = sides.a.tenant_column.filter(|column| root.column(column.as_str()).is_some());
    // Values that were accepted before, made fresh where they must be unique.
    let fresh = |planter: &Planter<'_>, leaf: &Relation, rows: &Planted, row: &Row| {
        let mut slots = planter.draft(root, leaf, FRESH, rows).unwrap_or_default();
        settle(&mut slots, row);
        slots
    };
    if common.is_some() {
        let mut theirs = fresh(sides.b, b_leaf, sides.b_rows, b_row);
        theirs.retain(|slot| root.column(slot.name.as_str()).is_some());
        let insert = |after: &'static str| {
            let mut pen = insertion(root, &theirs);
            pen.put(after);
            pen.done()
        };
        let refused = |verb, sql| Statement::new(verb, sql).judged(Judge::ForeignRow);
        list.push(refused(Verb::Insert, insert("")));
        list.push(refused(Verb::Insert, insert(" ON CONFLICT DO NOTHING RETURNING *")));
        list.push(refused(Verb::Insert, selected(root, &theirs).done()));
        list.push(refused(Verb::Merge, merged(root, &theirs).done()));
        let (copy, line) = copied(root, &theirs);
        list.push(refused(Verb::CopyFrom, copy.done()).by(Way::CopyIn(line)));
    }
    referring(list, root, (a_leaf, a_row), sides);
    colliding(list, root, (a_leaf, a_row), b_row, sides);
}

/// Own rows that refer to the other tenant's parents.
fn referring(list: &mut Vec<Statement>, root: &Relation, (leaf, row): (&Relation, &Row), sides: &Sides<'_>) {
    for key in &root.foreign {
        // The other side's table of the same name.
        let target = sides.a.model.relation(key.target);
        let theirs = target.and_then(|target| {
            let same = |other: &&Relation| other.name == target.name && other.schema == *sides.b.schema;
            sides.b.model.relations.iter().find(same)
        });
        let own = target.is_some_and(|target| sides.a.is_mine(target));
        let Some(parent) = theirs.filter(|_| own).and_then(|theirs| sides.b_rows.row(theirs.oid)) else { continue };
        let mut slots = sides.a.draft(root, leaf, FRESH, sides.a_rows).unwrap_or_default();
        settle(&mut slots, row);
        let mut changed = false;
        for (column, target) in key.columns.iter().zip(&key.target_columns) {
            let value = parent.values.get(target.as_str()).cloned().flatten();
            let mine = sides.a_rows.row(key.target).and_then(|row| row.values.get(target.as_str()).cloned().flatten());
            let slot = slots.iter_mut().find(|slot| slot.name == *column && sides.a.tenant_column != Some(column));
            if let (Some(slot), Some(text)) = (slot, value)
                && mine.as_ref() != Some(&text)
            {
                set_to(slot, text);
                changed = true;
            }
        }
        if changed {
            let spoken = said(&slots);
            let insert = insertion(root, &slots).done();
            list.push(Statement::new(Verb::Reference, insert).judged(Judge::NoRows).speaking(spoken));
        }
    }
}

/// Own rows with the other tenant's values in the columns of a unique key.
fn colliding(
    list: &mut Vec<Statement>,
    root: &Relation,
    (leaf, row): (&Relation, &Row),
    theirs: &Row,
    sides: &Sides<'_>,
) {
    for unique in &root.uniques {
        let keyed = |name: &Ident| sides.a.tenant_column == Some(name);
        let mut slots = sides.a.draft(root, leaf, FRESH, sides.a_rows).unwrap_or_default();
        settle(&mut slots, row);
        let mut telling = false;
        for slot in slots.iter_mut().filter(|slot| unique.columns.contains(&slot.name) && !keyed(&slot.name)) {
            let Some(text) = theirs.values.get(slot.name.as_str()).cloned().flatten() else { continue };
            telling |= text.len() >= 8 && row.values.get(slot.name.as_str()).cloned().flatten().as_ref() != Some(&text);
            set_to(slot, text);
        }
        if !telling {
            continue;
        }
        let spoken = said(&slots);
        let judge = Judge::Oracle(vec![unique.name.clone()]);
        let mut skipping = insertion(root, &slots);
        skipping.put(" ON CONFLICT ");
        // Another key that the row shares with the attacker's own row would leave it out as well, and tell of nobody.
        if root.uniques.iter().any(|other| other.name != unique.name && is_own(other, &slots, row)) {
            targeted(&mut skipping, unique);
        }
        skipping.put(" DO NOTHING RETURNING 1");
        for pen in [insertion(root, &slots), skipping] {
            list.push(Statement::new(Verb::Conflict, pen.done()).judged(judge.clone()).speaking(spoken.clone()));
        }
        let Some(column) = root.columns.iter().find(|column| !column.generated && !column.identity_always) else {
            continue;
        };
        let mut pen = insertion(root, &slots);
        pen.put(" ON CONFLICT ");
        targeted(&mut pen, unique);
        pen.put(" DO UPDATE SET ").name(&column.name).put(" = tenantry_row.").name(&column.name);
        pen.put(" RETURNING tenantry_row.*");
        list.push(Statement::new(Verb::Conflict, pen.done()).judged(judge).speaking(spoken));
    }
}

/// Whether the drafted row has the values of the row that the attacker has already, in all columns of a key: so it is
/// where a key is made of parents, of which there is one each.
fn is_own(key: &Unique, slots: &[Slot], row: &Row) -> bool {
    let held = |name: &Ident| row.values.get(name.as_str()).and_then(|value| value.as_deref());
    let is_same = |name: &Ident| slots.iter().any(|slot| slot.name == *name && picked(slot) == held(name));
    !key.columns.is_empty() && key.columns.iter().all(is_same)
}

/// The columns of a key, as the target of a conflict.
fn targeted(pen: &mut Pen, key: &Unique) {
    for (index, name) in key.columns.iter().enumerate() {
        pen.put(if index > 0 { ", " } else { "(" }).name(name);
    }
    pen.put(")");
}

/// Own rows that change hands.
fn giving(list: &mut Vec<Statement>, root: &Relation, sides: &Sides<'_>) {
    let Some(key) = sides.a.tenant_column.filter(|column| root.column(column.as_str()).is_some()) else { return };
    let victim = sides.b.tenant.to_string();
    let mut update = Pen::new("UPDATE ");
    update.full(&root.schema, &root.name).put(" SET ").name(key).put(" = ").literal(&victim);
    list.push(Statement::new(Verb::GiveAway, update.done()).judged(Judge::NoRows));
    let mut merge = Pen::new("MERGE INTO ");
    merge
        .full(&root.schema, &root.name)
        .put(" AS tenantry_row USING (VALUES (1)) v(n) ON true WHEN MATCHED THEN UPDATE SET ");
    merge.name(key).put(" = ").literal(&victim);
    list.push(Statement::new(Verb::Merge, merge.done()).judged(Judge::NoRows));
}

/// Where the first value of a column was refused once, the kind of value that was accepted is taken.
fn settle(slots: &mut [Slot], row: &Row) {
    for slot in slots {
        let held = row.values.get(slot.name.as_str()).cloned().flatten();
        let plain = slot.tries.iter().position(|one| one.needle.is_none() && held.as_ref() == Some(&one.text));
        if let Some(held) = held {
            // The shape of what was accepted: the same place in the list, or the same words around the canary.
            let alike = |text: &str| text.len() == held.len() && ends(text, &held);
            let marked = slot.tries.iter().position(|one| one.needle.is_some() && alike(&one.text));
            slot.pick = plain.or(marked).unwrap_or(0);
        }
    }
}

fn ends(left: &str, right: &str) -> bool {
    let (last, special) = (|text: &str| text.chars().last(), |text: &str| text.contains('@'));
    last(left).map(char::is_alphanumeric) == last(right).map(char::is_alphanumeric) && special(left) == special(right)
}

fn set_to(slot: &mut Slot, text: String) {
    slot.tries = vec![crate::value::Candidate { text, needle: None }];
    slot.pick = 0;
}

fn picked(slot: &Slot) -> Option<&str> {
    slot.tries.get(slot.pick).map(|one| one.text.as_str())
}

/// Everything that the statement says.
fn said(slots: &[Slot]) -> Vec<String> {
    slots.iter().filter_map(picked).map(ToOwned::to_owned).collect()
}

fn columns(pen: &mut Pen, slots: &[Slot]) {
    pen.put(" (");
    for (index, slot) in slots.iter().enumerate() {
        pen.put(if index > 0 { ", " } else { "" }).name(&slot.name);
    }
    pen.put(")");
}

fn typed(pen: &mut Pen, root: &Relation, slots: &[Slot]) {
    for (index, slot) in slots.iter().enumerate() {
        pen.put(if index > 0 { ", " } else { "" });
        match root.column(slot.name.as_str()) {
            Some(column) => pen.cast(picked(slot), &column.ty),
            None => pen.value(picked(slot)),
        };
    }
}

fn selected(root: &Relation, slots: &[Slot]) -> Pen {
    let mut pen = Pen::new("INSERT INTO ");
    pen.full(&root.schema, &root.name);
    columns(&mut pen, slots);
    pen.put(" SELECT ");
    typed(&mut pen, root, slots);
    pen
}

fn merged(root: &Relation, slots: &[Slot]) -> Pen {
    let mut pen = Pen::new("MERGE INTO ");
    pen.full(&root.schema, &root.name).put(" USING (VALUES (1)) v(n) ON false WHEN NOT MATCHED THEN INSERT");
    columns(&mut pen, slots);
    pen.put(" VALUES (");
    typed(&mut pen, root, slots);
    pen.put(")");
    pen
}

fn copied(root: &Relation, slots: &[Slot]) -> (Pen, String) {
    let mut pen = Pen::new("COPY ");
    pen.full(&root.schema, &root.name);
    columns(&mut pen, slots);
    pen.put(" FROM STDIN");
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n");
    let fields: Vec<String> = slots.iter().map(|slot| picked(slot).map_or_else(|| "\\N".to_owned(), escaped)).collect();
    let mut line = fields.join("\t");
    line.push('\n');
    (pen, line)
}
