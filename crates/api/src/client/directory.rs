//! Calls about a tenant's directory.

use reqwest::Method;

use super::send::{Answer, Call};
use super::{Client, ClientError, Expected, PageQuery, segment};
use crate::v1::Page;
use crate::v1::directory::{Directory, DirectoryClaim, DirectoryGroup, DirectoryGroupRole, DirectoryRequest};
use crate::v1::member::Member;

impl Client {
    /// How a tenant's directory is set up.
    ///
    /// # Errors
    /// There is no such tenant.
    pub async fn directory(&self, tenant: &str) -> Result<Directory, ClientError> {
        let path = self.path(["tenants", segment(tenant)?, "directory"]);
        Ok(self.transport.send(Call::get(path)).await?.value)
    }

    /// Sets a tenant's directory up.
    ///
    /// # Errors
    /// The role does not exist or may not be given, or another version is current.
    pub async fn set_directory(
        &self,
        tenant: &str,
        expected: Expected,
        request: &DirectoryRequest,
    ) -> Result<Answer<Directory>, ClientError> {
        let path = self.path(["tenants", segment(tenant)?, "directory"]);
        self.transport.send(Call::keyed(Method::PUT, path).expecting(expected).body(request)).await
    }

    /// Lists the groups of a tenant's directory with the roles that they give.
    ///
    /// # Errors
    /// There is no such tenant, or a parameter is wrong.
    pub async fn directory_groups(&self, tenant: &str, page: &PageQuery) -> Result<Page<DirectoryGroup>, ClientError> {
        let path = self.path(["tenants", segment(tenant)?, "directory", "groups"]);
        Ok(self.transport.send(Call::get(path).query(page)).await?.value)
    }

    /// Says which role a group gives, or that it gives none.
    ///
    /// # Errors
    /// There is no such group or role, or the role may not be given.
    pub async fn map_directory_group(
        &self,
        tenant: &str,
        group: &str,
        request: &DirectoryGroupRole,
    ) -> Result<Answer<DirectoryGroup>, ClientError> {
        let path = self.path(["tenants", segment(tenant)?, "directory", "groups", segment(group)?, "role"]);
        self.transport.send(Call::keyed(Method::PUT, path).body(request)).await
    }

    /// Makes somebody who has logged in the member that the directory announced.
    ///
    /// # Errors
    /// The address is not verified, its domain is not the tenant's own, or the directory has nobody with it.
    pub async fn claim_directory_user(
        &self,
        tenant: &str,
        claim: &DirectoryClaim,
    ) -> Result<Answer<Member>, ClientError> {
        let path = self.path(["tenants", segment(tenant)?, "directory:claim"]);
        self.transport.send(Call::keyed(Method::POST, path).body(claim)).await
    }
}
