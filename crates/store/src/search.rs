//! Lists of tenants: filters, words, and pages that stay stable while tenants come and go.

use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{AppName, CellName, PlanCode, RegionName};
use tenantry_domain::tenant::lifecycle::Phase;

use tenantry_pg::{Sql, ToSql, Type};
use uuid::Uuid;

use crate::columns::get;
use crate::cursor::Binding;
use crate::row::{self, tenant_columns};
use crate::{Page, PageRequest, Reader, StoreError, TenantRow};

/// A wanted label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// Its key.
    pub key: String,
    /// Its value; absent for any.
    pub value: Option<String>,
}

/// Which tenants. All that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantFilter {
    /// Bound to this plan.
    pub plan: Option<PlanCode>,
    /// Of this app.
    pub app: Option<AppName>,
    /// Data in this region.
    pub region: Option<RegionName>,
    /// On this cell.
    pub cell: Option<CellName>,
    /// At this level.
    pub isolation: Option<Isolation>,
    /// In this phase. Deleted tenants are listed only when asked for by name.
    pub phase: Option<Phase>,
    /// With all of these labels.
    pub labels: Vec<Label>,
    /// Known to another system by this id.
    pub external_id: Option<(String, String)>,
    /// With words in slug or display name that begin with these words.
    pub q: Option<String>,
}

/// The conditions of a filter, as SQL and parameters in the order of their places.
struct Search {
    sql: Sql,
    params: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
}

impl Search {
    fn of(reader: &Reader, filter: &TenantFilter, rarest: Option<&str>, after: Uuid, limit: i64) -> Self {
        let start = match rarest {
            None => concat!("SELECT ", tenant_columns!(), " FROM tenantry.tenant AS t WHERE t.env = "),
            // The ids alone are read and sorted; rows only until the page is full. The inner OFFSET keeps the planner
            // to that, and a join with a function's rows keeps their order.
            Some(_) => concat!(
                "SELECT ",
                tenant_columns!(),
                " FROM unnest(ARRAY(SELECT DISTINCT w.tenant FROM tenantry.tenant_word AS w WHERE w.env = "
            ),
        };
        let mut search = Self { sql: Sql::new(start), params: Vec::new() };
        search.add("", reader.environment.as_str().to_owned(), Type::TEXT);
        if let Some(word) = rarest {
            search.add(" AND w.tenant > ", after, Type::UUID);
            search.add(" AND w.word >= ", word.to_owned(), Type::TEXT);
            search.add(" AND w.word < ", end_of(word), Type::TEXT);
            search.sql = search.sql.push(
                " ORDER BY w.tenant)) AS n (id) CROSS JOIN LATERAL (SELECT t.* FROM tenantry.tenant AS t WHERE t.env = $1 AND t.id = n.id",
            );
        } else {
            search.add(" AND t.id > ", after, Type::UUID);
        }
        let names = [
            (" AND t.plan = ", filter.plan.as_ref().map(|name| name.as_str().to_owned())),
            (" AND t.app = ", filter.app.as_ref().map(|name| name.as_str().to_owned())),
            (" AND t.region = ", filter.region.as_ref().map(|name| name.as_str().to_owned())),
            (" AND t.cell = ", filter.cell.as_ref().map(|name| name.as_str().to_owned())),
            (" AND t.isolation = ", filter.isolation.map(|level| level.as_str().to_owned())),
            (" AND t.phase = ", filter.phase.map(|phase| phase.as_str().to_owned())),
        ];
        for (condition, name) in names {
            if let Some(name) = name {
                search.add(condition, name, Type::TEXT);
            }
        }
        if filter.phase.is_none() {
            search.sql = search.sql.push(" AND t.phase <> 'deleted'");
        }
        for label in &filter.labels {
            let start = " AND EXISTS (SELECT FROM tenantry.tenant_label AS l WHERE l.env = t.env AND l.tenant = t.id AND l.key = ";
            search.add(start, label.key.clone(), Type::TEXT);
            if let Some(value) = &label.value {
                search.add(" AND l.value = ", value.clone(), Type::TEXT);
            }
            search.sql = search.sql.push(")");
        }
        if let Some((system, id)) = &filter.external_id {
            let start =
                " AND t.id = (SELECT e.tenant FROM tenantry.tenant_external_id AS e WHERE e.env = $1 AND e.system = ";
            search.add(start, system.clone(), Type::TEXT);
            search.add(" AND e.external_id = ", id.clone(), Type::TEXT);
            search.sql = search.sql.push(")");
        }
        // One condition whose share of rows the planner does not think it knows: where it believes that few rows have
        // all the words, it reads every row.
        let mut start = " AND least(strpos(t.words, ";
        for word in filter.q.iter().flat_map(|q| row::words(q)) {
            search.add(start, format!(" {word}"), Type::TEXT);
            start = "), strpos(t.words, ";
        }
        if filter.q.iter().any(|q| row::words(q).next().is_some()) {
            search.sql = search.sql.push(")) > 0");
        }
        let end = if rarest.is_some() { " OFFSET 0) AS t LIMIT " } else { " ORDER BY t.id LIMIT " };
        search.sql = search.sql.push(end).int(limit);
        search
    }

    fn add(&mut self, condition: &'static str, param: impl ToSql + Sync + Send + 'static, kind: Type) {
        self.params.push((Box::new(param), kind));
        let place = i64::try_from(self.params.len()).unwrap_or(i64::MAX);
        self.sql = self.sql.clone().push(condition).push("$").int(place);
    }

    fn params(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.params.iter().map(|(param, kind)| (&**param as &(dyn ToSql + Sync), kind.clone())).collect()
    }
}

/// How many tenants each beginning of a word fits, counted no further than to [`FEW`] and one.
const COUNT: &str = "
    SELECT n.word, (SELECT count(*) FROM (
        SELECT FROM tenantry.tenant_word AS w WHERE w.env = $1 AND w.word >= n.word AND w.word < n.past LIMIT $4
    ) AS hits) AS hits
    FROM unnest($2::text[], $3::text[]) AS n (word, past)";

/// So many ids are read and sorted in a few milliseconds. A beginning that more tenants have is so common that a walk in
/// order of ids fills a page soon.
const FEW: i64 = 5_000;

/// The first text behind all that begin with a word.
fn end_of(word: &str) -> String {
    format!("{word}{}", char::MAX)
}

impl Reader {
    /// Tenants in the order of their ids, which is the order of their making.
    ///
    /// # Errors
    /// The page token's, or the database's.
    pub async fn tenants(&self, filter: &TenantFilter, page: &PageRequest<'_>) -> Result<Page<TenantRow>, StoreError> {
        let binding = Binding::new(&self.store, "tenants", &self.environment, filter, page);
        let after = binding.open(page)?.map_or(Uuid::nil(), Uuid::from_bytes);
        let rarest = self.rarest(filter).await?;
        let search = Search::of(self, filter, rarest.as_deref(), after, i64::from(page.size.get()) + 1);
        let rows = self.store.query_built(&search.sql, &search.params()).await?;
        let found: Vec<TenantRow> = rows.iter().map(row::read).collect::<Result<_, _>>()?;
        Ok(binding.page(found, page, |row| row.id.uuid().into_bytes()))
    }

    /// How the database would run the search of a first page, line by line: for operators and tests.
    ///
    /// # Errors
    /// The database's.
    pub async fn tenants_plan(&self, filter: &TenantFilter, page: &PageRequest<'_>) -> Result<Vec<String>, StoreError> {
        let rarest = self.rarest(filter).await?;
        let search = Search::of(self, filter, rarest.as_deref(), Uuid::nil(), i64::from(page.size.get()) + 1);
        let sql = Sql::new("EXPLAIN (COSTS off) ").sql(&search.sql);
        let rows = self.store.query_built(&sql, &search.params()).await?;
        rows.iter().map(|row| get(row, "QUERY PLAN")).collect()
    }

    /// The wanted word that fewest tenants have, if few have it. The planner's statistics do not know beginnings of
    /// words, so it is asked instead of guessed.
    async fn rarest(&self, filter: &TenantFilter) -> Result<Option<String>, StoreError> {
        let words: Vec<String> = filter.q.iter().flat_map(|q| row::words(q)).collect();
        if words.is_empty() {
            return Ok(None);
        }
        let ends: Vec<String> = words.iter().map(|word| end_of(word)).collect();
        let rows = self.store.query(COUNT, &[&self.environment.as_str(), &words, &ends, &(FEW + 1)]).await?;
        let mut best: Option<(i64, String)> = None;
        for row in &rows {
            let hits: i64 = get(row, "hits")?;
            if hits <= FEW && best.as_ref().is_none_or(|(least, _)| hits < *least) {
                best = Some((hits, get(row, "word")?));
            }
        }
        Ok(best.map(|(_, word)| word))
    }
}
