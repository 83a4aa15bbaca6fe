//! What an expression stands for: one tenant's value, a column, or something unknown.
//!
//! INVARIANT: an expression that reads a column is that column (through casts) or unknown; never bound by itself.

use std::rc::Rc;

use pg_query::protobuf::{AExprKind, FuncCall, SubLink, SubLinkType};

use super::Analysis;
use super::alias::{Kind, Outputs, ScopeId};
use super::graph::{BOUND, Id, NEVER};
use crate::schema::Class;
use crate::tree::{self, NodeEnum};

/// Functions whose result is one value as soon as their arguments are.
const PURE: &[&str] = &[
    "btrim",
    "cast",
    "coalesce",
    "concat",
    "convert_from",
    "decode",
    "encode",
    "jsonb_extract_path_text",
    "json_extract_path_text",
    "left",
    "lower",
    "lpad",
    "ltrim",
    "md5",
    "nullif",
    "regexp_replace",
    "replace",
    "right",
    "rpad",
    "rtrim",
    "split_part",
    "substr",
    "substring",
    "text",
    "to_json",
    "to_jsonb",
    "translate",
    "trim",
    "upper",
    "uuid",
];

impl Analysis<'_> {
    /// The node an expression stands for.
    pub(super) fn value(&mut self, expression: &NodeEnum, scope: ScopeId) -> Id {
        match expression {
            NodeEnum::ParamRef(_) => BOUND,
            NodeEnum::AConst(constant) if constant.isnull => NEVER,
            NodeEnum::AConst(_) => BOUND,
            NodeEnum::ColumnRef(column) => self.resolve(&column.fields, scope),
            NodeEnum::TypeCast(cast) => tree::inner(&cast.arg).map_or(NEVER, |arg| self.value(arg, scope)),
            NodeEnum::CollateClause(clause) => tree::inner(&clause.arg).map_or(NEVER, |arg| self.value(arg, scope)),
            NodeEnum::SubLink(link) => self.scalar(link, scope),
            NodeEnum::FuncCall(call) => self.function(call, scope),
            NodeEnum::AExpr(operation) => match AExprKind::try_from(operation.kind) {
                Ok(AExprKind::AexprOp | AExprKind::AexprNullif) => self.combined(expression, scope),
                _ => NEVER,
            },
            NodeEnum::AIndirection(_)
            | NodeEnum::CaseExpr(_)
            | NodeEnum::CaseWhen(_)
            | NodeEnum::CoalesceExpr(_)
            | NodeEnum::MinMaxExpr(_) => self.combined(expression, scope),
            _ => NEVER,
        }
    }

    /// One value, if every part is.
    fn combined(&mut self, expression: &NodeEnum, scope: ScopeId) -> Id {
        let mut parts = Vec::new();
        tree::children(expression, &mut parts);
        let mut any = false;
        for part in parts {
            // The name of a field is no value; a NULL among values adds none.
            let nothing = match part {
                NodeEnum::String(_) => true,
                NodeEnum::AConst(constant) => constant.isnull,
                _ => false,
            };
            if nothing {
                continue;
            }
            any = true;
            let bound = match part {
                NodeEnum::AIndices(_) | NodeEnum::CaseWhen(_) => self.combined(part, scope) == BOUND,
                _ => self.value(part, scope) == BOUND,
            };
            if !bound {
                return NEVER;
            }
        }
        if any { BOUND } else { NEVER }
    }

    fn function(&mut self, call: &FuncCall, scope: ScopeId) -> Id {
        if call.over.is_some() || call.agg_star || call.agg_distinct {
            return NEVER;
        }
        let name = tree::texts(&call.funcname).join(".").to_lowercase();
        let plain = name.strip_prefix("pg_catalog.").unwrap_or(&name);
        let context = self.judge.options.is_context_function(plain);
        if !context && (!PURE.contains(&plain) || call.args.is_empty()) {
            return NEVER;
        }
        let arguments = call.args.iter().filter_map(|argument| argument.node.as_ref());
        let all = arguments.fold(true, |all, argument| {
            let nullable = matches!(argument, NodeEnum::AConst(_));
            all && (nullable || self.value(argument, scope) == BOUND)
        });
        if all { BOUND } else { NEVER }
    }

    /// `(SELECT …)` as a value.
    fn scalar(&mut self, link: &SubLink, scope: ScopeId) -> Id {
        if !matches!(SubLinkType::try_from(link.sub_link_type), Ok(SubLinkType::ExprSublink)) {
            return NEVER;
        }
        let outputs = self.sublink(link, scope);
        let ([only], []) = (outputs.columns.as_slice(), outputs.wild.as_slice()) else { return NEVER };
        let owner = self.graph.owner(only.id);
        let ours = match self.aliases.get(owner).map(|alias| &alias.kind) {
            Some(Kind::Table { class, .. }) => *class == Class::Tenant,
            Some(Kind::Derived(_)) => true,
            Some(Kind::Opaque(_)) | None => only.id == BOUND,
        };
        if ours {
            return only.id;
        }
        // One row of tables that are nobody's, picked by nothing of the outer row: whatever it is, it is one tenant.
        if outputs.alone && self.reads_no_tenant(&outputs) { BOUND } else { NEVER }
    }

    /// Whether a query reads tables, but no tenant's.
    fn reads_no_tenant(&self, outputs: &Outputs) -> bool {
        let inside = self.aliases.get(outputs.first_alias..).unwrap_or_default();
        let first = outputs.first_alias;
        !inside.is_empty() && !self.required.iter().any(|required| self.graph.owner(required.id) >= first)
    }

    /// The query of a sub-select, analysed once however often it is asked for.
    pub(super) fn sublink(&mut self, link: &SubLink, scope: ScopeId) -> Rc<Outputs> {
        let key = std::ptr::from_ref(link) as usize;
        if let Some(known) = self.sublinks.get(&key) {
            return Rc::clone(known);
        }
        let (first_alias, touched, strays) = (self.aliases.len(), self.touched.len(), self.strays);
        let mut outputs = tree::inner(&link.subselect).map(|query| self.query(query, Some(scope))).unwrap_or_default();
        outputs.alone = strays == self.strays && self.touched[touched..].iter().all(|alias| *alias >= first_alias);
        self.remember(link, outputs)
    }

    pub(super) fn remember(&mut self, link: &SubLink, outputs: Outputs) -> Rc<Outputs> {
        let outputs = Rc::new(outputs);
        self.sublinks.insert(std::ptr::from_ref(link) as usize, Rc::clone(&outputs));
        outputs
    }
}
