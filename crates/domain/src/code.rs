//! The registry of error codes: the one place where a number, a kind, a title and a hint are tied together.
//!
//! A code is a promise to callers: its number and kind never change once released. Each has a page
//! `docs/errors/TEN-nnnn.md`; `cargo xtask tidy` compares the two lists.

use std::fmt;

/// What a caller can do about an error; decides HTTP status, exit code, retry and log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request can never succeed as it is.
    Invalid,
    /// No valid credential came with the request.
    Unauthenticated,
    /// The credential does not allow it.
    Forbidden,
    /// There is no such thing, or it is hidden from this caller.
    NotFound,
    /// There was such a thing, and it is not to be had at present.
    Gone,
    /// The state of the thing rules it out; read it again and decide anew.
    Conflict,
    /// The version given is no longer (or was never) the current one.
    Precondition,
    /// The request needs a precondition (`If-Match`) and came without.
    PreconditionRequired,
    /// A hard quota or capacity is used up.
    Quota,
    /// Too many requests for now.
    Throttled,
    /// A dependency is away for now.
    Unavailable,
    /// A defect or a broken promise of ours.
    Internal,
    /// The body is larger than the server reads.
    TooLarge,
    /// The body's media type is not one the server reads.
    Unsupported,
    /// The route exists, the method does not.
    Method,
}

impl Kind {
    /// HTTP status (RFC 9110; 428 and 429 from RFC 6585).
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Invalid => 422,
            Self::Unauthenticated => 401,
            Self::Forbidden | Self::Quota => 403,
            Self::NotFound => 404,
            Self::Method => 405,
            Self::Conflict => 409,
            Self::Gone => 410,
            Self::Precondition => 412,
            Self::TooLarge => 413,
            Self::Unsupported => 415,
            Self::PreconditionRequired => 428,
            Self::Throttled => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    /// Exit code of the command line.
    #[must_use]
    pub const fn exit(self) -> u8 {
        match self {
            Self::Invalid | Self::TooLarge | Self::Unsupported | Self::Method => 2,
            Self::NotFound | Self::Gone => 3,
            Self::Unauthenticated | Self::Forbidden => 4,
            Self::Conflict | Self::Precondition | Self::PreconditionRequired => 5,
            Self::Quota | Self::Throttled => 6,
            Self::Unavailable => 7,
            Self::Internal => 70,
        }
    }

    /// Whether the same request may succeed later without anyone changing anything.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Throttled | Self::Unavailable)
    }
}

macro_rules! codes {
    ($($name:ident = $number:literal, $kind:ident, $title:literal, $hint:literal;)*) => {
        /// A stable error code, shown as `TEN-0042`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the title in the table says it")]
        pub enum Code { $($name),* }

        impl Code {
            /// Every code, by number.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The number behind `TEN-`.
            #[must_use]
            pub const fn number(self) -> u16 {
                match self { $(Self::$name => $number),* }
            }

            /// What a caller can do about it.
            #[must_use]
            pub const fn kind(self) -> Kind {
                match self { $(Self::$name => Kind::$kind),* }
            }

            /// One line that never changes with the request.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }

            /// What to do next when nothing more specific is known.
            #[must_use]
            pub const fn hint(self) -> &'static str {
                match self { $(Self::$name => $hint),* }
            }
        }
    };
}

codes! {
    InvalidManifest = 1, Invalid, "The manifest is not valid", "Correct the fields that `errors` names and send it again.";
    MalformedDocument = 2, Invalid, "The document cannot be read", "Send well-formed YAML or JSON; the detail gives line and column.";
    UnknownKind = 3, Invalid, "The manifest's kind or version is not known", "Use apiVersion `tenantry.dev/v1` and one of the kinds that the detail lists.";
    InvalidReference = 4, Invalid, "The manifest names something that does not exist", "Apply the missing object first, or in the same request.";
    TenantNotFound = 5, NotFound, "No such tenant", "List the tenants of the environment to find the name or id.";
    ObjectNotFound = 6, NotFound, "No such object", "Check kind, name and environment.";
    SlugTaken = 7, Conflict, "The name is taken", "Choose another name; names of deleted tenants stay blocked for a time.";
    ExternalIdTaken = 8, Conflict, "The external id belongs to another tenant", "Look the other tenant up with `externalId=`.";
    StaleVersion = 9, Precondition, "The version given is not the current one", "Read the object again, repeat the change on the new version, send its ETag.";
    VersionRequired = 10, PreconditionRequired, "The request needs an If-Match header", "Send the ETag of the version that you read, or `*` to overwrite.";
    IllegalTransition = 11, Conflict, "The tenant's state does not allow this", "The detail lists the actions that the state allows.";
    TransitionRunning = 12, Conflict, "Another operation is running on the tenant", "Wait for the operation that the detail names, or cancel it.";
    ConfirmationMismatch = 13, Invalid, "The confirmation does not match", "Repeat the tenant's slug as `confirm`.";
    DeletionRefused = 14, Conflict, "The tenant may not be deleted", "Give a removal reason; only tenants that were made as synthetic need none.";
    NoCapacity = 15, Quota, "No cell can take the tenant", "Add a cell or raise a capacity; `place --explain` names each refusal.";
    AppUnfit = 16, Invalid, "The app cannot run at this isolation level", "Declare a tenant key, or bind a plan of a stricter level.";
    LevelChange = 17, Conflict, "The change would move the tenant to another level, app or place", "Create the tenant on the other plan; moves are a separate operation.";
    KeyReused = 18, Invalid, "The idempotency key was used for another request", "Use a fresh Idempotency-Key for each new request.";
    KeyInFlight = 19, Conflict, "A request with this idempotency key is still running", "Repeat it in a moment; the first answer will be returned.";
    KeyRequired = 20, Invalid, "The request needs an Idempotency-Key header", "Send a fresh random key of 16 to 128 characters.";
    Unauthenticated = 21, Unauthenticated, "No valid credential", "Send `Authorization: Bearer <token>`.";
    PolicyDenied = 22, Forbidden, "A policy refuses this action", "The detail names the rule.";
    RouteNotFound = 23, NotFound, "No such route", "See /openapi.json for the routes.";
    MethodNotAllowed = 24, Method, "The route does not know this method", "The Allow header lists the methods.";
    BodyTooLarge = 25, TooLarge, "The body is too large", "Split the request; the detail gives the bound.";
    MediaType = 26, Unsupported, "The media type is not supported", "Send application/json or application/yaml.";
    InvalidParameter = 27, Invalid, "A parameter is not valid", "Correct the parameter that `errors` names.";
    InvalidCursor = 28, Invalid, "The page token is not valid", "Start again without pageToken; tokens belong to one query and expire.";
    DatabaseUnavailable = 29, Unavailable, "The control database does not answer", "Try again; the server is still alive.";
    CellUnavailable = 30, Unavailable, "The cell does not answer", "The operation goes on by itself once the cell is back.";
    Timeout = 31, Unavailable, "The request took too long", "Try again with the same Idempotency-Key.";
    Internal = 32, Internal, "Something went wrong on our side", "Report the correlation id.";
    OperationNotFound = 33, NotFound, "No such operation", "Operations are kept for 30 days.";
    OperationEnded = 34, Conflict, "The operation has ended", "Read its result instead.";
    NotCancellable = 35, Conflict, "The operation has passed its point of no return", "Let it finish, then undo it with the opposite action.";
    InUse = 36, Conflict, "The object is still in use", "Remove or change what the detail names first.";
    EnvironmentNotFound = 37, NotFound, "No such environment", "Check the environment's name.";
    VersionNotFound = 38, NotFound, "No such version", "List the versions of the object.";
    TooManyRequests = 39, Throttled, "Too many requests", "Wait as long as Retry-After says.";
    Overloaded = 40, Unavailable, "The server is shedding load", "Wait as long as Retry-After says.";
    AuditBroken = 41, Conflict, "The audit chain does not verify", "The detail names the first entry; keep the database as it is and investigate.";
    MalformedRequest = 42, Invalid, "The request cannot be read", "The detail says what is malformed.";
    TenantMismatch = 43, Invalid, "The request names different tenants", "Send it with one tenant: host, path, header and token must agree.";
    TenantUnnamed = 44, Invalid, "The request names no tenant", "Name it by host, path, header or token; `errors` says which one is malformed.";
    TenantSuspended = 45, Forbidden, "The tenant is suspended", "Its operator says when it is resumed.";
    TenantPreparing = 46, Unavailable, "The tenant is being prepared", "Try again in a moment.";
    TenantArchived = 47, Gone, "The tenant is archived", "Its data is kept; its operator can restore it.";
    RolloutNotFound = 48, NotFound, "No such rollout", "List the rollouts of the environment.";
    RolloutUnderWay = 49, Conflict, "A rollout of the app is under way", "Follow it, let it go on, or cancel it; the detail names it.";
    RolloutStanding = 50, Conflict, "The rollout's status does not allow this", "Read the rollout; one that is over is followed by a new one.";
    TokenRefused = 51, Unauthenticated, "The access token is not valid", "Send a fresh access token of an issuer that is configured for this environment.";
    IssuerUnavailable = 52, Unavailable, "The keys of the token's issuer cannot be read", "Try again in a moment.";
    LoginTaken = 53, Conflict, "The name of the login is taken", "Choose another name; no two logins of an installation have the same one.";
    LoginRevoked = 54, Conflict, "The login is revoked", "Make a new one; its name is free again.";
    MigrationRan = 55, Conflict, "A migration file that has run was changed", "Put the text of the file back, and change what it made by a new file that sorts last.";
    QuotaUsedUp = 56, Quota, "The quota is used up", "Free something, order more, or bind the plan that the hint names.";
    QuotaNotFound = 57, NotFound, "No such quota", "List the tenant's quotas; its plan names them.";
    ReservationNotFound = 58, NotFound, "No such reservation", "It was committed, released, or has expired; make a new one.";
    OverlayConflict = 59, Conflict, "The app's files clash with what a tenant added", "Rename or drop what the tenant added, or change the file while nobody has it, then continue the rollout.";
    IncidentNotFound = 60, NotFound, "No such incident", "List the incidents of the environment.";
    MemberDenied = 61, Forbidden, "The member may not do this", "Ask a member who has the permission that the detail names.";
    LastOwner = 62, Conflict, "The tenant would have no owner", "Hand the ownership on first, or make another member an owner.";
    MemberExists = 63, Conflict, "The person is known to the tenant already", "Look at the tenant's members and open invitations.";
    MemberNotFound = 64, NotFound, "No such member", "List the members of the tenant.";
    InvitationNotFound = 65, NotFound, "No such invitation", "Check the link, or ask for a new invitation.";
    InvitationOver = 66, Gone, "The invitation does not hold any more", "Ask for a new invitation.";
    InvitationMismatch = 67, Forbidden, "The invitation is for somebody else", "Log in with the address that was invited, once its issuer has verified it.";
    UsersExceeded = 68, Quota, "The tenant has as many users as it may have", "Remove a member, withdraw an invitation, or bind a larger plan.";
    MembersNotInPlan = 69, Forbidden, "The tenant's plan does not allow this", "Bind a plan that has the feature which the detail names.";
    MemberElsewhere = 70, Conflict, "The person is a member of another tenant", "Remove them there first, or let people be members of several tenants.";
    FeatureOff = 71, Forbidden, "The tenant does not have this feature", "The detail names the plans that have it, or why it is off for everybody.";
    ResidencyRefused = 72, Conflict, "The tenant's data is where its new residency does not allow it", "Allow the region that the detail names, or move the tenant first.";
    PlanForbids = 73, Forbidden, "The tenant's plan does not allow this", "Leave out what `errors` names, or bind one of the plans that the detail names.";
    PolicyUnavailable = 75, Unavailable, "No decision of the policy is to be had", "Try again in a moment; nothing was changed.";
    PolicyBundleInvalid = 76, Invalid, "The policy bundle is not valid", "Correct what `errors` names; the bundle before it stays in force.";
    PolicyBundleUntrusted = 77, Forbidden, "The policy bundle is not signed by a known key", "Sign it by `tenantry policy sign`, with a key whose public part is configured.";
    PolicyBundleUnreachable = 78, Unavailable, "The policy bundle cannot be fetched", "Look at the source that the detail names; the bundle before it stays in force.";
    PolicyBundleNotKept = 79, NotFound, "No such policy bundle is kept", "Roll back to one of the digests that are kept.";
    AccessStanding = 80, Conflict, "The access request's status does not allow this", "Read the request; one that is over is followed by a new one.";
    PersonWithoutRole = 81, Forbidden, "Nobody gave this person a role", "Ask whoever runs this installation to let one of your groups give a role.";
    UsageEvent = 82, Invalid, "The usage event cannot be counted", "Correct what the detail names and send the event again under the same id.";
    UsageTime = 83, Invalid, "The usage event's time is not counted any more, or not yet", "Send events within 35 days of their own time, with a clock that is right.";
    DirectoryRequest = 84, Invalid, "The directory's request cannot be done as it is", "Correct what the detail names; `scimType` says of which kind it is.";
    DirectoryTaken = 85, Conflict, "Another resource of the directory has this name", "Look it up by a filter and change it instead of making another one.";
    DirectoryFull = 86, Quota, "The directory has as many resources as it may have", "Remove users and groups that are gone, or provision fewer of them.";
    IdentityUnavailable = 87, Unavailable, "The identity provider does not answer", "Try again in a moment; what Tenantry does by itself goes on once the provider is back.";
    PoolNotFound = 88, NotFound, "The tenant has no pool of its own", "Bind a plan with `identity: own`, activate the tenant, and look at its condition IdentityPool.";
    IdentityRefused = 89, Conflict, "The identity provider refuses this", "The detail has the provider's word; correct what it names.";
    WebhookTarget = 90, Invalid, "The address of the webhook is not allowed", "Give an https URL of a host on the public internet, without user and password.";
    WebhookDisabled = 91, Conflict, "The webhook endpoint is disabled", "Enable it first: `tenantry webhooks enable`.";
    WebhooksExceeded = 92, Quota, "There are as many webhook endpoints as there may be", "Delete one that is not used any more, or give one a wider filter.";
    WebhookReplays = 93, Conflict, "Replays of the webhook endpoint are under way", "Wait until one of them is through; `tenantry webhooks show` tells how far they are.";
    MeterNotFound = 94, Invalid, "No such meter", "Apply a manifest of kind Meter whose name is the event's `type`, or correct the type.";
    MeterFixed = 95, Conflict, "The meter has counted already", "What was counted keeps its meaning: declare a meter of another name.";
    StreamUnfit = 96, Precondition, "The stream of events cannot be used as it is", "The detail says what does not fit and how to change it; events wait meanwhile and none is lost.";
    StreamUnavailable = 97, Unavailable, "The server of the stream of events takes nothing", "Look at the NATS server that the detail names; events wait meanwhile and none is lost.";
    IncidentOver = 98, Conflict, "The incident is over", "Open another one; nothing follows an update that says `resolved`.";
    StreamStuck = 99, Precondition, "An event cannot be published by this release", "Let a process of the release that made the event publish; what is behind it waits, and nothing else does.";
    SecondDefault = 100, Conflict, "Another plan is the default one", "Say `default: false` of the plan that the detail names, in the same apply or before.";
    TooMuchUsed = 101, Quota, "The tenant uses more than the plan would allow", "Free what the detail names, or give the tenant an override first.";
    CellPromised = 103, Quota, "The cell cannot promise as much", "Give less, or raise `spec.promises` of the cell if it has more by now.";
    SchemaUnfit = 110, Unavailable, "The control database's tables do not fit this release", "Bring them up to date with `tenantry migrate` of this release, or run a release that knows them.";
    RootKeyForeign = 111, Invalid, "The root key is not this installation's", "Give every process the key that the installation was begun with; to change it, read the runbook on the root key.";
    ClockApart = 112, Unavailable, "The clocks of this process and of the control database differ", "Set the clock of the machine that is wrong, for example by NTP; nothing is begun or changed here until then.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TEN-{:04}", self.number())
    }
}

/// One complaint about one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldError {
    /// Path from the document's root, `spec.contacts.billing[0].email`.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

impl FieldError {
    /// Builds a complaint.
    pub fn new(field: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { field: field.into(), message: message.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_texts_end_properly() {
        let mut numbers: Vec<_> = Code::ALL.iter().map(|code| code.number()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(!code.title().ends_with('.'), "{code}");
            assert!(code.hint().ends_with('.'), "{code}");
        }
    }
}
