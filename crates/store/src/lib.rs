//! The control plane's own database: every table of ours, and every statement on them.
//!
//! Invariants: a change leaves only through [`WriteTx::commit`], together with its audit entries and events or not
//! at all; entries and events of one subject are numbered without gaps, in commit order; a workflow's journal takes
//! facts only from the holder of its newest fence. Nothing is decided here, no tenant's database is opened here, and
//! no other crate knows the names of our tables and constraints.
//!
//! Read [`write`] first, then [`claims`] for the engine's side and [`search`] for lists.

pub mod access;
mod ahead;
pub mod approvals;
pub mod audit;
pub mod catalog;
pub mod cells;
mod chain;
pub mod changed;
pub mod claims;
mod columns;
pub mod cursor;
pub mod domains;
pub mod entry;
pub mod environments;
pub mod error;
pub mod fit;
pub mod flags;
pub mod gateway;
pub mod guard;
pub mod idempotency;
pub mod incidents;
mod line;
pub mod logins;
pub mod members;
pub mod notices;
pub mod operations;
pub mod outbox;
pub mod plans;
pub mod pools;
mod progress;
pub mod prune;
pub mod quotas;
pub mod replicas;
pub mod rollouts;
mod row;
pub mod scim;
pub mod scope;
pub mod search;
mod settle;
mod store;
pub mod streams;
pub mod tenants;
pub mod tokens;
pub mod usage;
pub mod verify;
pub mod versions;
pub mod webhooks;
pub mod workflows;
pub mod write;

pub use access::{GrantFilter, GrantRow, NewGrant};
pub use approvals::{ApprovalFilter, ApprovalRow, NewApproval};
pub use audit::{AuditFilter, AuditRow};
pub use catalog::{CatalogKind, CatalogPut, CatalogRow, CatalogVersionRow};
pub use changed::Changed;
pub use cursor::{CursorError, CursorKey, Page, PageRequest};
pub use domains::DomainRow;
pub use entry::{Entry, Receipt, Stamp};
pub use environments::EnvironmentRow;
pub use error::StoreError;
pub use fit::SchemaFit;
pub use flags::{FeatureFacts, FeatureUse, FlagRow, OffLevel, UsedFeature};
pub use gateway::{GatewayCell, GatewayLogin, GatewayRoute, GatewayWatch, LoginsOf, Movement};
pub use guard::{CellGauge, Counts, LookKind, OpenFinding, PairRow, PlaceRow, PlaceState, Turn, TurnRow};
pub use idempotency::{Begun, IdempotencyKey, StoredAnswer};
pub use incidents::{IncidentFilter, IncidentProgress, IncidentRow, IncidentUpdateRow, Incidents};
pub use logins::{LoginFilter, LoginRow, NewLogin, Rotation, Verifier};
pub use members::{
    Card, InvitationRow, MailRow, MailStanding, MemberRow, Members, MembershipRow, NewInvitation, OfferRow, RoleRow,
    Roll, UserRow,
};
pub use notices::{
    Among, AudienceRow, Matter, NewNotification, NoteRow, NotesFound, NotificationFilter, NotificationRow,
    NotificationState, Outgoing, OutgoingRow, Told, Waiting,
};
pub use operations::{NewOperation, OperationFilter, OperationRow, OperationStatus, OperationView, TargetView, Unread};
pub use outbox::EventRow;
pub use plans::{HeldPlan, PlanOf, PlanTenants, PlanVersionRow};
pub use pools::{PoolRow, PoolTurn};
pub use prune::{PRUNED_MAX, Pruned};
pub use quotas::{NewReservation, QuotaRow, ReservationRow, StoredTenant, Taken, UsedUp};
pub use replicas::ReplicaRow;
pub use rollouts::{
    HomeVerdict, NewRollout, NewTarget, RolloutCandidate, RolloutCount, RolloutGauge, RolloutRow, TargetFilter,
    TargetRow,
};
pub use scim::{Choice, DirectoryCounts, DirectoryRow, GradeRow, GroupPut, GroupRow, Scim, ScimUserPut, ScimUserRow};
pub use scope::Subject;
pub use search::{Label, TenantFilter};
pub use store::{Contract, NUDGE, Nudges, Reader, Store, StoreOptions};
pub use streams::{
    Forget, LineId, LineRow, LineStep, NewSink, Recorded, SinkRow, SinkSay, StreamBacklog, StreamEvents, StreamHold,
    Streams, StuckEvent,
};
pub use tenants::{
    Condition, ConditionStatus, Due, Finding, NewTenant, Rename, StateChange, SweepRow, TenantChange, TenantKey,
    TenantRow,
};
pub use tokens::{NewToken, TokenFilter, TokenRow};
pub use usage::{
    NewUsage, UsageBeside, UsageDue, UsageHour, UsageKey, UsageQuery, UsageQuota, UsageReport, UsageRow, UsageShare,
};
pub use verify::{Finding as AuditFinding, Verification};
pub use versions::VersionRow;
pub use webhooks::{
    AttemptFilter, AttemptRow, DeadFilter, DeadRow, DueRow, EndpointFilter, EndpointRow, Fate, Forgotten, Lane,
    LaneChange, LaneId, LaneWork, NewEndpoint, NewReplay, Order, Outcome, ReplayRow, TURNS, WebhookKeys, Webhooks,
};
pub use workflows::{Claim, Claimed, NewWorkflow, WorkflowRow, WorkflowStatus};
pub use write::WriteTx;
