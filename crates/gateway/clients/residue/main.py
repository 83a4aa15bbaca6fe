"""What a pooler lets through from one tenant to the other; called by scripts/residue.

Three parts: what a server session keeps for the next tenant (25 vectors), what a tenant can do to be taken for another
one, and what everybody on one PostgreSQL can see of others by design. The same is done to every pooler in the file and
to PgBouncer, and the results stand beside each other.
"""

import argparse
import contextlib
import json
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "python"))

import bouncer  # noqa: E402
import stand  # noqa: E402
import tables  # noqa: E402
import forgeries  # noqa: E402
import logins  # noqa: E402, F401
import messages  # noqa: E402, F401
import neighbours  # noqa: E402, F401
from pooler import ATTEMPTS, Outcome, Pooler  # noqa: E402
from vectors import VECTORS  # noqa: E402

KEYS = {"name", "a", "b", "enter", "wide", "admin"}


def attempts():
    """Everything, as (part, group, title, how)."""
    for name, title, run in VECTORS:
        yield "residue", name, title, run
    for group, entries in forgeries.GROUPS.items():
        how = forgeries.run_sealed if group == "the seal" else forgeries.run
        for entry in entries:
            yield "forgery", group, entry.name, lambda pooler, how=how, entry=entry: how(pooler, entry, pooler.before)
    for group, name, run in sorted(ATTEMPTS, key=lambda one: one[0] == "limits"):
        yield "limit" if group == "limits" else "forgery", group, name, run


def try_one(pooler, run):
    try:
        outcome = run(pooler)
    except Exception as error:
        outcome = Outcome("error", f"{type(error).__name__}: {error}")
    pooler.scrub()
    return outcome


def try_all(pooler, chosen, verbose):
    """Runs everything on one pooler. B's rows are looked at after every attempt."""
    pooler.check()
    pooler.before = pooler.state()
    results = []
    for part, group, title, run in chosen:
        began = time.monotonic()
        outcome = try_one(pooler, run)
        try:
            state = pooler.state()
        except Exception as error:
            outcome, state = Outcome("error", f"B cannot read its rows afterwards: {error}"), pooler.before
        if state != pooler.before:
            outcome = Outcome(
                "SUCCEEDED" if part == "forgery" else "LEAKED", f"the rows of B changed: {outcome.detail}"
            )
            pooler.before = state
        results.append(
            {
                "part": part,
                "group": group,
                "title": title,
                "outcome": outcome.word,
                "detail": outcome.detail,
                "ms": round((time.monotonic() - began) * 1e3),
            }
        )
        if verbose or outcome.word == "error":
            print(f"{pooler.name}: {title}: {outcome.word} {outcome.detail[:200]}", file=sys.stderr, flush=True)
    return results


def count(results, part, *words):
    return sum(result["part"] == part and result["outcome"] in words for result in results)


def summary(name, results, is_shared):
    tried = sum(result["part"] == "forgery" and result["outcome"] != "not tried" for result in results)
    errors = sum(result["outcome"] == "error" for result in results)
    residue = sum(result["part"] == "residue" for result in results)
    text = (
        f"{name}: {count(results, 'residue', 'LEAKED')} of {residue} residue vectors leak, "
        f"{count(results, 'forgery', 'SUCCEEDED')} of {tried} forgery attempts succeed; "
        f"both tenants were served by {'one server session' if is_shared else 'server sessions of their own'}"
    )
    return f"{text}, {errors} could not be carried out" if errors else text


def markdown(all_results, shared):
    names = list(all_results)
    parts = []
    titles = {"residue": "Left behind", "forgery": "Attempt", "limit": "By design of PostgreSQL"}
    for part, heading in titles.items():
        rows = [result for result in all_results[names[0]] if result["part"] == part]
        if not rows:
            continue
        lines = []
        for row in rows:
            same = [
                next(other for other in all_results[name] if (other["part"], other["title"]) == (part, row["title"]))
                for name in names
            ]
            title = row["title"] if part == "residue" else f"{row['group']}: {row['title']}"
            lines.append([title, *map(cell, same)])
        parts.append(tables.table([heading, *names], lines))
    parts += [f"- {summary(name, results, shared[name])}\n" for name, results in all_results.items()]
    return "\n".join(parts[: -len(all_results)]) + "\n" + "".join(parts[-len(all_results) :])


def cell(result):
    word = result["outcome"]
    return f"**{word.lower()}**" if word in ("LEAKED", "SUCCEEDED", "error", "seen") else word


def read(path):
    try:
        entries = json.loads(pathlib.Path(path).read_text())["poolers"]
        for index, entry in enumerate(entries):
            if unknown := set(entry) - KEYS:
                raise ValueError(f"poolers[{index}]: unknown: {', '.join(sorted(unknown))}")
            if missing := {"name", "a", "b"} - set(entry):
                raise ValueError(f"poolers[{index}]: missing: {', '.join(sorted(missing))}")
        return entries
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(
            f'error: {path}: {error}; it must hold {{"poolers": [{{"name", "a": {{"dsn", "tenant", "canary"}}, "b": …}}, …]}}',
            file=sys.stderr,
        )
        sys.exit(2)


def main():
    parser = argparse.ArgumentParser(
        prog="scripts/residue", description="Tries what a pooler lets through between two tenants."
    )
    parser.add_argument(
        "file",
        nargs="?",
        help='JSON: {"poolers": [{"name", "a", "b", "enter"?, "wide"?, "admin"?}, …]}; '
        "without it a gateway with tenants at every level is started",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="TEXT",
        help="attempts whose group or title has this; may be given again",
    )
    parser.add_argument("--no-pgbouncer", action="store_true", help="only the gateway, or what the file names")
    parser.add_argument("--no-gateway", action="store_true", help="only PgBouncer")
    parser.add_argument("--list", action="store_true", help="print what is tried")
    parser.add_argument("--stand", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", metavar="FILE", help="write all results there")
    parser.add_argument(
        "--markdown", metavar="FILE", help="write the table there, or between the page's marks `residue`"
    )
    parser.add_argument("--verbose", action="store_true", help="every outcome as it comes")
    options = parser.parse_args()
    if options.no_gateway and (options.file or options.no_pgbouncer):
        parser.error("--no-gateway leaves nothing but PgBouncer")
    chosen = [
        one for one in attempts() if not options.only or any(text in one[1] or text in one[2] for text in options.only)
    ]
    if not chosen:
        parser.error("nothing is left to try")
    if options.list:
        print("\n".join(f"{group}: {title}" for _, group, title, _ in chosen))
        return 0
    all_results, shared, failed = {}, {}, False
    with contextlib.ExitStack() as stack:
        entries = read(options.file) if options.file else []
        if not (options.file or options.no_gateway):
            # A pool of one: whatever a session keeps, the next tenant gets.
            folder = stack.enter_context(stand.stand(options.stand, pool=1))
            entries = read(folder / "poolers.json")
        ours = len(entries)
        if not options.no_pgbouncer:
            entries.append(stack.enter_context(bouncer.places()))
        for index, entry in enumerate(entries):
            pooler = Pooler(entry)
            try:
                shared[pooler.name] = pooler.is_shared()
                all_results[pooler.name] = try_all(pooler, chosen, options.verbose)
            except Exception as error:
                print(f"error: {error}", file=sys.stderr)
                return 1
            # What PgBouncer lets through is a finding. An attempt that cannot be carried out is a failure everywhere.
            bad = ("LEAKED", "SUCCEEDED", "error") if index < ours else ("error",)
            failed |= any(result["outcome"] in bad for result in all_results[pooler.name])
    table = markdown(all_results, shared)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(all_results, indent=1, ensure_ascii=False) + "\n")
    if options.markdown:
        tables.write(options.markdown, "residue", table)
    else:
        print(table, end="")
    for name, results in all_results.items():
        print(f"residue: {summary(name, results, shared[name])}")
    return 1 if failed else 0


if __name__ == "__main__":
    # The servers that were started for this end with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
