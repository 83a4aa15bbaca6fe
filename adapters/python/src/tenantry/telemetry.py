"""The tenant in logs and spans. OpenTelemetry is used where it is installed, and not needed.

`TenantFilter` puts the tenant into every record of a handler, `JsonFormatter` writes records as JSON lines with it,
`TenantSpanProcessor` puts it into every span that begins in a tenant's scope.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

from tenantry import context
from tenantry.model import Tenant

_FIELDS = ("tenant.id", "tenant.slug", "tenant.isolation", "tenant.cell")


class TenantFilter(logging.Filter):
    """Adds `tenant_id`, `tenant_slug`, `tenant_isolation` and `tenant_cell` to each record; `-` without a tenant.

    Attach it to handlers, not to loggers: a logger's filter does not see what its children log.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Tags the record; lets all of them through."""
        tenant = context.current_or_none()
        tags = {} if tenant is None else tenant.tags
        for name in _FIELDS:
            # A record that was tagged where it was made keeps that: a queue's listener has another tenant, or none.
            attribute = name.replace(".", "_")
            if not hasattr(record, attribute):
                setattr(record, attribute, tags.get(name, "-"))
        return True


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON with `time`, `level`, `logger`, `message`, `tenant.id` and so on."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; line breaks of the message are escaped, so nobody can forge a second record."""
        TenantFilter().filter(record)
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in _FIELDS:
            value = getattr(record, name.replace(".", "_"), "-")
            if value != "-":
                line[name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def annotate(tenant: Tenant) -> None:
    """Puts the tenant into the current span, if OpenTelemetry is in use."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is not None:
        trace.get_current_span().set_attributes(tenant.tags)


class TenantSpanProcessor:
    """Puts the current tenant into each span when it begins: `provider.add_span_processor(TenantSpanProcessor())`."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        """Tags the span."""
        tenant = context.current_or_none()
        if tenant is not None:
            span.set_attributes(tenant.tags)

    def _on_ending(self, span: Any) -> None:
        """Nothing to do."""

    def on_end(self, span: Any) -> None:
        """Nothing to do."""

    def shutdown(self) -> None:
        """Nothing to do."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is kept."""
        return True
