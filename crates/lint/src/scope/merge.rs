//! MERGE: both sides are read, and which side keeps rows without a match depends on its WHEN clauses.
//!
//! INVARIANT: the condition of the join restricts a side only if no clause acts on that side's unmatched rows.

use std::collections::BTreeSet;
use std::rc::Rc;

use pg_query::protobuf::{CmdType, MergeMatchKind, MergeStmt, MergeWhenClause};

use super::alias::{AliasId, Outputs, ScopeId};
use super::condition::Place;
use super::from::collect;
use super::modify::target_name;
use super::{Analysis, Touch};
use crate::schema::Class;
use crate::tree::{self, NodeEnum};

impl Analysis<'_> {
    pub(super) fn merge(&mut self, merge: &MergeStmt, parent: Option<ScopeId>) -> Outputs {
        let base = self.scope(parent);
        if let Some(with) = &merge.with_clause {
            self.with(with, base);
        }
        let Some(table) = &merge.relation else { return Outputs::default() };
        self.visited(table);
        let scope = self.scope(Some(base));
        let source = merge.source_relation.as_ref().and_then(|node| node.node.as_ref());
        let mut sources = BTreeSet::new();
        if let Some(source) = source
            && let Some(tree) = self.item(source, scope)
        {
            self.join(&tree, &BTreeSet::new());
            collect(&tree, &mut sources);
        }
        let alias = self.target(table, target_name(table));
        self.scopes[scope].aliases.push(alias);
        let ours = self.class(table) == Class::Tenant;
        let clauses: Vec<&MergeWhenClause> = merge
            .merge_when_clauses
            .iter()
            .filter_map(|node| match node.node.as_ref() {
                Some(NodeEnum::MergeWhenClause(clause)) => Some(&**clause),
                _ => None,
            })
            .collect();
        let acts = |kind: MergeMatchKind| clauses.iter().any(|clause| clause.match_kind == kind as i32);
        let mut restricts = BTreeSet::new();
        if !acts(MergeMatchKind::MergeWhenNotMatchedByTarget) {
            restricts.extend(sources);
        }
        if !acts(MergeMatchKind::MergeWhenNotMatchedBySource) {
            restricts.insert(alias);
        }
        if let Some(condition) = merge.join_condition.as_ref().and_then(|node| node.node.as_ref()) {
            self.condition(condition, &Place::new(scope, Rc::new(restricts)));
            self.visit(condition, scope);
        }
        // A target that only takes new rows is not read beyond the comparison.
        let changes =
            clauses.iter().any(|clause| clause.match_kind != MergeMatchKind::MergeWhenNotMatchedByTarget as i32);
        if ours {
            if changes {
                self.require(alias, Touch::Merge, table);
            } else {
                self.outcome.tables.push(super::shown(table));
            }
        }
        self.unmatched(&clauses, alias, scope);
        for clause in clauses {
            tree::inner(&clause.condition).into_iter().for_each(|condition| self.visit(condition, scope));
            self.visit_all(&clause.target_list, scope);
            self.visit_all(&clause.values, scope);
            if !ours {
                continue;
            }
            match CmdType::try_from(clause.command_type) {
                Ok(CmdType::CmdInsert) => self.inserted(&clause.target_list, &clause.values, table, scope),
                Ok(CmdType::CmdUpdate) => self.sets_tenant(&clause.target_list, table, scope, None),
                _ => {}
            }
        }
        self.returning(merge.returning_clause.as_ref(), scope)
    }

    /// Target rows without a source are restricted by the clauses' own conditions, if by all of them.
    fn unmatched(&mut self, clauses: &[&MergeWhenClause], target: AliasId, scope: ScopeId) {
        let unmatched: Vec<_> = clauses
            .iter()
            .filter(|clause| clause.match_kind == MergeMatchKind::MergeWhenNotMatchedBySource as i32)
            .collect();
        if let [only] = unmatched.as_slice()
            && clauses.len() == 1
            && let Some(condition) = tree::inner(&only.condition)
        {
            let place = Place::new(scope, Rc::new(BTreeSet::from([target])));
            self.condition(condition, &place);
        }
    }
}
