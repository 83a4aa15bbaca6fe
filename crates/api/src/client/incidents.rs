//! Calls about incidents and notifications.

use reqwest::Method;
use serde::Serialize;

use super::send::{Answer, Call};
use super::{Client, ClientError, PageQuery, segment};
use crate::v1::Page;
use crate::v1::incident::{
    Incident, IncidentDetail, IncidentPreview, IncidentRequest, IncidentUpdateRequest, Notification,
};

/// Which incidents to list.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IncidentQuery {
    /// Those that concern this tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// `true` for those that are not over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open: Option<bool>,
    /// Which page.
    #[serde(flatten)]
    pub page: PageQuery,
}

/// Which notifications to list.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationQuery {
    /// About this tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// About this incident.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// Of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// That stand like this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Which page.
    #[serde(flatten)]
    pub page: PageQuery,
}

impl Client {
    /// Opens an incident and tells whom it concerns.
    ///
    /// # Errors
    /// A text is not acceptable, or there is no such tenant or cell.
    pub async fn open_incident(&self, incident: &IncidentRequest) -> Result<Answer<Incident>, ClientError> {
        self.transport.send(Call::keyed(Method::POST, self.path(["incidents"])).body(incident)).await
    }

    /// What opening an incident would tell, and how many.
    ///
    /// # Errors
    /// As [`Self::open_incident`].
    pub async fn preview_incident(&self, incident: &IncidentRequest) -> Result<IncidentPreview, ClientError> {
        let path = self.path(["incidents:preview"]);
        Ok(self.transport.send(Call::keyed(Method::POST, path).body(incident)).await?.value)
    }

    /// Says what is new of an incident.
    ///
    /// # Errors
    /// There is none, it is over, or the text is not acceptable.
    pub async fn update_incident(
        &self,
        id: &str,
        update: &IncidentUpdateRequest,
    ) -> Result<Answer<Incident>, ClientError> {
        let path = self.path(["incidents", &format!("{}:update", segment(id)?)]);
        self.transport.send(Call::keyed(Method::POST, path).body(update)).await
    }

    /// What an update of an incident would tell, and how many.
    ///
    /// # Errors
    /// As [`Self::update_incident`].
    pub async fn preview_incident_update(
        &self,
        id: &str,
        update: &IncidentUpdateRequest,
    ) -> Result<IncidentPreview, ClientError> {
        let path = self.path(["incidents", &format!("{}:preview", segment(id)?)]);
        Ok(self.transport.send(Call::keyed(Method::POST, path).body(update)).await?.value)
    }

    /// Lists incidents, the newest first.
    ///
    /// # Errors
    /// A parameter is wrong, or the server does not answer.
    pub async fn incidents(&self, query: &IncidentQuery) -> Result<Page<Incident>, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["incidents"])).query(query)).await?.value)
    }

    /// Reads an incident.
    ///
    /// # Errors
    /// There is none.
    pub async fn incident(&self, id: &str) -> Result<IncidentDetail, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["incidents", segment(id)?]))).await?.value)
    }

    /// Lists notifications, the newest first.
    ///
    /// # Errors
    /// A parameter is wrong, or the server does not answer.
    pub async fn notifications(&self, query: &NotificationQuery) -> Result<Page<Notification>, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["notifications"])).query(query)).await?.value)
    }
}
