//! The tables that the inputs create, as they are in the end, and what is wrong with them then.
//!
//! A table is often finished by later statements: its key by ALTER TABLE, its index in the next migration. So what
//! concerns a table as a whole is judged after all inputs. Long because every statement that shapes a table is followed in one
//! place. INVARIANT: only tables that an input creates are judged here.

use std::collections::{BTreeMap, BTreeSet};

use pg_query::Node;
use pg_query::protobuf::{
    AlterTableCmd, AlterTableStmt, AlterTableType, ColumnDef, ConstrType, Constraint, CreateStmt, IndexStmt,
    ObjectType, RangeVar, RenameStmt, TypeName,
};

use crate::ddl::policy;
use crate::options::Options;
use crate::progress::{Progress, is_temporary};
use crate::routine::{self, Part};
use crate::schema::{Class, Schema, is_temporary_schema};
use crate::scope::{Judge, Problem, analyse_view, schema_of, shown};
use crate::statement;
use crate::tree::{self, NodeEnum};

/// Where a statement is: input, statement in the input, byte in the statement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Index of the input.
    pub source: usize,
    /// Index of the statement.
    pub statement: usize,
    /// Byte in the statement.
    pub at: usize,
    /// Byte in the statement at which the text begins that places refer to: a body's inside of another statement.
    pub base: usize,
}

impl Place {
    /// The beginning of a statement.
    pub const fn new(source: usize, statement: usize) -> Self {
        Self { source, statement, at: 0, base: 0 }
    }

    /// The place of a word of the same statement.
    fn word(self, location: i32) -> Self {
        Self { at: self.base + tree::at(location).unwrap_or(0), ..self }
    }
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    type_name: String,
    required: bool,
    generated: bool,
    place: Place,
}

#[derive(Debug, Clone, Default)]
struct Table {
    shown: String,
    columns: Option<Vec<Column>>,
    keys: BTreeMap<String, Vec<String>>,
    /// First columns of full indexes that are usable for lookups.
    leads: BTreeSet<String>,
    inherits: Option<(Option<String>, String)>,
    enabled: bool,
    forced: bool,
    policy: bool,
    unlogged: bool,
    /// Where it became unlogged.
    unlogged_at: Place,
    /// A real table, not a view.
    stored: bool,
    place: Place,
}

type Key = (Option<String>, String);

/// What the inputs create.
#[derive(Debug, Default)]
pub struct Catalog {
    tables: BTreeMap<Key, Table>,
    /// Tables of the session alone that the present input has made: they are none of an app's tables, whatever their name.
    temporary: BTreeSet<String>,
    source: usize,
}

/// The schema in which an unqualified name is created.
fn home(path: &[String]) -> Option<String> {
    path.iter().find(|schema| schema.as_str() != "pg_catalog").cloned()
}

fn key(table: &RangeVar, path: &[String]) -> Key {
    (schema_of(table).map(str::to_owned).or_else(|| home(path)), table.relname.clone())
}

impl Catalog {
    /// Takes a statement that creates or changes structure.
    pub fn apply(&mut self, statement: &NodeEnum, place: Place, judge: Judge<'_>) {
        if place.source != self.source {
            self.source = place.source;
            self.temporary.clear();
        }
        if let Some(table) = statement::creates(statement).filter(|table| is_temporary(table)) {
            self.temporary.insert(table.relname.clone());
            return;
        }
        match statement {
            NodeEnum::DoStmt(_) => self.inside(statement, place, judge),
            NodeEnum::CreateFunctionStmt(_) => {
                // A function may run at any time, or never: it makes tables known, and changes none.
                let mut own = Self { source: place.source, ..Self::default() };
                own.inside(statement, place, judge);
                for (key, table) in own.tables {
                    self.tables.entry(key).or_insert(table);
                }
            }
            NodeEnum::CreateStmt(create) => self.create(create, place, judge),
            NodeEnum::CreateForeignTableStmt(create) => {
                if let Some(base) = &create.base_stmt {
                    self.create(base, place, judge);
                    // Its rows are elsewhere, and the rule about foreign tables says all there is to say.
                    if let Some(table) = base.relation.as_ref().and_then(|name| self.get(name, judge.path)) {
                        table.stored = false;
                    }
                }
            }
            NodeEnum::CreateSchemaStmt(schema) => {
                let path = [schema.schemaname.clone()];
                for element in schema.schema_elts.iter().filter_map(|element| element.node.as_ref()) {
                    self.apply(element, place, Judge { path: &path, ..judge });
                }
            }
            NodeEnum::CreateTableAsStmt(create) => {
                if let Some((into, query)) = create.into.as_deref().zip(tree::inner(&create.query))
                    && let Some(table) = &into.rel
                {
                    let stored = create.objtype == ObjectType::ObjectTable as i32;
                    self.select_into(table, query, &into.col_names, stored, (place, judge));
                }
            }
            NodeEnum::SelectStmt(select) => {
                if let Some(table) = select.into_clause.as_deref().and_then(|into| into.rel.as_ref()) {
                    self.select_into(table, statement, &[], true, (place, judge));
                }
            }
            NodeEnum::ViewStmt(view) => {
                if let Some((table, query)) = view.view.as_ref().zip(tree::inner(&view.query)) {
                    self.select_into(table, query, &view.aliases, false, (place, judge));
                }
            }
            NodeEnum::AlterTableStmt(alter) => self.alter(alter, place, judge),
            NodeEnum::IndexStmt(index) => self.index(index, judge.path),
            NodeEnum::RenameStmt(rename) => self.rename(rename, judge),
            NodeEnum::DropStmt(drop)
                if matches!(
                    ObjectType::try_from(drop.remove_type),
                    Ok(ObjectType::ObjectTable | ObjectType::ObjectView | ObjectType::ObjectMatview)
                ) =>
            {
                for object in drop.objects.iter().filter_map(|object| object.node.as_ref()) {
                    if let NodeEnum::List(name) = object {
                        let (schema, name) = tree::qualified(&name.items);
                        self.drop(schema, name, judge.path);
                    }
                }
            }
            NodeEnum::CreatePolicyStmt(create) => {
                if let Some(table) = create.table.as_ref().and_then(|table| self.get(table, judge.path)) {
                    table.policy |= policy::is_canonical(create, judge);
                }
            }
            _ => {}
        }
    }

    /// Takes the statements of a body, as they would run.
    fn inside(&mut self, statement: &NodeEnum, place: Place, judge: Judge<'_>) {
        let mut progress = Progress::within(judge);
        routine::parts(statement, judge, &mut |part| {
            if let Part::Statement { tree, text, at, variables } = part {
                let around = Judge { text, variables, depth: judge.depth + 1, ..judge };
                self.apply(tree, Place { base: place.base + at.unwrap_or(0), ..place }, progress.judge(around));
                progress.take(tree, around);
            }
        });
    }

    fn create(&mut self, create: &CreateStmt, place: Place, judge: Judge<'_>) {
        let path = judge.path;
        let Some(name) = &create.relation else { return };
        let key = key(name, path);
        if create.if_not_exists && self.tables.contains_key(&key) {
            return;
        }
        let mut table = Table {
            shown: shown(name),
            columns: Some(Vec::new()),
            unlogged: name.relpersistence == "u",
            unlogged_at: place.word(name.location),
            stored: true,
            place: place.word(name.location),
            ..Table::default()
        };
        if create.of_typename.is_some() {
            table.columns = None;
        }
        for parent in create.inh_relations.iter().filter_map(|parent| parent.node.as_ref()) {
            if let NodeEnum::RangeVar(parent) = parent {
                table.inherits = Some(self::key(parent, path));
            }
        }
        for element in create.table_elts.iter().filter_map(|element| element.node.as_ref()) {
            match element {
                NodeEnum::ColumnDef(column) => table.column(column, place, &name.relname),
                NodeEnum::Constraint(constraint) => table.constraint(constraint, None, &name.relname),
                NodeEnum::TableLikeClause(like) => {
                    if let Some(parent) = &like.relation {
                        table.inherits = Some(self::key(parent, path));
                    }
                }
                _ => {}
            }
        }
        self.insert(key, table, judge);
    }

    /// Makes a table known. One that has held rows of tenants under this name, and was not dropped, still does.
    fn insert(&mut self, key: Key, table: Table, judge: Judge<'_>) {
        let Some(tenant) = judge.schema.tenant_column() else {
            self.tables.insert(key, table);
            return;
        };
        let is_of_tenants = |table: &Table| table.inherits.is_some() || table.has(tenant);
        if self.tables.get(&key).is_none_or(|known| !is_of_tenants(known) || is_of_tenants(&table)) {
            self.tables.insert(key, table);
        }
    }

    fn select_into(&mut self, name: &RangeVar, query: &NodeEnum, names: &[Node], stored: bool, at: (Place, Judge<'_>)) {
        let (place, judge) = at;
        let (_, columns) = analyse_view(query, names, judge);
        let place = place.word(name.location);
        let column = |name: String| Column {
            name,
            type_name: String::new(),
            // What a query gives may be NULL; only the definition of a table can promise otherwise.
            required: !stored,
            generated: false,
            place,
        };
        let table = Table {
            shown: shown(name),
            columns: columns.map(|columns| columns.into_iter().map(column).collect()),
            stored,
            place,
            ..Table::default()
        };
        self.insert(key(name, judge.path), table, judge);
    }

    /// Whether a name means a table of the session alone.
    fn is_temporary(&self, schema: Option<&str>, name: &str) -> bool {
        schema.map_or_else(|| self.temporary.contains(name), is_temporary_schema)
    }

    fn get(&mut self, name: &RangeVar, path: &[String]) -> Option<&mut Table> {
        if self.is_temporary(schema_of(name), &name.relname) {
            return None;
        }
        let exact = key(name, path);
        if self.tables.contains_key(&exact) {
            return self.tables.get_mut(&exact);
        }
        // A dump names the schema, the migration before it did not; or the other way round.
        let mut same = self.tables.iter_mut().filter(|((_, known), _)| *known == name.relname);
        match (same.next(), same.next()) {
            (Some((_, only)), None) => Some(only),
            _ => None,
        }
    }

    fn alter(&mut self, alter: &AlterTableStmt, place: Place, judge: Judge<'_>) {
        let path = judge.path;
        let Some(name) = &alter.relation else { return };
        for command in alter.cmds.iter().filter_map(|command| command.node.as_ref()) {
            let NodeEnum::AlterTableCmd(command) = command else { continue };
            if command.subtype == AlterTableType::AtAttachPartition as i32 {
                self.attach(command, name, path);
            } else if let Some(table) = self.get(name, path) {
                table.alter(command, place.word(name.location), (&name.relname, judge.schema.tenant_column()));
            }
        }
    }

    fn attach(&mut self, command: &AlterTableCmd, parent: &RangeVar, path: &[String]) {
        if let Some(NodeEnum::PartitionCmd(partition)) = tree::inner(&command.def)
            && let Some(table) = partition.name.as_ref().and_then(|name| self.get(name, path))
        {
            table.inherits = Some(key(parent, path));
        }
    }

    fn index(&mut self, index: &IndexStmt, path: &[String]) {
        let columns = index_columns(&index.index_params);
        let whole = index.where_clause.is_none() && matches!(index.access_method.as_str(), "btree" | "hash" | "");
        let Some(table) = index.relation.as_ref().and_then(|name| self.get(name, path)) else { return };
        if whole && let Some(Some(first)) = columns.first() {
            table.leads.insert(first.clone());
        }
        if index.unique {
            table.keys.insert(index.idxname.clone(), columns.into_iter().flatten().collect());
        }
    }

    fn rename(&mut self, rename: &RenameStmt, judge: Judge<'_>) {
        let path = judge.path;
        let Some(name) = &rename.relation else { return };
        if self.is_temporary(schema_of(name), &name.relname) {
            return;
        }
        if rename.rename_type == ObjectType::ObjectTable as i32 {
            let old = key(name, path);
            if let Some(mut table) = self.tables.remove(&old) {
                table.shown.clone_from(&rename.newname);
                self.tables.insert((old.0, rename.newname.clone()), table);
            }
        } else if rename.rename_type == ObjectType::ObjectColumn as i32
            && let Some(table) = self.get(name, path)
        {
            // A table or view of tenants stays one; the rule about the statement speaks of it.
            if judge.schema.tenant_column() == Some(&*rename.subname) && table.has(&rename.subname) {
                return;
            }
            for column in table.columns.iter_mut().flatten().filter(|column| column.name == rename.subname) {
                column.name.clone_from(&rename.newname);
            }
            if table.leads.remove(&rename.subname) {
                table.leads.insert(rename.newname.clone());
            }
        } else if rename.rename_type == ObjectType::ObjectTabconstraint as i32
            && let Some(table) = self.get(name, path)
            && let Some(columns) = table.keys.remove(&rename.subname)
        {
            table.keys.insert(rename.newname.clone(), columns);
        }
    }

    fn drop(&mut self, schema: Option<&str>, name: &str, path: &[String]) {
        if self.is_temporary(schema, name) {
            self.temporary.remove(name);
            return;
        }
        let exact = (schema.map(str::to_owned).or_else(|| home(path)), name.to_owned());
        if self.tables.remove(&exact).is_none() && schema.is_none() {
            self.tables.retain(|(_, known), _| known != name);
        }
    }

    /// Tells the schema what the tables look like.
    pub fn describe(&self, schema: &mut Schema) {
        for ((namespace, name), table) in &self.tables {
            let relation = schema.entry(namespace.as_deref(), name);
            relation.columns =
                table.columns.as_ref().map(|columns| columns.iter().map(|column| column.name.clone()).collect());
            relation.keys.clone_from(&table.keys);
            relation.inherits.clone_from(&table.inherits);
        }
    }

    /// What is wrong with the tables as they are in the end.
    pub fn judge(&self, schema: &Schema, options: &Options) -> Vec<(Place, Problem)> {
        let Some(tenant) = schema.tenant_column() else { return Vec::new() };
        let mut found = Vec::new();
        for ((namespace, name), table) in self.tables.iter().filter(|(_, table)| table.stored) {
            match schema.class(namespace.as_deref(), name, &[]) {
                // A definition without the column may stand beside another one of the same name.
                class @ (Class::Plain | Class::Tenant)
                    if table.columns.is_some()
                        && (class == Class::Plain || (table.inherits.is_none() && !table.has(tenant))) =>
                {
                    let message = format!("`{}` has no column `{tenant}`", table.shown);
                    found.push((table.place, Problem::new("TL201", 0, message)));
                }
                Class::Tenant if table.inherits.is_none() && table.columns.is_some() => {
                    table.judge(tenant, options, &mut found);
                }
                _ => {}
            }
        }
        for (place, problem) in &mut found {
            problem.at = place.at;
            problem.table = self.tables.values().find(|table| table.owns(*place)).map(|table| table.shown.clone());
        }
        found
    }
}

impl Table {
    fn owns(&self, place: Place) -> bool {
        self.place == place
            || (self.unlogged && self.unlogged_at == place)
            || self.columns.iter().flatten().any(|column| column.place == place)
    }

    fn has(&self, column: &str) -> bool {
        self.columns.iter().flatten().any(|known| known.name == column)
    }

    fn column(&mut self, column: &ColumnDef, place: Place, table: &str) {
        let constraints: Vec<&Constraint> = constraints(column).collect();
        let of = |kind: ConstrType| constraints.iter().any(|constraint| constraint.contype == kind as i32);
        let described = Column {
            name: column.colname.clone(),
            type_name: column.type_name.as_ref().map(type_word).unwrap_or_default(),
            required: column.is_not_null || of(ConstrType::ConstrNotnull) || of(ConstrType::ConstrPrimary),
            generated: of(ConstrType::ConstrGenerated) || of(ConstrType::ConstrIdentity),
            place: place.word(column.location),
        };
        if let Some(columns) = &mut self.columns {
            columns.retain(|known| known.name != described.name);
            columns.push(described);
        }
        for constraint in constraints {
            self.constraint(constraint, Some(&column.colname), table);
        }
    }

    fn constraint(&mut self, constraint: &Constraint, of_column: Option<&str>, table: &str) {
        let kind = ConstrType::try_from(constraint.contype);
        if !matches!(kind, Ok(ConstrType::ConstrPrimary | ConstrType::ConstrUnique)) {
            return;
        }
        let mut columns: Vec<String> = tree::texts(&constraint.keys).into_iter().map(str::to_owned).collect();
        columns.extend(of_column.filter(|_| columns.is_empty()).map(str::to_owned));
        if kind == Ok(ConstrType::ConstrPrimary) {
            for column in self.columns.iter_mut().flatten().filter(|column| columns.contains(&column.name)) {
                column.required = true;
            }
        }
        if !constraint.indexname.is_empty() {
            // The index becomes the constraint, under the constraint's name.
            let name = Some(&constraint.conname).filter(|name| !name.is_empty()).unwrap_or(&constraint.indexname);
            if let Some(columns) = self.keys.remove(&constraint.indexname) {
                self.keys.insert(name.clone(), columns);
            }
            return;
        }
        self.leads.extend(columns.first().cloned());
        // PostgreSQL gives a key without a name that of the table and, where it is not the primary one, of the columns.
        let name = match (constraint.conname.as_str(), kind) {
            ("", Ok(ConstrType::ConstrPrimary)) => format!("{table}_pkey"),
            ("", _) => format!("{table}_{}_key", columns.join("_")),
            (name, _) => name.to_owned(),
        };
        self.keys.insert(name, columns);
    }

    /// Takes one command of ALTER TABLE; `of` is the table's name and the app's tenant column.
    fn alter(&mut self, command: &AlterTableCmd, place: Place, of: (&str, Option<&str>)) {
        let name = &command.name;
        let (table, tenant) = of;
        match (AlterTableType::try_from(command.subtype), tree::inner(&command.def)) {
            (Ok(AlterTableType::AtAddColumn), Some(NodeEnum::ColumnDef(column))) => {
                self.column(column, place, table);
            }
            // A table of tenants stays one; the rule about the statement speaks of it.
            (Ok(AlterTableType::AtDropColumn), _) if tenant == Some(name.as_str()) => {}
            (Ok(AlterTableType::AtDropConstraint), _) => {
                self.keys.remove(name);
            }
            (Ok(AlterTableType::AtDropColumn), _) => {
                self.columns.iter_mut().for_each(|columns| columns.retain(|column| column.name != *name));
                self.leads.remove(name);
            }
            (Ok(AlterTableType::AtSetNotNull), _) => self.require(name, true),
            (Ok(AlterTableType::AtDropNotNull), _) => {
                self.require(name, false);
                self.changed(name, place);
            }
            (Ok(AlterTableType::AtAlterColumnType), Some(NodeEnum::ColumnDef(column))) => {
                for known in self.columns.iter_mut().flatten().filter(|known| known.name == *name) {
                    known.type_name = column.type_name.as_ref().map(type_word).unwrap_or_default();
                }
                self.changed(name, place);
            }
            (Ok(AlterTableType::AtAddConstraint), Some(NodeEnum::Constraint(constraint))) => {
                self.constraint(constraint, None, table);
            }
            (Ok(AlterTableType::AtEnableRowSecurity), _) => self.enabled = true,
            (Ok(AlterTableType::AtDisableRowSecurity), _) => self.enabled = false,
            (Ok(AlterTableType::AtForceRowSecurity), _) => self.forced = true,
            (Ok(AlterTableType::AtNoForceRowSecurity), _) => self.forced = false,
            (Ok(AlterTableType::AtSetLogged), _) => self.unlogged = false,
            (Ok(AlterTableType::AtSetUnLogged), _) => {
                self.unlogged = true;
                self.unlogged_at = place;
            }
            _ => {}
        }
    }

    /// What is wrong with a column from here on is the fault of the statement that changed it.
    fn changed(&mut self, name: &str, place: Place) {
        for column in self.columns.iter_mut().flatten().filter(|column| column.name == name) {
            column.place = place;
        }
    }

    fn require(&mut self, name: &str, required: bool) {
        for column in self.columns.iter_mut().flatten().filter(|column| column.name == name) {
            column.required = required;
        }
    }

    fn judge(&self, tenant: &str, options: &Options, found: &mut Vec<(Place, Problem)>) {
        let shown = &self.shown;
        let mut report = |rule, place, message: String| found.push((place, Problem::new(rule, 0, message)));
        if let Some(column) = self.columns.iter().flatten().find(|column| column.name == tenant) {
            if !column.required {
                report("TL202", column.place, format!("`{shown}.{tenant}` may be NULL"));
            }
            match &options.tenant_type {
                Some(wanted) if !column.type_name.is_empty() && column.type_name != *wanted => {
                    let message = format!("`{shown}.{tenant}` is {}, not {wanted}", column.type_name);
                    report("TL203", column.place, message);
                }
                _ if column.generated => report("TL203", column.place, format!("`{shown}.{tenant}` is generated")),
                _ => {}
            }
        }
        if !self.leads.contains(tenant) {
            report("TL206", self.place, format!("no index of `{shown}` begins with `{tenant}`"));
        }
        if self.unlogged {
            report("TL207", self.unlogged_at, format!("`{shown}` is unlogged"));
        }
        let missing = [
            (self.enabled, "ENABLE ROW LEVEL SECURITY"),
            (self.forced, "FORCE ROW LEVEL SECURITY"),
            (self.policy, "the canonical policy"),
        ];
        let missing: Vec<_> = missing.iter().filter(|(there, _)| !there).map(|(_, what)| *what).collect();
        if options.require_guard && !missing.is_empty() {
            report("TL208", self.place, format!("`{shown}` lacks {}", missing.join(", ")));
        }
    }
}

/// The constraints written behind a column.
pub fn constraints(column: &ColumnDef) -> impl Iterator<Item = &Constraint> {
    column.constraints.iter().filter_map(|constraint| match constraint.node.as_ref() {
        Some(NodeEnum::Constraint(constraint)) => Some(&**constraint),
        _ => None,
    })
}

/// The columns of an index, in order; nothing where an expression stands.
pub fn index_columns(parameters: &[Node]) -> Vec<Option<String>> {
    parameters
        .iter()
        .filter_map(|parameter| match parameter.node.as_ref() {
            Some(NodeEnum::IndexElem(element)) => Some(Some(element.name.clone()).filter(|name| !name.is_empty())),
            _ => None,
        })
        .collect()
}

/// The name of a type without its schema.
fn type_word(name: &TypeName) -> String {
    tree::last(&name.names).to_owned()
}
