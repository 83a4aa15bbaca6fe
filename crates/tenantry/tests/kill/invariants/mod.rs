//! What must hold after every fault, each statement as a checker named by its id.
//!
//! A checker reads one tenant or all of them and gives a line per violation; a healthy world gives none. Checkers
//! look at tables and catalogs themselves and share no code with the product, apart from its words: definitions of
//! workflows and the lifecycle's graph. That each of them can turn red is shown by `corrupted`.

mod evidence;
mod fences;
mod isolation;
mod lifecycle;
mod workflows;

use std::fmt;

use tokio_postgres::Client;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::world::probe::Prober;
use crate::world::{HOME, World, connect};

/// What is looked at, and how closely.
pub struct View<'w> {
    pub world: &'w World,
    /// The superuser in the control database.
    pub control: &'w Client,
    /// The superuser in the home database.
    pub home: Client,
    /// How tenants' doors are knocked at.
    pub prober: Prober,
    /// The only tenant that is looked at; absent for the whole database.
    pub only: Option<Uuid>,
    /// Every how many tenants' doors are knocked at when all are looked at.
    pub every: usize,
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub id: &'static str,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.what)
    }
}

macro_rules! invariants {
    ($($id:literal $function:path, $statement:literal;)*) => {
        /// Every invariant with its statement.
        pub const ALL: &[(&str, &str)] = &[$(($id, $statement)),*];

        /// Checks one of them.
        pub async fn check_one(view: &View<'_>, id: &str) -> Vec<Violation> {
            match id {
                $($id => $function(view).await.into_iter().map(|what| Violation { id: $id, what }).collect(),)*
                _ => panic!("no invariant {id}"),
            }
        }
    };
}

invariants! {
    "I1" lifecycle::i1, "moves of the lifecycle are edges of its graph, and nothing follows a deletion";
    "I2" workflows::i2, "a tenant has at most one unfinished workflow, and runs do not overlap";
    "I3" lifecycle::i3, "a version is one mutation, recorded once";
    "I4" isolation::i4, "who is active is let in, who is suspended is refused, who is deleted left nothing";
    "I5" lifecycle::i5, "a difference between wanted and actual is explained by a run, a failure or a grace period";
    "I6" lifecycle::i6, "the observed version never leads, and is the newest at rest";
    "I13" fences::i13, "no slot, publication, temporary database, fence row or lock without a living owner";
    "I15" workflows::i15, "a step is done at most once, and so are its visible effects";
    "I16" workflows::i16, "every result has an intent before it, attempts are numbered 1 to n";
    "I18" workflows::i18, "an unfinished run is owned by somebody alive, claimable, or stuck with an alert";
    "I19" fences::i19, "no journal, row or object carries a lower fence than one seen before";
    "I20" workflows::i20, "undos run in reverse order; a failed undo is stuck";
    "I25" evidence::i25, "a mutation is one audit entry with its events, in one transaction";
    "I26" evidence::i26, "events are numbered 1 to n in the order of commits";
    "I30" evidence::i30, "the audit chain verifies up to the head that the tenant's row keeps";
    "I34" isolation::i34, "tables of tenants are guarded, their owners cannot log in, no login is powerful";
    "I40" fences::i40, "places counted as taken are the places that tenants have";
}

impl<'w> View<'w> {
    /// Looks at the whole database.
    pub async fn of_all(world: &'w World) -> Self {
        let home = connect(&world.pg.url(HOME)).await;
        Self { world, control: &world.control, home, prober: world.prober().await, only: None, every: 1 }
    }

    /// Looks at one tenant.
    pub async fn of_tenant(world: &'w World, tenant: Uuid) -> Self {
        Self { only: Some(tenant), ..Self::of_all(world).await }
    }

    /// Checks all invariants.
    pub async fn check(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        for (id, _) in ALL {
            found.extend(check_one(self, id).await);
        }
        found
    }

    /// Runs a checker that is one statement: `$1` is the tenant, or null for all; each row's text is a violation.
    async fn violations(&self, session: &Client, sql: &str) -> Vec<String> {
        self.texts(session, sql, &[&self.only]).await
    }

    async fn texts(&self, session: &Client, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Vec<String> {
        let rows = session.query(sql, params).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        rows.iter().map(|row| row.get::<_, Option<String>>(0).unwrap_or_default()).collect()
    }
}
