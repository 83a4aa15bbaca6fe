//! Reads the catalog: what the application's login reaches, with what is needed to write rows and calls.
//!
//! INVARIANT: read-only, and the same catalog gives the same model in the same order.

use std::collections::BTreeSet;

use tenantry_pg::{Ident, PgError, Row, Session};

use crate::model::{Base, CatalogModel, Column, ForeignKey, Function, Relation, RelationKind, TypeName, Unique};

const RELATIONS: &str = "
    SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, r.reachable,
        (SELECT i.inhparent FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid AND c.relispartition),
        pg_catalog.pg_get_expr(c.relpartbound, c.oid),
        ARRAY(SELECT a.attname::text FROM pg_catalog.pg_partitioned_table p
            CROSS JOIN LATERAL unnest(p.partattrs::int2[]) WITH ORDINALITY AS k(num, ord)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = k.num
            WHERE p.partrelid = c.oid ORDER BY k.ord)
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (SELECT CASE
        WHEN NOT has_schema_privilege($1, n.oid, 'USAGE') THEN false
        WHEN c.relkind = 'S' THEN has_sequence_privilege($1, c.oid, 'USAGE, SELECT, UPDATE')
        ELSE has_table_privilege($1, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
            OR has_any_column_privilege($1, c.oid, 'SELECT, INSERT, UPDATE') END AS reachable) r
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND (r.reachable OR n.nspname = ANY($2))
    ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\"";

const COLUMNS: &str = "
    SELECT a.attrelid, a.attname::text, tn.nspname::text, t.typname::text, a.attnotnull OR t.typnotnull,
        a.attgenerated <> '', a.attidentity = 'a', b.typname::text, b.typtype::text, b.typcategory::text, up.mod, e.typname::text,
        ARRAY(SELECT l.enumlabel::text FROM pg_catalog.pg_enum l WHERE l.enumtypid IN (b.oid, e.oid) ORDER BY l.enumsortorder),
        ARRAY(SELECT pg_catalog.pg_get_constraintdef(k.oid) FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid ORDER BY k.conname)
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
    CROSS JOIN LATERAL (WITH RECURSIVE up(id, kind, base, mod) AS (
        SELECT t.oid, t.typtype, t.typbasetype, CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END
        UNION ALL
        SELECT s.oid, s.typtype, s.typbasetype, CASE WHEN s.typtype = 'd' THEN s.typtypmod ELSE up.mod END
        FROM up JOIN pg_catalog.pg_type s ON s.oid = up.base WHERE up.kind = 'd')
        SELECT id, mod FROM up WHERE kind <> 'd') up
    JOIN pg_catalog.pg_type b ON b.oid = up.id
    LEFT JOIN pg_catalog.pg_type e ON e.oid = b.typelem AND b.typcategory = 'A'
    WHERE a.attrelid = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attrelid, a.attnum";

const KEYS: &str = "
    SELECT i.indrelid, x.relname::text, ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) AS k(num)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num)
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
    WHERE i.indrelid = ANY($1) AND (i.indisunique OR i.indisexclusion) ORDER BY x.relname COLLATE \"C\"";

const CONSTRAINTS: &str = "
    SELECT k.conrelid, k.conname::text, k.contype::text, k.confrelid, pg_catalog.pg_get_constraintdef(k.oid),
        ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u(num, ord)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num ORDER BY u.ord),
        ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u(num, ord)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num ORDER BY u.ord)
    FROM pg_catalog.pg_constraint k WHERE k.conrelid = ANY($1) AND k.contype IN ('f', 'c') ORDER BY k.conname COLLATE \"C\"";

const FUNCTIONS: &str = "
    SELECT n.nspname::text, p.proname::text, p.oid::regprocedure::text, p.prokind = 'p',
        ARRAY(SELECT tn.nspname::text FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS u(id, ord)
            JOIN pg_catalog.pg_type t ON t.oid = u.id JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace ORDER BY u.ord),
        ARRAY(SELECT t.typname::text FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS u(id, ord)
            JOIN pg_catalog.pg_type t ON t.oid = u.id ORDER BY u.ord),
        ARRAY(SELECT b.typname::text FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS u(id, ord)
            JOIN pg_catalog.pg_type t ON t.oid = u.id
            JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END ORDER BY u.ord)
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND p.prokind IN ('f', 'p')
        AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype)
        AND has_schema_privilege($1, n.oid, 'USAGE') AND has_function_privilege($1, p.oid, 'EXECUTE')
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e'
            AND d.classid = 'pg_catalog.pg_proc'::regclass)
    ORDER BY p.oid::regprocedure::text COLLATE \"C\"";

const DOMAINS: &str = "
    SELECT n.nspname::text, t.typname::text FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype = 'd' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND has_schema_privilege($1, n.oid, 'USAGE') AND has_type_privilege($1, t.oid, 'USAGE')
    ORDER BY n.nspname COLLATE \"C\", t.typname COLLATE \"C\"";

/// Names of settings in policies and in bodies of functions of the app, each once.
const SETTINGS: &str = "
    SELECT DISTINCT m[1] COLLATE \"C\" FROM (
        SELECT concat_ws(' ', pg_catalog.pg_get_expr(polqual, polrelid), pg_catalog.pg_get_expr(polwithcheck, polrelid)) AS text
        FROM pg_catalog.pg_policy
        UNION ALL
        SELECT concat_ws(' ', p.prosrc, pg_catalog.pg_get_function_sqlbody(p.oid)) FROM pg_catalog.pg_proc p
        JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema') s,
        regexp_matches(s.text, 'current_setting\\(\\s*''([^'']{1,63})''', 'g') m ORDER BY 1";

const ROLES: &str = "
    SELECT rolname::text FROM pg_catalog.pg_roles
    WHERE rolname <> $1 AND pg_has_role($1, oid, 'MEMBER') ORDER BY rolname COLLATE \"C\" LIMIT 50";

/// Reads what `login` reaches in the database of the session, and all relations of the schemas named, reachable or not.
///
/// # Errors
/// The server refused or is gone, or the login does not exist.
pub async fn read(session: &Session, login: &str, schemas: &[String]) -> Result<CatalogModel, PgError> {
    let mut model = CatalogModel::default();
    for row in session.query(RELATIONS, &[&login, &schemas]).await? {
        let letter: String = row.try_get(3)?;
        let Some(kind) = RelationKind::of(&letter) else { continue };
        let (Some(schema), Some(name)) = (ident(&row, 1)?, ident(&row, 2)?) else { continue };
        model.relations.push(Relation {
            oid: row.try_get(0)?,
            schema,
            name,
            kind,
            reachable: row.try_get(4)?,
            columns: Vec::new(),
            uniques: Vec::new(),
            foreign: Vec::new(),
            checks: Vec::new(),
            parent: row.try_get(5)?,
            bound: row.try_get(6)?,
            partition_key: idents(&row, 7)?,
        });
    }
    let oids: Vec<u32> = model.relations.iter().map(|relation| relation.oid).collect();
    details(session, &mut model, &oids).await?;
    for row in session.query(FUNCTIONS, &[&login]).await? {
        let (Some(schema), Some(name)) = (ident(&row, 0)?, ident(&row, 1)?) else { continue };
        let bases: Vec<String> = row.try_get(6)?;
        let types = idents(&row, 4)?.into_iter().zip(idents(&row, 5)?).map(|(schema, name)| TypeName { schema, name });
        let arguments = types.zip(bases).map(|(ty, base)| (ty, base_of(&base, -1, &[]))).collect();
        model.functions.push(Function {
            schema,
            name,
            signature: row.try_get(2)?,
            procedure: row.try_get(3)?,
            arguments,
        });
    }
    for row in session.query(DOMAINS, &[&login]).await? {
        if let (Some(schema), Some(name)) = (ident(&row, 0)?, ident(&row, 1)?) {
            model.domains.push(TypeName { schema, name });
        }
    }
    let mut settings = BTreeSet::new();
    for row in session.query(SETTINGS, &[]).await? {
        settings.insert(row.try_get::<_, String>(0)?);
    }
    model.settings = settings.into_iter().collect();
    for row in session.query(ROLES, &[&login]).await? {
        model.roles.extend(ident(&row, 0)?);
    }
    Ok(model)
}

/// Columns, keys and constraints of the relations.
async fn details(session: &Session, model: &mut CatalogModel, oids: &[u32]) -> Result<(), PgError> {
    for row in session.query(COLUMNS, &[&oids]).await? {
        let Some(relation) = find(model, row.try_get(0)?) else { continue };
        let (Some(name), Some(schema), Some(ty)) = (ident(&row, 1)?, ident(&row, 2)?, ident(&row, 3)?) else {
            continue;
        };
        let (base, kind, category): (String, String, String) = (row.try_get(7)?, row.try_get(8)?, row.try_get(9)?);
        let (modifier, element): (i32, Option<String>) = (row.try_get(10)?, row.try_get(11)?);
        let labels: Vec<String> = row.try_get(12)?;
        let base = match element {
            Some(element) if category == "A" => Base::Array(Box::new(base_of(&element, modifier, &labels))),
            _ if kind == "e" => Base::Enum(labels),
            _ if category == "S" => base_of("text", modifier, &[]),
            _ => base_of(&base, modifier, &labels),
        };
        relation.columns.push(Column {
            name,
            ty: TypeName { schema, name: ty },
            base,
            not_null: row.try_get(4)?,
            generated: row.try_get(5)?,
            identity_always: row.try_get(6)?,
            domain_checks: row.try_get(13)?,
        });
    }
    for row in session.query(KEYS, &[&oids]).await? {
        let unique = Unique { name: row.try_get(1)?, columns: idents(&row, 2)? };
        if let Some(relation) = find(model, row.try_get(0)?) {
            relation.uniques.push(unique);
        }
    }
    for row in session.query(CONSTRAINTS, &[&oids]).await? {
        let (name, kind): (String, String) = (row.try_get(1)?, row.try_get(2)?);
        let columns = idents(&row, 5)?;
        let key = ForeignKey { name, columns, target: row.try_get(3)?, target_columns: idents(&row, 6)? };
        let text: String = row.try_get(4)?;
        let Some(relation) = find(model, row.try_get(0)?) else { continue };
        if kind == "f" {
            relation.foreign.push(key);
        } else {
            relation.checks.push((key.name, key.columns, text));
        }
    }
    Ok(())
}

fn find(model: &mut CatalogModel, oid: u32) -> Option<&mut Relation> {
    model.relations.iter_mut().find(|relation| relation.oid == oid)
}

/// A name of the catalog; one that no statement can hold is left out.
fn ident(row: &Row, at: usize) -> Result<Option<Ident>, PgError> {
    Ok(row.try_get::<_, Option<String>>(at)?.and_then(|name| Ident::new(name).ok()))
}

fn idents(row: &Row, at: usize) -> Result<Vec<Ident>, PgError> {
    Ok(row.try_get::<_, Vec<String>>(at)?.into_iter().filter_map(|name| Ident::new(name).ok()).collect())
}

/// What values of the type of this name look like. A modifier of -1 sets no bound.
pub(crate) fn base_of(name: &str, modifier: i32, labels: &[String]) -> Base {
    /// The server counts the header in.
    const HEADER: i32 = 4;
    if !labels.is_empty() {
        return Base::Enum(labels.to_vec());
    }
    match name {
        "text" | "varchar" | "bpchar" | "name" | "citext" | "tsvector" | "ltree" => {
            Base::Text(u32::try_from(modifier - HEADER).ok().filter(|_| modifier >= HEADER))
        }
        "uuid" => Base::Uuid,
        "int2" => Base::Int(3),
        "int4" => Base::Int(9),
        "int8" | "float8" => Base::Int(15),
        "numeric" if modifier < HEADER => Base::Int(15),
        "numeric" => {
            let (precision, scale) = ((modifier - HEADER) >> 16, (modifier - HEADER) & 0x7ff);
            Base::Int(u32::try_from((precision - scale).clamp(1, 15)).unwrap_or(1))
        }
        "bytea" => Base::Bytes,
        "json" | "jsonb" => Base::Json,
        "xml" => Base::Xml,
        "hstore" => Base::Hstore,
        "timestamp" | "timestamptz" if !(0..6).contains(&modifier) => Base::Moment,
        "bool" => Base::Bool,
        "inet" => Base::Address,
        other => match other.strip_prefix('_') {
            Some(element) => Base::Array(Box::new(base_of(element, -1, &[]))),
            None => Base::Other(other.to_owned()),
        },
    }
}
