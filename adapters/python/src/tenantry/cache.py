"""What is remembered of the control plane's answers, and for how long. Pure: time is an argument.

An answer is used until its age is over. After that it is used only while the control plane is unreachable, up to a
bound: the database has the last word, so a stale answer can be inconvenient and cannot show a foreign row.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

V = TypeVar("V")

RETRY_SECONDS = 1.0
"""How long an unreachable control plane is left alone before the next attempt."""


@dataclass(slots=True)
class Entry(Generic[V]):
    """An answer; `fresh_until` and `usable_until` are readings of the same clock."""

    value: V
    fresh_until: float
    usable_until: float


class Memory(Generic[V]):
    """A bounded map of answers; the longest unused ones go first. Not safe for threads by itself."""

    def __init__(self, entries: int, stale_seconds: float) -> None:
        self._entries: OrderedDict[Hashable, Entry[V]] = OrderedDict()
        self._most = entries
        self._stale_seconds = stale_seconds
        self._down_until = 0.0

    def __len__(self) -> int:
        return len(self._entries)

    def fresh(self, key: Hashable, now: float) -> V | None:
        """The answer, if it is still good."""
        entry = self._entries.get(key)
        if entry is None or now >= entry.fresh_until:
            return None
        self._entries.move_to_end(key)
        return entry.value

    def usable(self, key: Hashable, now: float) -> V | None:
        """The answer, however old within the bound: only for when the control plane cannot be asked."""
        entry = self._entries.get(key)
        return None if entry is None or now >= entry.usable_until else entry.value

    def keep(self, key: Hashable, value: V, now: float, max_age_ms: int) -> None:
        """Stores an answer that was asked for at `now`, and notes that the control plane is there."""
        self._down_until = 0.0
        self._entries[key] = Entry(value, now + max_age_ms / 1000, now + max(self._stale_seconds, max_age_ms / 1000))
        self._entries.move_to_end(key)
        while len(self._entries) > self._most:
            self._entries.popitem(last=False)

    def forget(self, key: Hashable) -> None:
        """Removes an answer for good: it is known to be wrong."""
        self._entries.pop(key, None)

    def expire(self, which: Callable[[V], bool]) -> None:
        """Makes answers ask again before they are used; they stay for when the control plane is unreachable."""
        for entry in self._entries.values():
            if which(entry.value):
                entry.fresh_until = float("-inf")

    def spare(self, key: Hashable, now: float) -> None:
        """Makes an old answer do for a while: the control plane answers, and said "not now" to this question."""
        self._down_until = 0.0
        entry = self._entries.get(key)
        if entry is not None:
            entry.fresh_until = min(now + RETRY_SECONDS, entry.usable_until)

    def note_down(self, now: float) -> None:
        """Notes that the control plane did not answer."""
        self._down_until = now + RETRY_SECONDS

    def is_down(self, now: float) -> bool:
        """Whether an attempt failed a moment ago, so that asking again would only wait."""
        return now < self._down_until

    def was_down(self) -> bool:
        """Whether the last attempt failed, however long ago."""
        return self._down_until > 0.0
