//! All probes of a run, object by object, from two models and what was planted.
//!
//! Pure, and the same input gives the same probes in the same order.

use tenantry_pg::Ident;

use crate::model::{Relation, RelationKind};
use crate::on_relations::{self, Aim};
use crate::on_rows::{self, Sides};
use crate::search::Needle;
use crate::statement::Target;
use crate::{on_functions, on_server};

/// How many values beside the stem are looked for in one relation.
const PIECES: usize = 5;

/// What else the probes need to know.
pub(crate) struct Scene<'a> {
    /// What the canaries of the other tenant have in common.
    pub stem: String,
    /// Roles to try: those of the other tenant, and those the login is a member of.
    pub roles: Vec<Ident>,
    /// Whether both places are in one database, so that names of the other place mean something.
    pub one_database: bool,
    pub sides: Sides<'a>,
}

/// Everything that is to be tried.
pub(crate) fn targets(scene: &Scene<'_>) -> Vec<Target> {
    let sides = &scene.sides;
    let model = sides.a.model;
    let needles = &sides.b_rows.needles;
    let aimed: Vec<(&Relation, Aim)> =
        model.relations.iter().map(|relation| (relation, aim(scene, relation, needles))).collect();
    let mut list = Vec::new();
    for (index, (relation, aim)) in aimed.iter().enumerate() {
        let others = aimed.iter().cycle().skip(index + 1).take(aimed.len());
        let other =
            others.map(|(other, _)| *other).find(|other| other.kind != RelationKind::Sequence && other.reachable);
        let mut probes = on_relations::probes(relation, other, aim);
        let own = sides.a.is_mine(relation);
        let theirs =
            sides.b.model.relations.iter().find(|theirs| sides.b.is_mine(theirs) && theirs.name == relation.name);
        match (own, theirs) {
            (true, Some(theirs)) => probes.extend(on_rows::probes(relation, theirs, sides, aim)),
            _ if relation.kind == RelationKind::Sequence => {}
            _ => on_rows::aimed(&mut probes, relation, aim),
        }
        list.push(Target { object: [relation.kind.as_str(), " ", &relation.full_name()].concat(), probes });
    }
    list.extend(on_functions::targets(model, &sides.b.tenant.to_string(), needles));
    let rows: Vec<(&Relation, Aim)> =
        aimed.into_iter().filter(|(relation, _)| relation.kind != RelationKind::Sequence).collect();
    list.extend(on_server::targets(model, sides.b.tenant, &rows, &scene.roles));
    list
}

/// What tells the other tenant's rows in this relation: the stem of its texts, and values of its other columns.
fn aim(scene: &Scene<'_>, relation: &Relation, needles: &[Needle]) -> Aim {
    let mut pieces = vec![scene.stem.clone()];
    let prefix = ["b ", &relation.full_name(), "."].concat();
    let further =
        needles.iter().filter(|needle| needle.id.starts_with(&prefix) && !needle.text.starts_with(&scene.stem));
    pieces.extend(further.map(|needle| needle.text.clone()).take(PIECES));
    let (ours, theirs) = (scene.sides.a.schema, scene.sides.b.schema);
    Aim { pieces, foreign: scene.one_database && relation.schema == *theirs && ours != theirs }
}
