"""A broken or taken-over application: every statement of the example's list, sent through the adapter.

Whatever is sent, no answer holds a foreign canary, the victim's rows stay as they are, and the next tenant on the same
connection finds nothing.
"""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from world import ROOT, Dev, canary, seed

from tenantry import Tenantry, TenantryError
from tenantry.model import Tenant
from tenantry.testing import MadeTenant, TenantFactory


@dataclass
class Entry:
    name: str
    expect: str
    levels: list[str]
    parts: list[str]


def entries() -> list[Entry]:
    text = (ROOT / "examples/chat/broken/broken.sql").read_text(encoding="utf-8")
    found: list[Entry] = []
    for block in re.split(r"(?m)^-- name:\s*", text)[1:]:
        lines = block.splitlines()
        marks = {match[1]: match[2] for line in lines if (match := re.match(r"--\s+(\w+):\s*(.*)", line))}
        body = "\n".join(line for line in lines[1:] if not re.match(r"--\s+(expect|tries|levels):", line))
        body = re.sub(r"(?m)^-- ---- .*$", "", body)
        parts = [part.strip() for part in re.split(r"(?m)^-- then$", body)]
        levels = [level for level in re.split(r"[,\s]+", marks.get("levels", "shared schema database")) if level]
        found.append(Entry(lines[0].strip(), marks["expect"].split()[0], levels, [part for part in parts if part]))
    return found


ENTRIES = entries()


@dataclass
class Attack:
    tenantry: Tenantry
    attacker: Tenant
    victim: Tenant
    values: dict[str, str]


@pytest.fixture(scope="module", params=["starter", "standard", "enterprise"])
def attack(request: Any, dev: Dev, tenantry_factory: TenantFactory, seeded: None) -> Iterator[Attack]:
    """An attacker and a victim at one level, on the only connection of each login."""
    tenantry = Tenantry(dev.settings(login_connections=1, statement_timeout_ms=5000, wait_seconds=10))
    made = [tenantry_factory.make(plan=request.param) for _ in range(2)]
    for each in made:
        with tenantry.tenant(each.tenant), tenantry.transaction() as tx:
            tx.execute((ROOT / "examples/chat/seed.sql").read_bytes())
            seed(tx, each.slug)
    attacker, victim = (each.tenant for each in made)
    with tenantry.tenant(victim), tenantry.transaction() as tx:
        message = tx.execute("SELECT min(id) FROM messages").fetchone()
    route = tenantry.client.route(victim.id)
    values = {
        "own_id": str(attacker.uuid),
        "victim_id": str(victim.uuid),
        "victim_hex": victim.uuid.hex,
        "victim_message_id": str(message[0]) if message else "",
        "victim_schema": route.schema if route.isolation == "schema" else f"t_{uuid.uuid4().hex}",
        "victim_role": route.login.role if route.isolation != "shared" else "postgres",
        "owner_role": "tenantry_ctx",
    }
    yield Attack(tenantry, attacker, victim, values)
    tenantry.close()
    for each in made:
        tenantry_factory.remove(each)


def test_the_list_is_read() -> None:
    assert len(ENTRIES) > 200
    assert {entry.expect for entry in ENTRIES} == {"refused", "contained", "metadata"}


def rows_of(tx: Any) -> list[Any]:
    return [
        tx.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
        for table in ("users", "channels", "messages", "files", "reactions", "channel_members")
    ]


def test_no_statement_reaches_a_neighbour(attack: Attack) -> None:
    tenantry = attack.tenantry
    with tenantry.tenant(attack.victim), tenantry.transaction() as tx:
        before = rows_of(tx)
    leaks: list[str] = []
    allowed: list[str] = []
    ran = 0
    for entry in ENTRIES:
        if attack.attacker.isolation not in entry.levels:
            continue
        heard: list[str] = []
        failure: Exception | None = None
        with (
            tenantry.tenant(attack.attacker),
            contextlib.suppress(psycopg.Error, TenantryError),
            tenantry.transaction() as tx,
        ):
            tx.add_notice_handler(lambda notice, heard=heard: heard.append(str(notice.message_primary)))
            tx.add_notify_handler(lambda notify, heard=heard: heard.append(notify.payload))
            for part in entry.parts:
                for name, value in attack.values.items():
                    part = part.replace("{" + name + "}", value)
                failure = send(tx, part, heard)
        ran += 1
        leaks += [f"{entry.name}: {each}" for each in heard if canary(attack.victim.slug) in each]
        if entry.expect == "refused" and failure is None:
            allowed.append(entry.name)
        # The next tenant on the same connection finds nothing and loses nothing.
        with tenantry.tenant(attack.victim), tenantry.transaction() as tx:
            assert tx.execute("SELECT tenantry.current_tenant()").fetchone() == (attack.victim.uuid,), entry.name
            assert rows_of(tx) == before, entry.name
            assert tx.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,), entry.name
            assert tx.execute("SELECT count(*) FROM pg_cursors WHERE is_holdable").fetchone() == (0,), entry.name
            assert tx.execute("SELECT count(*) FROM pg_listening_channels()").fetchone() == (0,), entry.name
        restore(attack)
    print(f"{attack.attacker.isolation}: {ran} statements, {len(leaks)} leaks")
    assert ran > 190
    assert leaks == []
    assert allowed == []


def send(tx: Any, part: str, heard: list[str]) -> Exception | None:
    """Sends one message as it is; what came back, and the error. A transaction that is over stays over."""
    try:
        if re.match(r"(?is)\s*copy\b.*\bto\s+stdout", part):
            with tx.cursor().copy(part.rstrip().rstrip(";")) as copy:
                heard += [bytes(data).decode("utf-8", "replace") for data in copy]
            return None
        if re.match(r"(?is)\s*copy\b.*\bfrom\s+stdin", part):
            with tx.cursor().copy(part.rstrip().rstrip(";")) as copy:
                copy.write(b"x\n")
            return None
        cursor = tx.execute(part.encode())
        while True:
            if cursor.description:
                heard += [repr(row) for row in cursor.fetchall()]
            if not cursor.nextset():
                return None
    except (psycopg.Error, TenantryError) as error:
        heard.append(f"{error} {getattr(getattr(error, 'diag', None), 'message_detail', '')}")
        return error
    except (UnicodeError, ValueError) as error:
        return error


def restore(attack: Attack) -> None:
    """An entry may change the sender's own rows and session."""
    attack.tenantry.pool.close()
    with attack.tenantry.tenant(attack.attacker), attack.tenantry.transaction() as tx:
        seed(tx, attack.attacker.slug)


def test_made_tenants_are_apart(attack: Attack) -> None:
    assert isinstance(attack.attacker, Tenant)
    assert attack.attacker.uuid != attack.victim.uuid
    assert MadeTenant(attack.victim).slug == attack.victim.slug
