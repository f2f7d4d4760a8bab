"""The tests that no worker has begun, and which comes next. PYTEST_DONT_REWRITE

Without a budget, units are handed out as planned, slow ones first. Within one,
heavy units are those that some worker may have to wait for memory with: they
wait apart from the light ones, the most needy first.
"""

from __future__ import annotations

import bisect
import collections
from typing import Container, Deque, Iterable, Mapping, Sequence

from wcshard_needs import NOTHING, Need, Room

LOOK = 64  # units that are looked at for one that fits
APART = 1 << 32  # between the numbers of units, for parts of them
SPLIT = 1 << 31  # and of what is split off those


class Unit:
    """Tests that stay together, in running order."""

    __slots__ = ("tests", "number", "need", "passed")

    def __init__(self, tests: Iterable[int], number: int, need: int) -> None:
        self.tests: Deque[int] = collections.deque(tests)
        self.number = number  # in planned order
        self.need = need  # of its most needy test
        self.passed = 0  # smaller units that were let pass


class Backlog:
    """Units that wait for a worker."""

    def __init__(self, units: Iterable[Sequence[int]], needs: Mapping[int, Need], bounded: bool, groups: Container[int]) -> None:
        self.needs = needs
        self.bounded = bounded  # there is a budget
        self.groups = groups  # units, by place, that nothing may part
        self.unit_of: dict[int, int] = {}
        self.light: Deque[Unit] = collections.deque()
        self.heavy: list[tuple[int, int, int, Unit]] = []  # the most needy first
        self.entries = 0
        self.plain = 0  # units in light that need nothing
        self.spare = 0  # tests in those
        self.share = -1  # bytes: a unit that needs more is heavy; -1: not known yet
        self.fillers: set[int] = set()  # quick tests, parked where a heavy one shall come next
        for place, tests in enumerate(units):
            number = place * APART
            for test in tests:
                self.unit_of[test] = number
            self.light.append(self.counted(Unit(tests, number, self.most(tests))))

    def __len__(self) -> int:
        return len(self.light) + len(self.heavy)

    # What tests need.

    def need(self, test: int) -> int:
        return self.needs.get(test, NOTHING).need

    def kept(self, test: int) -> int:
        return self.needs.get(test, NOTHING).kept

    def most(self, tests: Iterable[int]) -> int:
        if not self.needs:
            return 0
        return max([self.needs.get(test, NOTHING).need for test in tests])

    def is_heavy(self, test: int) -> bool:
        return bool(self.needs) and self.need(test) > self.share

    def fits(self, test: int, room: Room) -> bool:
        """Report whether a test fits. One that needs nothing always does, even
        where earlier tests have left more than they should."""
        return not self.bounded or test not in self.needs or not self.need(test) or room.has(self.needs[test])

    # What comes in.

    def put_back(self, tests: Iterable[int]) -> None:
        """Take tests of one or several units that shall wait again, before all others."""
        units: dict[int, list[int]] = {}
        for test in tests:
            units.setdefault(self.unit_of[test], []).append(test)
        for number in sorted(units, reverse=True):
            unit = Unit(units[number], number, self.most(units[number]))
            if 0 <= self.share < unit.need:
                bisect.insort(self.heavy, self.entry(unit))
            else:
                self.light.appendleft(self.counted(unit))

    def counted(self, unit: Unit, sign: int = 1) -> Unit:
        if not unit.need:
            self.plain += sign
            self.spare += sign * len(unit.tests)
        return unit

    def entry(self, unit: Unit) -> tuple[int, int, int, Unit]:
        self.entries += 1
        return -unit.need, unit.number, self.entries, unit

    # How it is divided.

    def divide(self, share: int, all_meet: bool) -> None:
        """Tell heavy units, which need more than each worker's share, from light
        ones: all workers may run a light one at once, so those can keep their
        order. Where all tests may meet, none is heavy."""
        if all_meet:
            self.share = max((need.need for need in self.needs.values()), default=0)
            return
        self.share = share
        units, self.light = self.light, collections.deque()
        self.plain = self.spare = 0
        for unit in (part for unit in units for part in self.part(unit)):
            if unit.need > share:
                self.heavy.append(self.entry(unit))
            else:
                self.light.append(self.counted(unit))
        self.heavy.sort()

    def part(self, unit: Unit) -> list[Unit]:
        """Take the tests that may have to wait for memory out of a unit of
        mostly others: bound to their place in it, they would find memory free
        by chance only. The others stay together."""
        if len(unit.tests) == 1:
            return [unit]
        heavy = [test for test in unit.tests if self.need(test) > self.share // 4]
        if not 0 < 2 * len(heavy) <= len(unit.tests) or unit.number // APART in self.groups:
            return [unit]
        rest = [test for test in unit.tests if self.need(test) <= self.share // 4]
        parts = [Unit(rest, unit.number, self.most(rest))]
        for i, test in enumerate(heavy, 1):
            self.unit_of[test] = unit.number + i
            parts.append(Unit([test], unit.number + i, self.need(test)))
        return parts

    def split(self, at: int, first: int) -> None:
        """Divide a light unit behind its first tests, at least one, unless
        nothing may part it."""
        unit, first = self.light[at], max(1, first)
        if first >= len(unit.tests) or unit.number // APART in self.groups:
            return
        rest = list(unit.tests)[first:]
        number = unit.number + SPLIT + rest[0]
        self.unit_of.update(dict.fromkeys(rest, number))
        self.take_light(at)
        self.light.insert(at, self.counted(Unit(rest, number, unit.need)))
        self.light.insert(at, self.counted(Unit(list(unit.tests)[:first], unit.number, unit.need)))

    # What is taken.

    def take_light(self, at: int) -> Unit:
        unit = self.light[at]
        del self.light[at]
        return self.counted(unit, -1)

    def take_heavy(self, at: int, limit: int) -> Unit | None:
        if at >= len(self.heavy):
            return None
        unit = self.heavy.pop(at)[3]
        head = self.largest(limit)
        if head < at:
            self.heavy[head][3].passed += 1
        return unit

    def take_first_light(self, room: Room, needy: bool = False) -> Unit | None:
        """Take the first light unit, or the first that needs memory, that
        fits; a look at some of them must do. Of the last ones that need nothing
        it leaves a test for each heavy unit, to be parked."""
        if needy and self.plain == len(self.light):
            return None
        for i, unit in zip(range(LOOK), self.light):
            if (unit.need or not needy) and self.fits(unit.tests[0], room):
                left = self.spare - len(unit.tests)
                if not unit.need and left < len(self.heavy):
                    self.split(i, len(unit.tests) - (len(self.heavy) - left))
                return self.take_light(i)
        return None

    def take_filler(self) -> Unit | None:
        """Take a test of the quickest of the units that need nothing, which is
        the last, to be parked where a heavy test shall come next, or starts
        now."""
        for i in range(1, min(LOOK, len(self.light)) + 1 if self.plain else 1):
            if not self.light[-i].need:
                at = len(self.light) - i
                if self.spare - len(self.light[at].tests) < len(self.heavy):
                    self.split(at, 1)
                self.fillers.add(self.light[at].tests[0])
                return self.take_light(at)
        return None

    # What there is to take.

    def fitting(self, room: Room) -> int:
        """Return the place of the most needy of the heavy units that fit, as
        far as a look at some of those tells that may."""
        start = self.largest(room.total)
        for at in range(start, min(start + LOOK, len(self.heavy))):
            if self.fits(self.heavy[at][3].tests[0], room):
                return at
        return max(self.largest(room.more), start)

    def largest(self, room: int) -> int:
        """Return the place of the most needy of the heavy units that fit."""
        return bisect.bisect_left(self.heavy, (-max(0, room),))

    def due(self, limit: int, patience: int) -> Unit | None:
        """Return the most needy unit within a limit, once it has let so many
        others pass."""
        at = self.largest(limit)
        if at < len(self.heavy) and self.heavy[at][3].passed >= patience:
            return self.heavy[at][3]
        return None

    def needy(self, limit: int, count: int) -> list[Unit]:
        """Return what needs memory, as far as a look tells: the most needy of the
        heavy units within a limit, so many, and light ones."""
        at = self.largest(limit)
        light = [] if len(self.light) == self.plain else [unit for _, unit in zip(range(LOOK), self.light) if unit.need]
        return [unit for *_, unit in self.heavy[at : at + count]] + light
