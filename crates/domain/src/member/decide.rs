//! What an acting member may do to others. Operators act without one; then the plan's rules and the last owner still
//! count, and nothing else here.

use std::collections::BTreeSet;

use super::{Permission, Refused, Role, RoleName, Rules};
use crate::id::UserId;

/// The member on whose behalf something is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acting {
    /// Who.
    pub user: UserId,
    /// What they hold right now.
    pub role: Role,
}

impl Acting {
    /// Insists on a permission.
    ///
    /// # Errors
    /// The role lacks it.
    pub fn must(&self, ours: &'static str) -> Result<(), Refused> {
        if self.role.has(ours) {
            return Ok(());
        }
        Err(Refused::Lacks { role: self.role.name(), permission: ours.to_owned() })
    }

    /// Whether a role is one that they could give or take: no more than they hold, and none that manages others unless
    /// they may manage admins.
    fn reaches(&self, role: &Role) -> Result<(), Refused> {
        if let Some(permission) = role.beyond(&self.role) {
            return Err(Refused::Beyond { role: role.name(), permission });
        }
        if role.is_managing() { self.must(Permission::ADMINS) } else { Ok(()) }
    }
}

/// Whether a role may be offered by invitation. An owner may invite an owner: accepting is the consent of the other side.
///
/// # Errors
/// The plan or the acting member's role forbids it.
pub fn may_invite(acting: Option<&Acting>, role: &Role, rules: &Rules) -> Result<(), Refused> {
    if !rules.invite {
        return Err(Refused::Plan(Rules::INVITE));
    }
    let Some(acting) = acting else { return Ok(()) };
    acting.must(Permission::INVITE)?;
    acting.reaches(role)
}

/// Whether a person may be made a member without an invitation, where `members` are there already. Ownership is not given
/// so by a member: nobody has consented.
///
/// # Errors
/// The plan or the acting member's role forbids it.
pub fn may_add(acting: Option<&Acting>, role: &Role, rules: &Rules, members: u64) -> Result<(), Refused> {
    if acting.is_some() && role.is_owner() {
        return Err(Refused::OwnerByRole);
    }
    if acting.is_none() && members == 0 {
        return Ok(());
    }
    may_invite(acting, role, rules)
}

/// Whether one more person fits beside `used`, which counts members and open invitations.
///
/// # Errors
/// The quota is used up.
pub const fn fits(rules: &Rules, used: u64) -> Result<(), Refused> {
    match rules.users {
        Some(most) if used >= most => Err(Refused::Full { most, used }),
        _ => Ok(()),
    }
}

/// A member who is changed or goes.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Who.
    pub user: UserId,
    /// What they hold.
    pub role: &'a Role,
    /// How many owners the tenant has, this one included if they are one.
    pub owners: i64,
}

/// Whether a member may get another role.
///
/// # Errors
/// The acting member's role does not reach one of the two, or nobody would own the tenant.
pub fn may_change_role(acting: Option<&Acting>, target: &Target<'_>, to: &Role) -> Result<(), Refused> {
    if let Some(acting) = acting {
        let is_stepping_down = acting.user == target.user && to.beyond(&acting.role).is_none();
        if !is_stepping_down {
            acting.must(Permission::UPDATE)?;
            if to.is_owner() && !target.role.is_owner() {
                return Err(Refused::OwnerByRole);
            }
            acting.reaches(target.role)?;
            acting.reaches(to)?;
        }
    }
    if target.role.is_owner() && !to.is_owner() { keeps_owner(target.owners) } else { Ok(()) }
}

/// Whether a member may go. Everybody may leave, apart from the last owner.
///
/// # Errors
/// The acting member's role does not reach theirs, or nobody would own the tenant.
pub fn may_remove(acting: Option<&Acting>, target: &Target<'_>) -> Result<(), Refused> {
    if let Some(acting) = acting.filter(|acting| acting.user != target.user) {
        acting.must(Permission::REMOVE)?;
        acting.reaches(target.role)?;
    }
    if target.role.is_owner() { keeps_owner(target.owners) } else { Ok(()) }
}

const fn keeps_owner(owners: i64) -> Result<(), Refused> {
    if owners > 1 { Ok(()) } else { Err(Refused::LastOwner) }
}

/// Whether an owner may offer the ownership to another member.
///
/// # Errors
/// The one who offers is no owner, or the other one is.
pub fn may_offer(acting: &Acting, to: &Role) -> Result<(), Refused> {
    acting.must(Permission::OWNERSHIP)?;
    if !acting.role.is_owner() {
        return Err(Refused::Lacks { role: acting.role.name(), permission: Permission::OWNERSHIP.to_owned() });
    }
    if to.is_owner() { Err(Refused::OfferToOwner) } else { Ok(()) }
}

/// Whether a role of the tenant's own may be defined, or be changed from `before`.
///
/// # Errors
/// The plan has none, the name is taken by a role of every tenant, or it has or had more than its author holds.
pub fn may_define(
    acting: Option<&Acting>,
    name: &RoleName,
    permissions: &BTreeSet<Permission>,
    before: Option<&Role>,
    rules: &Rules,
) -> Result<Role, Refused> {
    if name.standard().is_some() {
        return Err(Refused::Fixed(name.clone()));
    }
    if !rules.roles {
        return Err(Refused::Plan(Rules::ROLES));
    }
    let role = Role::Custom { name: name.clone(), permissions: permissions.clone() };
    may_touch(acting, &role)?;
    before.map_or(Ok(()), |before| may_touch(acting, before))?;
    Ok(role)
}

/// Whether a role of the tenant's own may be changed or deleted.
///
/// # Errors
/// It has more than the acting member holds.
pub fn may_touch(acting: Option<&Acting>, role: &Role) -> Result<(), Refused> {
    let Some(acting) = acting else { return Ok(()) };
    acting.must(Permission::ROLES)?;
    acting.reaches(role)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::super::Standard;
    use super::*;

    const FREE: Rules = Rules { invite: true, roles: true, users: None };

    fn user(number: u128) -> UserId {
        UserId::from_uuid(Uuid::from_u128(number))
    }

    fn acting(role: Standard) -> Acting {
        Acting { user: user(1), role: Role::Standard(role) }
    }

    fn target(role: &Role, owners: i64) -> Target<'_> {
        Target { user: user(2), role, owners }
    }

    /// Who may invite whom, as a table: a line per acting role.
    #[test]
    fn nobody_gives_more_than_they_hold() {
        let table = Standard::ALL
            .map(|by| Standard::ALL.map(|role| may_invite(Some(&acting(by)), &Role::Standard(role), &FREE).is_ok()));
        let expected = [
            [true, true, true, true],
            [false, false, true, true],
            [false, false, false, false],
            [false, false, false, false],
        ];
        assert_eq!(table, expected);
        let admin = acting(Standard::Admin);
        let refused = may_invite(Some(&admin), &Role::Standard(Standard::Owner), &FREE).unwrap_err();
        assert!(
            matches!(refused, Refused::Beyond { ref permission, .. } if permission == "tenant:admins:manage"),
            "{refused}"
        );
        let refused = may_invite(Some(&acting(Standard::Member)), &Role::Standard(Standard::Readonly), &FREE);
        assert!(matches!(refused, Err(Refused::Lacks { ref permission, .. }) if permission == Permission::INVITE));
        let none = Rules { invite: false, ..FREE };
        assert_eq!(may_invite(None, &Role::Standard(Standard::Readonly), &none), Err(Refused::Plan(Rules::INVITE)));
        // The first person is how such a tenant begins.
        assert_eq!(may_add(None, &Role::Standard(Standard::Owner), &none, 0), Ok(()));
        assert_eq!(may_add(None, &Role::Standard(Standard::Member), &none, 1), Err(Refused::Plan(Rules::INVITE)));
        assert_eq!(
            may_add(Some(&acting(Standard::Owner)), &Role::Standard(Standard::Owner), &FREE, 1),
            Err(Refused::OwnerByRole)
        );
    }

    #[test]
    fn ownership_is_not_given_by_role_and_the_last_owner_stays() {
        let (owner, admin, member) =
            (Role::Standard(Standard::Owner), Role::Standard(Standard::Admin), Role::Standard(Standard::Member));
        let by_owner = acting(Standard::Owner);
        assert_eq!(may_change_role(Some(&by_owner), &target(&member, 1), &owner), Err(Refused::OwnerByRole));
        assert_eq!(may_change_role(None, &target(&member, 1), &owner), Ok(()));
        assert_eq!(may_change_role(None, &target(&owner, 1), &admin), Err(Refused::LastOwner));
        assert_eq!(may_change_role(Some(&by_owner), &target(&owner, 2), &admin), Ok(()));
        assert_eq!(may_remove(None, &target(&owner, 1)), Err(Refused::LastOwner));
        let oneself = |role, owners| Target { user: user(1), role, owners };
        assert_eq!(may_remove(Some(&by_owner), &oneself(&owner, 1)), Err(Refused::LastOwner));
        assert_eq!(may_remove(Some(&by_owner), &oneself(&owner, 2)), Ok(()));
        assert_eq!(
            may_remove(Some(&acting(Standard::Readonly)), &oneself(&Role::Standard(Standard::Readonly), 1)),
            Ok(())
        );
        // An admin cannot raise themselves, touch an owner, or touch another admin; stepping down is free.
        let by_admin = acting(Standard::Admin);
        assert!(may_change_role(Some(&by_admin), &oneself(&admin, 1), &owner).is_err());
        assert!(may_change_role(Some(&by_admin), &target(&owner, 2), &member).is_err());
        assert!(may_change_role(Some(&by_admin), &target(&admin, 1), &member).is_err());
        assert!(may_change_role(Some(&by_admin), &target(&member, 1), &admin).is_err());
        assert!(may_remove(Some(&by_admin), &target(&admin, 1)).is_err());
        assert_eq!(may_change_role(Some(&by_admin), &oneself(&admin, 1), &member), Ok(()));
        assert_eq!(may_change_role(Some(&by_admin), &target(&member, 1), &Role::Standard(Standard::Readonly)), Ok(()));
        assert_eq!(may_offer(&by_owner, &member), Ok(()));
        assert_eq!(may_offer(&by_owner, &owner), Err(Refused::OfferToOwner));
        assert!(may_offer(&by_admin, &member).is_err());
    }

    #[test]
    fn an_own_role_never_exceeds_its_author() {
        let name = RoleName::parse("support").unwrap();
        let set = |names: &[&str]| names.iter().map(|name| Permission::parse(name).unwrap()).collect::<BTreeSet<_>>();
        let admin = acting(Standard::Admin);
        assert!(may_define(Some(&admin), &name, &set(&["feature:exports", "tenant:data:read"]), None, &FREE).is_ok());
        let refused = may_define(Some(&admin), &name, &set(&["tenant:billing:manage"]), None, &FREE).unwrap_err();
        assert!(matches!(refused, Refused::Beyond { .. }), "{refused}");
        // Nor does it touch one that did.
        let mighty = Role::Custom { name: name.clone(), permissions: set(&["tenant:delete"]) };
        assert!(may_define(Some(&admin), &name, &set(&["tenant:data:read"]), Some(&mighty), &FREE).is_err());
        let none = Rules { roles: false, ..FREE };
        assert_eq!(may_define(None, &name, &set(&[]), None, &none), Err(Refused::Plan(Rules::ROLES)));
        let owner = RoleName::parse("owner").unwrap();
        assert_eq!(may_define(None, &owner, &set(&[]), None, &FREE), Err(Refused::Fixed(owner)));
    }

    #[test]
    fn a_quota_counts_to_its_end() {
        let rules = Rules { users: Some(2), ..FREE };
        assert_eq!((fits(&rules, 1), fits(&rules, 2)), (Ok(()), Err(Refused::Full { most: 2, used: 2 })));
        assert_eq!(fits(&FREE, u64::MAX), Ok(()));
    }

    proptest! {
        /// Any sequence of changes by any member leaves an owner, and nobody but an owner or operator makes an admin.
        #[test]
        fn a_tenant_keeps_an_owner(steps in proptest::collection::vec((0_usize..5, 0_usize..5, 0_usize..5), 0..40)) {
            let mut roles = vec![Standard::Owner, Standard::Owner, Standard::Admin, Standard::Member, Standard::Readonly];
            for (by, on, to) in steps {
                if by >= roles.len() || on >= roles.len() { continue }
                let owners = roles.iter().filter(|role| **role == Standard::Owner).count() as i64;
                let acting = Acting { user: user(by as u128), role: Role::Standard(roles[by]) };
                let held = Role::Standard(roles[on]);
                let target = Target { user: user(on as u128), role: &held, owners };
                if to < 4 {
                    let wanted = Standard::ALL[to];
                    if may_change_role(Some(&acting), &target, &Role::Standard(wanted)).is_ok() {
                        prop_assert!(wanted != Standard::Owner || roles[on] == Standard::Owner);
                        prop_assert!(wanted != Standard::Admin || by == on || roles[by] == Standard::Owner);
                        roles[on] = wanted;
                    }
                } else if may_remove(Some(&acting), &target).is_ok() {
                    roles.remove(on);
                }
                prop_assert!(roles.contains(&Standard::Owner));
            }
        }
    }
}
