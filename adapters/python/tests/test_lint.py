"""The linter: good and bad models of both mappers, exemptions, and its command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tenantry.lint import judge, read
from tenantry.lint.__main__ import main

GOOD = {
    "scoped": "class User(TenantScoped, Base):\n    __tablename__ = 'users'\n",
    "attribute": "class User(Base):\n    __tablename__ = 'users'\n    tenant_id = mapped_column(Uuid)\n",
    "annotation": "class User(Base):\n    __tablename__ = 'users'\n    tenant_id: Mapped[UUID]\n",
    "another attribute": "class User(Base):\n    __tablename__ = 'users'\n    own = mapped_column('tenant_id', Uuid)\n",
    "a name by keyword": "class User(Base):\n    __tablename__ = 'users'\n    owner = Column(Uuid, name='tenant_id')\n",
    "mixin": "class Own:\n    tenant_id = Column(Uuid)\nclass User(Own, Base):\n    __tablename__ = 'users'\n",
    "mixin of a mixin": (
        "class Own:\n    @declared_attr\n    def tenant_id(cls): ...\nclass More(Own): ...\n"
        "class User(More, Base):\n    __tablename__ = 'users'\n"
    ),
    "dotted": "class User(tenantry.sqlalchemy.TenantScoped, Base):\n    __tablename__ = 'users'\n",
    "table": "users = Table('users', metadata, Column('tenant_id', Uuid), Column('id', Integer))\n",
    "table inside": "class User(Base):\n    __table__ = Table('users', m, Column('tenant_id', Uuid))\n",
    "abstract": "class Own(Base):\n    __abstract__ = True\n    __tablename__ = 'x'\n",
    "single table": "class User(TenantScoped, Base):\n    __tablename__ = 'users'\nclass Admin(User): ...\n",
    "reflected": "users = Table('users', metadata, autoload_with=engine)\n",
    "not a model": "class Table: ...\nclass User:\n    name: str\n",
    "django": "class User(models.Model):\n    tenant_id = models.UUIDField()\n",
    "django relation": "class User(models.Model):\n    tenant = models.ForeignKey(Tenant, models.CASCADE)\n",
    "django column": "class User(models.Model):\n    owner = models.UUIDField(db_column='tenant_id')\n",
    "django scoped": "class User(TenantScoped):\n    name = models.TextField()\n",
    "django abstract": "class Own(models.Model):\n    class Meta:\n        abstract = True\n",
    "django mixin": (
        "class Own(models.Model):\n    tenant_id = models.UUIDField()\n    class Meta:\n        abstract = True\n"
        "class User(Own):\n    name = models.TextField()\n"
    ),
    "django proxy": (
        "class User(models.Model):\n    tenant_id = models.UUIDField()\n"
        "class Admin(User):\n    class Meta:\n        proxy = True\n"
    ),
    "exempt": "class Country(Base):  # tenantry: exempt(the same for all)\n    __tablename__ = 'countries'\n",
    "exempt above": "# tenantry: exempt(the same for all)\nclass Country(Base):\n    __tablename__ = 'countries'\n",
    "exempt table": "countries = Table(  # tenantry: exempt(the same for all)\n    'countries', metadata)\n",
}

BAD = {
    "sqlalchemy": ("class User(Base):\n    __tablename__ = 'users'\n    id = Column(Integer)\n", "TNT001"),
    "wrong name": (
        "class User(Base):\n    __tablename__ = 'users'\n    tenant_id = Column('tenant', Uuid)\n",
        "TNT001",
    ),
    "computed name": ("class User(Base):\n    __tablename__ = name()\n", "TNT001"),
    "table": ("users = Table('users', metadata, Column('id', Integer))\n", "TNT001"),
    "dotted table": ("users = sa.Table('users', metadata, sa.Column('id', Integer))\n", "TNT001"),
    "inner table": ("class User(Base):\n    __table__ = Table('users', m, Column('id', Integer))\n", "TNT001"),
    "django": ("class User(models.Model):\n    name = models.TextField()\n", "TNT001"),
    "django dotted": ("class User(db.models.Model):\n    name = TextField()\n", "TNT001"),
    "django below": (
        "class Own(models.Model):\n    class Meta:\n        abstract = True\nclass User(Own):\n    x = TextField()\n",
        "TNT001",
    ),
    "django lookalike": ("class User(models.Model):\n    tenant = models.TextField()\n", "TNT001"),
    "joined": (
        "class User(TenantScoped, Base):\n    __tablename__ = 'users'\n"
        "class Other(Base):\n    __tablename__ = 'others'\n",
        "TNT001",
    ),
    "no reason": ("class Country(Base):  # tenantry: exempt()\n    __tablename__ = 'countries'\n", "TNT002"),
    "no brackets": ("class Country(Base):  # tenantry: exempt\n    __tablename__ = 'countries'\n", "TNT002"),
    "not needed": ("class User(TenantScoped, Base):  # tenantry: exempt(x)\n    __tablename__ = 'users'\n", "TNT003"),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_models_pass(name: str) -> None:
    assert judge([read(GOOD[name], "models.py")]) == []


@pytest.mark.parametrize("name", BAD)
def test_bad_models_are_found(name: str) -> None:
    text, rule = BAD[name]
    findings = judge([read(text, "models.py")])
    assert [finding.rule for finding in findings] == [rule]
    assert findings[0].line > 0
    assert findings[0].hint


def test_bases_are_followed_through_files() -> None:
    mixin = read("class Own:\n    tenant_id = Column(Uuid)\n", "mixins.py")
    model = read("from mixins import Own\nclass User(Own, Base):\n    __tablename__ = 'users'\n", "models.py")
    assert judge([mixin, model]) == []
    assert len(judge([model])) == 1


def test_exemptions_from_outside() -> None:
    source = read("class Country(Base):\n    __tablename__ = 'countries'\n", "models.py")
    assert judge([source], {"countries": "the same for all"}) == []
    assert judge([source], {"Country": "the same for all"}) == []
    assert [finding.rule for finding in judge([source], {"countries": ""})] == ["TNT002"]
    assert [finding.rule for finding in judge([source], {"countries": "x", "nothing": "x"})] == ["TNT003"]


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "good.py").write_text(GOOD["scoped"])
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "bad.py").write_text(BAD["django"][0])
    assert main([str(tmp_path)]) == 0
    (tmp_path / "bad.py").write_text(BAD["django"][0])
    assert main([str(tmp_path)]) == 1
    assert f"{tmp_path / 'bad.py'}:1: TNT001" in capsys.readouterr().out
    assert main([str(tmp_path), "--exempt", "User=shared on purpose"]) == 0
    assert main([str(tmp_path), "--format", "json"]) == 1
    out = capsys.readouterr().out
    assert json.loads(out)[0]["rule"] == "TNT001"
    (tmp_path / "worse.py").write_text("class (")
    assert main([str(tmp_path)]) == 2
    assert main([str(tmp_path / "missing")]) == 2


def test_it_runs_as_a_module(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(BAD["sqlalchemy"][0])
    done = subprocess.run(
        [sys.executable, "-m", "tenantry.lint", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "TNT001" in done.stdout


def test_our_own_models_pass() -> None:
    """The models of these tests are real ones; the linter and the suites agree about them."""
    folder = Path(__file__).parent
    files = [folder / "shop" / "models.py", folder / "test_sqlalchemy.py"]
    findings = judge([read(file.read_text(), str(file)) for file in files])
    # Reference data, and second views of scoped tables, which say so nowhere.
    assert {finding.message.split("`")[1] for finding in findings} == {"Country", "PlacedChannel", "UnsafeRow"}
