//! The leak probe and the adversary: they try to get from one tenant to another, and report what came through.
//!
//! The guard reads the catalog and says what could leak; this crate sends statements and looks at the answers. Two
//! canary tenants get unguessable values in every column that can hold one ([`Probe::plant`]). [`Probe::run`] then acts
//! as the first of them, with every verb on every object that its login reaches, and searches all that the server
//! says for values of the second. [`Adversary`] makes statements without end from a seed, for lanes that mix tenants.
//!
//! INVARIANT: whatever a probe does is rolled back; statements are built of quoted names and literals only; what could
//! not be probed is in the report with its reason. The data plane is unknown here: a tenant is entered through
//! [`Entry`].

pub mod adversary;
mod canary;
mod draft;
mod entry;
mod findings;
mod model;
mod on_functions;
mod on_relations;
mod on_rows;
mod on_server;
mod pen;
mod plant;
mod read;
mod render;
mod report;
mod run;
mod search;
mod send;
mod statement;
mod targets;
mod value;

pub use adversary::Adversary;
pub use canary::CanaryKey;
pub use entry::{Entered, Entry, EntryError};
pub use model::{Base, CatalogModel, Column, ForeignKey, Function, Relation, RelationKind, TypeName, Unique};
pub use plant::{Planted, Row, Unplantable};
pub use read::read;
pub use render::render;
pub use report::{Hit, Note, ProbeReport, SCHEMA_VERSION, Verb};
pub use run::{Limits, Party, Probe, ProbeError};
pub use search::{Canaries, Needle};
