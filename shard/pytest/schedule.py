"""Which test goes to which of xdist's workers, and when. PYTEST_DONT_REWRITE

Decisions only: nothing here knows xdist, processes or the clock, so that a
model of them can drive it (testdata/model/model.py). The plugin's Scheduler
tells what happened and carries out the orders.

A worker of xdist runs its tests in the order sent, and starts one only when it
knows the next one or that there is none. So the last test sent is parked:
sending another one, or closing the worker, is what starts it, and until then
it costs nothing, but belongs to its worker.

With a budget, a test starts only when it fits: when what the others hold and
may still take, and what it needs itself on top of what its worker holds, come
to no more than the budget. What earlier tests left on its worker, such as a
fixture that stays, may be part of its measured need, and counts once. One that
needs nothing always fits. Where nothing fits and nothing runs, one test runs
alone: no other one starts before it has ended.

What earlier tests left is had back by ending their worker for a new one to take
its place. That costs a start, so it is done at once only where what waits for
room takes longer than all workers take to start, and once for each unit that
waits; else when nothing runs any more. Workers that hold more than the budget
though they run nothing are too many: those without work are closed.
"""

from __future__ import annotations

import bisect
import collections
from typing import Any, Callable, Container, Deque, Iterable, Mapping, NamedTuple, Sequence

AHEAD = 0.05  # seconds of work that a worker is sent at once
MOST_AHEAD = 32  # tests
OWN_AHEAD = 0.5  # seconds, and tests, of a unit that has begun, which could go to no other worker
MOST_OWN_AHEAD = 100
MOST_SECONDS = 3600.0  # that a test counts: where it replaced the clock, it seems to take years
QUICK = 0.25  # seconds: for so long memory may be kept free for the test behind
LOOK = 64  # units of light tests that are looked at for one that fits
PATIENCE = 2
APART = 1 << 32  # between the numbers of units, for parts of them
SPLIT = 1 << 31  # and of what is split off those
HELD = 64 << 20  # bytes that earlier tests left on a worker and that are worth a new process


class Need(NamedTuple):
    """What a test's worker holds over its floor during the test at most, what
    the test leaves behind, and what it surely adds to what its worker holds
    before it, in bytes."""

    need: int = 0
    kept: int = 0
    low: int = 0

    def over(self, inherited: int) -> int:
        """Return what it needs on top of what a worker holds that has so much
        over its floor. The plan reckons the same: shard/fit.go, demand."""
        return max(self.low, self.kept, self.need - max(0, inherited))


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


NOTHING = Need()
NO_TURN = 1 << 60


class Memory(NamedTuple):
    """What is held at this moment, in bytes."""

    others: int  # by processes of the session that run no tests
    held: Mapping[Any, int]  # by each worker; one that is not there is reckoned
    available: int | None = None  # to this session and all others on the machine; None: not looked at


class Mean:
    """The mean of what it was told."""

    def __init__(self) -> None:
        self.sum = 0.0
        self.count = 0

    def add(self, value: float) -> None:
        self.sum += value
        self.count += 1

    @property
    def value(self) -> float:
        return self.sum / self.count if self.count else 0.0


class Order(NamedTuple):
    worker: Any
    tests: list[int]
    close: bool  # no more will come
    renew: bool = False  # and a new worker shall take its place


class Unit:
    """Tests that stay together, in running order."""

    __slots__ = ("tests", "number", "need", "passed")

    def __init__(self, tests: Iterable[int], number: int, need: int) -> None:
        self.tests: Deque[int] = collections.deque(tests)
        self.number = number  # in planned order
        self.need = need  # of its most needy test
        self.passed = 0  # smaller units that were let pass


class Worker:
    """What one worker has to do, and holds."""

    def __init__(self, name: Any, number: int, floor: int) -> None:
        self.name = name
        self.number = number
        self.floor = floor  # bytes, after its imports
        self.ready = False
        self.closed = False
        self.sent: Deque[int] = collections.deque()  # and not complete
        self.own: list[Unit] = []  # begun here, the current one first
        self.base = floor  # bytes that it held when it last ran nothing
        self.pace = 0.0  # seconds a test, lately
        self.turn = NO_TURN  # among those that wait for memory
        self.passed = 0  # tests with needs that were let pass since
        self.renewing = False  # closed, and a new one will take its place

    @property
    def open(self) -> bool:
        return self.ready and not self.closed

    @property
    def inherited(self) -> int:
        """Bytes over its floor that it held when it last ran nothing."""
        return max(0, self.base - self.floor)

    @property
    def leaving(self) -> bool:
        """Report whether it has nothing left to do and will be gone."""
        return self.closed and not self.sent and not self.renewing

    @property
    def staying(self) -> int:
        """Bytes that it will hold when it runs nothing."""
        return 0 if self.leaving else self.floor if self.renewing else self.base

    @property
    def started(self) -> int:
        """Tests that run, or will without another word."""
        return len(self.sent) if self.closed else max(0, len(self.sent) - 1)


class Schedule:
    """Hands out the tests of units in planned order, slow ones first; within a
    budget, heavy ones when they fit."""

    def __init__(
        self,
        units: Iterable[Sequence[int]],
        needs: Mapping[int, Need] | None = None,
        budget: int = 0,
        reserve: int = 0,
        look: Callable[[], Memory] = lambda: Memory(0, {}),
        may_renew: bool = False,
        groups: Container[int] = (),
    ) -> None:
        self.needs = needs or {}
        self.budget = budget
        self.reserve = reserve
        self.look = look
        self.may_renew = may_renew
        self.groups = groups  # units, by place, that nothing may part
        self.workers: dict[Any, Worker] = {}
        self.memory = Memory(0, {})
        self.unit_of: dict[int, int] = {}
        self.light: Deque[Unit] = collections.deque()
        self.heavy: list[tuple[int, int, int, Unit]] = []  # the most needy first
        self.entries = self.turns = 0
        self.plain = 0  # units in light that need nothing
        self.spare = 0  # tests in those
        self.share = -1  # bytes: a unit that needs more is heavy; -1: not known yet
        self.waiting = False  # something can start when memory is free
        self.alone = False  # nothing runs, so that one test may start that does not fit
        self.fillers: set[int] = set()  # quick tests, parked where a heavy one shall come next
        self.over = 0  # tests that started though they did not fit
        self.surplus = 0  # workers that were closed since all together held too much
        self.lone: tuple[Any, int] | None = None  # the worker and the test that runs alone
        self.renewals: collections.Counter[int] = collections.Counter()  # by the unit that waited
        self.starts = Mean()  # seconds that a worker takes until it can run a test
        self.seconds = Mean()  # that a test takes, and one that needs memory
        self.needy_seconds = Mean()
        self.added = 0
        self.expected: list[Any] = []  # in the place of workers that are being started
        for place, tests in enumerate(units):
            number = place * APART
            for test in tests:
                self.unit_of[test] = number
            unit = Unit(tests, number, self.most(tests))
            self.light.append(unit)
            self.count(unit, 1)

    # What happened.

    def add(self, name: Any, floor: int = 0) -> None:
        """A worker is there, and will hold so many bytes when it is ready."""
        if self.expected:
            del self.workers[self.expected.pop(0)]
        self.workers[name] = Worker(name, self.added, floor)
        self.added += 1

    def expect(self, floor: int) -> None:
        """A worker is being started in the place of one that is gone: what it
        will hold is taken, though it has no name yet."""
        place = object()
        self.workers[place] = Worker(place, self.added, floor)
        self.added += 1
        self.expected.append(place)

    def ready(self, name: Any, floor: int, seconds: float = 0.0) -> None:
        """A worker has collected its tests, so many seconds after its start."""
        worker = self.workers[name]
        self.starts.add(seconds)
        worker.ready = True
        worker.floor = worker.base = floor

    def complete(self, name: Any, test: int, seconds: float) -> bool:
        """A test has ended. Report whether there is anything to decide."""
        worker = self.workers[name]
        if worker.sent and worker.sent[0] == test:
            worker.sent.popleft()
        else:
            worker.sent.remove(test)
        self.fillers.discard(test)
        worker.base += self.needs.get(test, NOTHING).kept  # until it is measured
        seconds = min(max(seconds, 0.0), MOST_SECONDS)
        self.seconds.add(seconds)
        if test in self.needs:
            self.needy_seconds.add(seconds)
        seconds = max(seconds, 1e-4)
        worker.pace = 0.8 * worker.pace + 0.2 * seconds if worker.pace else seconds
        return self.waiting or (len(worker.sent) < 2 and not worker.closed)

    def remove(self, name: Any, running: bool) -> int | None:
        """A worker is gone: take back what it has not run. Return the test
        that it died of, if it was running one."""
        worker = self.workers.pop(name)
        crashed = worker.sent.popleft() if running and worker.sent else None
        left: dict[int, list[int]] = {}
        for test in [*worker.sent, *(test for unit in worker.own for test in unit.tests)]:
            left.setdefault(self.unit_of[test], []).append(test)
        for number in sorted(left, reverse=True):
            self.put_back(left[number], number)
        return crashed

    def again(self, test: int) -> None:
        """A test shall run once more."""
        self.put_back([test], self.unit_of[test])

    def put_back(self, tests: list[int], number: int) -> None:
        unit = Unit(tests, number, self.most(tests))
        if 0 <= self.share < unit.need:
            bisect.insort(self.heavy, self.entry(unit))
        else:
            self.light.appendleft(unit)
            self.count(unit, 1)

    def count(self, unit: Unit, sign: int) -> None:
        if not unit.need:
            self.plain += sign
            self.spare += sign * len(unit.tests)

    # What is left.

    @property
    def queued(self) -> bool:
        return bool(self.light or self.heavy)

    @property
    def finished(self) -> bool:
        """Report whether every test has been started or will be."""
        if self.light or self.heavy:
            return False  # asked after each event
        return all(w.closed or not (w.sent or w.own) for w in self.workers.values())

    @property
    def pending(self) -> bool:
        return self.queued or any(w.sent or w.own for w in self.workers.values())

    def most(self, tests: Sequence[int]) -> int:
        if not self.needs:
            return 0
        return max([self.needs.get(test, NOTHING).need for test in tests])

    def entry(self, unit: Unit) -> tuple[int, int, int, Unit]:
        self.entries += 1
        return -unit.need, unit.number, self.entries, unit

    # What to do.

    def decide(self) -> list[Order]:
        """Say what to send to which worker now."""
        if self.budget:
            self.memory = self.look()
            for worker in self.workers.values():
                if not worker.started:
                    worker.base = self.held(worker)
        if self.runs_alone():
            self.waiting = True
            return []
        orders = self.close_surplus(lambda worker: worker.floor if self.may_renew else worker.staying)
        if self.budget and self.share < 0:
            self.divide()
        self.waiting = False
        orders += self.feed_all()
        if self.waiting and not any(worker.started for worker in self.workers.values()):
            orders += self.unblock()
        return orders

    def runs_alone(self) -> bool:
        """Report whether a test runs that shall run alone."""
        if self.lone is None:
            return False
        worker = self.workers.get(self.lone[0])
        if worker is None or not worker.sent or worker.sent[0] != self.lone[1]:
            self.lone = None
        return self.lone is not None

    def close_surplus(self, size: Callable[[Worker], int]) -> list[Order]:
        """Close workers that have no work, and for good, while all that stay
        hold more than the budget; all but one."""
        if not self.budget:
            return []
        staying = [w for w in self.workers.values() if not w.closed or w.renewing]
        over = self.memory.others + sum(map(size, staying)) - self.budget
        if over <= 0:
            return []
        opened = [w for w in staying if w.open]
        orders = []
        for worker in sorted(opened, key=lambda w: (-size(w), -w.number)):
            if over <= 0 or len(opened) - len(orders) < 2:
                break
            if worker.sent or worker.own:
                continue
            over -= size(worker)
            worker.closed = True
            self.surplus += 1
            orders.append(Order(worker.name, [], True))
        return orders

    def divide(self) -> None:
        """Tell heavy units from light ones: all workers may run a light one at
        once, so those can keep their order, even when each holds the most that
        a test leaves behind. A parked test that does not fit any more keeps
        its worker idle for as long as the others run."""
        staying = [worker for worker in self.workers.values() if not worker.leaving]
        fixed = self.memory.others + sum(worker.base for worker in staying)
        kept = max((need.kept for need in self.needs.values()), default=0)
        self.share = max(0, (self.budget - fixed) // max(1, len(staying)) - kept)
        units, self.light = self.light, collections.deque()
        for unit in (part for unit in units for part in self.part(unit)):
            if unit.need > self.share:
                self.heavy.append(self.entry(unit))
            else:
                self.light.append(unit)
        self.heavy.sort()
        self.plain = self.spare = 0
        for unit in self.light:
            self.count(unit, 1)

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

    def feed_all(self) -> list[Order]:
        """Give every worker that runs nothing something to do, whoever waits
        for memory first, then those whose parked test may have to: until they
        know, that claims its memory, and the others would find none."""
        by_turn = sorted(self.workers.values(), key=lambda w: (w.turn, not (w.sent and self.need(w.sent[0])), w.number))
        idle = [worker for worker in by_turn if worker.open and len(worker.sent) < 2]
        orders = [order for worker in idle if not worker.sent for order in self.feed(worker, 1)]
        if not self.needs:
            idle.reverse()  # slow tests come first, so the last worker is the first to be free
        for worker in idle:
            orders += self.feed(worker, 2)
        return orders

    def ahead(self, worker: Worker) -> int:
        """Say how many tests to send a worker that has one left. Sending them
        one by one wakes two processes for each, which costs more than a quick
        test itself; but what is sent stays, whoever else is idle."""
        if not worker.pace:
            return 2
        if worker.own:
            return max(2, min(int(OWN_AHEAD / worker.pace), MOST_OWN_AHEAD))
        share = (len(self.light) + len(self.heavy)) // (4 * len(self.workers))
        return max(2, min(int(AHEAD / worker.pace), share, MOST_AHEAD))

    def feed(self, worker: Worker, wanted: int) -> list[Order]:
        """See that a worker that runs nothing has the wanted number of tests,
        or more where they are quick, or knows that no more will come. When
        more than one is wanted, all but the last start."""
        if worker.closed:
            return []
        sequence = list(worker.sent)
        room = self.room(worker)
        cause = self.cause_to_renew(worker, sequence, room)
        if cause is not None:
            self.renewals[cause] += 1
            if sequence and not self.fits(sequence[-1], room):
                self.run_alone(worker, sequence[-1])
            worker.closed = worker.renewing = True
            return [Order(worker.name, [], True, True)]
        close = False
        lone = None
        others = [w for w in self.workers.values() if w is not worker]
        claimed = self.claimed(others)
        while len(sequence) < wanted or (wanted > 1 and self.goes_on(worker, sequence)):
            if sequence:
                if not self.may_start(sequence, room):
                    self.wait(worker)
                    break
                if not self.fits(sequence[-1], room):
                    lone = sequence[-1]
                room = room.after(self.kept(sequence[-1]))
                if self.done_here(worker, sequence[-1]):
                    close = True
                    break
            tests = self.take(worker, sequence, room.less(claimed))
            if not tests:
                close = wanted > 1 and self.nothing_for(worker)
                self.waiting = self.waiting or not close
                break
            sequence += tests
            if self.budget and self.need(sequence[-1]):
                for other in others:
                    other.passed += other.turn != NO_TURN
                claimed = self.claimed(others)
        more = sequence[len(worker.sent) :]
        if len(sequence) > 1 or close:
            worker.turn, worker.passed = NO_TURN, 0
            if lone is not None:
                self.run_alone(worker, lone)
        worker.sent.extend(more)
        worker.closed = close
        return [Order(worker.name, more, close)] if more or close else []

    def run_alone(self, worker: Worker, test: int) -> None:
        """Note that a test starts though it does not fit."""
        self.over += 1
        self.lone = worker.name, test

    def wait(self, worker: Worker) -> None:
        """Note that a worker's next test does not fit: its turn comes first."""
        self.waiting = True
        if worker.turn == NO_TURN:
            self.turns += 1
            worker.turn = self.turns

    def goes_on(self, worker: Worker, sequence: list[int]) -> bool:
        """Report whether to send more than two tests at once: quick ones, and
        the one behind a heavy test that will find its memory free."""
        if len(sequence) < self.ahead(worker):
            return True
        return self.is_heavy(sequence[-1]) and self.is_quick(worker, sequence[-2]) and not self.is_heavy(sequence[-2])

    def done_here(self, worker: Worker, last: int) -> bool:
        """Report whether a worker may be told that nothing comes behind a heavy
        test, so that this starts: where nothing else is left to be parked, and
        idle workers can take the heavy tests that remain, one each. Behind this
        one, a heavy test would have to wait for its worker."""
        if self.light or worker.own or not self.heavy or not self.is_heavy(last):
            return False
        idle = [w for w in self.workers.values() if w is not worker and w.open and len(w.sent) < 2 and not w.own]
        return len(self.heavy) <= len([w for w in idle if not any(map(self.is_heavy, w.sent))])

    def is_heavy(self, test: int) -> bool:
        return bool(self.needs) and self.need(test) > self.share

    def is_quick(self, worker: Worker, test: int) -> bool:
        return not self.need(test) and (test in self.fillers or 0 < worker.pace < QUICK)

    def may_start(self, sequence: list[int], room: Room) -> bool:
        """Report whether the last test of a sequence fits."""
        return self.fits(sequence[-1], room) or (self.alone and len(sequence) == 1)

    def fits(self, test: int, room: Room) -> bool:
        """Report whether a test fits. One that needs nothing always does, even
        where earlier tests have left more than they should."""
        return not self.budget or test not in self.needs or not self.need(test) or room.has(self.needs[test])

    def take(self, worker: Worker, sequence: list[int], room: Room) -> Iterable[int]:
        """Take the next test for a worker, one that fits if there is any; with
        no budget, all of its unit. Where none fits, and one must come so that
        the one before it starts, take one that will have to wait."""
        unit = next((unit for unit in worker.own if self.fits(unit.tests[0], room)), None) if worker.own else None
        unit = unit or self.choose(worker, sequence, room)
        if unit is None and (self.alone or (sequence and not self.can_wait(worker, sequence[-1]))):
            unit = worker.own[0] if worker.own else self.least_bad(worker)
        if unit is None:
            return ()
        if not self.budget:
            return unit.tests
        if unit in worker.own:
            worker.own.remove(unit)
        test = unit.tests.popleft()
        if unit.tests:
            worker.own.insert(0, unit)
        return (test,)

    def can_wait(self, worker: Worker, test: int) -> bool:
        """Report whether a parked test may wait until a heavy one fits that
        can run behind it."""
        return bool(self.heavy) and self.is_quick(worker, test) and not self.is_heavy(test)

    def claimed(self, workers: Iterable[Worker]) -> int:
        """Return what is to be left to what is parked on some workers. A test
        that needs nothing may always be parked beside it."""
        return sum(map(self.claim, workers)) if self.budget else 0

    def claim(self, worker: Worker) -> int:
        """Return what is to be left to the test that is parked on a worker.
        One that has to wait lets smaller ones pass for a while: what it needs
        would be unused for as long as that comes together."""
        if len(worker.sent) != 1 or not worker.open:
            return 0
        if worker.turn != NO_TURN and worker.passed < PATIENCE * len(self.workers):
            return 0
        return self.needs.get(worker.sent[0], NOTHING).over(worker.inherited)

    def choose(self, worker: Worker, sequence: list[int], room: Room) -> Unit | None:
        """Choose a unit that has not begun and fits. Heavy ones come early,
        where they fit, and light ones fill what is left; but one worker keeps
        to the planned order, which has the slow ones first. None may mean
        that to wait is best."""
        if not self.heavy:
            return self.choose_light(room)
        due = self.due()
        if due is not None and due.need > room.total:
            room = room.less(due.need)  # nothing may take what it waits for
        last = sequence[-1] if sequence else None
        if last is not None and self.is_heavy(last):
            # What comes next has its memory when the heavy one is gone.
            return self.choose_filler() or self.take_heavy(self.fitting(room.less(-self.need(last))))
        at = self.fitting(room)
        early = at < len(self.heavy) and self.may_be_early(worker, self.heavy[at][3])
        quick = last is None or self.is_quick(worker, last)
        if early and (quick or not self.plain):
            return self.take_heavy(at)
        # As many tests that need nothing as there are heavy units are kept to
        # be parked behind those: what is parked belongs to its worker, and a
        # heavy test should go to whoever is free when it fits.
        scarce = self.spare <= len(self.heavy)
        if early or (scarce and not quick):
            return self.choose_filler() or self.choose_light(room)
        return self.choose_light(room, needy=scarce)

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

    def due(self) -> Unit | None:
        """Return the unit that has let others pass for long enough."""
        at = self.largest(self.limit())
        if at < len(self.heavy) and self.heavy[at][3].passed >= PATIENCE * len(self.workers):
            return self.heavy[at][3]
        return None

    def may_be_early(self, worker: Worker, unit: Unit) -> bool:
        if not self.light or unit.number < self.light[0].number or unit is self.due():
            return True
        others = [w for w in self.workers.values() if w is not worker and w.open]
        return any(not any(map(self.is_heavy, w.sent)) for w in others)

    def take_heavy(self, at: int) -> Unit | None:
        if at >= len(self.heavy):
            return None
        unit = self.heavy.pop(at)[3]
        head = self.largest(self.limit())
        if head < at:
            self.heavy[head][3].passed += 1
        return unit

    def choose_light(self, room: Room, needy: bool = False) -> Unit | None:
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

    def split(self, at: int, first: int) -> None:
        """Divide a light unit behind its first tests, at least one, unless
        nothing may part it."""
        unit, first = self.light[at], max(1, first)
        if first >= len(unit.tests) or unit.number // APART in self.groups:
            return
        self.count(unit, -1)
        rest = list(unit.tests)[first:]
        number = unit.number + SPLIT + rest[0]
        self.unit_of.update(dict.fromkeys(rest, number))
        parts = [Unit(list(unit.tests)[:first], unit.number, unit.need), Unit(rest, number, unit.need)]
        del self.light[at]
        for part in reversed(parts):
            self.light.insert(at, part)
            self.count(part, 1)

    def take_light(self, at: int) -> Unit:
        unit = self.light[at]
        del self.light[at]
        self.count(unit, -1)
        return unit

    def choose_filler(self) -> Unit | None:
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

    def least_bad(self, worker: Worker) -> Unit | None:
        """Take a unit that does not fit now. Those that never will come last,
        and all to one worker, so that the others can go."""
        if self.light:
            return self.take_light(0)
        at = self.largest(self.limit())
        if at < len(self.heavy):
            return self.heavy.pop(at)[3]
        if self.heavy and not self.too_large_elsewhere(worker):
            return self.heavy.pop(0)[3]
        return None

    def too_large_elsewhere(self, worker: Worker) -> bool:
        limit = self.limit()
        return any(
            self.need(test) > limit
            for other in self.workers.values()
            if other is not worker
            for test in [*other.sent, *(unit.tests[0] for unit in other.own)]
        )

    def nothing_for(self, worker: Worker) -> bool:
        """Report whether no more will come to a worker."""
        if worker.own or self.light:
            return False
        return not self.heavy or (self.too_large_elsewhere(worker) and self.heavy[-1][3].need > self.limit())

    def unblock(self) -> list[Order]:
        """See that it goes on where nothing runs that could make room by
        ending: end a worker that holds too much, or start one test though it
        does not fit."""
        if any(worker.renewing or worker.leaving for worker in self.workers.values()):
            return []  # what it holds will be free
        self.alone = True
        try:
            opened = [worker for worker in self.workers.values() if worker.open]
            for worker in sorted(opened, key=lambda w: (-self.held(w), w.number)):
                if not worker.sent and self.cause_to_renew(worker, [], self.room(worker)) is not None:
                    return self.feed(worker, 1)
            orders = self.close_surplus(lambda worker: worker.staying)
            if orders:
                return orders
            for worker in sorted(opened, key=lambda w: (not w.sent, w.number)):
                orders = self.feed(worker, 1) + self.feed(worker, 2)
                if orders:
                    return orders
        finally:
            self.alone = False
        return []

    def cause_to_renew(self, worker: Worker, sequence: list[int], room: Room) -> int | None:
        """Return the number of the unit for which a worker shall end, so that a
        new one takes its place: earlier tests left so much, on it and others,
        that the unit would not fit though nothing else ran. What is parked on
        it runs before. It must not be in the middle of tests that stay
        together."""
        if not self.may_renew or worker.own or self.held(worker) - worker.floor < HELD or not self.queued:
            return None
        if sequence and not self.may_start(sequence, room):
            return None
        need, cause = self.most_waiting()
        idle = self.memory.others + sum(w.staying for w in self.workers.values())
        if cause < 0 or idle + need <= self.budget:
            return None
        if self.renewals[cause] >= (len(self.workers) if self.alone else 1):
            return None
        return cause if self.alone or self.pays() else None

    def pays(self) -> bool:
        """Report whether what waits for room takes longer than to start all
        workers, as far as a look at some of it tells."""
        at = self.largest(self.limit())
        waiting = [unit for *_, unit in self.heavy[at : at + LOOK]] + self.needy_light()
        seconds = (self.needy_seconds if self.needy_seconds.count else self.seconds).value
        return self.starts.value * len(self.workers) < seconds * sum(len(unit.tests) for unit in waiting)

    def needy_light(self) -> list[Unit]:
        if len(self.light) == self.plain:
            return []
        return [unit for _, unit in zip(range(LOOK), self.light) if unit.need]

    def most_waiting(self) -> tuple[int, int]:
        """Return the most that a test may need that waits and could run, and
        the number of its unit."""
        limit = self.limit()
        at = self.largest(limit)
        found = [(0, -1)]
        for unit in [unit for *_, unit in self.heavy[at : at + 1]] + self.needy_light():
            need = max((self.needs[test] for test in unit.tests if test in self.needs), default=NOTHING)
            found.append((min(need.over(w.inherited) for w in self.workers.values()), unit.number))
        for w in self.workers.values():
            if claim := self.claim(w):
                found.append((claim, self.unit_of[w.sent[0]]))
        return max(entry for entry in found if entry[0] <= limit or entry[1] < 0)

    # What memory there is, in bytes.

    def need(self, test: int) -> int:
        return self.needs.get(test, NOTHING).need

    def kept(self, test: int) -> int:
        return self.needs.get(test, NOTHING).kept

    def held(self, worker: Worker) -> int:
        """Return what a worker holds now."""
        return self.memory.held.get(worker.name, worker.base)

    def committed(self, worker: Worker) -> int:
        """Return what a worker holds or may still take."""
        peak = kept = 0
        for test, _ in zip(worker.sent, range(worker.started)):
            need = self.needs.get(test, NOTHING)
            peak = max(peak, kept + need.over(worker.inherited + kept))
            kept += need.kept
        return max(self.held(worker), worker.base + peak)

    def room(self, worker: Worker) -> Room:
        """Return what a worker that runs nothing may take."""
        if not self.budget:
            return Room(0, 0)
        others = [w for w in self.workers.values() if w is not worker]
        taken = self.memory.others + sum(map(self.committed, others)) + worker.base
        room = self.budget - taken
        if self.memory.available is not None:
            coming = sum(self.committed(w) - self.held(w) for w in others)
            room = min(room, self.memory.available - self.reserve - coming)
        return Room(room, room + worker.inherited)

    def limit(self) -> int:
        """Return what a test may need that runs while all workers hold
        nothing but their floor."""
        return self.budget - self.memory.others - sum(w.floor for w in self.workers.values() if not w.leaving)
