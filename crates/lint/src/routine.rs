//! Bodies of routines: SQL functions are parsed like any text, PL/pgSQL gives up its plain statements.
//!
//! Parameters and variables stand for values of one call, so they bind. INVARIANT: text that a body puts together and
//! executes is reported; nothing is guessed about it.

use std::collections::BTreeSet;

use pg_query::protobuf::{CreateFunctionStmt, DoStmt};
use serde_json::Value;

use crate::ddl::objects::{defined, language};
use crate::lex::{Kind, Lexer};
use crate::parse::parse;
use crate::scope::{Judge, Problem, constant_text};
use crate::split::{self, Piece};
use crate::statement;
use crate::tree::{self, NodeEnum};

/// Statements of PL/pgSQL whose text is made at run time.
const DYNAMIC: &[&str] = &["PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors"];

/// Looks into the body of a function or procedure.
pub fn created(function: &CreateFunctionStmt, judge: Judge<'_>, found: &mut Vec<Problem>) {
    let mut variables = judge.variables.clone();
    for parameter in function.parameters.iter().filter_map(|parameter| parameter.node.as_ref()) {
        if let NodeEnum::FunctionParameter(parameter) = parameter {
            variables.insert(parameter.name.clone());
        }
    }
    let judge = Judge { variables: &variables, ..judge };
    if let Some(body) = tree::inner(&function.sql_body) {
        return standard(body, judge, found);
    }
    let Some(body) = defined(&function.options).find(|option| option.defname == "as").and_then(|option| {
        match tree::inner(&option.arg)? {
            NodeEnum::List(list) => list.items.first().and_then(tree::text),
            other => text_of(other),
        }
    }) else {
        return;
    };
    match language(&function.options).as_deref() {
        Some("sql") => sql(body, judge, found),
        Some("plpgsql") => procedural(judge.text, body, judge, found),
        _ => {}
    }
}

/// Looks into an anonymous block.
pub fn block(block: &DoStmt, judge: Judge<'_>, found: &mut Vec<Problem>) {
    let body = defined(&block.args).find(|option| option.defname == "as").and_then(|option| tree::inner(&option.arg));
    let Some(body) = body.and_then(text_of) else { return };
    if language(&block.args).is_none_or(|language| language == "plpgsql") {
        procedural(judge.text, body, judge, found);
    }
}

fn text_of(node: &NodeEnum) -> Option<&str> {
    match node {
        NodeEnum::String(text) => Some(&text.sval),
        _ => None,
    }
}

/// `BEGIN ATOMIC … END` and `RETURN …` are part of the statement's own tree.
fn standard(body: &NodeEnum, judge: Judge<'_>, found: &mut Vec<Problem>) {
    match body {
        NodeEnum::List(list) => {
            for item in list.items.iter().filter_map(|item| item.node.as_ref()) {
                standard(item, judge, found);
            }
        }
        NodeEnum::ReturnStmt(value) => {
            if let Some(value) = tree::inner(&value.returnval) {
                found.extend(crate::scope::analyse_expression(value, judge).problems);
            }
        }
        statement => statement::rows(statement, judge, found),
    }
}

fn sql(body: &str, judge: Judge<'_>, found: &mut Vec<Problem>) {
    let offset = judge.text.find(body);
    for piece in split::split(body).statements {
        inside(&piece, offset.map(|offset| offset + piece.start), judge, found);
    }
}

/// One statement of a body, of which the place in the whole may be known.
fn inside(piece: &Piece, at: Option<usize>, judge: Judge<'_>, found: &mut Vec<Problem>) -> bool {
    let Ok(parsed) = parse(piece, judge.options) else { return false };
    for statement in parsed.stmts.iter().filter_map(|raw| tree::inner(&raw.stmt)) {
        let mut inner = Vec::new();
        statement::rows(statement, Judge { text: &piece.text, ..judge }, &mut inner);
        for mut problem in inner {
            // Without a known place the routine itself is shown.
            problem.at = at.map_or(0, |at| at + problem.at);
            problem.notes.iter_mut().for_each(|(note, _)| *note = at.map_or(0, |at| at + *note));
            found.push(problem);
        }
    }
    true
}

fn procedural(text: &str, body: &str, judge: Judge<'_>, found: &mut Vec<Problem>) {
    let parsed = read(text).or_else(|| {
        // The parser stumbles over a trigger's rows.
        read(&without_rows(text, body)?)
    });
    let Some(tree) = parsed else {
        found.push(Problem::new("TL003", 0, "the body of the routine cannot be read"));
        return;
    };
    let mut variables = judge.variables.clone();
    let mut queries = Vec::new();
    walk(&tree, &mut variables, &mut queries);
    variables.extend(["new".to_owned(), "old".to_owned()]);
    let judge = Judge { variables: &variables, ..judge };
    // Texts are looked for in their order, behind the head of the routine.
    let mut from = judge.text.find(body).unwrap_or(0);
    for query in queries {
        let place = text.get(from..).and_then(|rest| rest.find(&query.text)).map(|at| from + at);
        from = place.unwrap_or(from);
        match query.way {
            Way::Plain => plain(&query.text, place, judge, found),
            Way::Dynamic => dynamic(&query.text, place, judge, found),
        }
    }
}

fn read(text: &str) -> Option<Value> {
    std::panic::catch_unwind(|| pg_query::parse_plpgsql(text)).ok()?.ok()
}

/// A trigger's function as one that returns a record, with assignments to its row as PERFORM; every place stays.
fn without_rows(text: &str, body: &str) -> Option<String> {
    let base = text.find(body)?;
    let mut bytes = text.as_bytes().to_vec();
    let head: Vec<_> = Lexer::new(&text[..base], 0).collect();
    let returns = head.windows(2).find(|pair| pair[0].is_word(text, "returns") && pair[1].is_word(text, "trigger"))?;
    bytes[returns[1].start..returns[1].end].copy_from_slice(b"record ");
    let tokens: Vec<_> = Lexer::new(body, 0).filter(|token| token.kind != Kind::Comment).collect();
    for (index, parts) in tokens.windows(4).enumerate() {
        let [row, dot, _, sign] = parts else { continue };
        let begins = index.checked_sub(1).is_none_or(|before| {
            let before = tokens[before];
            before.kind == Kind::Semicolon
                || ["begin", "then", "else", "loop"].iter().any(|word| before.is_word(body, word))
        });
        let assigns = row.is_word(body, "new") && dot.of(body) == "." && matches!(sign.of(body), ":=" | "=");
        if begins && assigns && sign.end - row.start >= "PERFORM".len() {
            bytes[base + row.start..base + sign.end].fill(b' ');
            bytes[base + row.start..base + row.start + "PERFORM".len()].copy_from_slice(b"PERFORM");
        }
    }
    String::from_utf8(bytes).ok()
}

struct Query {
    text: String,
    way: Way,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    Dynamic,
}

/// Collects names of variables and texts of queries, in the order of the tree.
fn walk(tree: &Value, variables: &mut BTreeSet<String>, queries: &mut Vec<Query>) {
    match tree {
        Value::Array(items) => items.iter().for_each(|item| walk(item, variables, queries)),
        Value::Object(fields) => {
            for (name, value) in fields {
                if let (true, Some(text)) = (name == "refname", value.as_str()) {
                    variables.insert(text.to_owned());
                }
                if let (true, Some(text)) = (name == "query", value.as_str()) {
                    queries.push(Query { text: text.to_owned(), way: Way::Plain });
                    continue;
                }
                let before = queries.len();
                walk(value, variables, queries);
                if (DYNAMIC.contains(&name.as_str()) || name == "dynquery")
                    && let Some(first) = queries.get_mut(before)
                {
                    first.way = Way::Dynamic;
                }
            }
        }
        _ => {}
    }
}

/// A statement, an expression, or an assignment: the tree keeps only their texts.
fn plain(text: &str, at: Option<usize>, judge: Judge<'_>, found: &mut Vec<Problem>) {
    let depth = split::split(text).statements.first().map_or(0, |piece| piece.depth) + 1;
    let piece = |text: String| Piece { start: 0, text, depth };
    if inside(&piece(text.to_owned()), at, judge, found) {
        return;
    }
    // The place of an expression moves by the word put before it.
    let before = at.and_then(|at| at.checked_sub("SELECT ".len()));
    if inside(&piece(["SELECT ", text].concat()), before, judge, found) {
        return;
    }
    let assigned = text.split_once(":=").or_else(|| text.split_once('=')).map(|(_, value)| value.trim());
    let understood = assigned.is_some_and(|value| inside(&piece(["SELECT ", value].concat()), None, judge, found));
    if !understood {
        found.push(Problem::new("TL003", at.unwrap_or(0), "a statement of the routine cannot be read"));
    }
}

fn dynamic(text: &str, at: Option<usize>, judge: Judge<'_>, found: &mut Vec<Problem>) {
    let depth = split::split(text).statements.first().map_or(0, |piece| piece.depth) + 1;
    let piece = Piece { start: 0, text: ["SELECT ", text].concat(), depth };
    let constant = parse(&piece, judge.options).ok().and_then(|parsed| {
        let NodeEnum::SelectStmt(select) = tree::inner(&parsed.stmts.first()?.stmt)? else { return None };
        let NodeEnum::ResTarget(target) = select.target_list.first()?.node.as_ref()? else { return None };
        constant_text(tree::inner(&target.val)?)
    });
    match constant {
        Some(constant) => sql(&constant, judge, found),
        None => {
            let message = "EXECUTE runs a text that is put together at run time";
            found.push(Problem::new("TL003", at.unwrap_or(0), message));
        }
    }
}
