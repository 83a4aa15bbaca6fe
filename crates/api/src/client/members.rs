//! Calls about people of a tenant.

use reqwest::Method;
use serde::Serialize;

use super::send::{Answer, Call};
use super::{Client, ClientError, Expected, PageQuery, segment};
use crate::v1::Page;
use crate::v1::member::{
    Invitation, InvitationRequest, InvitationResend, IssuedInvitation, Member, MemberCheck, MemberCheckRequest,
    MemberImport, MemberImportReport, MemberPatch, MemberRequest, MemberRole, MemberRoleList, MemberRoleRequest,
    OnBehalf,
};

/// Which members to list.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberQuery {
    /// Only those who hold this role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// On behalf of this member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acting_user: Option<String>,
    /// Which page.
    #[serde(flatten)]
    pub page: PageQuery,
}

/// Which invitations to list.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InvitationQuery {
    /// `true` for those that are over, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over: Option<bool>,
    /// Which page.
    #[serde(flatten)]
    pub page: PageQuery,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Behalf<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    acting_user: Option<&'a str>,
}

impl Client {
    /// Lists members, in the order in which their users became known.
    ///
    /// # Errors
    /// There is no such tenant, a parameter is wrong, or the server does not answer.
    pub async fn members(&self, tenant: &str, query: &MemberQuery) -> Result<Page<Member>, ClientError> {
        let path = self.path(["tenants", segment(tenant)?, "members"]);
        Ok(self.transport.send(Call::get(path).query(query)).await?.value)
    }

    /// Makes somebody a member without an invitation.
    ///
    /// # Errors
    /// They are one already, or the plan or the acting member's role forbids it.
    pub async fn add_member(&self, tenant: &str, request: &MemberRequest) -> Result<Answer<Member>, ClientError> {
        let path = self.path(["tenants", segment(tenant)?, "members"]);
        self.transport.send(Call::keyed(Method::POST, path).body(request)).await
    }

    /// Gives a member another role.
    ///
    /// # Errors
    /// There is none, another version is current, or the change is not allowed.
    pub async fn change_member(
        &self,
        tenant: &str,
        user: &str,
        expected: Expected,
        patch: &MemberPatch,
    ) -> Result<Answer<Member>, ClientError> {
        let path = self.path(["tenants", segment(tenant)?, "members", segment(user)?]);
        self.transport.send(Call::keyed(Method::PATCH, path).expecting(expected).body(patch)).await
    }

    /// Removes a member.
    ///
    /// # Errors
    /// There is none, another version is current, or the change is not allowed.
    pub async fn remove_member(
        &self,
        tenant: &str,
        user: &str,
        expected: Expected,
        acting_user: Option<&str>,
    ) -> Result<Answer<Member>, ClientError> {
        let path = self.path(["tenants", segment(tenant)?, "members", segment(user)?]);
        let call = Call::keyed(Method::DELETE, path).expecting(expected);
        self.transport.send(call.query(&Behalf { acting_user })).await
    }

    /// Brings many members into line.
    ///
    /// # Errors
    /// There is no such tenant. What is wrong with a row is in the report.
    pub async fn import_members(&self, tenant: &str, import: &MemberImport) -> Result<MemberImportReport, ClientError> {
        let path = self.path(["tenants", segment(tenant)?, "members:import"]);
        Ok(self.transport.send(Call::keyed(Method::POST, path).body(import)).await?.value)
    }

    /// Whether a user may do something, as of now.
    ///
    /// # Errors
    /// There is no such tenant.
    pub async fn check_member(&self, tenant: &str, check: &MemberCheckRequest) -> Result<MemberCheck, ClientError> {
        let path = self.path(["tenants", segment(tenant)?, "members:check"]);
        Ok(self.transport.send(Call::keyed(Method::POST, path).body(check)).await?.value)
    }

    /// All roles of a tenant.
    ///
    /// # Errors
    /// There is no such tenant.
    pub async fn member_roles(&self, tenant: &str) -> Result<MemberRoleList, ClientError> {
        let path = self.path(["tenants", segment(tenant)?, "roles"]);
        Ok(self.transport.send(Call::get(path)).await?.value)
    }

    /// Defines a role of the tenant's own, or changes one.
    ///
    /// # Errors
    /// The plan has none, another version is current, or the role is a standard one.
    pub async fn set_member_role(
        &self,
        tenant: &str,
        name: &str,
        expected: Expected,
        request: &MemberRoleRequest,
    ) -> Result<Answer<MemberRole>, ClientError> {
        let path = self.path(["tenants", segment(tenant)?, "roles", segment(name)?]);
        self.transport.send(Call::keyed(Method::PUT, path).expecting(expected).body(request)).await
    }

    /// Deletes a role that nobody holds.
    ///
    /// # Errors
    /// There is none, it is in use, or another version is current.
    pub async fn delete_member_role(
        &self,
        tenant: &str,
        name: &str,
        expected: Expected,
    ) -> Result<Answer<MemberRole>, ClientError> {
        let path = self.path(["tenants", segment(tenant)?, "roles", segment(name)?]);
        self.transport.send(Call::keyed(Method::DELETE, path).expecting(expected)).await
    }

    /// Lists invitations, newest first.
    ///
    /// # Errors
    /// There is no such tenant, a parameter is wrong, or the server does not answer.
    pub async fn invitations(&self, tenant: &str, query: &InvitationQuery) -> Result<Page<Invitation>, ClientError> {
        let path = self.path(["tenants", segment(tenant)?, "invitations"]);
        Ok(self.transport.send(Call::get(path).query(query)).await?.value)
    }

    /// Invites somebody. With `delivery: link` the answer has the token, once.
    ///
    /// # Errors
    /// They are known already, or the plan or the acting member's role forbids it.
    pub async fn invite(
        &self,
        tenant: &str,
        request: &InvitationRequest,
    ) -> Result<Answer<IssuedInvitation>, ClientError> {
        let path = self.path(["tenants", segment(tenant)?, "invitations"]);
        self.transport.send(Call::keyed(Method::POST, path).body(request)).await
    }

    /// Sends an invitation again, with a new link.
    ///
    /// # Errors
    /// There is none, it is over, or was sent a moment ago or too often.
    pub async fn resend_invitation(
        &self,
        tenant: &str,
        invitation: &str,
        request: &InvitationResend,
    ) -> Result<Answer<IssuedInvitation>, ClientError> {
        let last = format!("{}:resend", segment(invitation)?);
        let path = self.path(["tenants", segment(tenant)?, "invitations", &last]);
        self.transport.send(Call::keyed(Method::POST, path).body(request)).await
    }

    /// Withdraws an invitation.
    ///
    /// # Errors
    /// There is none, it was answered, or another version is current.
    pub async fn withdraw_invitation(
        &self,
        tenant: &str,
        invitation: &str,
        expected: Expected,
    ) -> Result<Answer<Invitation>, ClientError> {
        let last = format!("{}:withdraw", segment(invitation)?);
        let path = self.path(["tenants", segment(tenant)?, "invitations", &last]);
        let call = Call::keyed(Method::POST, path).expecting(expected);
        self.transport.send(call.body(&OnBehalf::default())).await
    }
}
