"""What is wrong with the models of all files together. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tenantry.lint.read import Class, Source

TENANT_COLUMN = "tenant_id"

_SCOPED = {"TenantScoped"}
"""Classes of this package that bring the column."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One finding. `line` counts from 1."""

    file: str
    line: int
    rule: str
    message: str
    hint: str


def judge(sources: Iterable[Source], exempt: Mapping[str, str] | None = None) -> list[Finding]:
    """All findings, by file and line. `exempt` maps tables or models to reasons."""
    sources = list(sources)
    given = dict(exempt or {})
    used: set[str] = set()
    by_name: dict[str, list[Class]] = {}
    for source in sources:
        for each in source.classes:
            by_name.setdefault(each.name, []).append(each)
    findings: list[Finding] = []
    for source in sources:
        for each in source.classes:
            family = _family(each, by_name)
            if _is_model(each, family):
                scoped = any(TENANT_COLUMN in one.columns or _SCOPED & {one.name, *one.bases} for one in family)
                names = (each.name, each.table or each.name)
                findings += _verdict("model", names, each.file, each.line, scoped, each.exemption, given, used)
            elif each.exemption is not None:
                findings.append(_stale(each.name, each.file, each.line))
        for table in source.tables:
            scoped = TENANT_COLUMN in table.columns
            names = (table.name, table.name)
            findings += _verdict("table", names, table.file, table.line, scoped, table.exemption, given, used)
    for name, reason in given.items():
        if not reason.strip():
            findings.append(_reasonless(name, "--exempt", 0))
        if name not in used:
            findings.append(_stale(name, "--exempt", 0))
    return sorted(findings)


def _verdict(
    kind: str,
    names: tuple[str, str],
    file: str,
    line: int,
    scoped: bool,
    exemption: str | None,
    given: Mapping[str, str],
    used: set[str],
) -> list[Finding]:
    named = [name for name in names if name in given]
    if scoped:
        return [_stale(names[0], file, line)] if exemption is not None else []
    used.update(named)
    if exemption is not None:
        return [] if exemption else [_reasonless(names[0], file, line)]
    if named:
        return []
    message = f"{kind} `{names[0]}` has no column `{TENANT_COLUMN}`"
    hint = "Derive it from TenantScoped, or say `# tenantry: exempt(why its rows are nobody's)` on its line."
    return [Finding(file, line, "TNT001", message, hint)]


def _reasonless(name: str, file: str, line: int) -> Finding:
    return Finding(file, line, "TNT002", f"the exemption of `{name}` has no reason", "Say why its rows are nobody's.")


def _stale(name: str, file: str, line: int) -> Finding:
    return Finding(file, line, "TNT003", f"the exemption of `{name}` is not needed", "Remove it.")


def _family(each: Class, by_name: dict[str, list[Class]]) -> list[Class]:
    """A class and all that it may derive from. Of several classes with one name those of the same file are meant."""
    family: list[Class] = []
    waiting = [each]
    while waiting:
        one = waiting.pop()
        if any(one is known for known in family):
            continue
        family.append(one)
        for base in one.bases:
            found = by_name.get(base, [])
            near = [candidate for candidate in found if candidate.file == one.file]
            waiting += near or found
    return family


def _is_model(each: Class, family: list[Class]) -> bool:
    if each.is_abstract or each.is_proxy:
        return False
    # A SQLAlchemy class without a table of its own, below a model, lives in the model's table.
    return each.table is not None or any("models.Model" in one.bases for one in family)
