//! Attempts that had no effect, in the audit: every call of an identified caller that would have changed something and
//! was refused or failed, and every call for an environment that its token does not reach.
//!
//! The answer waits for the entry, but does not depend on it: nothing has happened, so a caller is told what is wrong
//! also when that cannot be written down. While our database is away it is not tried at all, and the log has to do.
//! Callers without a good token leave lines in the log and counts, never entries: anybody could fill the audit. Whose chain
//! an entry joins is the audit's to say ([`audit::record`]): never that of a tenant which the caller does not see.

use std::time::Duration;

use axum::extract::{Request, State as With};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use tenantry_control::audit::{self, Attempt};
use tenantry_control::tokens::Bearer;
use tenantry_control::{Ctx, Refusal};
use tenantry_domain::code::{Code, Kind};
use tenantry_domain::name::EnvironmentName;

use super::ids::{Ids, Route};
use crate::State;
use crate::problem::{Failure, of_status};

/// How long an answer waits for its entry.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longest part of a path that an entry repeats, in bytes.
const LONGEST: usize = 64;

/// Every call that changes something, with the name of what it does.
pub const ACTIONS: &[(Method, &str, &str)] = &[
    (Method::POST, "/v1/environments/{environment}/incidents", "incident.open"),
    (Method::POST, "/v1/environments/{environment}/incidents/{incident}:update", "incident.update"),
    (Method::POST, "/v1/environments/{environment}/manifests:apply", "manifests.apply"),
    (Method::POST, "/v1/environments/{environment}/tenants", "tenant.create"),
    (Method::PUT, "/v1/environments/{environment}/tenants/{tenant}", "tenant.update"),
    (Method::PATCH, "/v1/environments/{environment}/tenants/{tenant}", "tenant.update"),
    (Method::DELETE, "/v1/environments/{environment}/tenants/{tenant}", "tenant.delete"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}:activate", "tenant.activate"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}:archive", "tenant.archive"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}:restore", "tenant.restore"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}:resume", "tenant.resume"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}:rollback", "tenant.rollback"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}:suspend", "tenant.suspend"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}:undelete", "tenant.undelete"),
    (Method::DELETE, "/v1/environments/{environment}/apps/{name}", "catalog.delete"),
    (Method::DELETE, "/v1/environments/{environment}/cells/{name}", "catalog.delete"),
    (Method::DELETE, "/v1/environments/{environment}/meters/{name}", "catalog.delete"),
    (Method::DELETE, "/v1/environments/{environment}/plans/{name}", "catalog.delete"),
    (Method::DELETE, "/v1/environments/{environment}/regions/{name}", "catalog.delete"),
    (Method::POST, "/v1/environments/{environment}/plans/{name}:upgrade", "plan.upgrade"),
    (Method::POST, "/v1/environments/{environment}/cells/{name}/isolation:run", "isolation.run"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}/isolation:run", "isolation.run"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}/domains/{domain}:verify", "domain.verify"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}/quotas/{quota}:recount", "quota.set"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}/quotas/{quota}:release", "quota.release"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}/quotas/{quota}:reserve", "quota.reserve"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}/quotas/{quota}:take", "quota.take"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}/reservations/{reservation}:commit", "quota.commit"),
    (
        Method::POST,
        "/v1/environments/{environment}/tenants/{tenant}/reservations/{reservation}:release",
        "quota.release",
    ),
    (Method::POST, "/v1/environments/{environment}/credentials", "credential.issue"),
    (Method::PUT, "/v1/environments/{environment}/flags/{name}", "flag.set"),
    (Method::DELETE, "/v1/environments/{environment}/flags/{name}", "flag.delete"),
    (Method::POST, "/v1/environments/{environment}/flags/{name}:off", "flag.set"),
    (Method::POST, "/v1/environments/{environment}/flags/{name}:on", "flag.set"),
    (Method::POST, "/v1/environments/{environment}/gateway-logins", "gateway.login.create"),
    (Method::POST, "/v1/environments/{environment}/gateway-logins/{name}:rotate", "gateway.login.rotate"),
    (Method::DELETE, "/v1/environments/{environment}/gateway-logins/{name}", "gateway.login.revoke"),
    (Method::POST, "/v1/environments/{environment}/apps/{name}:rollout", "rollout.run"),
    (Method::POST, "/v1/environments/{environment}/rollouts/{rollout}:cancel", "rollout.cancel"),
    (Method::POST, "/v1/environments/{environment}/rollouts/{rollout}:continue", "rollout.continue"),
    (Method::POST, "/v1/environments/{environment}/rollouts/{rollout}:pause", "rollout.pause"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}/access-requests", "access.request"),
    (Method::POST, "/v1/environments/{environment}/approvals", "approval.give"),
    (Method::DELETE, "/v1/environments/{environment}/approvals/{approval}", "approval.withdraw"),
    (Method::POST, "/v1/environments/{environment}/access-requests/{grant}:approve", "access.approve"),
    (Method::POST, "/v1/environments/{environment}/access-requests/{grant}:refuse", "access.approve"),
    (Method::POST, "/v1/environments/{environment}/access-requests/{grant}:open", "access.open"),
    (Method::POST, "/v1/environments/{environment}/access-requests/{grant}:end", "access.end"),
    (Method::POST, "/v1/environments/{environment}/access-requests/{grant}:review", "access.review"),
    (Method::POST, "/v1/environments/{environment}/webhooks", "webhook.create"),
    (Method::PATCH, "/v1/environments/{environment}/webhooks/{webhook}", "webhook.update"),
    (Method::DELETE, "/v1/environments/{environment}/webhooks/{webhook}", "webhook.delete"),
    (Method::POST, "/v1/environments/{environment}/webhooks/{webhook}:disable", "webhook.disable"),
    (Method::POST, "/v1/environments/{environment}/webhooks/{webhook}:enable", "webhook.enable"),
    (Method::POST, "/v1/environments/{environment}/webhooks/{webhook}:redrive", "webhook.redrive"),
    (Method::POST, "/v1/environments/{environment}/webhooks/{webhook}:replay", "webhook.replay"),
    (Method::POST, "/v1/environments/{environment}/webhooks/{webhook}:rotate", "webhook.rotate"),
    (Method::POST, "/v1/environments/{environment}/webhooks/{webhook}:test", "webhook.test"),
    (Method::DELETE, "/v1/environments/{environment}/streams/{name}", "stream.forget"),
    (Method::POST, "/v1/environments/{environment}/tokens", "token.issue"),
    (Method::POST, "/v1/environments/{environment}/tokens/{token}:rotate", "token.rotate"),
    (Method::DELETE, "/v1/environments/{environment}/tokens/{token}", "token.revoke"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}/members", "member.add"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}/members:import", "member.import"),
    (Method::PATCH, "/v1/environments/{environment}/tenants/{tenant}/members/{user}", "member.update"),
    (Method::DELETE, "/v1/environments/{environment}/tenants/{tenant}/members/{user}", "member.remove"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}/members/{user}:transfer-ownership", "member.offer"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}/members/{user}:accept-ownership", "member.accept"),
    (Method::DELETE, "/v1/environments/{environment}/tenants/{tenant}/ownership-offer", "member.offer"),
    (
        Method::PUT,
        "/v1/environments/{environment}/tenants/{tenant}/identity-pool/connections/{connection}",
        "identity.connect",
    ),
    (
        Method::DELETE,
        "/v1/environments/{environment}/tenants/{tenant}/identity-pool/connections/{connection}",
        "identity.disconnect",
    ),
    (Method::PUT, "/v1/environments/{environment}/tenants/{tenant}/roles/{name}", "role.set"),
    (Method::DELETE, "/v1/environments/{environment}/tenants/{tenant}/roles/{name}", "role.delete"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}/invitations", "invitation.create"),
    (
        Method::POST,
        "/v1/environments/{environment}/tenants/{tenant}/invitations/{invitation}:resend",
        "invitation.resend",
    ),
    (
        Method::POST,
        "/v1/environments/{environment}/tenants/{tenant}/invitations/{invitation}:withdraw",
        "invitation.withdraw",
    ),
    (Method::PUT, "/v1/environments/{environment}/tenants/{tenant}/directory", "directory.set"),
    (Method::PUT, "/v1/environments/{environment}/tenants/{tenant}/directory/groups/{group}/role", "directory.set"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}/directory:claim", "directory.claim"),
    (Method::POST, "/scim/v2/environments/{environment}/tenants/{tenant}/Users", "scim.write"),
    (Method::PUT, "/scim/v2/environments/{environment}/tenants/{tenant}/Users/{id}", "scim.write"),
    (Method::PATCH, "/scim/v2/environments/{environment}/tenants/{tenant}/Users/{id}", "scim.write"),
    (Method::DELETE, "/scim/v2/environments/{environment}/tenants/{tenant}/Users/{id}", "scim.write"),
    (Method::POST, "/scim/v2/environments/{environment}/tenants/{tenant}/Groups", "scim.write"),
    (Method::PUT, "/scim/v2/environments/{environment}/tenants/{tenant}/Groups/{id}", "scim.write"),
    (Method::PATCH, "/scim/v2/environments/{environment}/tenants/{tenant}/Groups/{id}", "scim.write"),
    (Method::DELETE, "/scim/v2/environments/{environment}/tenants/{tenant}/Groups/{id}", "scim.write"),
    (Method::POST, "/v1/invitations:accept", "invitation.accept"),
    (Method::POST, "/v1/invitations:decline", "invitation.decline"),
    (Method::POST, "/v1/operations/{operation}:cancel", "operation.cancel"),
    (Method::POST, "/v1/operations/{operation}:retry", "operation.retry"),
];

/// Who called for what, kept while the call is worked on.
struct Call {
    bearer: Bearer,
    ids: Ids,
    method: Method,
    path: String,
}

/// Records what had no effect.
pub async fn record(With(state): With<State>, request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    let call = match (extensions.get::<Bearer>(), extensions.get::<Ids>()) {
        (Some(bearer), Some(ids)) => Call {
            bearer: bearer.clone(),
            ids: ids.clone(),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
        },
        _ => return next.run(request).await,
    };
    let response = next.run(request).await;
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        // Taken out before the wait: a reference to an answer cannot cross it, its body is not `Sync`.
        let template = response.extensions().get::<Route>().map(|Route(template)| template.clone());
        let failure = response.extensions().get::<Failure>().cloned().unwrap_or_else(|| of_status(status, true));
        if let Some(template) = template {
            call.settle(&state, &template, failure).await;
        }
    }
    response
}

impl Call {
    async fn settle(&self, state: &State, template: &str, failure: Failure) {
        // A repetition while the first request runs: what becomes of that one is recorded.
        if failure.problem.code == Code::KeyInFlight.to_string() {
            return;
        }
        let Some(attempt) = self.attempt(template, &failure) else { return };
        if failure.kind() == Kind::Unavailable {
            tracing::warn!(action = attempt.action, target = attempt.target, "a failed attempt is not in the audit");
            return;
        }
        match tokio::time::timeout(PATIENCE, self.write(state, template, attempt)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "a failed attempt is not in the audit"),
            Err(_) => tracing::error!("a failed attempt is not in the audit: our database took too long"),
        }
    }

    fn attempt(&self, template: &str, failure: &Failure) -> Option<Attempt> {
        let is_hidden = self.hidden(template).is_some();
        let known = ACTIONS.iter().find(|(method, route, _)| *method == self.method && *route == template);
        let action = match known {
            Some((_, _, action)) => action,
            None if is_hidden => "environment.enter",
            None => return None,
        };
        let target = self.target(template);
        let fields = failure.problem.errors.iter().map(|error| error.field.clone()).take(20).collect();
        let is_denied = is_hidden || matches!(failure.kind(), Kind::Forbidden | Kind::Unauthenticated);
        let tenant = self.segment(template, "{tenant}").and_then(|text| text.parse().ok());
        let tenant = tenant.filter(|_| !is_hidden);
        Some(Attempt { action, target, tenant, is_denied, code: failure.problem.code.clone(), fields })
    }

    /// The environment that was asked for, where the token reaches only another one.
    fn hidden(&self, template: &str) -> Option<&str> {
        let asked = self.segment(template, "{environment}")?;
        self.bearer.environment.as_ref().filter(|only| only.as_str() != asked).map(|_| asked)
    }

    /// `tenant/acme`, `plan/standard`, `operation/op_…`, `environment/prod`.
    fn target(&self, template: &str) -> String {
        if let Some(environment) = self.hidden(template) {
            return format!("environment/{}", shown(environment));
        }
        for (name, kind) in [
            ("{tenant}", "tenant"),
            ("{operation}", "operation"),
            ("{rollout}", "rollout"),
            ("{token}", "token"),
            ("{grant}", "access"),
            ("{approval}", "approval"),
        ] {
            if let Some(text) = self.segment(template, name) {
                return format!("{kind}/{}", shown(text));
            }
        }
        match (self.segment(template, "{name}"), self.segment(template, "{environment}")) {
            (Some(name), _) => {
                let list =
                    template.split("/{name}").next().and_then(|head| head.rsplit('/').next()).unwrap_or_default();
                format!("{}/{}", list.trim_end_matches('s'), shown(name))
            }
            (None, Some(environment)) => format!("environment/{}", shown(environment)),
            (None, None) => "installation".to_owned(),
        }
    }

    /// What stands in the path for a name of the template, a custom verb apart.
    fn segment(&self, template: &str, name: &str) -> Option<&str> {
        let place = template.split('/').position(|part| part.split(':').next() == Some(name))?;
        self.path.split('/').nth(place)?.split(':').next()
    }

    async fn write(&self, state: &State, template: &str, attempt: Attempt) -> Result<(), Refusal> {
        let environments = state.environments().await?;
        let asked = self.segment(template, "{environment}").and_then(|text| EnvironmentName::parse(text).ok());
        // What names no environment that exists is told in the caller's own, or in the first one.
        let environment = match &self.bearer.environment {
            Some(only) => only.clone(),
            None => match asked.filter(|asked| environments.contains(asked)).or(environments.into_iter().next()) {
                Some(environment) => environment,
                None => return Ok(()),
            },
        };
        let cx = Ctx {
            actor: self.bearer.actor.clone(),
            person: self.bearer.person.clone(),
            rights: self.bearer.rights.clone(),
            environment,
            request_id: self.ids.request,
            correlation_id: self.ids.correlation.clone(),
            now: state.deps().now(),
            idempotency: None,
        };
        audit::record(&cx, state.deps(), attempt).await
    }
}

/// A part of a path as an entry may repeat it.
fn shown(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(LONGEST).collect()
}
