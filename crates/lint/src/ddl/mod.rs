//! Statements that make and change structure: what each of them says by itself.
//!
//! What concerns a table as a whole is in `catalog.rs`. INVARIANT: pure; a statement and what is known go in, problems
//! come out.

mod keys;
pub mod objects;
mod online;
pub mod policy;
mod rights;

use std::collections::BTreeSet;

use pg_query::protobuf::RangeVar;

use crate::schema::Class;
use crate::scope::{Judge, Problem, schema_of};
use crate::tree::NodeEnum;

/// What a statement of structure is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What statements are judged by.
    pub judge: Judge<'a>,
    /// Tables that the same input created before: nobody uses them yet.
    pub created: &'a BTreeSet<String>,
}

impl Context<'_> {
    fn class(&self, table: &RangeVar) -> Class {
        self.judge.schema.class(schema_of(table), &table.relname, self.judge.path)
    }

    fn is_new(&self, table: &RangeVar) -> bool {
        self.created.contains(&table.relname)
    }

    fn tenant(&self) -> Option<&str> {
        self.judge.schema.tenant_column()
    }
}

/// What is wrong with a statement of structure.
pub fn judge(statement: &NodeEnum, cx: &Context<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    keys::judge(statement, cx, &mut found);
    policy::judge(statement, cx, &mut found);
    objects::judge(statement, cx, &mut found);
    rights::judge(statement, &mut found);
    online::judge(statement, cx, &mut found);
    found
}
