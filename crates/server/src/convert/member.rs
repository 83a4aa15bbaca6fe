//! People of a tenant.

use secrecy::{ExposeSecret as _, SecretString};
use tenantry_api::v1::member as v1;
use tenantry_control::members::{
    Checked, Imported, Invitation, Issued, MailView, Member, Membership, Offer, Outcome, RoleView, RowReport,
};
use tenantry_domain::id::UserId;

/// One member.
#[must_use]
pub fn member(view: Member) -> v1::Member {
    v1::Member {
        tenant: view.tenant.to_string(),
        user: view.user.to_string(),
        issuer: view.identity.issuer,
        pool: Some(view.identity.pool).filter(|pool| !pool.is_empty()),
        subject: view.identity.subject,
        email: view.email.into(),
        name: view.name,
        role: view.role.into(),
        version: view.version,
        created_at: view.created_at,
        created_by: view.created_by,
        updated_at: view.updated_at,
    }
}

/// One invitation.
#[must_use]
pub fn invitation(view: Invitation) -> v1::Invitation {
    v1::Invitation {
        id: view.id.to_string(),
        tenant: view.tenant.to_string(),
        slug: view.slug.to_string(),
        email: view.email.into(),
        role: view.role.into(),
        status: view.standing.as_str().to_owned(),
        invited_by: view.invited_by.map(|user| user.to_string()),
        sends: view.sends,
        sent_at: view.sent_at,
        expires_at: view.expires_at,
        version: view.version,
        created_at: view.created_at,
        created_by: view.created_by,
        settled_at: view.settled_at,
        accepted_by: view.accepted_by.map(|user| user.to_string()),
        mail: None,
    }
}

/// How a mail stands.
#[must_use]
pub fn mail(view: MailView) -> v1::InvitationMail {
    let status = match (view.sent_at, view.dropped_at) {
        (Some(_), _) => "sent",
        (None, Some(_)) => "dropped",
        (None, None) => "waiting",
    };
    v1::InvitationMail {
        status: status.to_owned(),
        attempts: view.attempts,
        at: view.sent_at.or(view.dropped_at),
        cause: view.cause,
    }
}

/// An invitation with its token, on its only way out.
#[must_use]
pub fn issued(issued: Issued) -> v1::IssuedInvitation {
    let shown = |secret: SecretString| secret.expose_secret().to_owned();
    v1::IssuedInvitation {
        invitation: invitation(issued.invitation),
        token: issued.token.map(shown),
        link: issued.link.map(shown),
    }
}

/// One role.
#[must_use]
pub fn role(view: RoleView) -> v1::MemberRole {
    v1::MemberRole {
        name: view.name.into(),
        title: view.title,
        permissions: view.permissions.into_iter().map(Into::into).collect(),
        standard: view.is_standard,
        version: view.version,
        updated_at: view.updated_at,
    }
}

/// A report of many rows.
#[must_use]
pub fn imported(view: Imported) -> v1::MemberImportReport {
    let row = |row: RowReport| v1::MemberImportResult {
        row: row.row,
        outcome: row.outcome.as_str().to_owned(),
        user: row.user.map(|user| user.to_string()),
        code: row.code,
        message: row.message,
    };
    v1::MemberImportReport {
        dry_run: view.dry_run,
        added: view.count(Outcome::Added),
        changed: view.count(Outcome::Changed),
        removed: view.count(Outcome::Removed),
        unchanged: view.count(Outcome::Unchanged),
        refused: view.count(Outcome::Refused),
        rows: view.rows.into_iter().map(row).collect(),
    }
}

/// Whether a user may do what was asked.
#[must_use]
pub fn check(view: Checked) -> v1::MemberCheck {
    v1::MemberCheck {
        allowed: view.missing.is_empty(),
        missing: view.missing.into_iter().map(Into::into).collect(),
        role: view.role.map(|role| role.name().into()),
    }
}

/// What a user may do; nothing for somebody who is no member.
#[must_use]
pub fn permissions(user: UserId, view: Checked) -> Option<v1::MemberPermissions> {
    let role = view.role?;
    Some(v1::MemberPermissions {
        user: user.to_string(),
        role: role.name().into(),
        permissions: role.permissions().into_iter().map(Into::into).collect(),
    })
}

/// An offer of ownership.
#[must_use]
pub fn offer(view: Offer) -> v1::OwnershipOffer {
    v1::OwnershipOffer {
        from: view.from.to_string(),
        to: view.to.to_string(),
        created_at: view.created_at,
        expires_at: view.expires_at,
    }
}

/// A tenant that a user is a member of.
#[must_use]
pub fn membership(view: Membership) -> v1::Membership {
    v1::Membership {
        tenant: view.tenant.to_string(),
        slug: view.slug.to_string(),
        display_name: view.display_name,
        role: view.role.into(),
        created_at: view.created_at,
    }
}
