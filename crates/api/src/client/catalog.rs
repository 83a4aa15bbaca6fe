//! Calls about apps, plans, regions, cells and meters.

use reqwest::Method;
use serde_json::Value;

use super::send::{Answer, Call};
use super::{Client, ClientError, Expected, PageQuery, segment};
use crate::v1::Page;
use crate::v1::catalog::Object;
use crate::v1::version::Version;

/// A kind of catalog object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The user's product.
    App,
    /// An entry of the plan catalog.
    Plan,
    /// A place in the topology.
    Region,
    /// A unit of capacity.
    Cell,
    /// What of usage is counted.
    Meter,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::App, Self::Plan, Self::Region, Self::Cell, Self::Meter];

    /// The word in routes.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::App => "apps",
            Self::Plan => "plans",
            Self::Region => "regions",
            Self::Cell => "cells",
            Self::Meter => "meters",
        }
    }

    /// The word in manifests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "App",
            Self::Plan => "Plan",
            Self::Region => "Region",
            Self::Cell => "Cell",
            Self::Meter => "Meter",
        }
    }
}

impl Client {
    /// Lists the objects of a kind.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn objects(&self, kind: Kind, page: &PageQuery) -> Result<Page<Object<Value>>, ClientError> {
        Ok(self.transport.send(Call::get(self.path([kind.plural()])).query(page)).await?.value)
    }

    /// Reads an object.
    ///
    /// # Errors
    /// There is none.
    pub async fn object(&self, kind: Kind, name: &str) -> Result<Answer<Object<Value>>, ClientError> {
        self.transport.send(Call::get(self.path([kind.plural(), segment(name)?]))).await
    }

    /// An object's versions, newest first.
    ///
    /// # Errors
    /// There is no such object.
    pub async fn object_versions(
        &self,
        kind: Kind,
        name: &str,
        page: &PageQuery,
    ) -> Result<Page<Version>, ClientError> {
        let call = Call::get(self.path([kind.plural(), segment(name)?, "versions"])).query(page);
        Ok(self.transport.send(call).await?.value)
    }

    /// Removes an object that nothing uses.
    ///
    /// # Errors
    /// It is in use, or another version is current.
    pub async fn delete_object(
        &self,
        kind: Kind,
        name: &str,
        expected: Expected,
    ) -> Result<Answer<Value>, ClientError> {
        let call = Call::keyed(Method::DELETE, self.path([kind.plural(), segment(name)?])).expecting(expected);
        self.transport.send(call).await
    }
}
