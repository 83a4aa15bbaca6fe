//! The one entry: rules in process, a decision point outside, or both.

use std::sync::Arc;

use tenantry_domain::code::Code;

use crate::answer::Answer;
use crate::opa::{Opa, OpaError};
use crate::question::Question;
use crate::stage::Stage;

/// Who decides.
#[derive(Debug, Clone)]
pub enum Decider {
    /// Rules in process.
    Builtin(Arc<Stage>),
    /// A decision point outside, alone.
    Opa(Arc<Opa>),
    /// Both have to allow; the rules in process are asked first, and their refusal is not asked about.
    Both(Arc<Stage>, Arc<Opa>),
}

/// There is no decision, so nothing may be done.
#[derive(Debug, thiserror::Error)]
#[error("policy cannot decide about `{action}`")]
pub struct Unavailable {
    /// What was wanted.
    pub action: String,
    /// Why there is no decision; for logs.
    pub source: OpaError,
}

impl Unavailable {
    /// The code that callers see.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::PolicyUnavailable
    }
}

impl Decider {
    /// Decides.
    ///
    /// # Errors
    /// Nobody could decide; the caller refuses with [`Unavailable::code`] and raises an alert.
    pub async fn decide(&self, question: &Question) -> Result<Answer, Unavailable> {
        let away = |source| Unavailable { action: question.action.clone(), source };
        match self {
            Self::Builtin(stage) => Ok(stage.ask(question)),
            Self::Opa(opa) => opa.ask(question).await.map_err(away),
            Self::Both(stage, opa) => {
                let own = stage.ask(question);
                if !own.allowed {
                    return Ok(own);
                }
                let other = opa.ask(question).await.map_err(away)?;
                Ok(joined(own, other))
            }
        }
    }

    /// The rules in process, where there are any.
    #[must_use]
    pub const fn stage(&self) -> Option<&Arc<Stage>> {
        match self {
            Self::Builtin(stage) | Self::Both(stage, _) => Some(stage),
            Self::Opa(_) => None,
        }
    }
}

/// What an allowing answer and another one are together.
fn joined(own: Answer, other: Answer) -> Answer {
    let fingerprint = format!("{} {}", own.fingerprint, other.fingerprint);
    if !other.allowed {
        return Answer { fingerprint, faults: own.faults, ..other };
    }
    let rules = own.rules.into_iter().chain(other.rules).collect();
    Answer { rules, fingerprint, ..other }
}
