//! Bodies of routines and blocks: SQL functions are parsed like any text, PL/pgSQL gives up its plain statements.
//!
//! What stands inside is judged as if it stood outside: queries, structure, the session. Parameters and variables stand for
//! values of one call, so they bind. Long because the two languages and their texts belong together. INVARIANT: text that
//! cannot be read, or that a body puts together and executes, is reported; nothing is guessed about it.

use std::collections::BTreeSet;

use pg_query::protobuf::{CreateFunctionStmt, DoStmt};
use serde_json::Value;

use crate::ddl::objects::{defined, language};
use crate::lex::{Kind, Lexer};
use crate::parse::parse;
use crate::progress::Progress;
use crate::scope::{Judge, Problem, analyse_expression, constant_text};
use crate::split::{self, Piece};
use crate::statement;
use crate::tree::{self, NodeEnum};

/// Statements of PL/pgSQL whose text is made at run time.
const DYNAMIC: &[&str] = &["PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors"];

/// Bodies inside of bodies: nobody writes more, and each level needs room on the stack.
const DEPTH_MAX: usize = 8;

/// Something inside of a body.
pub enum Part<'p> {
    /// A statement.
    Statement {
        tree: &'p NodeEnum,
        /// The text to which its places refer.
        text: &'p str,
        /// Where that text begins in the text of the whole statement; absent when nobody knows.
        at: Option<usize>,
        /// Names that stand for values of one call.
        variables: &'p BTreeSet<String>,
    },
    /// The expression that a function returns; its places refer to the whole statement.
    Expression { tree: &'p NodeEnum, variables: &'p BTreeSet<String> },
    /// Something that cannot be read, with its place in the whole.
    Unread { at: usize, message: &'static str },
}

type Each<'e> = dyn FnMut(Part<'_>) + 'e;

/// What is wrong inside of a statement that carries a body.
pub fn judge(statement: &NodeEnum, judge: Judge<'_>, found: &mut Vec<Problem>) {
    let mut progress = Progress::within(judge);
    parts(statement, judge, &mut |part| match part {
        Part::Statement { tree, text, at, variables } => {
            let around = Judge { text, variables, depth: judge.depth + 1, ..judge };
            let inner = progress.judge(around);
            let mut problems = Vec::new();
            // The whole text has been looked at with the statement around this one.
            if std::ptr::eq(text, judge.text) {
                statement::inside(tree, inner, &mut problems);
            } else {
                problems = statement::judge(tree, inner);
            }
            for mut problem in problems {
                // Without a known place the routine itself is shown.
                problem.at = at.map_or(0, |at| at + problem.at);
                problem.notes.iter_mut().for_each(|(note, _)| *note = at.map_or(0, |at| at + *note));
                found.push(problem);
            }
            progress.take(tree, around);
        }
        Part::Expression { tree, variables } => {
            statement::taken(analyse_expression(tree, progress.judge(Judge { variables, ..judge })), judge, found);
        }
        Part::Unread { at, message } => found.push(Problem::new("TL003", at, message)),
    });
}

/// What the body of a function, procedure or anonymous block consists of, in its order. Other statements have none.
pub fn parts(statement: &NodeEnum, judge: Judge<'_>, each: &mut Each<'_>) {
    if judge.depth >= DEPTH_MAX {
        each(Part::Unread { at: 0, message: "bodies are nested too deeply in each other" });
        return;
    }
    match statement {
        NodeEnum::CreateFunctionStmt(function) => created(function, judge, each),
        NodeEnum::DoStmt(block) => self::block(block, judge, each),
        _ => {}
    }
}

fn created(function: &CreateFunctionStmt, judge: Judge<'_>, each: &mut Each<'_>) {
    let mut variables = judge.variables.clone();
    for parameter in function.parameters.iter().filter_map(|parameter| parameter.node.as_ref()) {
        if let NodeEnum::FunctionParameter(parameter) = parameter {
            variables.insert(parameter.name.clone());
        }
    }
    let judge = Judge { variables: &variables, ..judge };
    if let Some(body) = tree::inner(&function.sql_body) {
        return standard(body, judge, each);
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
        Some("sql") => sql(body, judge.text.find(body), judge, each),
        Some("plpgsql") => procedural(judge.text, body, judge, each),
        _ => {}
    }
}

fn block(block: &DoStmt, judge: Judge<'_>, each: &mut Each<'_>) {
    let body = defined(&block.args).find(|option| option.defname == "as").and_then(|option| tree::inner(&option.arg));
    match body.and_then(text_of) {
        Some(body) if language(&block.args).is_none_or(|language| language == "plpgsql") => {
            procedural(judge.text, body, judge, each);
        }
        _ => each(Part::Unread { at: 0, message: "nobody looks into a block that is not written in PL/pgSQL" }),
    }
}

fn text_of(node: &NodeEnum) -> Option<&str> {
    match node {
        NodeEnum::String(text) => Some(&text.sval),
        _ => None,
    }
}

/// `BEGIN ATOMIC … END` and `RETURN …` are part of the statement's own tree.
fn standard(body: &NodeEnum, judge: Judge<'_>, each: &mut Each<'_>) {
    match body {
        NodeEnum::List(list) => {
            for item in list.items.iter().filter_map(|item| item.node.as_ref()) {
                standard(item, judge, each);
            }
        }
        NodeEnum::ReturnStmt(value) => {
            if let Some(tree) = tree::inner(&value.returnval) {
                each(Part::Expression { tree, variables: judge.variables });
            }
        }
        tree => each(Part::Statement { tree, text: judge.text, at: Some(0), variables: judge.variables }),
    }
}

fn sql(body: &str, at: Option<usize>, judge: Judge<'_>, each: &mut Each<'_>) {
    for piece in split::split(body).statements {
        let at = at.map(|at| at + piece.start);
        if !inside(&piece, at, judge, each) {
            each(Part::Unread { at: at.unwrap_or(0), message: UNREAD });
        }
    }
}

/// What is said of a statement that the grammar refuses.
const UNREAD: &str = "a statement of the routine cannot be read";

/// One statement of a body, of which the place in the whole may be known; `false` when the grammar refuses it.
fn inside(piece: &Piece, at: Option<usize>, judge: Judge<'_>, each: &mut Each<'_>) -> bool {
    let Ok(parsed) = parse(piece, judge.options) else { return false };
    for tree in parsed.stmts.iter().filter_map(|raw| tree::inner(&raw.stmt)) {
        each(Part::Statement { tree, text: &piece.text, at, variables: judge.variables });
    }
    true
}

fn procedural(text: &str, body: &str, judge: Judge<'_>, each: &mut Each<'_>) {
    let parsed = read(text).or_else(|| {
        // The parser stumbles over a trigger's rows.
        read(&without_rows(text, body)?)
    });
    let Some(tree) = parsed else {
        each(Part::Unread { at: 0, message: "the body of the routine cannot be read" });
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
            Way::Plain => plain(&query.text, place, judge, each),
            Way::Dynamic => dynamic(&query.text, place, judge, each),
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
                // What is executed stands beside its parameters, which are plain, in any order.
                let executed = match value {
                    _ if name == "dynquery" => Some(value),
                    Value::Object(inner) if DYNAMIC.contains(&name.as_str()) => inner.get("query"),
                    _ => None,
                };
                let before = queries.len();
                walk(value, variables, queries);
                let Some(text) = executed.and_then(text_of_expression) else { continue };
                for query in queries[before..].iter_mut().filter(|query| query.text == text) {
                    query.way = Way::Dynamic;
                }
            }
        }
        _ => {}
    }
}

fn text_of_expression(expression: &Value) -> Option<&str> {
    expression.get("PLpgSQL_expr")?.get("query")?.as_str()
}

/// A statement, an expression, or an assignment: the tree keeps only their texts.
fn plain(text: &str, at: Option<usize>, judge: Judge<'_>, each: &mut Each<'_>) {
    let depth = split::split(text).statements.first().map_or(0, |piece| piece.depth) + 1;
    let piece = |text: String| Piece { start: 0, text, depth };
    if inside(&piece(text.to_owned()), at, judge, each) {
        return;
    }
    // The place of an expression moves by the word put before it.
    let before = at.and_then(|at| at.checked_sub("SELECT ".len()));
    if inside(&piece(["SELECT ", text].concat()), before, judge, each) {
        return;
    }
    let assigned = text.split_once(":=").or_else(|| text.split_once('=')).map(|(_, value)| value.trim());
    let understood = assigned.is_some_and(|value| inside(&piece(["SELECT ", value].concat()), None, judge, each));
    if !understood {
        each(Part::Unread { at: at.unwrap_or(0), message: UNREAD });
    }
}

fn dynamic(text: &str, at: Option<usize>, judge: Judge<'_>, each: &mut Each<'_>) {
    let depth = split::split(text).statements.first().map_or(0, |piece| piece.depth) + 1;
    let piece = Piece { start: 0, text: ["SELECT ", text].concat(), depth };
    let constant = parse(&piece, judge.options).ok().and_then(|parsed| {
        let NodeEnum::SelectStmt(select) = tree::inner(&parsed.stmts.first()?.stmt)? else { return None };
        let NodeEnum::ResTarget(target) = select.target_list.first()?.node.as_ref()? else { return None };
        constant_text(tree::inner(&target.val)?)
    });
    match constant {
        Some(constant) => sql(&constant, judge.text.find(&constant), judge, each),
        None => {
            let message = "EXECUTE runs a text that is put together at run time";
            each(Part::Unread { at: at.unwrap_or(0), message });
        }
    }
}
