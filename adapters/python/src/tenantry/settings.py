"""Settings: one frozen value, from arguments or from the environment, checked before anything is opened."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tenantry.errors import SettingsInvalid

_BOUNDS: dict[str, tuple[float, float]] = {
    "request_timeout_seconds": (0.05, 60),
    "cache_entries": (10, 1_000_000),
    "missing_max_age_ms": (0, 60_000),
    "stale_seconds": (0, 30 * 86_400),
    "connections": (1, 10_000),
    "login_connections": (1, 1_000),
    "tenant_connections": (1, 1_000),
    "wait_seconds": (0, 300),
    "waiting": (1, 100_000),
    "idle_seconds": (0, 86_400),
    "lifetime_seconds": (1, 7 * 86_400),
    "connect_timeout_seconds": (1, 300),
    "statement_timeout_ms": (0, 86_400_000),
    "idle_transaction_timeout_ms": (0, 86_400_000),
}

_SSLMODES = ("disable", "prefer", "require", "verify-ca", "verify-full")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. Each field is read from `TENANTRY_` and its name in capitals by `from_env`.

    Numbers have bounds; a value outside of them raises `SettingsInvalid`.
    """

    url: str = "http://127.0.0.1:7070"
    """Address of the control plane. Plain HTTP only to this machine, unless `allow_http` is set."""
    environment: str = "prod"
    """The environment whose tenants this application serves."""
    token: str | None = field(default=None, repr=False)
    """The application's bearer token. Prefer `token_file`."""
    token_file: str | None = None
    """File with the token; read again when the control plane refuses the one in use."""
    allow_http: bool = False
    """Send the token over plain HTTP to another machine. For networks that encrypt by themselves."""
    request_timeout_seconds: float = 2.0
    """The longest wait for an answer of the control plane."""
    cache_entries: int = 10_000
    """The most answers that are kept, per kind; beyond it the longest unused ones go."""
    missing_max_age_ms: int = 1_000
    """How long "no such tenant" is believed, so that made-up hosts do not reach the control plane each time."""
    stale_seconds: int = 86_400
    """How old an answer may get while the control plane is unreachable."""
    connections: int = 100
    """The most database connections of this process."""
    login_connections: int = 20
    """The most of them with one login."""
    tenant_connections: int = 8
    """The most that one tenant uses at a time where its route names no number."""
    wait_seconds: float = 5.0
    """The longest wait for a free connection."""
    waiting: int = 1_000
    """The most callers that wait for a connection; one more is refused at once."""
    idle_seconds: float = 60.0
    """Unused connections are closed after this long."""
    lifetime_seconds: float = 3_600.0
    """A connection older than this is closed instead of going back."""
    connect_timeout_seconds: int = 5
    """The longest wait for a new connection to the database."""
    statement_timeout_ms: int = 30_000
    """PostgreSQL's `statement_timeout`; 0 for none."""
    idle_transaction_timeout_ms: int = 60_000
    """PostgreSQL's `idle_in_transaction_session_timeout`; 0 for none."""
    sslmode: str | None = None
    """libpq's `sslmode`. Absent: `prefer` to this machine, else `verify-full`."""
    sslrootcert: str | None = None
    """File with the certificates that the databases' are signed by, or `system`."""
    application_name: str = "tenantry python"
    """What PostgreSQL shows as the name of the application."""

    def __post_init__(self) -> None:
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
                raise SettingsInvalid(f"`{name}` must be a number from {least} to {most}")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise SettingsInvalid("`url` must be an http or https address without query")
        if parts.username is not None or parts.password is not None:
            raise SettingsInvalid("`url` must not hold a password; use `token_file`")
        if parts.scheme == "http" and not self.allow_http and not is_this_machine(parts.hostname):
            raise SettingsInvalid("`url` must be https, or the token travels in the clear; see `allow_http`")
        if self.token is not None and self.token_file is not None:
            raise SettingsInvalid("set `token` or `token_file`, not both")
        if self.sslmode is not None and self.sslmode not in _SSLMODES:
            raise SettingsInvalid(f"`sslmode` must be one of {', '.join(_SSLMODES)}")
        if not self.environment.replace("-", "").isalnum() or len(self.environment) > 63:
            raise SettingsInvalid("`environment` must be letters, digits and hyphens")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **given: Any) -> Settings:
        """Reads `TENANTRY_URL`, `TENANTRY_TOKEN_FILE` and so on; `given` beats the environment."""
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for spec in fields(cls):
            variable = "TENANTRY_" + spec.name.upper()
            text = environ.get(variable, "").strip()
            if text:
                values[spec.name] = _parse(variable, text, spec.default)
        if "token" in given or "token_file" in given:
            values.pop("token", None)
            values.pop("token_file", None)
        return cls(**{**values, **given})

    def read_token(self) -> str:
        """The token, from the file where one is named."""
        if self.token_file is not None:
            try:
                token = Path(self.token_file).read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsInvalid(f"`token_file` cannot be read: {type(error).__name__}") from error
        else:
            token = (self.token or "").strip()
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise SettingsInvalid("there is no token; set TENANTRY_TOKEN_FILE or TENANTRY_TOKEN")
        return token


def is_this_machine(host: str) -> bool:
    """Whether a host is reached without a network: a loopback address, `localhost`, or a socket's folder."""
    if host == "localhost" or host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _parse(variable: str, text: str, default: object) -> object:
    try:
        if isinstance(default, bool):
            return {"1": True, "true": True, "0": False, "false": False}[text.lower()]
        if isinstance(default, int):
            return int(text)
        if isinstance(default, float):
            return float(text)
    except (ValueError, KeyError):
        kind = "true or false" if isinstance(default, bool) else "a number"
        raise SettingsInvalid(f"`{variable}` must be {kind}") from None
    return text
