"""Source text in, what it says about models out. No code is imported or run."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from dataclasses import dataclass, field

_EXEMPT = re.compile(r"#\s*tenantry:\s*exempt\b(?:\s*\((?P<reason>.*)\))?\s*$")

_COLUMN_CALLS = {"Column", "mapped_column", "column_property"}


class Unreadable(Exception):
    """A file that cannot be parsed."""


@dataclass(slots=True)
class Class:
    """A class, as its text tells it."""

    name: str
    file: str
    line: int
    bases: list[str]
    columns: set[str] = field(default_factory=set)
    table: str | None = None
    """SQLAlchemy's `__tablename__`, or Django's `db_table`."""
    is_abstract: bool = False
    is_proxy: bool = False
    exemption: str | None = None
    """The reason that was given; empty for an exemption without one, None for no exemption."""


@dataclass(slots=True)
class Table:
    """A call of SQLAlchemy's `Table`."""

    name: str
    file: str
    line: int
    columns: set[str]
    exemption: str | None


@dataclass(slots=True)
class Source:
    """What one file holds."""

    classes: list[Class] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def read(text: str, file: str) -> Source:
    """Reads one file. Raises `Unreadable`."""
    try:
        tree = ast.parse(text, file)
        comments = _comments(text)
    except (SyntaxError, ValueError, tokenize.TokenError, RecursionError) as error:
        raise Unreadable(f"{file}: {error}") from None
    source = Source()
    inside: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            found = _class(node, file, comments)
            source.classes.append(found)
            for part in node.body:
                if _names(part) & {"__table__"}:
                    inside.update(id(call) for call in ast.walk(part) if isinstance(call, ast.Call))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and id(node) not in inside and _last(node.func) == "Table":
            table = _table(node, file, comments)
            if table is not None:
                source.tables.append(table)
    return source


def _comments(text: str) -> dict[int, str]:
    found: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            match = _EXEMPT.search(token.string)
            if match:
                found[token.start[0]] = (match["reason"] or "").strip()
    return found


def _class(node: ast.ClassDef, file: str, comments: dict[int, str]) -> Class:
    found = Class(node.name, file, node.lineno, [_last(base) for base in node.bases])
    head = range(node.lineno, (node.body[0].lineno if node.body else node.lineno) + 1)
    found.exemption = _exemption(head, node.lineno, comments)
    for part in node.body:
        value = part.value if isinstance(part, ast.Assign | ast.AnnAssign) else None
        for name in _names(part):
            if name == "__tablename__":
                found.table = value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else "?"
            elif name == "__abstract__":
                found.is_abstract = isinstance(value, ast.Constant) and value.value is True
            elif name == "__table__":
                found.table = "?"
                if isinstance(value, ast.Call):
                    found.columns |= _table_columns(value)
            elif value is not None or isinstance(part, ast.AnnAssign):
                found.columns |= _attribute_columns(name, value)
        if isinstance(part, ast.FunctionDef) and any(_last(mark) == "declared_attr" for mark in part.decorator_list):
            if part.name == "__tablename__":
                # A mixin that names the tables of its subclasses; those are the models.
                found.table = found.table or None
            else:
                found.columns.add(part.name)
        if isinstance(part, ast.ClassDef) and part.name == "Meta":
            _meta(part, found)
    return found


def _meta(node: ast.ClassDef, found: Class) -> None:
    for part in node.body:
        if not isinstance(part, ast.Assign) or not isinstance(part.value, ast.Constant):
            continue
        for name in _names(part):
            if name == "abstract":
                found.is_abstract = part.value.value is True
            elif name == "proxy":
                found.is_proxy = part.value.value is True
            elif name == "db_table" and isinstance(part.value.value, str):
                found.table = part.value.value


def _attribute_columns(name: str, value: ast.expr | None) -> set[str]:
    """The names that an attribute may have as a column."""
    columns = {name}
    if isinstance(value, ast.Call):
        kind = _last(value.func)
        if kind in ("ForeignKey", "OneToOneField"):
            # Django's column of a relation.
            columns.add(name + "_id")
        if kind in _COLUMN_CALLS and value.args and isinstance(value.args[0], ast.Constant):
            # The first text is the column's name; the attribute is not.
            columns = {str(value.args[0].value)}
        for keyword in value.keywords:
            if keyword.arg in ("db_column", "name") and isinstance(keyword.value, ast.Constant):
                columns = {str(keyword.value.value)}
    return columns


def _table(node: ast.Call, file: str, comments: dict[int, str]) -> Table | None:
    if not node.args or not isinstance(node.args[0], ast.Constant) or not isinstance(node.args[0].value, str):
        return None
    if any(keyword.arg in ("autoload_with", "autoload") for keyword in node.keywords):
        # Its columns are not in the text.
        return None
    last = node.end_lineno or node.lineno
    exemption = _exemption(range(node.lineno, last + 1), node.lineno, comments)
    return Table(node.args[0].value, file, node.lineno, _table_columns(node), exemption)


def _table_columns(node: ast.Call) -> set[str]:
    columns: set[str] = set()
    for argument in node.args:
        if isinstance(argument, ast.Call) and _last(argument.func) == "Column" and argument.args:
            first = argument.args[0]
            if isinstance(first, ast.Constant):
                columns.add(str(first.value))
        elif isinstance(argument, ast.Call) and _last(argument.func) == "tenant_column":
            columns.add("tenant_id")
    return columns


def _exemption(lines: range, first: int, comments: dict[int, str]) -> str | None:
    for line in (first - 1, *lines):
        if line in comments:
            return comments[line]
    return None


def _names(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    return set()


def _last(node: ast.expr) -> str:
    """The last word of a dotted name; of `Mapped[int]` and `base()` the word before the brackets."""
    if isinstance(node, ast.Subscript):
        return _last(node.value)
    if isinstance(node, ast.Call):
        return _last(node.func)
    if isinstance(node, ast.Attribute):
        # `models.Model` and `db.Model` are told from a class that is called Model.
        return "models.Model" if node.attr == "Model" else node.attr
    return node.id if isinstance(node, ast.Name) else ""
