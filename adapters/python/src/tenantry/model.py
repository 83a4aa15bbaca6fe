"""What the control plane answers, as values.

Parsed at the door: whatever has one of these types was checked. Secrets are in types that do not show them.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

MAX_AGE_MS = 60_000
"""The longest age that is believed, whatever the control plane says: a suspension takes no longer here."""

_SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ID = re.compile(r"ten_[0-9a-hjkmnp-tv-z]{26}")


def is_slug(text: str) -> bool:
    """Whether the text can be a tenant's name in a host or path."""
    return _SLUG.fullmatch(text) is not None


def is_tenant(text: str) -> bool:
    """Whether the text can name a tenant: by slug, by id (`ten_…`) or by uuid."""
    if _ID.fullmatch(text) or is_slug(text):
        return True
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


class AnswerInvalid(ValueError):
    """The control plane's answer does not have the agreed form. The message names the field, never its value."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant as it was resolved. `state` is `open`, `preparing`, `suspended` or `archived`.

    Before the tenant has a place, `generation` is 0 and `isolation` and `cell` are absent.
    """

    id: str
    uuid: uuid.UUID
    slug: str
    state: str
    generation: int
    isolation: str | None
    cell: str | None
    sources: tuple[str, ...] = field(default=(), compare=False)
    max_age_ms: int = field(default=1000, compare=False)

    @property
    def is_open(self) -> bool:
        """Whether its users are let in."""
        return self.state == "open"

    @property
    def tags(self) -> dict[str, str]:
        """What logs and spans carry: `tenant.id`, `tenant.slug`, if known `tenant.isolation`, `tenant.cell`."""
        tags = {
            "tenant.id": self.id,
            "tenant.slug": self.slug,
            "tenant.isolation": self.isolation,
            "tenant.cell": self.cell,
        }
        return {name: value for name, value in tags.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Login:
    """A role at a database; connections of one login are interchangeable once they are reset."""

    host: str
    port: int
    database: str
    role: str


@dataclass(frozen=True, slots=True)
class Route:
    """How a tenant's data is reached. Nothing in it is secret. `connections` absent: no bound of the plan's own."""

    tenant: str
    uuid: uuid.UUID
    slug: str
    state: str
    generation: int
    isolation: str
    login: Login
    schema: str
    connections: int | None
    secret_ref: str
    max_age_ms: int = field(default=1000, compare=False)

    @property
    def shares_login(self) -> bool:
        """Whether other tenants use the same login, so that a session must be reset between them."""
        return self.isolation not in ("schema", "database", "cluster")


@dataclass(frozen=True, slots=True, eq=False)
class Credential:
    """A login's password and its database's seal key. Lives in memory only: it is not shown and cannot be pickled."""

    secret_ref: str
    role: str
    password: str = field(repr=False)
    kid: int
    key: bytes = field(repr=False)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a credential stays in this process's memory")


def tenant_of(answer: object) -> Tenant:
    """Parses the answer of `resolve`."""
    fields = _object(answer)
    return Tenant(
        id=_text(fields, "tenant"),
        uuid=_uuid(fields, "uuid"),
        slug=_text(fields, "slug"),
        state=_text(fields, "state"),
        generation=_number(fields, "generation", 0, 2**63 - 1),
        isolation=_text(fields, "isolation") if fields.get("isolation") is not None else None,
        cell=_text(fields, "cell") if fields.get("cell") is not None else None,
        sources=_texts(fields, "sources"),
        max_age_ms=_number(fields, "maxAgeMs", 0, 2**53),
    )


def route_of(answer: object) -> Route:
    """Parses the answer of `route`."""
    fields = _object(answer)
    return Route(
        tenant=_text(fields, "tenant"),
        uuid=_uuid(fields, "uuid"),
        slug=_text(fields, "slug"),
        state=_text(fields, "state"),
        generation=_number(fields, "generation", 1, 2**63 - 1),
        isolation=_text(fields, "isolation"),
        login=Login(
            host=_text(fields, "host"),
            port=_number(fields, "port", 1, 65535),
            database=_text(fields, "database"),
            role=_text(fields, "role"),
        ),
        schema=_text(fields, "schema"),
        connections=_number(fields, "connections", 0, 2**31) if fields.get("connections") is not None else None,
        secret_ref=_text(fields, "secretRef"),
        max_age_ms=_number(fields, "maxAgeMs", 0, 2**53),
    )


def credential_of(answer: object) -> Credential:
    """Parses the answer of `credentials`."""
    fields = _object(answer)
    seal = _object(fields.get("seal"))
    try:
        key = base64.b64decode(_text(seal, "key"), validate=True)
    except binascii.Error:
        raise AnswerInvalid("`seal.key` is not base64") from None
    if len(key) != 32:
        raise AnswerInvalid("`seal.key` is not 32 bytes long")
    return Credential(
        secret_ref=_text(fields, "secretRef"),
        role=_text(fields, "role"),
        password=_text(fields, "password"),
        kid=_number(seal, "kid", 0, 2**31 - 1),
        key=key,
    )


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise AnswerInvalid("the answer is not an object")
    return value


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value or len(value) > 4096:
        raise AnswerInvalid(f"`{name}` is not a text")
    return value


def _texts(fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = fields.get(name)
    if not isinstance(values, list) or len(values) > 16 or not all(isinstance(value, str) for value in values):
        raise AnswerInvalid(f"`{name}` is not a list of texts")
    return tuple(values)


def _number(fields: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise AnswerInvalid(f"`{name}` is not a number from {least} to {most}")
    return value


def _uuid(fields: Mapping[str, Any], name: str) -> uuid.UUID:
    try:
        return uuid.UUID(_text(fields, name))
    except ValueError:
        raise AnswerInvalid(f"`{name}` is not a uuid") from None
