"""The tenant in logs and spans."""

from __future__ import annotations

import io
import json
import logging

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tenantry import Tenantry
from tenantry.telemetry import JsonFormatter, TenantFilter, TenantSpanProcessor, annotate


def test_log_lines_carry_the_tenant(tenantry: Tenantry) -> None:
    text, lines = io.StringIO(), io.StringIO()
    plain, structured = logging.StreamHandler(text), logging.StreamHandler(lines)
    plain.addFilter(TenantFilter())
    plain.setFormatter(logging.Formatter("%(tenant_slug)s %(tenant_isolation)s %(message)s"))
    structured.setFormatter(JsonFormatter())
    logger = logging.getLogger("test.telemetry")
    logger.handlers = [plain, structured]
    logger.propagate = False
    logger.warning("nobody")
    with tenantry.tenant("globex") as tenant:
        logger.warning("some\nbody")
        try:
            raise LookupError("inside")
        except LookupError:
            logger.exception("failed")
    assert text.getvalue().splitlines()[:2] == ["- - nobody", "globex schema some"]
    nobody, somebody, failed = map(json.loads, lines.getvalue().splitlines())
    assert not any(name.startswith("tenant.") for name in nobody)
    assert somebody["message"] == "some\nbody"
    assert {name: somebody[name] for name in tenant.tags} == tenant.tags
    assert set(tenant.tags) == {"tenant.id", "tenant.slug", "tenant.isolation", "tenant.cell"}
    assert "LookupError: inside" in failed["exception"]


def test_spans_carry_the_tenant(tenantry: Tenantry) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(TenantSpanProcessor())  # type: ignore[arg-type]
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("request"), tenantry.tenant("acme") as tenant:
        annotate(tenant)
        with tracer.start_as_current_span("query"):
            pass
    with tracer.start_as_current_span("nobody's"):
        pass
    spans = {span.name: dict(span.attributes or {}) for span in exporter.get_finished_spans()}
    assert spans["query"]["tenant.id"] == spans["request"]["tenant.id"] == tenant.id
    assert spans["query"]["tenant.cell"] == "eu-west-1"
    assert "tenant.id" not in spans["nobody's"]
