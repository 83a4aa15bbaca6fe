"""Two tenants behind one pooler, and how an application lets each of them in there."""

import contextlib

from wire import Ended, Session, Target

# Settings that say whose transaction it is: the seal's register, its signed form, and what applications use today.
REGISTERS = {"backtrace_functions": "hex", "tenantry.context": "uuid", "app.tenant_id": "uuid"}
# How many rows each tenant has before anything is tried.
ROWS = 3


class Outcome:
    """What came of one attempt. `bad` ones got through."""

    def __init__(self, word, detail=""):
        self.word, self.detail = word, " ".join(str(detail).split())[:300]

    @property
    def is_bad(self):
        return self.word in ("LEAKED", "SUCCEEDED", "error")


def leaked(detail=""):
    return Outcome("LEAKED", detail)


def clean(detail=""):
    return Outcome("clean", detail)


def refused(detail=""):
    return Outcome("refused", detail)


ATTEMPTS = []


def attempt(group, name):
    """Registers an attempt that is a function."""

    def register(function):
        ATTEMPTS.append((group, name, function))
        return function

    return register


def nothing_to_try(why):
    return Outcome("not tried", why)


class Side:
    """One tenant."""

    def __init__(self, entry, wide=None):
        self.target = Target(entry["dsn"])
        self.wide = Target(wide) if wide else self.target
        self.tenant, self.canary, self.slug = entry["tenant"], entry["canary"], entry.get("slug", "")

    @property
    def hex(self):
        return self.tenant.replace("-", "")

    def session(self, **how):
        return Session(self.target, **how)

    def beside(self, **how):
        """A session on a pool where more than one transaction at a time fits."""
        return Session(self.wide, **how)


class Pooler:
    def __init__(self, entry):
        self.name, self.enter = entry["name"], entry.get("enter")
        wide = entry.get("wide", {})
        self.a, self.b = Side(entry["a"], wide.get("a")), Side(entry["b"], wide.get("b"))
        self.admin = Target(entry["admin"]) if entry.get("admin") else None
        self.has_one_login = self.a.target.user == self.b.target.user

    def begin(self, session, side):
        """Begins a transaction of this tenant as its application does."""
        reply = session.query("BEGIN")
        if self.enter and not reply.error:
            reply = session.query(self.enter.format(tenant=side.tenant))
        if reply.error:
            raise AssertionError(f"the application's own transaction does not begin: {reply}")

    def within(self, session, side, *statements):
        """Runs statements in a transaction of this tenant; gives the reply to the last one."""
        self.begin(session, side)
        reply = None
        for sql in statements:
            reply = session.query(sql)
            if reply.error:
                break
        session.query("ROLLBACK" if session.status == "E" else "COMMIT")
        return reply

    def state(self):
        """What the other tenant has; must never change by what the first one does."""
        with self.b.session() as b:
            reply = self.within(b, self.b, "SELECT id, body FROM note ORDER BY id")
            if reply.error:
                raise AssertionError(f"the other tenant cannot read its rows: {reply}")
            if self.a.canary.encode() in b.heard:
                raise AssertionError("the other tenant is handed rows of the first one")
            return reply.rows

    def is_shared(self):
        """Whether the second tenant is served by the session that served the first."""
        with self.a.session() as a, self.b.session() as b:
            return a.query("SELECT pg_backend_pid()").value == b.query("SELECT pg_backend_pid()").value

    def scrub(self, side=None):
        """Empties the server session behind a pool of one, so that no attempt stands in the way of the next."""
        for one in [side] if side else [self.a, self.b]:
            with contextlib.suppress(Ended, OSError), one.session() as session:
                for sql in ("ROLLBACK", "RESET SESSION AUTHORIZATION", "DISCARD ALL"):
                    session.query(sql)

    def check(self):
        """Whether everything is as the attempts expect it."""
        for side in (self.a, self.b):
            other = self.b if side is self.a else self.a
            with side.session() as session:
                reply = self.within(session, side, "SELECT body FROM note")
                bodies = [body for (body,) in reply.rows]
                if reply.error or len(bodies) != ROWS or side.canary not in " ".join(bodies):
                    raise AssertionError(
                        f"{self.name}: {side.tenant} should have {ROWS} rows with `{side.canary}`: {reply}"
                    )
                if other.canary.encode() in session.heard:
                    raise AssertionError(
                        f"{self.name}: {side.tenant} sees the other tenant's rows before anything was tried"
                    )
