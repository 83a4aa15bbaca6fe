"""A receiver that believes what the reference library of Standard Webhooks for Python believes, and nothing else.

Secrets come as lines on its input: the newest counts. What it takes, and what it refuses, goes to its output as JSON.
"""

from __future__ import annotations

import http.server
import json
import sys
import threading

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

library: Webhook | None = None


def say(found: dict) -> None:
    """One line of output."""
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def is_refused(body: str, headers: dict[str, str]) -> bool:
    """Whether the library does not believe a message."""
    assert library is not None
    try:
        library.verify(body, headers)
    except WebhookVerificationError:
        return True
    return False


class Handler(http.server.BaseHTTPRequestHandler):
    """Takes what is signed."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """One delivery."""
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        found = {"id": headers["webhook-id"], "signatures": len(headers["webhook-signature"].split(" "))}
        assert library is not None
        try:
            event = library.verify(body, headers)
            # Another body, another id, an older time: none may pass.
            found["tampered"] = (
                is_refused(body + " ", headers)
                and is_refused(body, {**headers, "webhook-id": "evt_other"})
                and is_refused(body, {**headers, "webhook-timestamp": "1600000000"})
            )
            found["type"], found["sequence"] = event["type"], event.get("sequence")
            self.send_response(204)
        except WebhookVerificationError as error:
            found["error"] = str(error)
            self.send_response(401)
        self.send_header("content-length", "0")
        self.end_headers()
        say(found)

    def log_message(self, *_: object) -> None:
        """Says nothing more."""


def listen() -> None:
    """Takes secrets."""
    global library
    for line in sys.stdin:
        library = Webhook(line.strip())
        say({"secret": True})


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
say({"port": server.server_address[1]})
threading.Thread(target=listen, daemon=True).start()
server.serve_forever()
