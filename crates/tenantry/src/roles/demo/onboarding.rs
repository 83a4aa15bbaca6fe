//! Chapter: from a file to a served customer, on three levels.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tenantry_api::ClientError;
use tenantry_domain::code::Code;

use super::super::samples;
use super::stage::{Customer, Stage};
use super::story::Story;
use crate::exit::Result;
use crate::output::duration;

/// A customer with its space is expected within this time, also on a small machine.
const EXPECTED: Duration = Duration::from_secs(10);

/// The one that shares its tables with Acme.
pub const NEIGHBOUR: &str = "hooli";

/// Applies the catalog, then each customer by itself, timed.
pub async fn tell(story: &mut Story, stage: &Stage) -> Result<Vec<Customer>> {
    story.chapter("Onboarding: a manifest per customer, a plan per isolation level")?;
    let applied = samples::apply(&stage.client, &stage.of_kind(false)).await?;
    let names: Vec<_> =
        applied.objects.iter().map(|object| format!("{}/{}", object.kind.to_lowercase(), object.name)).collect();
    story.say(&format!("  applied {}", names.join(", ")))?;

    let mut manifests = stage.of_kind(true);
    manifests.push(neighbour(stage)?);
    let mut customers = Vec::new();
    for manifest in manifests {
        let slug = manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let took = onboard(stage, &manifest).await?;
        let customer = stage.customer(&slug, took).await?;
        let tenant = stage.client.tenant(&slug).await?.value;
        let what = format!("{slug} (plan {}) is served at level {}", tenant.spec.plan, customer.door.isolation);
        let seen = took.map_or_else(|| "was there before".to_owned(), duration);
        let holds = tenant.status.state == "active" && took.is_none_or(|took| took < EXPECTED);
        story.check(what, holds, format!("{seen}; {}", customer.place))?;
        customers.push(customer);
    }
    let again = stage.client.plan(&stage.documents).await?;
    let unchanged = again.objects.iter().all(|object| object.outcome == "unchanged");
    story.check(
        "applying the same files again would change nothing",
        unchanged,
        format!("{} objects", again.objects.len()),
    )?;
    Ok(customers)
}

/// Creates a tenant and waits until it is served; nothing when it was there before.
async fn onboard(stage: &Stage, manifest: &Value) -> Result<Option<Duration>> {
    let began = Instant::now();
    match stage.client.create_tenant(manifest, None).await {
        Ok(answer) => {
            stage.completed(answer.operation).await?;
            Ok(Some(began.elapsed()))
        }
        Err(ClientError::Problem(problem)) if problem.code() == Some(Code::SlugTaken) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Like Acme, but another customer: without one there is nobody to be kept apart from.
fn neighbour(stage: &Stage) -> Result<Value> {
    let mut manifest = stage.manifest_of("acme")?;
    manifest["metadata"]["name"] = json!(NEIGHBOUR);
    manifest["spec"]["displayName"] = json!("Hooli Inc");
    manifest["spec"]["externalIds"] = json!({});
    manifest["spec"]["domains"] = json!([]);
    Ok(manifest)
}
