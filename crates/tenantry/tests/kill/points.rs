//! The points where the process may die, as a reviewed list.
//!
//! `points.snap` has one line per point: which way the run falls when the process dies there, and which way when the
//! step fails there for good. A point that appears, vanishes or changes its direction is a change of that file.

use std::fmt::Write as _;
use std::path::PathBuf;

use tenantry_control::engine::fault::{Phase, Point, all};
use tenantry_domain::workflow::{Definition, Direction};

/// Which way a run falls after its process died at a point.
pub fn falls(point: &Point) -> &'static str {
    match point.direction {
        Direction::Do => "forward",
        Direction::Undo => "back",
    }
}

/// Which way a run falls when the step of a point fails for good.
pub fn fails(point: &Point) -> &'static str {
    let definition = Definition::newest(point.kind);
    let is_past = definition.no_return.is_some_and(|edge| definition.position(point.step).unwrap() >= edge);
    match (point.direction, is_past) {
        (Direction::Do, false) => "back",
        _ => "stuck",
    }
}

fn render() -> String {
    let mut text = String::from("# point | after a kill | after a permanent failure of the step\n");
    for point in all() {
        let _ = writeln!(text, "{point} | {} | {}", falls(&point), fails(&point));
    }
    text
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/kill/points.snap")
}

#[test]
fn the_points_are_those_of_the_snapshot() {
    let text = render();
    if std::env::var_os("UPDATE_POINTS").is_some() {
        std::fs::write(path(), &text).unwrap();
    }
    let known = std::fs::read_to_string(path()).unwrap_or_default();
    let more: Vec<_> = text.lines().filter(|line| !known.lines().any(|other| other == *line)).collect();
    let less: Vec<_> = known.lines().filter(|line| !text.lines().any(|other| other == *line)).collect();
    assert!(
        more.is_empty() && less.is_empty(),
        "the definitions and tests/kill/points.snap differ; review, then run with UPDATE_POINTS=1\nnew: {more:#?}\ngone: {less:#?}"
    );
    assert_eq!(all().len() % Phase::ALL.len(), 0);
}
