//! Small readers of PostgreSQL's parse tree: strings out of nodes, and the children of an expression.
//!
//! INVARIANT: [`children`] names every child that can hold a sub-select. What it forgets, the census (`census.rs`)
//! notices as a table reference that nobody looked at.

use pg_query::Node;
pub use pg_query::NodeEnum;
use pg_query::protobuf::{JsonAggConstructor, JsonBehavior, JsonValueExpr, WindowDef};

/// What is inside an optional box.
pub fn inner(node: &Option<Box<Node>>) -> Option<&NodeEnum> {
    node.as_deref()?.node.as_ref()
}

/// The text of a string node.
pub fn text(node: &Node) -> Option<&str> {
    match node.node.as_ref()? {
        NodeEnum::String(string) => Some(&string.sval),
        _ => None,
    }
}

/// The texts of a list of string nodes; other nodes are left out.
pub fn texts(nodes: &[Node]) -> Vec<&str> {
    nodes.iter().filter_map(text).collect()
}

/// The last part of a qualified name, which is the name proper.
pub fn last(nodes: &[Node]) -> &str {
    nodes.last().and_then(text).unwrap_or_default()
}

/// Schema and name out of a list of strings.
pub fn qualified(nodes: &[Node]) -> (Option<&str>, &str) {
    let parts = texts(nodes);
    match parts.as_slice() {
        [] => (None, ""),
        [name] => (None, name),
        [.., schema, name] => (Some(schema), name),
    }
}

/// Whether an operator is PostgreSQL's own of this name. Of another schema it may do anything.
pub fn is_operator(name: &[Node], wanted: &str) -> bool {
    last(name) == wanted && (name.len() <= 1 || qualified(name).0 == Some("pg_catalog"))
}

/// Where a node begins in the statement's text, when the parser kept it.
pub fn location(node: &NodeEnum) -> Option<usize> {
    let at = match node {
        NodeEnum::RangeVar(n) => n.location,
        NodeEnum::ColumnRef(n) => n.location,
        NodeEnum::ParamRef(n) => n.location,
        NodeEnum::AConst(n) => n.location,
        NodeEnum::AExpr(n) => match inner(&n.lexpr).and_then(location) {
            Some(left) => return Some(left),
            None => n.location,
        },
        NodeEnum::TypeCast(n) => match inner(&n.arg).and_then(location) {
            Some(argument) => return Some(argument),
            None => n.location,
        },
        NodeEnum::FuncCall(n) => n.location,
        NodeEnum::SubLink(n) => match inner(&n.testexpr).and_then(location) {
            Some(left) => return Some(left),
            None => n.location,
        },
        NodeEnum::BoolExpr(n) => match n.args.first().and_then(|arg| arg.node.as_ref()).and_then(location) {
            // A NOT stands before its argument.
            Some(argument) if n.boolop != pg_query::protobuf::BoolExprType::NotExpr as i32 => return Some(argument),
            _ => n.location,
        },
        NodeEnum::NullTest(n) => return inner(&n.arg).and_then(location).or_else(|| at(n.location)),
        NodeEnum::BooleanTest(n) => return inner(&n.arg).and_then(location).or_else(|| at(n.location)),
        NodeEnum::CaseExpr(n) => n.location,
        NodeEnum::CoalesceExpr(n) => n.location,
        NodeEnum::RowExpr(n) => n.location,
        NodeEnum::ResTarget(n) => n.location,
        NodeEnum::ColumnDef(n) => n.location,
        NodeEnum::Constraint(n) => n.location,
        NodeEnum::DefElem(n) => n.location,
        NodeEnum::SetToDefault(n) => n.location,
        _ => return None,
    };
    self::at(at)
}

/// A position, unless the parser did not know it.
pub fn at(location: i32) -> Option<usize> {
    usize::try_from(location).ok()
}

/// The direct children of an expression, without those of a nested statement.
pub fn children<'t>(node: &'t NodeEnum, into: &mut Vec<&'t NodeEnum>) {
    match node {
        NodeEnum::AExpr(n) => two(into, &n.lexpr, &n.rexpr),
        NodeEnum::TypeCast(n) => one(into, &n.arg),
        NodeEnum::CollateClause(n) => one(into, &n.arg),
        NodeEnum::FuncCall(n) => {
            many(into, &n.args);
            many(into, &n.agg_order);
            one(into, &n.agg_filter);
            window(into, n.over.as_deref());
        }
        NodeEnum::AIndices(n) => two(into, &n.lidx, &n.uidx),
        NodeEnum::AIndirection(n) => {
            one(into, &n.arg);
            many(into, &n.indirection);
        }
        NodeEnum::AArrayExpr(n) => many(into, &n.elements),
        NodeEnum::ResTarget(n) => {
            many(into, &n.indirection);
            one(into, &n.val);
        }
        NodeEnum::MultiAssignRef(n) => one(into, &n.source),
        NodeEnum::SortBy(n) => one(into, &n.node),
        NodeEnum::WindowDef(n) => window(into, Some(n)),
        NodeEnum::BoolExpr(n) => many(into, &n.args),
        NodeEnum::SubLink(n) => one(into, &n.testexpr),
        NodeEnum::CaseExpr(n) => {
            one(into, &n.arg);
            many(into, &n.args);
            one(into, &n.defresult);
        }
        NodeEnum::CaseWhen(n) => two(into, &n.expr, &n.result),
        NodeEnum::RowExpr(n) => many(into, &n.args),
        NodeEnum::CoalesceExpr(n) => many(into, &n.args),
        NodeEnum::MinMaxExpr(n) => many(into, &n.args),
        NodeEnum::XmlExpr(n) => {
            many(into, &n.named_args);
            many(into, &n.args);
        }
        NodeEnum::XmlSerialize(n) => one(into, &n.expr),
        NodeEnum::NullTest(n) => one(into, &n.arg),
        NodeEnum::BooleanTest(n) => one(into, &n.arg),
        NodeEnum::NamedArgExpr(n) => one(into, &n.arg),
        NodeEnum::GroupingFunc(n) => many(into, &n.args),
        NodeEnum::GroupingSet(n) => many(into, &n.content),
        NodeEnum::List(n) => many(into, &n.items),
        NodeEnum::IndexElem(n) => one(into, &n.expr),
        NodeEnum::RangeTableFuncCol(n) => two(into, &n.colexpr, &n.coldefexpr),
        _ => json(node, into),
    }
}

fn json<'t>(node: &'t NodeEnum, into: &mut Vec<&'t NodeEnum>) {
    match node {
        NodeEnum::JsonObjectConstructor(n) => many(into, &n.exprs),
        NodeEnum::JsonArrayConstructor(n) => many(into, &n.exprs),
        NodeEnum::JsonKeyValue(n) => {
            one(into, &n.key);
            value(into, n.value.as_deref());
        }
        NodeEnum::JsonValueExpr(n) => value(into, Some(n)),
        NodeEnum::JsonParseExpr(n) => value(into, n.expr.as_deref()),
        NodeEnum::JsonScalarExpr(n) => one(into, &n.expr),
        NodeEnum::JsonSerializeExpr(n) => value(into, n.expr.as_deref()),
        NodeEnum::JsonIsPredicate(n) => one(into, &n.expr),
        NodeEnum::JsonArgument(n) => value(into, n.val.as_deref()),
        NodeEnum::JsonFuncExpr(n) => {
            value(into, n.context_item.as_deref());
            one(into, &n.pathspec);
            many(into, &n.passing);
            behavior(into, n.on_empty.as_deref());
            behavior(into, n.on_error.as_deref());
        }
        NodeEnum::JsonObjectAgg(n) => {
            if let Some(pair) = n.arg.as_deref() {
                one(into, &pair.key);
                value(into, pair.value.as_deref());
            }
            aggregate(into, n.constructor.as_deref());
        }
        NodeEnum::JsonArrayAgg(n) => {
            value(into, n.arg.as_deref());
            aggregate(into, n.constructor.as_deref());
        }
        _ => {}
    }
}

fn one<'t>(into: &mut Vec<&'t NodeEnum>, node: &'t Option<Box<Node>>) {
    into.extend(inner(node));
}

fn two<'t>(into: &mut Vec<&'t NodeEnum>, first: &'t Option<Box<Node>>, second: &'t Option<Box<Node>>) {
    into.extend(inner(first));
    into.extend(inner(second));
}

fn many<'t>(into: &mut Vec<&'t NodeEnum>, nodes: &'t [Node]) {
    into.extend(nodes.iter().filter_map(|node| node.node.as_ref()));
}

fn window<'t>(into: &mut Vec<&'t NodeEnum>, window: Option<&'t WindowDef>) {
    if let Some(window) = window {
        many(into, &window.partition_clause);
        many(into, &window.order_clause);
        two(into, &window.start_offset, &window.end_offset);
    }
}

fn value<'t>(into: &mut Vec<&'t NodeEnum>, value: Option<&'t JsonValueExpr>) {
    if let Some(value) = value {
        two(into, &value.raw_expr, &value.formatted_expr);
    }
}

fn behavior<'t>(into: &mut Vec<&'t NodeEnum>, behavior: Option<&'t JsonBehavior>) {
    if let Some(behavior) = behavior {
        one(into, &behavior.expr);
    }
}

fn aggregate<'t>(into: &mut Vec<&'t NodeEnum>, aggregate: Option<&'t JsonAggConstructor>) {
    if let Some(aggregate) = aggregate {
        one(into, &aggregate.agg_filter);
        many(into, &aggregate.agg_order);
        window(into, aggregate.over.as_deref());
    }
}
