//! Every action that policy is asked about, with the groups that rules can name.
//!
//! INVARIANT: an action that is not in the list is refused (rule `known-actions`), so that a new use case cannot pass
//! rules about groups that nobody put it into. Every action is in exactly one of `read` and `write`. A test compares the
//! list with the product's catalog of actions, which says what roles can grant; here are also what controllers do by
//! themselves, and what bundles have to be able to name before it exists. The groups are made for rules: shutting a
//! tenant out is in `destructive`, and taking somebody's access away is not, for that must never wait for a second person.

/// Looks, and changes nothing.
pub const READ: &str = "read";
/// Changes something.
pub const WRITE: &str = "write";
/// Takes something away that cannot be had back by the opposite action, or shuts a tenant out.
pub const DESTRUCTIVE: &str = "destructive";
/// Decides where a tenant's data lies.
pub const PLACEMENT: &str = "placement";
/// Sends a tenant's data somewhere.
pub const EGRESS: &str = "egress";
/// Decides how long data is kept.
pub const RETENTION: &str = "retention";
/// Moves a tenant along its lifecycle.
pub const LIFECYCLE: &str = "lifecycle";
/// Changes what runs: versions, migrations, moves; belongs into patch windows.
pub const MAINTENANCE: &str = "maintenance";
/// Decides who gets in.
pub const ACCESS: &str = "access";

/// All groups.
pub const GROUPS: &[&str] = &[READ, WRITE, DESTRUCTIVE, PLACEMENT, EGRESS, RETENTION, LIFECYCLE, MAINTENANCE, ACCESS];

/// Name and groups of each action.
pub const ACTIONS: &[(&str, &[&str])] = &[
    // Tenants.
    ("tenant.create", &[WRITE, LIFECYCLE]),
    ("tenant.update", &[WRITE]),
    ("tenant.rollback", &[WRITE]),
    ("tenant.activate", &[WRITE, LIFECYCLE, PLACEMENT]),
    ("tenant.suspend", &[WRITE, LIFECYCLE, DESTRUCTIVE]),
    ("tenant.resume", &[WRITE, LIFECYCLE]),
    ("tenant.archive", &[WRITE, LIFECYCLE, DESTRUCTIVE]),
    ("tenant.restore", &[WRITE, LIFECYCLE, PLACEMENT]),
    ("tenant.delete", &[WRITE, LIFECYCLE, DESTRUCTIVE, RETENTION]),
    ("tenant.undelete", &[WRITE, LIFECYCLE]),
    ("tenant.purge", &[WRITE, LIFECYCLE, DESTRUCTIVE]),
    ("tenant.move", &[WRITE, PLACEMENT, MAINTENANCE]),
    ("tenant.clone", &[WRITE, PLACEMENT, EGRESS]),
    ("tenant.export", &[WRITE, EGRESS]),
    ("tenant.read", &[READ]),
    ("tenant.resolve", &[READ]),
    ("tenant.route", &[READ]),
    ("tenant.reach", &[READ]),
    ("tenant.enter", &[READ]),
    ("environment.enter", &[READ]),
    ("environment.create", &[WRITE]),
    ("environment.read", &[READ]),
    ("placement.decide", &[WRITE, PLACEMENT]),
    ("placement.release", &[WRITE]),
    ("placement.explain", &[READ]),
    // Manifests and the catalog.
    ("manifests.apply", &[WRITE]),
    ("manifests.plan", &[READ]),
    ("catalog.read", &[READ]),
    ("catalog.write", &[WRITE]),
    ("catalog.delete", &[WRITE, DESTRUCTIVE]),
    ("plan.upgrade", &[WRITE, MAINTENANCE]),
    ("cell.drain", &[WRITE, PLACEMENT, MAINTENANCE]),
    // Domains, logins, credentials.
    ("domain.read", &[READ]),
    ("domain.verify", &[WRITE]),
    ("credential.issue", &[WRITE, ACCESS]),
    ("gateway.login.read", &[READ]),
    ("gateway.login.create", &[WRITE, ACCESS]),
    ("gateway.login.rotate", &[WRITE, ACCESS]),
    ("gateway.login.revoke", &[WRITE, ACCESS]),
    ("token.read", &[READ]),
    ("caller.read", &[READ]),
    ("token.issue", &[WRITE, ACCESS]),
    ("token.adopt", &[WRITE, ACCESS]),
    ("token.rotate", &[WRITE, ACCESS]),
    ("token.revoke", &[WRITE, ACCESS]),
    ("access.read", &[READ]),
    ("access.request", &[WRITE, ACCESS]),
    ("access.approve", &[WRITE, ACCESS]),
    ("access.open", &[WRITE, ACCESS]),
    ("access.end", &[WRITE, ACCESS]),
    ("access.review", &[WRITE, ACCESS]),
    // Members.
    ("member.read", &[READ]),
    ("member.act", &[WRITE]),
    ("member.add", &[WRITE, ACCESS]),
    ("member.offer", &[WRITE, ACCESS]),
    ("member.accept", &[WRITE, ACCESS]),
    ("member.import", &[WRITE, ACCESS]),
    ("member.update", &[WRITE, ACCESS]),
    ("member.remove", &[WRITE, ACCESS]),
    ("invitation.read", &[READ]),
    ("invitation.create", &[WRITE, ACCESS]),
    ("invitation.accept", &[WRITE, ACCESS]),
    ("invitation.decline", &[WRITE]),
    ("invitation.resend", &[WRITE, ACCESS]),
    ("invitation.withdraw", &[WRITE, ACCESS]),
    ("role.read", &[READ]),
    ("role.set", &[WRITE, ACCESS]),
    ("role.delete", &[WRITE, ACCESS]),
    // A customer's directory.
    ("directory.read", &[READ]),
    ("directory.set", &[WRITE, ACCESS]),
    ("directory.claim", &[WRITE, ACCESS]),
    ("scim.read", &[READ]),
    ("scim.write", &[WRITE, ACCESS]),
    // Pools of users at an identity provider.
    ("identity.read", &[READ]),
    ("identity.connect", &[WRITE, ACCESS]),
    ("identity.disconnect", &[WRITE, ACCESS]),
    ("identity.settle", &[WRITE, ACCESS]),
    // Quotas, limits, flags.
    ("quota.read", &[READ]),
    ("quota.take", &[WRITE]),
    ("quota.release", &[WRITE]),
    ("quota.reserve", &[WRITE]),
    ("quota.commit", &[WRITE]),
    ("quota.set", &[WRITE]),
    ("limit.take", &[WRITE]),
    ("usage.read", &[READ]),
    ("usage.write", &[WRITE]),
    ("usage.report", &[WRITE]),
    ("flag.read", &[READ]),
    ("flag.evaluate", &[READ]),
    ("flag.use", &[WRITE]),
    ("flag.set", &[WRITE]),
    ("flag.delete", &[WRITE, DESTRUCTIVE]),
    ("approval.read", &[READ]),
    ("approval.give", &[WRITE, ACCESS]),
    ("approval.withdraw", &[WRITE, ACCESS]),
    ("policy.read", &[READ]),
    ("policy.update", &[WRITE, ACCESS]),
    // Rollouts, operations, workflows.
    ("rollout.read", &[READ]),
    ("rollout.run", &[WRITE, MAINTENANCE]),
    ("rollout.move", &[WRITE, MAINTENANCE]),
    ("rollout.pause", &[WRITE]),
    ("rollout.continue", &[WRITE, MAINTENANCE]),
    ("rollout.cancel", &[WRITE]),
    ("operation.read", &[READ]),
    ("operation.cancel", &[WRITE]),
    ("operation.retry", &[WRITE]),
    ("workflow.start", &[WRITE]),
    ("workflow.step", &[WRITE]),
    ("drift.detect", &[WRITE]),
    ("drift.repair", &[WRITE]),
    // Looking, and keeping a record of it.
    ("isolation.read", &[READ]),
    ("isolation.run", &[WRITE]),
    ("isolation.record", &[WRITE]),
    ("audit.read", &[READ]),
    ("audit.verify", &[READ]),
    ("audit.record", &[WRITE]),
    ("metrics.read", &[READ]),
    ("event.read", &[READ]),
    ("stream.read", &[READ]),
    ("stream.forget", &[WRITE, DESTRUCTIVE]),
    // What people are told.
    ("incident.read", &[READ]),
    ("incident.open", &[WRITE]),
    ("incident.update", &[WRITE]),
    ("notification.read", &[READ]),
    // Data that goes elsewhere.
    ("backup.read", &[READ]),
    ("backup.run", &[WRITE, EGRESS]),
    ("backup.target", &[WRITE, EGRESS, RETENTION]),
    ("webhook.read", &[READ]),
    ("webhook.create", &[WRITE, EGRESS]),
    ("webhook.update", &[WRITE, EGRESS]),
    ("webhook.enable", &[WRITE, EGRESS]),
    ("webhook.disable", &[WRITE]),
    ("webhook.delete", &[WRITE]),
    ("webhook.rotate", &[WRITE]),
    ("webhook.test", &[WRITE]),
    ("webhook.replay", &[WRITE, EGRESS]),
    ("webhook.redrive", &[WRITE, EGRESS]),
];

/// The groups of an action; nothing for one that is not in the list.
#[must_use]
pub fn groups(action: &str) -> Option<&'static [&'static str]> {
    ACTIONS.iter().find(|(name, _)| *name == action).map(|(_, groups)| *groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenantry_domain::policy::action as catalog;

    #[test]
    fn the_catalog_of_actions_is_known_here() {
        for action in catalog::ACTIONS {
            let groups = groups(action.name).unwrap_or_else(|| panic!("`{}` is in no group", action.name));
            assert_eq!(groups.contains(&READ), action.effect == catalog::Effect::Read, "{}", action.name);
        }
    }

    #[test]
    fn every_action_is_listed_once_and_either_reads_or_writes() {
        let mut names: Vec<_> = ACTIONS.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ACTIONS.len());
        for (name, groups) in ACTIONS {
            assert_ne!(groups.contains(&READ), groups.contains(&WRITE), "{name}");
            assert!(groups.iter().all(|group| GROUPS.contains(group)), "{name}");
            assert!(!groups.contains(&READ) || groups.len() == 1, "{name} reads and does more");
        }
    }
}
