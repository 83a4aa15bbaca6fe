"""Runs the compliance tester against one tenant's directory. Says what was found, and ends with 1 when there are errors."""

from __future__ import annotations

import json
import os
import sys
import time

from httpx2 import Client, HTTPTransport, Request, Response
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

FEWEST = 60


class Patient(HTTPTransport):
    """Comes back when it is told to, as directories do: the tester alone is faster than a principal's rate."""

    def handle_request(self, request: Request) -> Response:
        """One request, as often as it takes."""
        while True:
            response = super().handle_request(request)
            if response.status_code != 429:
                return response
            response.close()
            time.sleep(float(response.headers["retry-after"]))


def main() -> None:
    """Checks, counts, tells."""
    headers = {"Authorization": f"Bearer {os.environ['SCIM_TOKEN']}"}
    with Client(base_url=os.environ["SCIM_URL"], headers=headers, timeout=30, transport=Patient()) as client:
        results = check_server(SyncSCIMClient(client))
    counts = {status.name.lower(): sum(result.status is status for result in results) for status in Status}
    print(json.dumps({"checks": len(results), **{name: count for name, count in counts.items() if count}}))
    bad = [result for result in results if result.status in {Status.ERROR, Status.CRITICAL}]
    for result in bad:
        print(f"{result.resource_type or '-'}: {result.title}: {result.reason}", file=sys.stderr)
    if len(results) < FEWEST:
        print(f"only {len(results)} checks were made", file=sys.stderr)
    sys.exit(1 if bad or len(results) < FEWEST else 0)


main()
