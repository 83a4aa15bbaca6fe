//! Places, their reasons, and routes.

use tenantry_api::v1::placement::{Candidate, Decision, Placement, PlacementAnswer, PlacementView, Route};
use tenantry_control::tenants::{explain, read};
use tenantry_domain::placement as domain;

use super::value;

/// A place.
#[must_use]
pub fn place(place: &domain::Placement) -> Placement {
    Placement {
        region: place.region.to_string(),
        cell: place.cell.to_string(),
        isolation: place.isolation.to_string(),
        generation: place.generation,
    }
}

/// A decision with everything that was considered.
#[must_use]
pub fn decision(decision: &domain::Decision) -> Decision {
    let candidate = |candidate: &domain::Candidate| Candidate {
        cell: candidate.cell.to_string(),
        refusal: candidate.refusal.as_ref().map(value),
        score: candidate.score.as_ref().map(value),
    };
    Decision {
        region: decision.region.to_string(),
        cell: decision.cell.to_string(),
        isolation: decision.isolation.to_string(),
        candidates: decision.candidates.iter().map(candidate).collect(),
    }
}

/// A place with its reasons and its route.
#[must_use]
pub fn view(view: &read::PlacementView) -> PlacementView {
    PlacementView {
        placement: view.placement.as_ref().map(place),
        decision: view.decision.as_ref().map(decision),
        refusal: view.refusal.clone(),
        route: view.route.as_ref().map(route),
    }
}

/// A decision that was asked for.
#[must_use]
pub fn explained(explained: &explain::Explained) -> PlacementAnswer {
    let refusal = explained.verdict.as_ref().err().map(|error| format!("{error}: {}", error.hint()));
    PlacementAnswer {
        isolation: explained.isolation.to_string(),
        regions: explained.regions.iter().map(ToString::to_string).collect(),
        decision: explained.verdict.as_ref().ok().map(decision),
        refusal,
        candidates: explained.candidates().iter().map(candidate).collect(),
    }
}

fn candidate(candidate: &domain::Candidate) -> Candidate {
    Candidate {
        cell: candidate.cell.to_string(),
        refusal: candidate.refusal.as_ref().map(value),
        score: candidate.score.as_ref().map(value),
    }
}

fn route(route: &read::RouteView) -> Route {
    Route {
        generation: route.generation,
        host: route.host.clone(),
        port: route.port,
        database: route.database.clone(),
        schema: route.schema.clone(),
        role: route.role.clone(),
    }
}
