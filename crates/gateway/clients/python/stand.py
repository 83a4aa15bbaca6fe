"""The gateway of `examples/stand.rs` with its tenants, for as long as the program which asked for it."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading

# The longest that it may take to make tenants, and to end.
SECONDS = 180


@contextlib.contextmanager
def stand(program, **settings):
    """Gives the folder with `places.json` and `poolers.json`. The stand ends when its input does."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tenantry-stand-"))
    environment = {**os.environ, **{name.upper(): str(value) for name, value in settings.items()}}
    try:
        with open(folder / "log", "w+") as log:
            process = subprocess.Popen(
                [program, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
            )
            late = threading.Timer(SECONDS, process.kill)
            late.start()
            try:
                if process.stdout.readline().strip() != "ready":
                    process.wait()
                    raise SystemExit(f"error: the gateway does not start: {(folder / 'log').read_text()[-2000:]}")
                late.cancel()
                yield folder
            finally:
                late.cancel()
                process.stdin.close()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(SECONDS)
                process.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
