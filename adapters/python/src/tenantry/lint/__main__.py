"""The command line of the linter. Exit code 0: nothing found; 1: findings; 2: it could not look."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from tenantry.lint import Source, Unreadable, judge, read

_SKIPPED = {".git", ".venv", "venv", "node_modules", "__pycache__", "site-packages", "build", "dist"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the linter."""
    parser = argparse.ArgumentParser(
        prog="python -m tenantry.lint",
        description="Flags SQLAlchemy and Django models and tables without the column `tenant_id`.",
        epilog="Exit code 0: nothing found; 1: findings; 2: a file or argument cannot be read.",
    )
    parser.add_argument("paths", nargs="+", type=Path, help="files, or folders to look into")
    parser.add_argument(
        "--exempt", action="append", default=[], metavar="TABLE=REASON", help="a table or model of nobody's rows"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how findings are written")
    given = parser.parse_args(arguments)
    exempt = {name: reason for name, _, reason in (each.partition("=") for each in given.exempt)}
    sources: list[Source] = []
    unreadable = False
    for path in given.paths:
        if not path.exists():
            print(f"error: {path} does not exist", file=sys.stderr)
            unreadable = True
            continue
        for file in _files(path):
            try:
                sources.append(read(file.read_text(encoding="utf-8"), str(file)))
            except (Unreadable, OSError, UnicodeDecodeError) as error:
                print(f"error: {file} cannot be read: {error}", file=sys.stderr)
                unreadable = True
    findings = judge(sources, exempt)
    if given.format == "json":
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            print(f"{finding.file}:{finding.line}: {finding.rule} {finding.message}. {finding.hint}")
    return 2 if unreadable else 1 if findings else 0


def _files(path: Path) -> Iterable[Path]:
    if path.is_file():
        return [path]
    return sorted(
        file for file in path.rglob("*.py") if not _SKIPPED & set(file.relative_to(path).parts[:-1]) and file.is_file()
    )


if __name__ == "__main__":
    sys.exit(main())
