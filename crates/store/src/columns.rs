//! Reading columns into our types. A value that this release cannot read is an error with the column's name.

use std::str::FromStr;

use serde::de::DeserializeOwned;
use tenantry_domain::tenant::Slug;
use tenantry_pg::{FromSql, Json, Row};

use crate::StoreError;

/// A column's value.
pub(crate) fn get<'a, T: FromSql<'a>>(row: &'a Row, name: &'static str) -> Result<T, StoreError> {
    row.try_get(name).map_err(|_| StoreError::Unreadable { what: name })
}

/// A text column as one of our names or words.
pub(crate) fn parse<T: FromStr>(row: &Row, name: &'static str) -> Result<T, StoreError> {
    get::<&str>(row, name)?.parse().map_err(|_| StoreError::Unreadable { what: name })
}

/// The column `slug`.
pub(crate) fn slug(row: &Row) -> Result<Slug, StoreError> {
    Slug::stored(get(row, "slug")?).map_err(|_| StoreError::Unreadable { what: "slug" })
}

/// A nullable text column as one of our names or words.
pub(crate) fn parse_opt<T: FromStr>(row: &Row, name: &'static str) -> Result<Option<T>, StoreError> {
    let text: Option<&str> = get(row, name)?;
    text.map(|text| text.parse().map_err(|_| StoreError::Unreadable { what: name })).transpose()
}

/// A JSON column.
pub(crate) fn json<T: DeserializeOwned>(row: &Row, name: &'static str) -> Result<T, StoreError> {
    get::<Json<T>>(row, name).map(|json| json.0)
}

/// A nullable JSON column.
pub(crate) fn json_opt<T: DeserializeOwned>(row: &Row, name: &'static str) -> Result<Option<T>, StoreError> {
    get::<Option<Json<T>>>(row, name).map(|json| json.map(|json| json.0))
}

/// A 32-byte digest.
pub(crate) fn digest(row: &Row, name: &'static str) -> Result<[u8; 32], StoreError> {
    get::<&[u8]>(row, name)?.try_into().map_err(|_| StoreError::Unreadable { what: name })
}

/// A counter that is never negative.
pub(crate) fn count<T: TryFrom<i64>>(row: &Row, name: &'static str) -> Result<T, StoreError> {
    T::try_from(get::<i64>(row, name)?).map_err(|_| StoreError::Unreadable { what: name })
}
