//! Every way in which people of a tenant are told no, with the code that goes with it.

use super::RoleName;
use crate::code::Code;

/// Why something about people was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The acting member's role lacks a permission.
    #[error("role `{role}` of the acting member lacks `{permission}`")]
    Lacks {
        /// The role.
        role: RoleName,
        /// What it lacks.
        permission: String,
    },
    /// The role in question has a permission that the acting member does not hold.
    #[error("role `{role}` has `{permission}`, which the acting member does not hold")]
    Beyond {
        /// The role that is given, taken or defined.
        role: RoleName,
        /// The first permission that is too much.
        permission: String,
    },
    /// Ownership is handed on by consent of both sides, not by a change of role.
    #[error("`owner` is not given by a change of role")]
    OwnerByRole,
    /// The tenant would be without an owner.
    #[error("the tenant would have no owner")]
    LastOwner,
    /// An offer to oneself.
    #[error("the ownership cannot be offered to the one who has it")]
    OfferToOwner,
    /// The one who answers is not the one who was asked.
    #[error("only the member who was asked can answer the offer")]
    NotTheOneAsked,
    /// The offer's time is over, or the one who made it may not make it any more.
    #[error("the offer of ownership does not stand any more")]
    OfferOver,
    /// No such member.
    #[error("`{0}` is no member of the tenant")]
    NoMember(String),
    /// No such role.
    #[error("role `{0}` does not exist in this tenant")]
    NoRole(RoleName),
    /// The person is a member already.
    #[error("the person is a member of the tenant already")]
    Member,
    /// An address that leads to the same person has been invited or is a member's.
    #[error("the address, or a variant of it, {}", if *.open { "has an open invitation" } else { "is a member's" })]
    Known {
        /// Whether by an open invitation.
        open: bool,
    },
    /// The person is a member of another tenant, and the installation lets nobody be in two.
    #[error("the person is a member of another tenant, and this installation lets nobody be in two")]
    Elsewhere,
    /// The plan does not have the feature.
    #[error("the tenant's plan does not have `{0}`")]
    Plan(&'static str),
    /// The quota is used up.
    #[error("the tenant has {used} of at most {most} users, counting open invitations")]
    Full {
        /// The quota.
        most: u64,
        /// What is used of it.
        used: u64,
    },
    /// No such invitation, or a token of none.
    #[error("there is no such invitation")]
    NoInvitation,
    /// The invitation was used, answered, taken back, or its time is over.
    #[error("the invitation is {0}")]
    Over(&'static str),
    /// The one who invited could not invite like this any more.
    #[error("the one who invited may not give role `{0}` any more")]
    InviterLost(RoleName),
    /// The invitation is for another address.
    #[error("the invitation is for another address")]
    OtherAddress,
    /// The address of the one who answers is not proven.
    #[error("the address is not verified by the issuer")]
    Unverified,
    /// The invitation was sent too often, or a moment ago.
    #[error("the invitation was sent {0}")]
    Sent(&'static str),
    /// The name is that of a role which every tenant has.
    #[error("`{0}` is a role that every tenant has; it cannot be changed")]
    Fixed(RoleName),
    /// Members or invitations have the role.
    #[error("role `{role}` is held by {members} member(s) and named by {invitations} open invitation(s)")]
    RoleInUse {
        /// The role.
        role: RoleName,
        /// Members that hold it.
        members: i64,
        /// Open invitations that name it.
        invitations: i64,
    },
    /// Groups of the tenant's directory give the role.
    #[error("role `{role}` is given by {groups} group(s) of the directory")]
    RoleGiven {
        /// The role.
        role: RoleName,
        /// Groups that give it.
        groups: i64,
    },
    /// The tenant's directory gives the role to whom no group gives one.
    #[error("role `{0}` is the default role of the directory")]
    RoleDefault(RoleName),
    /// The tenant has as many roles of its own as one may have.
    #[error("the tenant has {0} roles of its own, which is the most")]
    TooManyRoles(i64),
}

impl Refused {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Lacks { .. } | Self::Beyond { .. } | Self::OwnerByRole | Self::NotTheOneAsked => Code::MemberDenied,
            Self::LastOwner => Code::LastOwner,
            Self::NoMember(_) => Code::MemberNotFound,
            Self::Member | Self::Known { .. } | Self::OfferToOwner => Code::MemberExists,
            Self::Elsewhere => Code::MemberElsewhere,
            Self::Plan(_) => Code::MembersNotInPlan,
            Self::Full { .. } | Self::TooManyRoles(_) => Code::UsersExceeded,
            Self::NoInvitation => Code::InvitationNotFound,
            Self::Over(_) | Self::InviterLost(_) | Self::OfferOver => Code::InvitationOver,
            Self::OtherAddress | Self::Unverified => Code::InvitationMismatch,
            Self::Sent(_) => Code::TooManyRequests,
            Self::NoRole(_) => Code::ObjectNotFound,
            Self::Fixed(_) => Code::InvalidParameter,
            Self::RoleInUse { .. } | Self::RoleGiven { .. } | Self::RoleDefault(_) => Code::InUse,
        }
    }
}
