"""The arithmetic of the seal: our half of what `seal.arm` and `seal.enter` compute in the database.

The key never travels. A backend is armed once with a proof that holds for this backend only; from then on a token made
of the backend's capability lets one tenant in, at one generation. Nothing here does I/O.
"""

from __future__ import annotations

import hashlib
import struct
import uuid
from dataclasses import dataclass, field

_ARM = b"tenantry seal arm 1"
_CAPABILITY = b"tenantry seal capability 1"
_ENTER = b"tenantry seal enter 1"


@dataclass(frozen=True, slots=True)
class Backend:
    """A server process, as `seal.hello` tells it: process id, and start in microseconds."""

    pid: int
    started: int


@dataclass(frozen=True, slots=True)
class Capability:
    """The secret shared with one armed backend; 16 bytes."""

    secret: bytes = field(repr=False)

    def token(self, tenant: uuid.UUID, generation: int) -> bytes:
        """What lets a transaction of `tenant` in, as long as `generation` is the current one."""
        return hashlib.sha256(_ENTER + self.secret + tenant.bytes + struct.pack(">q", generation)).digest()


def proof(key: bytes, backend: Backend) -> bytes:
    """What `seal.arm` asks for on this backend."""
    return _mac(key, _ARM, backend)


def capability(key: bytes, backend: Backend) -> Capability:
    """What this backend knows once it is armed."""
    return Capability(_mac(key, _CAPABILITY, backend)[:16])


def _mac(key: bytes, text: bytes, backend: Backend) -> bytes:
    inner = hashlib.sha256(key + text + struct.pack(">iq", backend.pid, backend.started)).digest()
    return hashlib.sha256(key + inner).digest()
