"""Jobs of tenants in the manner of Celery, without needing it: `task.delay(...)`, a broker, a worker that retries.

    export TENANTRY_URL=http://127.0.0.1:7070 TENANTRY_TOKEN_FILE=.tenantry/admin.token
    python worker.py

With Celery itself, the body of `Task.delay` goes into `apply_async`, and that of `Worker.run_one` into `__call__`:
`JobHeld` becomes `self.retry(countdown=held.retry_after)`, `JobRefused` becomes `Reject(requeue=False)`.
"""

from __future__ import annotations

import json
import queue
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import tenantry
from tenantry import JobHeld, JobRefused, TenantryError, jobs


@dataclass
class Broker:
    """Holds messages as text, as a broker would."""

    ready: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    held: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)


@dataclass
class Task:
    """A function that can be called later."""

    name: str
    function: Callable[..., Any]
    broker: Broker

    def delay(self, **arguments: Any) -> None:
        """Enqueues a call for the current tenant. Raises `TenantScopeMissing` without one."""
        self.broker.ready.put(json.dumps({"task": self.name, "arguments": jobs.stamp(arguments)}))


@dataclass
class Worker:
    """Runs what the broker has, each job inside of its tenant."""

    broker: Broker
    tasks: dict[str, Task] = field(default_factory=dict)

    def task(self, function: Callable[..., Any]) -> Task:
        """Registers a function."""
        self.tasks[function.__name__] = Task(function.__name__, function, self.broker)
        return self.tasks[function.__name__]

    def run_one(self) -> str:
        """Takes one message; says what became of it."""
        message = self.broker.ready.get_nowait()
        job = json.loads(message)
        try:
            jobs.run(self.tasks[job["task"]].function, job["arguments"])
        except JobRefused:
            self.broker.dead.append(message)
            return "refused"
        except (JobHeld, TenantryError):
            # Suspended, or the database or control plane is away: later.
            self.broker.held.append(message)
            return "held"
        return "done"

    def release(self) -> None:
        """Puts what was held back; a real broker does so after `retry_after` seconds."""
        while self.broker.held:
            self.broker.ready.put(self.broker.held.pop(0))


worker = Worker(Broker())


@worker.task
def greet(channel: str) -> None:
    """Opens a channel in whatever tenant the job is for."""
    with tenantry.transaction() as tx:
        tx.execute("INSERT INTO channels (name) VALUES (%s) ON CONFLICT DO NOTHING", (channel,))


if __name__ == "__main__":
    for slug in ("acme", "globex", "initech"):
        with tenantry.tenant(slug):
            greet.delay(channel="welcome")
    for _ in range(3):
        print(worker.run_one())
