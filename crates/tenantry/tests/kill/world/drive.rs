//! Bringing tenants to where a case begins, and asking for what it is about.

use std::collections::BTreeMap;

use serde_json::json;
use tenantry_api::client::{Answer, ClientError, Deleted, Deletion, Expected};
use tenantry_api::v1::tenant::{Suspension, Tenant as View};
use tenantry_domain::isolation::Isolation;
use tenantry_domain::workflow::Kind;

use super::manifests::{ROWS, plan, platform, tenant};
use super::{Serve, World, connect};

/// The tenant that nothing is done to.
pub const NEIGHBOUR: &str = "neighbour";

/// The states that a tenant passes on its way to `state`.
fn way(state: &str) -> &'static [&'static str] {
    match state {
        "draft" => &["draft"],
        "active" => &["active"],
        "suspended" => &["active", "suspended"],
        "archived" => &["active", "suspended", "archived"],
        other => panic!("no way to {other}"),
    }
}

/// Where a tenant must be for a workflow of this kind to begin.
pub fn state_before(kind: Kind) -> &'static str {
    match kind {
        Kind::Onboard => "draft",
        Kind::Update | Kind::Suspend | Kind::Repair => "active",
        Kind::Resume | Kind::Archive => "suspended",
        Kind::Restore | Kind::Delete => "archived",
    }
}

impl World {
    /// Declares app, plans, region and cell, and makes one tenant that lives beside all that happens.
    pub async fn lay_foundation(&self, serve: &Serve) {
        serve.client.apply(&platform(), None).await.unwrap_or_else(|error| panic!("platform: {error:?}"));
        self.bring(serve, &[(NEIGHBOUR.to_owned(), Isolation::Shared)], "active").await;
    }

    /// Makes tenants and brings all of them to a state, with rows in their tables once they have any.
    pub async fn bring(&self, serve: &Serve, tenants: &[(String, Isolation)], state: &str) {
        let slugs: Vec<String> = tenants.iter().map(|(slug, _)| slug.clone()).collect();
        for (index, step) in way(state).iter().enumerate() {
            let documents: Vec<_> = tenants.iter().map(|(slug, level)| tenant(slug, *level, step)).collect();
            serve.client.apply(&documents, None).await.unwrap_or_else(|error| panic!("{step}: {error:?}"));
            self.quiet(&slugs).await.unwrap_or_else(|error| panic!("{step}: {error}"));
            if index == 0 && *step == "active" {
                self.fill(tenants).await;
            }
        }
        for slug in &slugs {
            assert_eq!(self.tenant(slug).await.phase, state, "{slug}");
        }
    }

    /// Gives tenants their rows.
    pub async fn fill(&self, tenants: &[(String, Isolation)]) {
        let mut scripts: BTreeMap<String, String> = BTreeMap::new();
        for (slug, level) in tenants {
            let tenant = self.tenant(slug).await;
            let (database, schema) = tenant.place(*level);
            let script = ROWS.replace("{schema}", &schema).replace("{tenant}", &tenant.id.to_string());
            scripts.entry(database).or_default().push_str(&format!("{script};"));
        }
        for (database, script) in scripts {
            connect(&self.pg.url(&database)).await.batch_execute(&script).await.unwrap();
        }
    }

    /// Asks for the work of a kind. Gives the operation when an answer came: the process may die before it sent one.
    pub async fn ask(&self, serve: &Serve, kind: Kind, slug: &str, level: Isolation) -> Option<String> {
        let client = &serve.client;
        let any = Expected::Any;
        let answer = match kind {
            Kind::Onboard => client.tenant_verb(slug, "activate", any, None).await,
            Kind::Update => {
                client.patch_tenant(slug, any, &json!({ "spec": { "plan": plan(level, true) } }), None).await
            }
            Kind::Suspend => {
                let suspension: Suspension = serde_json::from_value(json!({ "reason": "commercial" })).unwrap();
                client.suspend_tenant(slug, any, &suspension, None).await
            }
            Kind::Resume => client.tenant_verb(slug, "resume", any, None).await,
            Kind::Archive => client.tenant_verb(slug, "archive", any, None).await,
            Kind::Restore => client.tenant_verb(slug, "restore", any, None).await,
            Kind::Delete => {
                let deletion = Deletion { confirm: slug.to_owned(), ..Deletion::default() };
                match client.delete_tenant(slug, any, &deletion, None).await {
                    Ok(Deleted::Accepted(answer)) => Ok(*answer),
                    Ok(Deleted::Planned(_)) => panic!("a dry run was not asked for"),
                    Err(error) => Err(error),
                }
            }
            Kind::Repair => {
                self.damage(slug, level).await;
                return None;
            }
        };
        operation(answer, slug)
    }

    /// Something that an operator's slip could do to this tenant alone; the drift sweep finds it.
    pub async fn damage(&self, slug: &str, level: Isolation) {
        let tenant = self.tenant(slug).await;
        let (database, schema) = tenant.place(level);
        let script = match level {
            Isolation::Shared => {
                format!("UPDATE tenantry.tenant SET state = 's' WHERE tenant_id = '{}'", tenant.id)
            }
            _ => format!(
                "DROP POLICY tenantry_tenant ON {schema}.pages; ALTER TABLE {schema}.books NO FORCE ROW LEVEL SECURITY"
            ),
        };
        connect(&self.pg.url(&database)).await.batch_execute(&script).await.unwrap();
    }
}

fn operation(answer: Result<Answer<View>, ClientError>, slug: &str) -> Option<String> {
    match answer {
        Ok(answer) => answer.operation,
        Err(ClientError::Transport { .. }) => None,
        Err(error) => panic!("{slug}: {error:?}"),
    }
}
