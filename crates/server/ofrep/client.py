"""The OpenFeature SDK for Python: asks for each flag when it is needed."""

from __future__ import annotations

import json
import os
import time
import urllib.request

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

URL, TOKEN, API = (os.environ[name] for name in ("OFREP_URL", "OFREP_TOKEN", "OFREP_API"))
checks = 0


def same(found: object, expected: object, what: str) -> None:
    """Compares, and counts."""
    global checks
    assert found == expected, f"{what}: {found!r} instead of {expected!r}"
    checks += 1


def post(path: str, body: object | None = None) -> None:
    """Calls Tenantry's own API."""
    data = b"" if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{API}/{path}", data, method="POST")
    request.add_header("authorization", f"Bearer {TOKEN}")
    if body is not None:
        request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request, timeout=10) as answer:
        same(answer.status, 200, path)


def code(found: object) -> str | None:
    """The word of an error."""
    return getattr(found.error_code, "value", found.error_code)


def main() -> None:
    """Asks what there is to ask."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    api.set_provider(OFREPProvider(URL, headers_factory=lambda: headers))
    client = api.get_client()
    acme = EvaluationContext("acme")
    globex = EvaluationContext("somebody", {"tenant": "globex"})
    found = client.get_boolean_details("ai", False, acme)
    same((found.value, found.variant, str(found.reason).split(".")[-1]), (True, "on", "TARGETING_MATCH"), "ai of acme")
    same(client.get_boolean_value("ai", True, globex), False, "ai of globex, named beside a person")
    same(client.get_string_value("theme", "-", acme), "rich", "text")
    same(client.get_integer_value("seats", 0, acme), 5, "whole number")
    same(client.get_float_value("ratio", 0.0, acme), 0.5, "broken number")
    same(client.get_object_value("report", {}, acme), {"pages": 3}, "mapping")
    found = client.get_boolean_details("teleport", True, acme)
    same((found.value, code(found)), (True, "FLAG_NOT_FOUND"), "a flag that nobody knows")
    found = client.get_boolean_details("theme", True, acme)
    same((found.value, code(found)), (True, "TYPE_MISMATCH"), "a flag of another type")
    found = client.get_boolean_details("ai", False, EvaluationContext())
    same((found.value, code(found)), (False, "TARGETING_KEY_MISSING"), "no tenant")
    found = client.get_boolean_details("ai", False, EvaluationContext("initech"))
    same((found.value, code(found)), (False, "INVALID_CONTEXT"), "a tenant that is not there")
    post("flags/ai:off", {"reason": "it burns"})
    began = time.monotonic()
    found = client.get_boolean_details("ai", True, acme)
    seen = time.monotonic() - began
    same((found.value, str(found.reason).split(".")[-1]), (False, "DISABLED"), "switched off")
    post("flags/ai:on")
    same(client.get_boolean_value("ai", False, acme), True, "switched on again")
    print(json.dumps({"client": "openfeature-sdk (Python)", "checks": checks, "switchSeenMs": round(seen * 1000)}))


main()
