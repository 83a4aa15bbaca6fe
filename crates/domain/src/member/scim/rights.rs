//! Which role groups give.

use std::cmp::Ordering;

use super::super::{Role, Standard};

/// The strongest of some roles; nothing of none. A role that contains another one is the stronger one. Of two that do not
/// contain each other that which manages people, then that with more permissions, then that whose name comes first.
#[must_use]
pub fn strongest(mut roles: Vec<Role>) -> Option<Role> {
    // Ownership is handed on by people, and by nothing else.
    roles.retain(|role| !role.is_owner());
    // In one order, whatever the order of the groups.
    roles.sort_by_key(Role::name);
    roles.into_iter().reduce(|best, next| if compare(&next, &best) == Ordering::Greater { next } else { best })
}

fn compare(one: &Role, other: &Role) -> Ordering {
    let lacks = |this: &Role, that: &Role| that.beyond(this).is_some();
    match (lacks(one, other), lacks(other, one)) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        _ => {
            let weight = |role: &Role| (role.is_managing(), rank(role), role.permissions().len());
            weight(one).cmp(&weight(other))
        }
    }
}

const fn rank(role: &Role) -> u8 {
    match role {
        Role::Standard(Standard::Owner) => 4,
        Role::Standard(Standard::Admin) => 3,
        Role::Standard(Standard::Member) => 2,
        Role::Custom { .. } => 1,
        Role::Standard(Standard::Readonly) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Permission, RoleName};
    use super::*;

    fn own(name: &str, permissions: &[&str]) -> Role {
        let permissions = permissions.iter().map(|text| Permission::parse(text).unwrap()).collect();
        Role::Custom { name: RoleName::parse(name).unwrap(), permissions }
    }

    #[test]
    fn the_strongest_wins_in_whatever_order_and_never_owns() {
        let [admin, member, readonly] = [Standard::Admin, Standard::Member, Standard::Readonly].map(Role::Standard);
        let support = own("support", &["tenant:data:read", "feature:exports"]);
        let inviter = own("inviter", &["tenant:users:invite"]);
        for (roles, expected) in [
            (vec![], None),
            (vec![Role::Standard(Standard::Owner)], None),
            (vec![readonly.clone(), admin.clone(), member.clone()], Some("admin")),
            (vec![readonly.clone(), support.clone()], Some("support")),
            (vec![support.clone(), member.clone()], Some("member")),
            (vec![support.clone(), inviter.clone()], Some("inviter")),
            (vec![inviter, admin.clone()], Some("admin")),
            (vec![Role::Standard(Standard::Owner), readonly], Some("readonly")),
        ] {
            let mut other_way = roles.clone();
            other_way.reverse();
            for roles in [roles, other_way] {
                let found = strongest(roles).map(|role| role.name().to_string());
                assert_eq!(found.as_deref(), expected);
            }
        }
    }
}
