"""The test kit, as a project of somebody else uses it: two lines of set-up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from world import Dev

from tenantry import ControlPlaneUnavailable, TenantNotFound, Tenantry
from tenantry.client import headers
from tenantry.known import Look
from tenantry.testing import TenantFactory


@pytest.mark.parametrize(
    ("plan", "isolation"), [("starter", "shared"), ("standard", "schema"), ("enterprise", "database")]
)
def test_a_tenant_and_its_user_are_made_and_removed(tenantry: Tenantry, plan: str, isolation: str) -> None:
    def user(tenant: object) -> str:
        with tenantry.transaction() as tx:
            row = tx.execute(
                "INSERT INTO users (email, display_name) VALUES ('first@a.example', 'First') RETURNING email"
            ).fetchone()
        return str(row[0]) if row else ""

    with TenantFactory(tenantry, plan=plan, make_user=user) as factory:
        made = factory.make()
        assert made.tenant.isolation == isolation
        assert made.user == "first@a.example"
        with tenantry.tenant(made.slug), tenantry.transaction() as tx:
            assert tx.execute("SELECT count(*) FROM users").fetchone() == (1,)
    with pytest.raises(TenantNotFound):
        tenantry.find(made.slug, Look.FRESH)


def test_a_change_that_takes_longer_is_followed(tenantry: Tenantry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenantry.testing.factory.WAIT_SECONDS", 1)
    with TenantFactory(tenantry, plan="enterprise") as factory:
        operations = factory._http.get(
            "/v1/environments/prod/operations", headers=headers(tenantry.settings.read_token())
        ).json()["items"]
        ended = next(each["id"] for each in operations if each["status"] == "completed")
        factory._await("POST", ended)
        with pytest.raises(ControlPlaneUnavailable, match="HTTP"):
            factory._await("POST", "op_01jd8x3v9mfk2t5h7q0w4z6y8c")
        assert factory.make().tenant.is_open


SAMPLE = """
import uuid
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from tenantry.sqlalchemy import TenantScoped
from tenantry.testing import scope_suite, sqlalchemy_models

class Base(DeclarativeBase): pass

class User(TenantScoped, Base):
    __tablename__ = "users"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    email: Mapped[str]
    display_name: Mapped[str]

EXTRA

EXAMPLES = {User: lambda s: User(email=f"{uuid.uuid4().hex}@a.example", display_name="x")}
TestScope = scope_suite(sqlalchemy_models(Base), EXAMPLES)

def test_a_tenant_of_my_own(make_tenant, tenantry_instance):
    made = make_tenant()
    with tenantry_instance.tenant(made.slug), tenantry_instance.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM users").fetchone() == (0,)
"""

FORGOTTEN = """
class Channel(Base):
    __tablename__ = "channels"
    id: Mapped[int] = mapped_column(primary_key=True)
"""


def sample(dev: Dev, folder: Path, extra: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_sample.py").write_text(SAMPLE.replace("EXTRA", extra))
    environment = {**os.environ, "TENANTRY_URL": dev.url, "TENANTRY_TOKEN_FILE": dev.token_file}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=folder, check=False, timeout=120
    )


def test_a_sample_project_passes(dev: Dev, tmp_path: Path) -> None:
    done = sample(dev, tmp_path, "")
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


def test_a_model_without_an_example_makes_the_sample_fail(dev: Dev, tmp_path: Path) -> None:
    done = sample(dev, tmp_path, FORGOTTEN)
    assert done.returncode == 1
    assert "give an example for Channel" in done.stdout
