"""Refusals as problem documents (RFC 9457). Text for people outside: no cause, no address, no foreign name."""

from __future__ import annotations

import json

from tenantry.errors import TenantryError

CONTENT_TYPE = "application/problem+json"


def document(error: TenantryError) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body for a refusal. `reason` is the word to branch on."""
    problem = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "reason": error.name,
        "hint": error.hint,
    }
    # What went wrong on our side is for the log; what is wrong with the request is for the caller.
    if error.status < 500:
        problem["detail"] = str(error)
    headers = [("content-type", CONTENT_TYPE), ("cache-control", "no-store")]
    if error.retry_after is not None:
        headers.append(("retry-after", str(error.retry_after)))
    return error.status, headers, json.dumps(problem).encode()
