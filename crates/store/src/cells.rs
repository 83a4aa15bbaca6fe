//! Places of the cells: counted in the same transaction that takes or releases them.
//!
//! INVARIANT: a level of a cell never has more places in use than it had when the last one was taken.

use tenantry_domain::cell::{Capacity, CellLoad};
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::CellName;
use tenantry_domain::plan::promise::{Alike, Promises};
use tenantry_pg::{Row, ToSql};

use crate::columns::{count, json, json_opt, parse};
use crate::line::Statement;
use crate::plans::held_plan;
use crate::row::uuids;
use crate::{Reader, StoreError, WriteTx};

/// The cells with their counters, one row each.
const LOADS: &str = "
    SELECT c.name, c.spec,
        coalesce(sum(l.used) FILTER (WHERE l.isolation = 'shared'), 0)::bigint AS shared,
        coalesce(sum(l.used) FILTER (WHERE l.isolation = 'schema'), 0)::bigint AS schema,
        coalesce(sum(l.used) FILTER (WHERE l.isolation = 'database'), 0)::bigint AS database
    FROM tenantry.catalog AS c
    LEFT JOIN tenantry.cell_load AS l ON l.env = c.env AND l.cell = c.name
    WHERE c.env = $1 AND c.kind = 'cell'
    GROUP BY c.name, c.spec ORDER BY c.name";

/// In one order for everybody, so that two placements wait for each other instead of failing.
const LOCK: &str = "SELECT FROM tenantry.cell_load WHERE env = $1 ORDER BY cell, isolation FOR UPDATE";

const CELLS_OF: &str = "
    SELECT DISTINCT t.cell FROM tenantry.tenant_label AS l
    JOIN tenantry.tenant AS t ON t.env = l.env AND t.id = l.tenant
    WHERE l.env = $1 AND l.key = $2 AND l.value = $3 AND t.cell IS NOT NULL AND ($4::uuid IS NULL OR t.id <> $4)
    ORDER BY t.cell";

/// Placements of one group wait for each other: what the first took must be seen by the second.
const LOCK_GROUP: &str = "
    SELECT pg_advisory_xact_lock(hashtextextended(format('apart %s %L %L', $1::text, $2::text, $3::text), 0))";

/// Placements hold it together; whoever changes where a cell stands holds it alone.
const REGIONS_STAY: &str = "SELECT pg_advisory_xact_lock_shared(hashtextextended(format('regions %L', $1::text), 0))";
const REGIONS_CHANGE: &str = "SELECT pg_advisory_xact_lock(hashtextextended(format('regions %L', $1::text), 0))";

fn read(row: &Row) -> Result<CellLoad, StoreError> {
    Ok(CellLoad {
        name: parse(row, "name")?,
        spec: json(row, "spec")?,
        used: Capacity {
            shared: count(row, "shared")?,
            schema: count(row, "schema")?,
            database: count(row, "database")?,
        },
        promised: Promises::new(),
    })
}

/// Tenants of some cells, those with the same version of a plan and the same overrides together. All of the primary key of `p` is
/// grouped by, so its text goes with it.
const ALIKE: &str = concat!(
    "
    SELECT t.cell, t.plan, p.spec AS plan_spec, t.spec -> 'overrides' AS overrides, count(*) AS tenants
    FROM tenantry.tenant AS t ",
    held_plan!(),
    "
    WHERE t.env = $1 AND t.cell = ANY ($2) AND t.id <> ALL ($3::uuid[])
    GROUP BY t.cell, t.plan, p.env, p.kind, p.name, p.version, t.spec -> 'overrides'"
);

/// Whoever promises something waits for whoever does so at this moment.
const LOCK_PROMISES: &str = "SELECT pg_advisory_xact_lock(hashtextextended(format('promises %L', $1::text), 0))";

fn read_alike(row: &Row) -> Result<Alike, StoreError> {
    Ok(Alike {
        cell: parse(row, "cell")?,
        plan: parse(row, "plan")?,
        // Of a newer release, perhaps: then it promises nothing here.
        text: json_opt(row, "plan_spec").unwrap_or_default(),
        overrides: json_opt(row, "overrides")?.unwrap_or_default(),
        tenants: count(row, "tenants")?,
    })
}

fn names(cells: &[CellName]) -> Vec<String> {
    cells.iter().map(|cell| cell.as_str().to_owned()).collect()
}

/// Places inside a transaction.
pub struct Cells<'a> {
    pub(crate) tx: &'a mut WriteTx,
}

impl Cells<'_> {
    /// No cell's region changes until the end of the transaction. Before any other lock of a placement: who changes a region may
    /// hold tenants.
    ///
    /// # Errors
    /// The database's.
    pub async fn regions_stay(&mut self) -> Result<(), StoreError> {
        let lock = Statement::new(REGIONS_STAY).bind(self.tx.env());
        self.tx.rows(lock).await.map(drop)
    }

    /// Nobody is placed until the end of the transaction; those who were, are seen by what follows.
    ///
    /// # Errors
    /// The database's.
    pub async fn regions_change(&mut self) -> Result<(), StoreError> {
        if self.tx.looks_ahead() {
            return Ok(());
        }
        let lock = Statement::new(REGIONS_CHANGE).bind(self.tx.env());
        self.tx.rows(lock).await.map(drop)
    }

    /// All cells with their load, which stays as it is until the end of the transaction.
    ///
    /// # Errors
    /// The database's.
    pub async fn loads(&mut self) -> Result<Vec<CellLoad>, StoreError> {
        if self.tx.looks_ahead() {
            return self.seen().await;
        }
        let lock = Statement::new(LOCK).bind(self.tx.env());
        let loads = Statement::new(LOADS).bind(self.tx.env());
        let answers = self.tx.run(vec![lock, loads]).await?;
        answers[1].iter().map(read).collect()
    }

    /// All cells with their load as it is at this moment; nobody waits for anybody.
    ///
    /// # Errors
    /// The database's.
    pub async fn seen(&mut self) -> Result<Vec<CellLoad>, StoreError> {
        let loads = Statement::new(LOADS).bind(self.tx.env());
        let loads = self.tx.rows(loads).await?.iter().map(read).collect::<Result<_, _>>()?;
        match &self.tx.ahead {
            Some(ahead) => ahead.loads(loads),
            None => Ok(loads),
        }
    }

    /// Nobody else's tenants are promised anything until the end of the transaction. After [`Cells::loads`], as every placement.
    ///
    /// # Errors
    /// The database's.
    pub async fn promises_stay(&mut self) -> Result<(), StoreError> {
        if self.tx.looks_ahead() {
            return Ok(());
        }
        let lock = Statement::new(LOCK_PROMISES).bind(self.tx.env());
        self.tx.rows(lock).await.map(drop)
    }

    /// The tenants of some cells without those that are left out, by the version of the plan that they have and by overrides. What
    /// this transaction changes is not seen before its commit; see [`crate::tenants::Tenants::written`].
    ///
    /// # Errors
    /// The database's.
    pub async fn alike(&mut self, cells: &[CellName], out: &[TenantId]) -> Result<Vec<Alike>, StoreError> {
        let alike = Statement::new(ALIKE).bind(self.tx.env()).bind(names(cells)).bind(uuids(out));
        self.tx.rows(alike).await?.iter().map(read_alike).collect()
    }

    /// Takes places of a level that has `capacity` of them.
    ///
    /// # Errors
    /// [`StoreError::NoCapacity`], or the database's.
    pub async fn take(
        &mut self,
        cell: &CellName,
        isolation: Isolation,
        weight: u32,
        capacity: u32,
    ) -> Result<(), StoreError> {
        if self.tx.looks_ahead() {
            let loads = self.seen().await?;
            let used = loads.iter().find(|load| load.name == *cell).map_or(0, |load| load.used.of(isolation));
            if used.saturating_add(weight) > capacity {
                return Err(StoreError::NoCapacity);
            }
            self.place_ahead(cell, isolation, i64::from(weight));
            return Ok(());
        }
        let sql = "
            INSERT INTO tenantry.cell_load AS l (env, cell, isolation, used)
            SELECT $1, $2, $3, $4::bigint WHERE $4 <= $5::bigint
            ON CONFLICT ON CONSTRAINT cell_load_pkey DO UPDATE
            SET used = l.used + excluded.used WHERE l.used + excluded.used <= $5
            RETURNING used";
        let statement = Statement::new(sql).bind(self.tx.env()).bind(cell.as_str().to_owned()).bind(isolation.as_str());
        let statement = statement.bind(i64::from(weight)).bind(i64::from(capacity));
        if self.tx.rows(statement).await?.is_empty() {
            return Err(StoreError::NoCapacity);
        }
        self.tx.wrote = true;
        Ok(())
    }

    /// Gives places back.
    ///
    /// # Errors
    /// The database's.
    pub async fn release(&mut self, cell: &CellName, isolation: Isolation, weight: u32) -> Result<(), StoreError> {
        if self.tx.looks_ahead() {
            self.place_ahead(cell, isolation, -i64::from(weight));
            return Ok(());
        }
        let sql = "UPDATE tenantry.cell_load SET used = used - $4 WHERE env = $1 AND cell = $2 AND isolation = $3";
        let statement = Statement::new(sql).bind(self.tx.env()).bind(cell.as_str().to_owned()).bind(isolation.as_str());
        self.tx.rows(statement.bind(i64::from(weight))).await?;
        self.tx.wrote = true;
        Ok(())
    }

    fn place_ahead(&mut self, cell: &CellName, isolation: Isolation, places: i64) {
        if let Some(ahead) = &mut self.tx.ahead {
            ahead.place(cell, isolation, places);
        }
    }
}

impl Cells<'_> {
    /// Cells that hold a tenant with a label's value, other than one tenant; nobody else asks about this value until the end
    /// of the transaction.
    ///
    /// # Errors
    /// The database's.
    pub async fn of(&mut self, label: &str, value: &str, except: TenantId) -> Result<Vec<CellName>, StoreError> {
        let lock = Statement::new(LOCK_GROUP).bind(self.tx.env()).bind(label.to_owned()).bind(value.to_owned());
        self.tx.rows(lock).await?;
        // A statement of its own behind the lock, so that it sees what the lock's last holder committed.
        let cells = Statement::new(CELLS_OF).bind(self.tx.env()).bind(label.to_owned()).bind(value.to_owned());
        let rows = self.tx.rows(cells.bind(Some(except.uuid()))).await?;
        rows.iter().map(|row| parse(row, "cell")).collect()
    }

    /// The same at this moment; nobody waits for anybody.
    ///
    /// # Errors
    /// The database's.
    pub async fn holding(
        &mut self,
        label: &str,
        value: &str,
        except: Option<TenantId>,
    ) -> Result<Vec<CellName>, StoreError> {
        let cells = Statement::new(CELLS_OF).bind(self.tx.env()).bind(label.to_owned()).bind(value.to_owned());
        let rows = self.tx.rows(cells.bind(except.map(TenantId::uuid))).await?;
        rows.iter().map(|row| parse(row, "cell")).collect()
    }
}

impl Reader {
    /// The tenants of some cells without those that are left out, by the version of the plan that they have and by overrides.
    ///
    /// # Errors
    /// The database's.
    pub async fn alike(&self, cells: &[CellName], out: &[TenantId]) -> Result<Vec<Alike>, StoreError> {
        let (cells, out) = (names(cells), uuids(out));
        let params: [&(dyn ToSql + Sync); 3] = [&self.environment.as_str(), &cells, &out];
        self.store.query(ALIKE, &params).await?.iter().map(read_alike).collect()
    }

    /// Cells that hold a tenant with a label's value, other than one tenant.
    ///
    /// # Errors
    /// The database's.
    pub async fn cells_of(
        &self,
        label: &str,
        value: &str,
        except: Option<TenantId>,
    ) -> Result<Vec<CellName>, StoreError> {
        let except = except.map(TenantId::uuid);
        let params: [&(dyn ToSql + Sync); 4] = [&self.environment.as_str(), &label, &value, &except];
        self.store.query(CELLS_OF, &params).await?.iter().map(|row| parse(row, "cell")).collect()
    }

    /// All cells with their present load.
    ///
    /// # Errors
    /// The database's.
    pub async fn cell_loads(&self) -> Result<Vec<CellLoad>, StoreError> {
        self.store.query(LOADS, &[&self.environment.as_str()]).await?.iter().map(read).collect()
    }

    /// Counters that differ from a recount of the tenants' places: cell, level, counted, recounted. Empty when all
    /// is well.
    ///
    /// # Errors
    /// The database's.
    pub async fn miscounted(&self) -> Result<Vec<(CellName, Isolation, i64, i64)>, StoreError> {
        let sql = "
            SELECT cell, isolation, coalesce(l.used, 0) AS counted, coalesce(t.used, 0) AS recounted
            FROM (SELECT cell, isolation, used FROM tenantry.cell_load WHERE env = $1) AS l
            FULL JOIN (
                SELECT cell, isolation, sum(weight) AS used FROM tenantry.tenant
                WHERE env = $1 AND cell IS NOT NULL GROUP BY cell, isolation
            ) AS t USING (cell, isolation)
            WHERE coalesce(l.used, 0) <> coalesce(t.used, 0) ORDER BY cell, isolation";
        let rows = self.store.query(sql, &[&self.environment.as_str()]).await?;
        let read = |row: &Row| {
            Ok((parse(row, "cell")?, parse(row, "isolation")?, count(row, "counted")?, count(row, "recounted")?))
        };
        rows.iter().map(read).collect()
    }
}
