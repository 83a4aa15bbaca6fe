//! The example product, applied through the public API as a user would.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tenantry_api::client::Answer;
use tenantry_api::v1::change::Applied;
use tenantry_api::v1::operation::Operation;
use tenantry_api::{Client, manifest};

use crate::example;
use crate::exit::{Failure, Result};

/// How long a fresh machine may take to bring the example into service.
const PATIENCE: Duration = Duration::from_secs(300);

/// Unpacks the chat product into `folder` and reads its documents.
///
/// # Errors
/// The folder cannot be written, or the user's edits there cannot be read.
pub fn chat(folder: &Path) -> Result<Vec<Value>> {
    example::unpack(folder)
        .map_err(|error| Failure::broken(format!("`{}` cannot be written", folder.display()), error))?;
    let mut documents = Vec::new();
    for file in example::FILES.iter().filter(|file| file.path.ends_with(".yaml")) {
        let path = folder.join(file.path);
        let text = std::fs::read(&path)
            .map_err(|error| Failure::broken(format!("`{}` cannot be read", path.display()), error))?;
        documents.extend(manifest::read(&text, manifest::Format::Yaml)?);
    }
    Ok(manifest::bundle(documents, folder)?)
}

/// Applies documents and waits until their tenants have converged.
///
/// # Errors
/// They are refused, or the operation does not succeed.
pub async fn apply(client: &Client, documents: &[Value]) -> Result<Applied> {
    let Answer { value: applied, operation, .. } = client.apply(documents, None).await?;
    if let Some(operation) = applied.operation.as_deref().or(operation.as_deref()) {
        completed(client.wait(operation, PATIENCE).await?)?;
    }
    Ok(applied)
}

/// An operation that succeeded.
///
/// # Errors
/// It did not; with the first cause.
pub fn completed(operation: Operation) -> Result<Operation> {
    if operation.is_completed() {
        return Ok(operation);
    }
    let cause =
        operation.error.as_ref().or_else(|| operation.workflows.iter().find_map(|workflow| workflow.cause.as_ref()));
    let detail = cause.map_or_else(String::new, |cause| format!("{} {}", cause.code, cause.message));
    Err(Failure::ended(format!("The operation {} is {}", operation.id, operation.status), detail))
}
