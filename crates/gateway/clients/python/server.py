"""A private PostgreSQL, with and without TLS, that lasts as long as the program which asked for it."""

import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def stand_in():
    """Whom to become, because PostgreSQL and PgBouncer refuse to run as root; None for everybody else."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise SystemExit("error: there is neither a user `postgres` nor `nobody` to run a server as")


def as_user(user):
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def certificates(folder):
    """A certificate authority and a certificate for 127.0.0.1 and localhost, good for a day."""

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "1", "-subj", "/CN=test authority")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl(
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-out",
        "server.pem",
        "-days",
        "1",
        "-extfile",
        "names",
    )


class Postgres:
    """`with Postgres() as server`: listens on 127.0.0.1, superuser `postgres` with the password `postgres`."""

    def __init__(self, **settings):
        self.settings = {"fsync": "off", "max_connections": 60, "shared_buffers": "32MB", **settings}

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tenantry-clients-"))
        try:
            self._start()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        return self

    def _start(self):
        self.port, self.user = free_port(), stand_in()
        certificates(self.folder)
        (self.folder / "password").write_text("postgres")
        self._own(self.folder, *self.folder.iterdir())
        self.folder.chmod(0o755)
        self.root_certificate = self.folder / "ca.pem"
        data = self.folder / "data"
        self._run(
            "initdb",
            "-D",
            data,
            "-U",
            "postgres",
            "--pwfile",
            self.folder / "password",
            "-A",
            "scram-sha-256",
            "-N",
            "--locale=C.UTF-8",
            "-E",
            "UTF8",
        )
        settings = {
            **self.settings,
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            "ssl": "on",
            "ssl_cert_file": self.folder / "server.pem",
            "ssl_key_file": self.folder / "server.key",
        }
        with open(data / "postgresql.conf", "a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        self._run("pg_ctl", "-D", data, "-w", "-l", self.folder / "log", "start")

    def __exit__(self, *_):
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database="postgres", user="postgres", password="postgres", tls=False):
        mode = f"sslmode=verify-full&sslrootcert={self.root_certificate}" if tls else "sslmode=disable"
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}?{mode}"

    def sql(self, text, database="postgres"):
        command = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", self.url(database)]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout

    def _own(self, *paths):
        if self.user:
            for path in paths:
                os.chown(path, self.user.pw_uid, self.user.pw_gid)
                path.chmod(0o700 if path.is_dir() else 0o600)
        (self.folder / "ca.pem").chmod(0o644)

    def _run(self, *command):
        done = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            **as_user(self.user),
        )
        if done.returncode:
            log = self.folder / "log"
            raise SystemExit(f"error: {command[0]} failed: {done.stdout}{log.read_text() if log.exists() else ''}")
