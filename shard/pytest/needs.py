"""What tests need of the memory, and what there is, in bytes. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple


class Need(NamedTuple):
    """What a test's worker holds over its floor during the test at most, what
    the test leaves behind, and what it surely adds to what its worker holds
    before it."""

    need: int = 0
    kept: int = 0
    low: int = 0

    def over(self, inherited: int) -> int:
        """Return what it needs on top of what a worker holds that has so much
        over its floor. The plan reckons the same: shard/fit.go, demand."""
        return max(self.low, self.kept, self.need - max(0, inherited))


NOTHING = Need()


class Room(NamedTuple):
    """What a worker may take: over what it holds, and over its floor."""

    more: int
    total: int

    def less(self, size: int) -> Room:
        return Room(max(0, self.more - size), max(0, self.total - size))

    def after(self, kept: int) -> Room:
        return Room(self.more - kept, self.total)

    def has(self, need: Need) -> bool:
        return max(need.low, need.kept) <= self.more and need.need <= self.total


class Holdings(NamedTuple):
    """What is held at this moment."""

    others: int  # by processes of the session that run no tests
    held: Mapping[Any, int]  # by each worker; one that is not there is reckoned
    available: int | None = None  # to this session and all others on the machine; None: not looked at
