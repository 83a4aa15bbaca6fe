//! What a database holds, as far as the application's login reaches: the facts from which statements are made.
//!
//! Plain values; [`crate::read`] fills them from the catalog, and tests may write them by hand.

use tenantry_pg::Ident;

/// The objects of one database, in the order of their names.
#[derive(Debug, Clone, Default)]
pub struct CatalogModel {
    /// Tables, partitions, views, materialized views, foreign tables and sequences.
    pub relations: Vec<Relation>,
    /// Functions and procedures that the login may call.
    pub functions: Vec<Function>,
    /// Domains that the login may use.
    pub domains: Vec<TypeName>,
    /// Settings that policies and functions read, such as `app.tenant_id`.
    pub settings: Vec<String>,
    /// Roles of which the login is a member, itself left out.
    pub roles: Vec<Ident>,
}

impl CatalogModel {
    /// The relation of this number.
    #[must_use]
    pub fn relation(&self, oid: u32) -> Option<&Relation> {
        self.relations.iter().find(|relation| relation.oid == oid)
    }
}

/// What a relation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationKind {
    /// An ordinary table, or a leaf partition.
    Table,
    /// A partitioned table, which holds no rows itself.
    Partitioned,
    /// A view.
    View,
    /// A materialized view.
    Materialized,
    /// A foreign table.
    Foreign,
    /// A sequence.
    Sequence,
}

impl RelationKind {
    /// The word in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Partitioned => "partitioned table",
            Self::View => "view",
            Self::Materialized => "materialized view",
            Self::Foreign => "foreign table",
            Self::Sequence => "sequence",
        }
    }

    pub(crate) fn of(letter: &str) -> Option<Self> {
        Some(match letter {
            "r" => Self::Table,
            "p" => Self::Partitioned,
            "v" => Self::View,
            "m" => Self::Materialized,
            "f" => Self::Foreign,
            "S" => Self::Sequence,
            _ => return None,
        })
    }
}

/// A relation.
#[derive(Debug, Clone)]
pub struct Relation {
    /// Its number in this database.
    pub oid: u32,
    /// Its schema.
    pub schema: Ident,
    /// Its name.
    pub name: Ident,
    /// What it is.
    pub kind: RelationKind,
    /// Whether the login has a right on it.
    pub reachable: bool,
    /// In the order of the table; empty for sequences.
    pub columns: Vec<Column>,
    /// Unique and exclusion indexes.
    pub uniques: Vec<Unique>,
    /// Foreign keys.
    pub foreign: Vec<ForeignKey>,
    /// Check constraints: name, columns, definition.
    pub checks: Vec<(String, Vec<Ident>, String)>,
    /// Of a partition: the partitioned table.
    pub parent: Option<u32>,
    /// Of a partition: its bound as the server writes it.
    pub bound: Option<String>,
    /// Of a partitioned table: the columns by which rows are distributed.
    pub partition_key: Vec<Ident>,
}

impl Relation {
    /// `schema.name`, for people.
    #[must_use]
    pub fn full_name(&self) -> String {
        [self.schema.as_str(), ".", self.name.as_str()].concat()
    }

    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.as_str() == name)
    }

    /// Whether rows can be written to it directly.
    #[must_use]
    pub const fn holds_rows(&self) -> bool {
        matches!(self.kind, RelationKind::Table | RelationKind::Partitioned)
    }
}

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name.
    pub name: Ident,
    /// Its type as declared.
    pub ty: TypeName,
    /// What that type is below domains.
    pub base: Base,
    /// Whether it, or its domain, must have a value.
    pub not_null: bool,
    /// Computed from other columns.
    pub generated: bool,
    /// Numbered by the server, whatever is inserted.
    pub identity_always: bool,
    /// Checks of its domain.
    pub domain_checks: Vec<String>,
}

/// A type by its schema and its name in the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeName {
    /// Its schema.
    pub schema: Ident,
    /// Its name; of an array type `_text` and the like.
    pub name: Ident,
}

/// What values of a type look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Text of at most so many characters.
    Text(Option<u32>),
    /// A uuid.
    Uuid,
    /// A whole number with at most so many digits.
    Int(u32),
    /// Bytes.
    Bytes,
    /// `json` or `jsonb`.
    Json,
    /// `xml`.
    Xml,
    /// `hstore`.
    Hstore,
    /// A moment with microseconds.
    Moment,
    /// A truth value.
    Bool,
    /// One of these labels.
    Enum(Vec<String>),
    /// An IPv6 address.
    Address,
    /// An array of these.
    Array(Box<Base>),
    /// A type whose values are taken from a fixed list, by its name.
    Other(String),
}

/// A unique or exclusion index.
#[derive(Debug, Clone)]
pub struct Unique {
    /// Its name, which is also the constraint's.
    pub name: String,
    /// Its columns; expressions are left out.
    pub columns: Vec<Ident>,
}

/// A foreign key.
#[derive(Debug, Clone)]
pub struct ForeignKey {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Ident>,
    /// The table it refers to.
    pub target: u32,
    /// The columns there.
    pub target_columns: Vec<Ident>,
}

/// A function or procedure.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its schema.
    pub schema: Ident,
    /// Its name.
    pub name: Ident,
    /// `schema.name(types)`, for people.
    pub signature: String,
    /// Whether it is called by CALL.
    pub procedure: bool,
    /// Its input arguments.
    pub arguments: Vec<(TypeName, Base)>,
}
