"""What the client programs in Python share: who they are, where they connect to, and how they say what came of it.

The runner hands the place over as an application gets it: `DATABASE_URL` and libpq's variables. Each check is a function;
one that ends without an error is fine. The last line of the output is the report, one JSON object.
"""

import asyncio
import inspect
import json
import os
import signal
import sys
import time
import traceback
import uuid

URL = os.environ["DATABASE_URL"]
OWN = os.environ["NOTE_OWN"]
FOREIGN = os.environ["NOTE_FOREIGN"]
TLS = os.environ.get("CLIENT_TLS") == "1"
FEATURES = set(os.environ.get("CLIENT_FEATURES", "").split())
# PostgreSQL refuses COPY FROM into a table with row-level security, whoever asks (0A000).
HAS_COPY_FROM = "no-copy-from" not in FEATURES
# How many rows of its own every place has, one of them with the canary.
ROWS = 3
LARGE_ROWS = 100_000
LARGE_TEXT = 5_000_000
# The longest that one check may take.
SECONDS = 60


class Absent(Exception):
    """The client has no such thing; the reason is shown."""


class Program:
    def __init__(self, name, version):
        self.name, self.version = name, version
        # Rows with this beginning are ours; the runner removes what a program that died has left.
        self.mark = f"client {name} {uuid.uuid4().hex}"
        self.checks = []

    def check(self, function):
        """Registers a check under the function's name."""
        self.checks.append((function.__name__, function))
        return function

    def absent(self, **reasons):
        """Names checks that the client cannot do."""
        for name, reason in reasons.items():

            def nothing(reason=reason):
                raise Absent(reason)

            self.checks.append((name, nothing))

    def run(self):
        with asyncio.Runner() as runner:
            results = [self._one(runner, name, function) for name, function in self.checks]
        print(json.dumps({"client": self.name, "version": self.version, "checks": results}))
        sys.exit(any(result["result"] == "error" for result in results))

    def _one(self, runner, name, function):
        began = time.monotonic()
        result, detail = "ok", ""
        signal.signal(signal.SIGALRM, late)
        signal.alarm(SECONDS)
        try:
            outcome = function()
            if inspect.iscoroutine(outcome):
                runner.run(outcome)
        except Absent as reason:
            result, detail = "absent", str(reason)
        except Exception as error:
            result, detail = "error", f"{type(error).__name__}: {error}".strip()
            traceback.print_exc(file=sys.stderr)
        finally:
            signal.alarm(0)
        return {
            "name": name,
            "result": result,
            "detail": detail[:600],
            "ms": round((time.monotonic() - began) * 1e3, 1),
        }


def late(*_):
    raise TimeoutError(f"took longer than {SECONDS} s")


def same(got, wanted, what="value"):
    if got != wanted:
        raise AssertionError(f"{what}: {shown(got)} instead of {shown(wanted)}")


def holds(fine, what):
    if not fine:
        raise AssertionError(what)


def own(bodies):
    """Says whether these are the rows of this tenant and of nobody else."""
    bodies = list(bodies)
    holds(not any(FOREIGN in body for body in bodies), "a row of another tenant is seen")
    same(len(bodies), ROWS, "number of rows")
    holds(OWN in " ".join(bodies), "the own row is not seen")


def fails(kind, call, *arguments, **named):
    """Calls something that must fail in this way, and gives the error."""
    try:
        call(*arguments, **named)
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected and nothing failed")


def shown(value):
    text = repr(value)
    return text if len(text) < 200 else f"{text[:200]}… ({len(text)} characters)"
