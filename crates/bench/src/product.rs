//! The user's product that the benchmarks provision: 20 tables with what real tables have.
//!
//! Per table an identity key behind the tenant's, a reference to the table before, a JSON document and two secondary
//! indexes: 39 secondary indexes in all, which makes 139 catalog rows per copy. The stream is split into four files,
//! since nobody's product came about in one.

use anyhow::Result;
use tenantry_domain::app::{MigrationFile, Migrations, Spec};
use tenantry_pg::{Ident, Sql};

/// Tables of the product.
pub const TABLES: usize = 20;
const FILES: usize = 4;

/// The name of a table, from 0.
pub fn table(number: usize) -> Result<Ident> {
    Ok(Ident::new(format!("item_{number:02}"))?)
}

/// One table with its indexes.
fn create(number: usize) -> Result<Sql> {
    let name = table(number)?;
    let mut sql = Sql::new("CREATE TABLE ").ident(&name).push(
        " (
    tenant_id uuid NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    parent bigint,
    name text NOT NULL,
    body jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)",
    );
    if let Some(before) = number.checked_sub(1) {
        sql = sql
            .push(",\n    FOREIGN KEY (tenant_id, parent) REFERENCES ")
            .ident(&table(before)?)
            .push(" (tenant_id, id)");
    }
    sql = sql.push("\n);\nCREATE INDEX ON ").ident(&name).push(" (tenant_id, created_at);\n");
    if number > 0 {
        sql = sql.push("CREATE INDEX ON ").ident(&name).push(" (tenant_id, parent);\n");
    }
    Ok(sql)
}

/// All of it as one script.
pub fn script() -> Result<Sql> {
    part(0..TABLES)
}

fn part(tables: std::ops::Range<usize>) -> Result<Sql> {
    tables.map(create).try_fold(Sql::new(""), |all, one| Ok(all.sql(&one?)))
}

/// The product as its owner declares it.
pub fn spec() -> Result<Spec> {
    let each = TABLES / FILES;
    let files = (0..FILES).map(|file| {
        let sql = part(file * each..(file + 1) * each)?;
        let name = format!("{:04}_part.sql", file + 1);
        Ok(MigrationFile { name, sql: sql.as_str().to_owned() })
    });
    Ok(Spec {
        migrations: Migrations::Files { files: files.collect::<Result<_>>()? },
        tenant_key: Some("tenant_id".to_owned()),
        reference_tables: Vec::new(),
        rollout: tenantry_domain::rollout::Strategy::default(),
    })
}

/// What somebody would write by hand to guard one copy in a schema: row-level security and rights, table by table.
pub fn guards(schema: &Ident, login: &Ident) -> Result<Sql> {
    let mut sql = Sql::new("GRANT USAGE ON SCHEMA ").ident(schema).push(" TO ").ident(login).push(";\n");
    for number in 0..TABLES {
        let name = table(number)?;
        sql = sql
            .push("ALTER TABLE ")
            .ident(&name)
            .push(" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;\nCREATE POLICY tenant ON ")
            .ident(&name)
            .push(" USING (tenant_id = (SELECT tenantry.current_tenant()));\nGRANT SELECT, INSERT, UPDATE, DELETE ON ")
            .ident(&name)
            .push(" TO ")
            .ident(login)
            .push(";\n");
    }
    Ok(sql)
}
