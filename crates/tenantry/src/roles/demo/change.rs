//! Chapter: an edited file, its plan, its effect, and the way back.

use serde_json::json;
use tenantry_api::client::Expected;

use super::super::samples;
use super::stage::{Stage, unforeseen};
use super::story::Story;
use crate::commands::changes;
use crate::exit::Result;

const TENANT: &str = "globex";

/// Raises a limit of Globex by manifest, looks at the database, rolls back.
pub async fn tell(story: &mut Story, stage: &Stage) -> Result<()> {
    story.chapter("Change: a manifest is edited, planned, applied, rolled back")?;
    let before = stage.client.tenant(TENANT).await?.value;
    let limit_before = connection_limit(stage).await?;
    let mut manifest = stage.manifest_of(TENANT)?;
    manifest["spec"]["settings"]["theme"] = json!("light");
    manifest["spec"]["overrides"]["quotas"]["connections"] = json!({ "value": 60, "reason": "end-of-year reports" });

    let documents = [manifest];
    let plan = stage.client.plan(&documents).await?;
    story.detail(&changes::text(story.output(), &plan))?;
    let paths: Vec<_> =
        plan.objects.iter().flat_map(|object| &object.changes).map(|change| change.path.as_str()).collect();
    let named = |part: &str| paths.iter().any(|path| path.contains(part));
    story.check(
        "the plan names the two fields and nothing else",
        named("theme") && named("connections") && paths.len() == 2,
        paths.join(", "),
    )?;
    let planned = stage.client.tenant(TENANT).await?.value;
    story.check(
        "planning changed nothing",
        planned.status.version == before.status.version,
        format!("version {}", planned.status.version),
    )?;

    samples::apply(&stage.client, &documents).await?;
    let applied = stage.client.tenant(TENANT).await?.value;
    let limit = connection_limit(stage).await?;
    story.check(
        "applied: a new version, and the database's own limit has followed",
        applied.status.version == before.status.version + 1 && limit == 60,
        format!(
            "version {} -> {}, connections {limit_before} -> {limit}",
            before.status.version, applied.status.version
        ),
    )?;

    let answer = stage
        .client
        .rollback_tenant(TENANT, Expected::Version(applied.status.version), before.status.version, None)
        .await?;
    stage.completed(answer.operation).await?;
    let back = stage.client.tenant(TENANT).await?.value;
    let limit = connection_limit(stage).await?;
    story.check(
        "rolled back: the old content as the newest version, the limit as before",
        back.spec == before.spec && back.status.version == applied.status.version + 1 && limit == limit_before,
        format!("version {}, connections {limit}", back.status.version),
    )?;
    let stale = stage
        .client
        .rollback_tenant(TENANT, Expected::Version(before.status.version), before.status.version, None)
        .await;
    let refusal = stale.err().map(|error| error.to_string());
    story.check("a change built on an old version is refused", refusal.is_some(), refusal.unwrap_or_default())
}

/// What PostgreSQL itself enforces for the tenant's login.
async fn connection_limit(stage: &Stage) -> Result<i32> {
    let failed = unforeseen("The login's limit cannot be read");
    let role = stage.client.tenant_placement(TENANT).await?.route.map(|route| route.role).unwrap_or_default();
    let conn = stage.superuser("postgres")?.get().await.map_err(&failed)?;
    let row =
        conn.query_one("SELECT rolconnlimit FROM pg_roles WHERE rolname = $1", &[&role]).await.map_err(&failed)?;
    Ok(row.get(0))
}
