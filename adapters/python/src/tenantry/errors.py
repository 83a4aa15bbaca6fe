"""What can go wrong, as a closed set of exceptions.

Every exception says what happened, which HTTP status it means, whether the same call may work later, and what to do
next. Messages name no stored value and no secret.
"""

from __future__ import annotations

from typing import ClassVar


class TenantryError(Exception):
    """The base of everything that this package raises on purpose.

    `status` is the HTTP status that the middleware answers with, `retry_after` the seconds after which the same request
    may work (absent: never by itself), `hint` what to do next.
    """

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong"
    hint: ClassVar[str] = "Look at the cause in the log."
    retry_after: int | None = None

    @property
    def name(self) -> str:
        """The word that problem documents carry as `reason`; stable, made for branching."""
        return type(self).__name__


class SettingsInvalid(TenantryError, ValueError):
    """A setting is missing or outside of its bounds."""

    title = "The settings are not valid"
    hint = "Correct the setting that the message names; the table of settings is in the README."


class TenantScopeMissing(TenantryError):
    """A statement, or something else that needs a tenant, came without one. Nothing was sent."""

    title = "No tenant's transaction is open"
    hint = "Run it inside of `with tenantry.tenant(...)` and `with tenantry.transaction()`."


class TenantMismatch(TenantryError):
    """Two sources name different tenants, a source is malformed, or there is none. Never a precedence."""

    status = 400
    title = "The tenant is not named unambiguously"
    hint = "Send one tenant only, by a source that this service accepts."


class TenantNotFound(TenantryError):
    """There is no such tenant, or none at this host."""

    status = 404
    title = "No such tenant"
    hint = "Check the address."


class TenantNotOpen(TenantryError):
    """The tenant exists and lets nobody in; see the subclasses."""

    status = 403
    title = "The tenant is not open"


class TenantPreparing(TenantNotOpen):
    """The tenant is being made, or brought back."""

    status = 503
    title = "The tenant is being prepared"
    hint = "Try again in a few seconds."
    retry_after = 5


class TenantSuspended(TenantNotOpen):
    """The tenant is suspended at present."""

    title = "The tenant is suspended"
    hint = "Ask the operator of this service."


class TenantGone(TenantNotOpen):
    """The tenant was archived; its data is kept and not served."""

    status = 410
    title = "The tenant is gone"
    hint = "Ask the operator of this service."


class TenantMoved(TenantryError):
    """The tenant was moved while the work was going on. Nothing of this transaction has run."""

    status = 503
    title = "The tenant is being moved"
    hint = "Begin the transaction again."
    retry_after = 1


class TenantBusy(TenantryError):
    """All connections that the tenant may use are taken, and none became free in time."""

    status = 503
    title = "All connections of the tenant are in use"
    hint = "Try again; if it stays so, look for long transactions or raise the plan's `connections`."
    retry_after = 1


class DatabaseUnavailable(TenantryError):
    """The tenant's database cannot be reached."""

    status = 503
    title = "The database is not available"
    hint = "Try again; if it stays so, look at the cell."
    retry_after = 2


class CredentialRefused(TenantryError):
    """The database refuses the login or the key, also after they were fetched again."""

    status = 503
    title = "The database refuses the credential"
    hint = "Look at the cell: `tenantry describe tenant` shows whether its login and seal have drifted."
    retry_after = 5


class ControlPlaneUnavailable(TenantryError):
    """The control plane does not answer, and nothing that may still be used is known."""

    status = 503
    title = "The control plane is not available"
    hint = "Try again; see whether TENANTRY_URL is reachable from here."
    retry_after = 2
    is_answer: bool = False
    """Whether it answered, and said "not now" to this question only."""


class ControlPlaneRefused(TenantryError):
    """The control plane does not accept this application: its token, its environment, or its version."""

    title = "The control plane refuses this application"
    hint = "Check TENANTRY_URL, TENANTRY_ENVIRONMENT and the token, and whether the control plane is new enough."


class JobHeld(TenantryError):
    """The job's tenant is not open at present; retry the job later."""

    status = 503
    title = "The job is held"
    hint = "Put the job back; it can run when the tenant is open again."
    retry_after = 30


class JobRefused(TenantryError):
    """The job can never run: it has no tenant, or its tenant is gone. Do not retry it."""

    status = 410
    title = "The job is refused"
    hint = "Drop the job, or keep it for inspection."


STATES: dict[str, type[TenantNotOpen]] = {
    "preparing": TenantPreparing,
    "suspended": TenantSuspended,
    "archived": TenantGone,
}
"""Which exception stands for which state of a tenant; `open` has none."""


def not_open(slug: str, state: str) -> TenantNotOpen:
    """The exception for a tenant in `state`. A state that this version does not know lets nobody in."""
    return STATES.get(state, TenantSuspended)(f"the tenant `{slug}` is {state}")
