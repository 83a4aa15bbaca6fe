"""pgbench: the same script in simple, extended and prepared mode, many clients at once, and a pipeline."""

import subprocess
import sys
import tempfile

from program import FOREIGN, OWN, ROWS, Program, holds, same

program = Program(
    "pgbench", subprocess.run(["pgbench", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
)
MARK = program.mark

# Every transaction looks whether it sees its own rows and no others; a wrong number ends the client with an error.
NOTES = """
\\set number random(1, 1000000)
SELECT count(*) AS rows FROM note WHERE body NOT LIKE 'client %' \\gset
\\if :rows <> {rows}
SELECT 1 / 0;
\\endif
BEGIN;
INSERT INTO note (body) VALUES ('{mark} ' || :number) RETURNING id AS key \\gset
UPDATE note SET body = body || '!' WHERE id = :key;
SELECT count(*) AS changed FROM note WHERE id = :key AND body LIKE '{mark} %!' \\gset
DELETE FROM note WHERE id = :key;
END;
\\if :changed <> 1
SELECT 1 / 0;
\\endif
SELECT count(*) AS foreign FROM note WHERE body LIKE '%{foreign}%' \\gset
SELECT count(*) AS own FROM note WHERE body LIKE '%{own}%' \\gset
\\if :foreign <> 0 or :own <> 1
SELECT 1 / 0;
\\endif
"""

PIPELINE = """
\\set number random(1, 1000000)
\\startpipeline
SELECT count(*) FROM note WHERE id <> :number;
BEGIN;
INSERT INTO note (body) VALUES ('{mark} ' || :number);
SELECT count(*) FROM note;
ROLLBACK;
SELECT body FROM note;
\\endpipeline
"""


def bench(text, mode, *options, clients=8, turns=50):
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(text.format(rows=ROWS, mark=MARK, own=OWN.replace("'", "''"), foreign=FOREIGN.replace("'", "''")))
        script.flush()
        done = subprocess.run(
            [
                "pgbench",
                "--no-vacuum",
                "--protocol",
                mode,
                "--client",
                str(clients),
                "--jobs",
                "2",
                "--transactions",
                str(turns),
                "--file",
                script.name,
                *options,
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )
    print(done.stdout, done.stderr, file=sys.stderr)
    same(done.returncode, 0, f"exit code ({done.stderr.strip()[-300:]})")
    holds(
        f"number of transactions actually processed: {clients * turns}/{clients * turns}" in done.stdout,
        "all are processed",
    )
    holds("number of failed transactions: 0 " in done.stdout, "none fails")


def each(name, text, mode, *options, **settings):
    program.checks.append((name, lambda: bench(text, mode, *options, **settings)))


for mode in ("simple", "extended", "prepared"):
    each(mode, NOTES, mode)
each("reconnect", NOTES, "extended", "--connect", clients=2, turns=10)
each("pipeline", PIPELINE, "extended")
each("pipeline_prepared", PIPELINE, "prepared")
program.run()
