//! A tenant's directory.

use tenantry_api::v1::directory as v1;
use tenantry_control::scim::{Directory, Group};

/// How it is set up.
#[must_use]
pub fn directory(view: Directory) -> v1::Directory {
    v1::Directory {
        issuer: view.issuer,
        pool: Some(view.pool).filter(|pool| !pool.is_empty()),
        default_role: view.default_role.into(),
        users: view.users,
        members: view.members,
        groups: view.groups,
        version: view.version,
    }
}

/// One group.
#[must_use]
pub fn group(view: Group) -> v1::DirectoryGroup {
    v1::DirectoryGroup {
        id: view.id.to_string(),
        name: view.name,
        external_id: view.external_id,
        role: view.role.map(Into::into),
        size: view.size,
        version: view.version,
        updated_at: view.updated_at,
    }
}
