//! Follows an operation to its end, showing what it does: a line drawn over itself on a terminal, one line per
//! finished step elsewhere.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tenantry_api::ClientError;
use tenantry_api::v1::operation::{Operation, Workflow};
use tenantry_domain::code::Code;

use crate::exit::{Failure, Result};
use crate::globals::Session;
use crate::output::{Output, clean, duration};

/// Waits until an operation has ended, and says how.
///
/// # Errors
/// It did not succeed, the time was over, or the server is away.
pub async fn follow(session: &Session, operation: &str) -> Result<Operation> {
    let operation = watch(session, operation).await?;
    if operation.is_completed() { Ok(operation) } else { Err(unsuccessful(&operation)) }
}

/// Waits until an operation has ended, in whatever way.
///
/// # Errors
/// The time was over, or the server is away.
pub async fn watch(session: &Session, operation: &str) -> Result<Operation> {
    let mut progress = Progress::start(session.output);
    let until = tokio::time::Instant::now() + session.timeout;
    let mut states = session.client.watch(operation)?;
    let mut last = None;
    loop {
        match tokio::time::timeout_at(until, states.next()).await {
            Ok(Ok(Some(state))) => {
                progress.show(&state);
                let has_ended = state.has_ended();
                last = Some(state);
                if has_ended {
                    break;
                }
            }
            Ok(Ok(None)) => break,
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                let over = ClientError::Patience { operation: operation.to_owned(), waited: session.timeout };
                let trouble = last.as_ref().and_then(|state| state.workflows.iter().find_map(trouble));
                return Err(Failure::from(over).because(trouble.unwrap_or_default()));
            }
        }
    }
    progress.finish();
    match last {
        Some(state) if state.has_ended() => Ok(state),
        // The stream ended early; the operation itself has the last word.
        _ => {
            let left = until.saturating_duration_since(tokio::time::Instant::now()).max(Duration::from_secs(1));
            Ok(session.client.wait(operation, left).await?)
        }
    }
}

/// Why an ended operation is not a success.
pub fn unsuccessful(operation: &Operation) -> Failure {
    let troubled = operation.workflows.iter().find(|workflow| workflow.cause.is_some());
    let cause = operation.error.as_ref().or_else(|| troubled.and_then(|workflow| workflow.cause.as_ref()));
    let who = troubled.map(|workflow| format!("tenant {}: ", clean(&workflow.slug))).unwrap_or_default();
    let title = format!("The operation {} {}", operation.id, ending(&operation.status));
    let hint = match operation.status.as_str() {
        "stuck" => format!("Remove the cause, then run `tenantry operations retry {}`.", operation.id),
        _ => format!("See `tenantry operations get {}` for its steps.", operation.id),
    };
    let Some(cause) = cause else { return Failure::ended(title, "").hint(hint) };
    let detail = format!("{who}{}", clean(&cause.message));
    match Code::ALL.iter().find(|code| code.to_string() == cause.code) {
        Some(code) => Failure::new(*code, detail).title(title).hint(hint),
        None => Failure::ended(title, detail).hint(hint),
    }
}

fn ending(status: &str) -> &str {
    match status {
        "failed" => "failed and was undone",
        "cancelled" => "was cancelled and undone",
        "stuck" => "is stuck and needs a human",
        other => other,
    }
}

struct Progress {
    output: Output,
    began: Instant,
    bar: Option<ProgressBar>,
    /// Steps told so far, by workflow.
    told: BTreeMap<String, usize>,
    /// The trouble that was told last, by workflow.
    troubles: BTreeMap<String, String>,
}

impl Progress {
    fn start(output: Output) -> Self {
        let bar = output.is_live().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { output, began: Instant::now(), bar, told: BTreeMap::new(), troubles: BTreeMap::new() }
    }

    fn show(&mut self, state: &Operation) {
        for workflow in &state.workflows {
            let Some(text) = trouble(workflow) else { continue };
            if self.troubles.insert(workflow.id.clone(), text.clone()).as_ref() != Some(&text) {
                match &self.bar {
                    Some(bar) => bar.println(&text),
                    None => self.output.note(&text),
                }
            }
        }
        if let Some(bar) = &self.bar {
            let now = state.workflows.iter().find_map(current).unwrap_or_default();
            let targets = state.targets;
            let count = if targets.total > 1 {
                format!("{} of {} tenants  ", targets.done, targets.total)
            } else {
                String::new()
            };
            bar.set_message(format!("{}  {count}{now}  {}", state.kind, duration(self.began.elapsed())));
            return;
        }
        for workflow in &state.workflows {
            let done = workflow.steps.iter().filter(|step| step.status == "done").count();
            let told = self.told.entry(workflow.id.clone()).or_insert(0);
            if done > *told {
                let names: Vec<_> = workflow
                    .steps
                    .iter()
                    .filter(|step| step.status == "done")
                    .skip(*told)
                    .map(|step| step.name.replace('_', " "))
                    .collect();
                self.output.note(&format!(
                    "{}: {} ({done}/{})",
                    clean(&workflow.slug),
                    clean(&names.join(", ")),
                    workflow.steps.len()
                ));
                *told = done;
            }
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

/// What keeps a run that goes on from going on well.
fn trouble(workflow: &Workflow) -> Option<String> {
    let cause = workflow.cause.as_ref().filter(|_| workflow.status == "running")?;
    Some(format!("{}: {} (tried again)", clean(&workflow.slug), clean(&cause.message)))
}

fn current(workflow: &Workflow) -> Option<String> {
    let step = workflow.steps.iter().find(|step| step.status == "running" || step.status == "pending")?;
    let attempt = if step.attempts > 1 { format!(" (attempt {})", step.attempts) } else { String::new() };
    Some(clean(&format!("{}: {}{attempt}", workflow.slug, step.name.replace('_', " "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn operation(status: &str, cause: serde_json::Value) -> Operation {
        serde_json::from_value(json!({
            "id": "op_1", "environment": "prod", "kind": "tenant.activate", "status": status,
            "createdAt": "2026-11-20T12:00:00Z", "requestedBy": "operator:x",
            "targets": { "total": 1, "done": 0, "failed": 1 },
            "workflows": [{ "id": "wf_1", "tenant": "ten_1", "slug": "acme", "kind": "onboard", "status": "unwound",
                            "cause": cause, "steps": [] }] }))
        .unwrap()
    }

    #[test]
    fn a_run_that_is_tried_again_says_why() {
        let cause = json!({ "code": "TEN-0030", "message": "`CELL_URL` is not set", "retryable": true });
        let mut state = operation("running", cause);
        assert_eq!(trouble(&state.workflows[0]), None, "it has ended");
        state.workflows[0].status = "running".to_owned();
        let told = trouble(&state.workflows[0]).unwrap();
        assert_eq!(told, "acme: `CELL_URL` is not set (tried again)");
        let over = ClientError::Patience { operation: "op_1".to_owned(), waited: Duration::from_secs(300) };
        assert!(Failure::from(over).because(told).to_string().contains("`CELL_URL` is not set"));
    }

    #[test]
    fn causes_decide_the_exit_code() {
        let failure = unsuccessful(&operation(
            "failed",
            json!({ "code": "TEN-0015", "message": "no place left", "retryable": false }),
        ));
        assert!(failure.to_string().starts_with("error[TEN-0015]"), "{failure}");
        assert!(failure.to_string().contains("tenant acme: no place left"), "{failure}");
        let failure =
            unsuccessful(&operation("stuck", json!({ "code": "TEN-9999", "message": "x", "retryable": false })));
        assert!(failure.to_string().starts_with("error: The operation op_1 is stuck"), "{failure}");
        assert!(failure.to_string().contains("operations retry op_1"), "{failure}");
    }
}
