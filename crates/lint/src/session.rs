//! Statements that leave something in the session or reach past it, and calls that do the same.
//!
//! INVARIANT: what is reported follows from the statement alone; the tier decides afterwards whether it matters there.

use pg_query::protobuf::{DiscardMode, VariableSetKind, VariableSetStmt};

use crate::ddl::objects::defined;
use crate::progress::is_temporary;
use crate::scope::{Call, Judge, Problem, shown};
use crate::tree::{self, NodeEnum};

/// Settings without a meaning for what a statement reads, and those that pg_dump writes at the top of its files.
const HARMLESS: &[&str] = &[
    "application_name",
    "bytea_output",
    "check_function_bodies",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "default_table_access_method",
    "default_tablespace",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "escape_string_warning",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "lock_timeout",
    "standard_conforming_strings",
    "statement_timeout",
    "timezone",
    "transaction_timeout",
    "xmloption",
];

/// Settings by which a session sees or does more than it may.
const POWERS: &[&str] = &["row_security", "session_replication_role", "session_preload_libraries"];

/// `DECLARE … WITH HOLD`, a bit of the parser.
const CURSOR_HOLD: i32 = 0x0020;

/// Functions that act on files, programs or other servers with the rights of this one.
const SERVER: &[&str] = &[
    "pg_read_file",
    "pg_read_binary_file",
    "pg_ls_dir",
    "pg_stat_file",
    "lo_import",
    "lo_export",
    "dblink",
    "dblink_exec",
    "dblink_connect",
    "dblink_send_query",
    "pg_logical_slot_get_changes",
    "pg_logical_slot_peek_changes",
];

/// Functions that run a query which is given to them as text, or read a table that is named to them.
const READING: &[&str] = &[
    "query_to_xml",
    "query_to_xmlschema",
    "query_to_xml_and_xmlschema",
    "table_to_xml",
    "table_to_xml_and_xmlschema",
    "schema_to_xml",
    "schema_to_xml_and_xmlschema",
    "database_to_xml",
    "database_to_xml_and_xmlschema",
    "crosstab",
    "crosstab2",
    "crosstab3",
    "crosstab4",
    "connectby",
    "xpath_table",
    "ts_stat",
];

/// Looks at one statement.
pub fn judge(statement: &NodeEnum, judge: Judge<'_>, found: &mut Vec<Problem>) {
    match statement {
        NodeEnum::VariableSetStmt(set) => variable(set, judge, found),
        NodeEnum::DiscardStmt(discard) if discard.target == DiscardMode::DiscardAll as i32 => {
            found.push(Problem::new("TL302", 0, "DISCARD ALL throws the tenant of the session away"));
        }
        NodeEnum::PrepareStmt(_) => found.push(Problem::new("TL304", 0, "a name for a statement stays in the session")),
        NodeEnum::ExecuteStmt(execute) => {
            let message = format!("`{}` runs whatever the session has under this name", execute.name);
            found.push(Problem::new("TL304", 0, message));
        }
        NodeEnum::ListenStmt(listen) => channel(&listen.conditionname, found),
        NodeEnum::NotifyStmt(notify) => channel(&notify.conditionname, found),
        NodeEnum::DoStmt(_) => found.push(Problem::new("TL308", 0, "an anonymous block runs code")),
        NodeEnum::DeclareCursorStmt(cursor) if cursor.options & CURSOR_HOLD != 0 => {
            found.push(Problem::new("TL310", 0, format!("cursor `{}` outlives the transaction", cursor.portalname)));
        }
        NodeEnum::CreateStmt(create) => {
            if let Some(table) = create.relation.as_ref().filter(|table| is_temporary(table)) {
                temporary(table, found);
            }
        }
        NodeEnum::CreateTableAsStmt(create) => {
            let table = create.into.as_deref().and_then(|into| into.rel.as_ref());
            if let Some(table) = table.filter(|table| is_temporary(table)) {
                temporary(table, found);
            }
        }
        NodeEnum::SelectStmt(select) => {
            let table = select.into_clause.as_deref().and_then(|into| into.rel.as_ref());
            if let Some(table) = table.filter(|table| is_temporary(table)) {
                temporary(table, found);
            }
        }
        NodeEnum::CopyStmt(copy) if !copy.filename.is_empty() => {
            let what = if copy.is_program { "a program" } else { "a file" };
            found.push(Problem::new("TL311", 0, format!("COPY reaches {what} of the server")));
        }
        NodeEnum::LoadStmt(_) => found.push(Problem::new("TL311", 0, "a library is loaded into the session")),
        NodeEnum::AlterRoleSetStmt(alter) => stored(alter.setstmt.as_ref(), judge, found),
        NodeEnum::AlterDatabaseSetStmt(alter) => stored(alter.setstmt.as_ref(), judge, found),
        NodeEnum::AlterSystemStmt(_) => {
            found.push(Problem::new("TL311", 0, "a setting of the whole server is changed"))
        }
        NodeEnum::CreateFunctionStmt(function) => {
            for option in defined(&function.options) {
                if let Some(NodeEnum::VariableSetStmt(set)) = tree::inner(&option.arg) {
                    stored(Some(set), judge, found);
                }
            }
        }
        _ => {}
    }
}

fn temporary(table: &pg_query::protobuf::RangeVar, found: &mut Vec<Problem>) {
    let message = format!("the temporary table `{}` stays in the session", shown(table));
    found.push(Problem::new("TL307", tree::at(table.location).unwrap_or(0), message).table(shown(table)));
}

fn channel(name: &str, found: &mut Vec<Problem>) {
    found.push(Problem::new("TL305", 0, format!("channel `{name}` is common to all tenants of the database")));
}

fn carries_tenant(name: &str, judge: Judge<'_>) -> bool {
    POWERS.contains(&name) || judge.options.is_context_setting(name)
}

/// A setting that a role, a database or a function brings along.
fn stored(set: Option<&VariableSetStmt>, judge: Judge<'_>, found: &mut Vec<Problem>) {
    let Some(set) = set.filter(|set| set.kind != VariableSetKind::VarReset as i32) else { return };
    let name = set.name.to_lowercase();
    if carries_tenant(&name, judge) || matches!(name.as_str(), "role" | "session_authorization") {
        found.push(Problem::new("TL302", 0, format!("`{name}` is set for everybody who comes by here")));
    }
}

fn variable(set: &VariableSetStmt, judge: Judge<'_>, found: &mut Vec<Problem>) {
    let name = set.name.to_lowercase();
    let at = 0;
    let kind = VariableSetKind::try_from(set.kind);
    if kind == Ok(VariableSetKind::VarResetAll) {
        found.push(Problem::new("TL302", at, "RESET ALL throws the tenant of the session away"));
    } else if matches!(name.as_str(), "role" | "session_authorization") {
        // Giving a role back is no better: the one below it may do more.
        found.push(Problem::new(
            "TL301",
            at,
            format!("`{}` changes by whose rights statements run", name.replace('_', " ")),
        ));
    } else if carries_tenant(&name, judge) {
        found.push(Problem::new("TL302", at, format!("`{name}` is set by SQL")));
    } else if kind == Ok(VariableSetKind::VarSetMulti) || set.is_local || HARMLESS.contains(&name.as_str()) {
        // Characteristics of one transaction, or of no consequence for the next.
    } else {
        found.push(Problem::new("TL303", at, format!("`{name}` outlives the transaction")));
    }
}

/// Looks at the functions a statement calls.
pub fn calls(calls: &[Call], judge: Judge<'_>, found: &mut Vec<Problem>) {
    let context = calls.iter().any(|call| judge.options.is_context_function(&call.name.to_lowercase()));
    for call in calls {
        let full = call.name.to_lowercase();
        let name = full.strip_prefix("pg_catalog.").unwrap_or(&full);
        match name {
            "set_config" => set_config(call, judge, found),
            "pg_notify" => {
                let shown = call.arguments.first().cloned().flatten().unwrap_or_else(|| "…".to_owned());
                if !context {
                    let message = format!("channel `{shown}` is common to all tenants of the database");
                    found.push(Problem::new("TL305", call.at, message));
                }
            }
            name if (name.starts_with("pg_advisory_") || name.starts_with("pg_try_advisory_"))
                && !name.contains("unlock")
                && (!context || !name.contains("xact")) =>
            {
                found.push(Problem::new("TL306", call.at, format!("`{name}` locks a number of the whole database")));
            }
            name if SERVER.contains(&name.rsplit('.').next().unwrap_or(name)) => {
                found.push(Problem::new("TL311", call.at, format!("`{name}` acts with the rights of the server")));
            }
            name if READING.contains(&name.rsplit('.').next().unwrap_or(name)) => {
                let message = format!("`{name}` reads what a text tells it to");
                found.push(Problem::new("TL003", call.at, message));
            }
            _ => {}
        }
    }
}

fn set_config(call: &Call, judge: Judge<'_>, found: &mut Vec<Problem>) {
    let setting = call.arguments.first().cloned().flatten().map(|name| name.to_lowercase());
    match setting {
        None => found.push(Problem::new("TL302", call.at, "set_config writes a setting whose name is not constant")),
        Some(name) if matches!(name.as_str(), "role" | "session_authorization") => {
            found.push(Problem::new("TL301", call.at, format!("`{name}` changes by whose rights statements run")));
        }
        Some(name) if carries_tenant(&name, judge) => {
            found.push(Problem::new("TL302", call.at, format!("`{name}` is set by SQL")));
        }
        Some(_) => {}
    }
}

/// Whether EXPLAIN shows a plan of a tenant table.
pub fn explained(tables: &[String], found: &mut Vec<Problem>) {
    if let Some(table) = tables.first() {
        let message = format!("the plan tells about the rows of all tenants in `{table}`");
        found.push(Problem::new("TL309", 0, message).table(table.clone()));
    }
}
