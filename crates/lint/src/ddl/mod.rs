//! Statements that make and change structure: what each of them says by itself.
//!
//! What concerns a table as a whole is in `catalog.rs`. INVARIANT: pure; a statement and what is known go in, problems
//! come out.

mod keys;
pub mod objects;
mod online;
pub mod policy;
mod rights;
mod tenant;

use pg_query::protobuf::RangeVar;

use crate::schema::Class;
use crate::scope::{Judge, Problem, schema_of};
use crate::tree::NodeEnum;

/// What a statement of structure is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What statements are judged by.
    pub judge: Judge<'a>,
}

impl Context<'_> {
    fn class(&self, table: &RangeVar) -> Class {
        self.judge.schema.class(schema_of(table), &table.relname, self.judge.path)
    }

    fn is_new(&self, table: &RangeVar) -> bool {
        self.judge.created.contains(&table.relname)
    }

    fn tenant(&self) -> Option<&str> {
        self.judge.schema.tenant_column()
    }
}

/// What is wrong with a statement of structure.
pub fn judge(statement: &NodeEnum, cx: &Context<'_>, found: &mut Vec<Problem>) {
    keys::judge(statement, cx, found);
    policy::judge(statement, cx, found);
    objects::judge(statement, cx, found);
    rights::judge(statement, cx, found);
    tenant::judge(statement, cx, found);
    online::judge(statement, cx, found);
}
