//! A journal as people read it.

use tenantry_domain::workflow::{Definition, Direction, Entry, Fact};

use crate::view::StepProgress;

/// The steps of a run with how far each one is.
#[must_use]
pub fn steps(definition: &Definition, journal: &[Entry]) -> Vec<StepProgress> {
    definition
        .steps
        .iter()
        .map(|step| {
            let mut progress = StepProgress {
                name: step.name,
                status: "pending".to_owned(),
                attempts: 0,
                started_at: None,
                ended_at: None,
            };
            for entry in journal {
                match &entry.fact {
                    Fact::Intent { step: name, direction, .. } if *name == step.name => {
                        progress.status = match direction {
                            Direction::Do => "running".to_owned(),
                            Direction::Undo => "undoing".to_owned(),
                        };
                        if *direction == Direction::Do {
                            progress.attempts += 1;
                            progress.started_at.get_or_insert(entry.at);
                        }
                    }
                    Fact::Done { step: name, direction, .. } if *name == step.name => {
                        progress.status = match direction {
                            Direction::Do => "done".to_owned(),
                            Direction::Undo => "undone".to_owned(),
                        };
                        progress.started_at.get_or_insert(entry.at);
                        progress.attempts = progress.attempts.max(1);
                        progress.ended_at = Some(entry.at);
                    }
                    Fact::Failed { step: name, .. } if *name == step.name => {
                        progress.status = "failed".to_owned();
                        progress.ended_at = Some(entry.at);
                    }
                    _ => {}
                }
            }
            progress
        })
        .collect()
}
