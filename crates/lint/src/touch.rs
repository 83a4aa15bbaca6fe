//! What a migration makes, takes away and retypes, by name: for comparing with objects that somebody else made.
//!
//! Only names that stand in statements of structure. What a function's body or a `DO` block does is not seen; a clash there
//! fails in the place itself. INVARIANT: nothing is dropped or made by a statement that parses without being named here,
//! for the kinds of [`Object`].

use pg_query::protobuf::{
    AlterTableCmd, AlterTableStmt, AlterTableType, ColumnDef, ConstrType, Constraint, CreateStmt, DropStmt, ObjectType,
    RangeVar, RenameStmt,
};

use crate::finding::Lines;
use crate::lex::{Kind, Lexer};
use crate::options::Options;
use crate::tree::{self, NodeEnum};
use crate::{parse, split};

/// An object of a schema, by its names without the schema's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// A table, view, sequence, index or materialized view: they share their names.
    Relation(String),
    /// A column of a table.
    Column(String, String),
    /// A constraint of a table.
    Constraint(String, String),
    /// A trigger or rule of a table.
    Trigger(String, String),
    /// A function or procedure, whatever its arguments.
    Function(String),
    /// A type or domain.
    Type(String),
    /// An extension.
    Extension(String),
}

/// What becomes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// It is made, or gets its name.
    Make,
    /// It is dropped, or loses its name.
    Drop,
    /// It gets another type.
    Retype,
}

/// One thing that a migration does to one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    /// What.
    pub act: Act,
    /// To which object.
    pub object: Object,
    /// The line of its statement, from 1.
    pub line: usize,
    /// The statement's beginning, for people: at most 120 characters on one line.
    pub statement: String,
}

/// The longest beginning of a statement that is shown, in characters.
const SHOWN_MAX: usize = 120;

/// What the statements of a text do to the structure, in their order. Statements that do not parse say nothing.
#[must_use]
pub fn touches(sql: &str) -> Vec<Touch> {
    let (options, lines) = (Options::default(), Lines::new(sql));
    let mut found = Vec::new();
    for piece in split::split(sql).statements {
        let Ok(tree) = parse::parse(&piece, &options) else { continue };
        let first = Lexer::new(&piece.text, 0).find(|token| token.kind != Kind::Comment);
        let lead = first.map_or(0, |token| token.start);
        let line = lines.position(piece.start + lead).0;
        let words = piece.text[lead..].split_whitespace().collect::<Vec<_>>().join(" ");
        let statement: String = words.chars().take(SHOWN_MAX).collect();
        let mut acts = Vec::new();
        for node in tree.stmts.iter().filter_map(|raw| tree::inner(&raw.stmt)) {
            of(node, &mut acts);
        }
        found.extend(acts.into_iter().map(|(act, object)| Touch { act, object, line, statement: statement.clone() }));
    }
    found
}

type Acts = Vec<(Act, Object)>;

fn of(statement: &NodeEnum, acts: &mut Acts) {
    let relation =
        |name: &Option<RangeVar>| name.as_ref().map(|name| (Act::Make, Object::Relation(name.relname.clone())));
    match statement {
        NodeEnum::CreateStmt(create) => created(create, acts),
        NodeEnum::CreateForeignTableStmt(create) => {
            if let Some(base) = &create.base_stmt {
                created(base, acts);
            }
        }
        NodeEnum::CreateTableAsStmt(create) => {
            acts.extend(create.into.as_ref().and_then(|into| relation(&into.rel)));
        }
        NodeEnum::ViewStmt(view) => acts.extend(relation(&view.view)),
        NodeEnum::CreateSeqStmt(sequence) => acts.extend(relation(&sequence.sequence)),
        NodeEnum::IndexStmt(index) if !index.idxname.is_empty() => {
            acts.push((Act::Make, Object::Relation(index.idxname.clone())));
        }
        NodeEnum::CreateTrigStmt(trigger) => {
            if let Some(table) = &trigger.relation {
                acts.push((Act::Make, Object::Trigger(table.relname.clone(), trigger.trigname.clone())));
            }
        }
        NodeEnum::RuleStmt(rule) => {
            if let Some(table) = &rule.relation {
                acts.push((Act::Make, Object::Trigger(table.relname.clone(), rule.rulename.clone())));
            }
        }
        NodeEnum::CreateFunctionStmt(function) => {
            acts.push((Act::Make, Object::Function(tree::last(&function.funcname).to_owned())));
        }
        NodeEnum::CreateEnumStmt(kind) => acts.push((Act::Make, Object::Type(tree::last(&kind.type_name).to_owned()))),
        NodeEnum::CreateDomainStmt(kind) => {
            acts.push((Act::Make, Object::Type(tree::last(&kind.domainname).to_owned())));
        }
        NodeEnum::CompositeTypeStmt(kind) => {
            acts.extend(kind.typevar.as_ref().map(|name| (Act::Make, Object::Type(name.relname.clone()))));
        }
        NodeEnum::CreateExtensionStmt(extension) => {
            acts.push((Act::Make, Object::Extension(extension.extname.clone())));
        }
        NodeEnum::AlterTableStmt(alter) => altered(alter, acts),
        NodeEnum::RenameStmt(rename) => renamed(rename, acts),
        NodeEnum::DropStmt(drop) => dropped(drop, acts),
        _ => {}
    }
}

fn created(create: &CreateStmt, acts: &mut Acts) {
    let Some(table) = &create.relation else { return };
    acts.push((Act::Make, Object::Relation(table.relname.clone())));
    for element in create.table_elts.iter().filter_map(|element| element.node.as_ref()) {
        match element {
            NodeEnum::Constraint(constraint) => keyed(constraint, acts),
            NodeEnum::ColumnDef(column) => column_keys(column, acts),
            _ => {}
        }
    }
}

/// A key with a name makes an index of that name.
fn keyed(constraint: &Constraint, acts: &mut Acts) {
    let kind = ConstrType::try_from(constraint.contype);
    let has_index =
        matches!(kind, Ok(ConstrType::ConstrPrimary | ConstrType::ConstrUnique | ConstrType::ConstrExclusion));
    if has_index && !constraint.conname.is_empty() {
        acts.push((Act::Make, Object::Relation(constraint.conname.clone())));
    }
}

fn column_keys(column: &ColumnDef, acts: &mut Acts) {
    for constraint in column.constraints.iter().filter_map(|constraint| constraint.node.as_ref()) {
        if let NodeEnum::Constraint(constraint) = constraint {
            keyed(constraint, acts);
        }
    }
}

fn altered(alter: &AlterTableStmt, acts: &mut Acts) {
    let Some(table) = &alter.relation else { return };
    for command in alter.cmds.iter().filter_map(|command| command.node.as_ref()) {
        if let NodeEnum::AlterTableCmd(command) = command {
            commanded(&table.relname, command, acts);
        }
    }
}

fn commanded(table: &str, command: &AlterTableCmd, acts: &mut Acts) {
    let named = || (table.to_owned(), command.name.clone());
    match (AlterTableType::try_from(command.subtype), tree::inner(&command.def)) {
        (Ok(AlterTableType::AtAddColumn), Some(NodeEnum::ColumnDef(column))) => {
            acts.push((Act::Make, Object::Column(table.to_owned(), column.colname.clone())));
            column_keys(column, acts);
        }
        (Ok(AlterTableType::AtAddConstraint), Some(NodeEnum::Constraint(constraint))) => {
            if !constraint.conname.is_empty() {
                acts.push((Act::Make, Object::Constraint(table.to_owned(), constraint.conname.clone())));
            }
            keyed(constraint, acts);
        }
        (Ok(AlterTableType::AtDropColumn), _) => {
            let (table, name) = named();
            acts.push((Act::Drop, Object::Column(table, name)));
        }
        (Ok(AlterTableType::AtAlterColumnType), _) => {
            let (table, name) = named();
            acts.push((Act::Retype, Object::Column(table, name)));
        }
        (Ok(AlterTableType::AtDropConstraint), _) => {
            let (table, name) = named();
            acts.push((Act::Drop, Object::Constraint(table, name)));
        }
        _ => {}
    }
}

fn renamed(rename: &RenameStmt, acts: &mut Acts) {
    let Some(table) = &rename.relation else { return };
    let (from, to) = (rename.subname.clone(), rename.newname.clone());
    match ObjectType::try_from(rename.rename_type) {
        Ok(ObjectType::ObjectColumn) => {
            acts.push((Act::Make, Object::Column(table.relname.clone(), to)));
        }
        Ok(ObjectType::ObjectTabconstraint) => {
            acts.push((Act::Drop, Object::Constraint(table.relname.clone(), from)));
            acts.push((Act::Make, Object::Constraint(table.relname.clone(), to)));
        }
        Ok(
            ObjectType::ObjectTable
            | ObjectType::ObjectView
            | ObjectType::ObjectIndex
            | ObjectType::ObjectSequence
            | ObjectType::ObjectMatview
            | ObjectType::ObjectForeignTable,
        ) => acts.push((Act::Make, Object::Relation(to))),
        _ => {}
    }
}

fn dropped(drop: &DropStmt, acts: &mut Acts) {
    let kind = ObjectType::try_from(drop.remove_type);
    for object in drop.objects.iter().filter_map(|object| object.node.as_ref()) {
        let parts: Vec<&str> = match object {
            NodeEnum::List(list) => tree::texts(&list.items),
            NodeEnum::String(name) => vec![name.sval.as_str()],
            NodeEnum::TypeName(name) => tree::texts(&name.names),
            NodeEnum::ObjectWithArgs(function) => tree::texts(&function.objname),
            _ => continue,
        };
        let Some(last) = parts.last().map(|name| (*name).to_owned()) else { continue };
        let table = parts.len().checked_sub(2).map(|at| parts[at].to_owned());
        let object = match kind {
            Ok(
                ObjectType::ObjectTable
                | ObjectType::ObjectView
                | ObjectType::ObjectIndex
                | ObjectType::ObjectSequence
                | ObjectType::ObjectMatview
                | ObjectType::ObjectForeignTable,
            ) => Object::Relation(last),
            Ok(ObjectType::ObjectTrigger | ObjectType::ObjectRule) => {
                let Some(table) = table else { continue };
                Object::Trigger(table, last)
            }
            Ok(ObjectType::ObjectFunction | ObjectType::ObjectProcedure | ObjectType::ObjectRoutine) => {
                Object::Function(last)
            }
            Ok(ObjectType::ObjectType | ObjectType::ObjectDomain) => Object::Type(last),
            Ok(ObjectType::ObjectExtension) => Object::Extension(last),
            _ => continue,
        };
        acts.push((Act::Drop, object));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sql: &str) -> Vec<(Act, Object)> {
        touches(sql).into_iter().map(|touch| (touch.act, touch.object)).collect()
    }

    fn relation(name: &str) -> Object {
        Object::Relation(name.to_owned())
    }

    fn column(name: &str) -> Object {
        Object::Column("t".to_owned(), name.to_owned())
    }

    #[test]
    fn what_is_made_is_named() {
        assert_eq!(
            names("CREATE TABLE s.a (id int CONSTRAINT a_key PRIMARY KEY, CONSTRAINT a_u UNIQUE (id))"),
            [(Act::Make, relation("a")), (Act::Make, relation("a_key")), (Act::Make, relation("a_u"))]
        );
        assert_eq!(
            names("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a); CREATE INDEX ON t (b)"),
            [(Act::Make, relation("i"))]
        );
        assert_eq!(names("CREATE OR REPLACE VIEW v AS SELECT 1"), [(Act::Make, relation("v"))]);
        assert_eq!(names("CREATE TYPE mood AS ENUM ('a')"), [(Act::Make, Object::Type("mood".to_owned()))]);
        assert_eq!(names("CREATE EXTENSION citext"), [(Act::Make, Object::Extension("citext".to_owned()))]);
        assert_eq!(
            names("CREATE FUNCTION s.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'"),
            [(Act::Make, Object::Function("f".to_owned()))]
        );
    }

    #[test]
    fn each_part_of_a_change_is_named() {
        let sql = "ALTER TABLE t ADD COLUMN a int, DROP COLUMN b CASCADE, ALTER COLUMN c TYPE text, ADD CONSTRAINT k CHECK (a > 0), DROP CONSTRAINT l";
        let constraint = |name: &str| Object::Constraint("t".to_owned(), name.to_owned());
        assert_eq!(
            names(sql),
            [
                (Act::Make, column("a")),
                (Act::Drop, column("b")),
                (Act::Retype, column("c")),
                (Act::Make, constraint("k")),
                (Act::Drop, constraint("l")),
            ]
        );
        assert_eq!(names("ALTER TABLE t RENAME COLUMN a TO b"), [(Act::Make, column("b"))]);
        assert_eq!(names("ALTER TABLE t RENAME TO u"), [(Act::Make, relation("u"))]);
    }

    #[test]
    fn what_is_dropped_is_named() {
        assert_eq!(names("DROP TABLE a, s.b CASCADE"), [(Act::Drop, relation("a")), (Act::Drop, relation("b"))]);
        assert_eq!(names("DROP INDEX CONCURRENTLY IF EXISTS i"), [(Act::Drop, relation("i"))]);
        let trigger = Object::Trigger("t".to_owned(), "g".to_owned());
        assert_eq!(names("DROP TRIGGER g ON s.t"), [(Act::Drop, trigger)]);
        assert_eq!(names("DROP FUNCTION f(int)"), [(Act::Drop, Object::Function("f".to_owned()))]);
        assert_eq!(names("DROP EXTENSION citext"), [(Act::Drop, Object::Extension("citext".to_owned()))]);
    }

    #[test]
    fn a_touch_has_its_line_and_its_statement() {
        let found = touches("-- why\nSELECT 1;\n\nALTER TABLE t\n  ADD COLUMN a int;\nnonsense");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].line, found[0].statement.as_str()), (4, "ALTER TABLE t ADD COLUMN a int"));
    }
}
