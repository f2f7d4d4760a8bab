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
import heapq
from typing import Any, Callable, Container, Deque, Iterable, Mapping, NamedTuple, Sequence

from wcshard_backlog import APART, LOOK, Backlog, Unit
from wcshard_needs import NOTHING, Holdings, Need, Room

AHEAD = 0.05  # seconds of work that a worker is sent at once
MOST_AHEAD = 32  # tests
OWN_AHEAD = 0.5  # seconds, and tests, of a unit that has begun, which could go to no other worker
MOST_OWN_AHEAD = 100
MOST_SECONDS = 3600.0  # that a test counts: where it replaced the clock, it seems to take years
QUICK = 0.25  # seconds: for so long memory may be kept free for the test behind
PATIENCE = 2
HELD = 64 << 20  # bytes that earlier tests left on a worker and that are worth a new process
NO_TURN = 1 << 60


def smooth(mean: float, value: float) -> float:
    """Return the mean of some values, of which the last ones count most."""
    return 0.8 * mean + 0.2 * value if mean else value


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
        self.unit = -1  # whose tests it has run last
        self.spent = 0.0  # seconds on them
        self.unit_pace = 0.0  # seconds a unit, lately
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

    def note(self, unit: int, seconds: float) -> None:
        """Count what a test of a unit took."""
        self.pace = smooth(self.pace, seconds)
        if unit != self.unit:
            if self.spent:
                self.unit_pace = smooth(self.unit_pace, self.spent)
            self.unit, self.spent = unit, 0.0
        self.spent += seconds

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
        look: Callable[[], Holdings] = lambda: Holdings(0, {}),
        may_renew: bool = False,
        groups: Container[int] = (),
        restarts: Iterable[int] = (),
    ) -> None:
        self.backlog = Backlog(units, needs or {}, budget > 0, groups)
        self.restarts = sorted(restarts)  # units, by place, that may be slower than the one before
        self.budget = budget
        self.reserve = reserve
        self.look = look
        self.may_renew = may_renew
        self.workers: dict[Any, Worker] = {}
        self.memory = Holdings(0, {})
        self.turns = 0
        self.waiting = False  # something can start when memory is free
        self.alone = False  # nothing runs, so that one test may start that does not fit
        self.over = 0  # tests that started though they did not fit
        self.surplus = 0  # workers that were closed since all together held too much
        self.lone: tuple[Any, int] | None = None  # the worker and the test that runs alone
        self.renewals: collections.Counter[int] = collections.Counter()  # by the unit that waited
        self.starts = Mean()  # seconds that a worker takes until it can run a test
        self.seconds = Mean()  # that a test takes, and one that needs memory
        self.needy_seconds = Mean()
        self.added = 0
        self.expected: list[Any] = []  # in the place of workers that are being started

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
        self.backlog.fillers.discard(test)
        worker.base += self.backlog.kept(test)  # until it is measured
        seconds = min(max(seconds, 0.0), MOST_SECONDS)
        self.seconds.add(seconds)
        if test in self.backlog.needs:
            self.needy_seconds.add(seconds)
        seconds = max(seconds, 1e-4)
        worker.note(self.backlog.unit_of[test], seconds)
        return self.waiting or (len(worker.sent) < 2 and not worker.closed)

    def remove(self, name: Any, running: bool) -> int | None:
        """A worker is gone: take back what it has not run. Return the test
        that it died of, if it was running one."""
        worker = self.workers.pop(name)
        crashed = worker.sent.popleft() if running and worker.sent else None
        self.backlog.put_back([*worker.sent, *(test for unit in worker.own for test in unit.tests)])
        return crashed

    def again(self, test: int) -> None:
        """A test shall run once more."""
        self.backlog.put_back([test])

    # What is left.

    @property
    def queued(self) -> bool:
        return bool(self.backlog)

    @property
    def finished(self) -> bool:
        """Report whether every test has been started or will be."""
        if self.backlog:
            return False  # asked after each event
        return all(w.closed or not (w.sent or w.own) for w in self.workers.values())

    @property
    def pending(self) -> bool:
        return self.queued or any(w.sent or w.own for w in self.workers.values())

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
        if self.budget and self.backlog.share < 0:
            self.backlog.divide(self.share(), self.all_meet())
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

    def feed_all(self) -> list[Order]:
        """Give every worker that runs nothing something to do, whoever waits
        for memory first, then those whose parked test may have to: until they
        know, that claims its memory, and the others would find none."""
        by_turn = sorted(self.workers.values(), key=lambda w: (w.turn, not (w.sent and self.backlog.need(w.sent[0])), w.number))
        idle = [worker for worker in by_turn if worker.open and len(worker.sent) < 2]
        orders = [order for worker in idle if not worker.sent for order in self.feed(worker, 1)]
        if not self.backlog.needs:
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
        # Slow units come first, so the next one may take as long as the last one, in a
        # single test; and of another part of the tests even longer.
        if self.backlog.light and self.section(self.backlog.light[0].number) != self.section(worker.unit):
            return 2
        part = len(self.backlog) // (4 * len(self.workers))
        return max(2, min(int(AHEAD / max(worker.unit_pace, worker.spent)), part, MOST_AHEAD))

    def section(self, unit: int) -> int:
        """Return how often slow units have come first again, up to a unit."""
        return bisect.bisect_right(self.restarts, unit // APART)

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
            if sequence and not self.backlog.fits(sequence[-1], room):
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
                if not self.backlog.fits(sequence[-1], room):
                    lone = sequence[-1]
                room = room.after(self.backlog.kept(sequence[-1]))
                if self.done_here(worker, sequence[-1]):
                    close = True
                    break
            tests = self.take(worker, sequence, room.less(claimed))
            if not tests:
                close = wanted > 1 and self.nothing_for(worker)
                self.waiting = self.waiting or not close
                break
            sequence += tests
            if self.budget and self.backlog.need(sequence[-1]):
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
        return self.backlog.is_heavy(sequence[-1]) and self.is_quick(worker, sequence[-2]) and not self.backlog.is_heavy(sequence[-2])

    def done_here(self, worker: Worker, last: int) -> bool:
        """Report whether a worker may be told that nothing comes behind a heavy
        test, so that this starts: where nothing else is left to be parked, and
        idle workers can take the heavy tests that remain, one each. Behind this
        one, a heavy test would have to wait for its worker."""
        if self.backlog.light or worker.own or not self.backlog.heavy or not self.backlog.is_heavy(last):
            return False
        idle = [w for w in self.workers.values() if w is not worker and w.open and len(w.sent) < 2 and not w.own]
        return len(self.backlog.heavy) <= len([w for w in idle if not any(map(self.backlog.is_heavy, w.sent))])

    def is_quick(self, worker: Worker, test: int) -> bool:
        return not self.backlog.need(test) and (test in self.backlog.fillers or 0 < worker.pace < QUICK)

    def may_start(self, sequence: list[int], room: Room) -> bool:
        """Report whether the last test of a sequence fits."""
        return self.backlog.fits(sequence[-1], room) or (self.alone and len(sequence) == 1)

    def take(self, worker: Worker, sequence: list[int], room: Room) -> Iterable[int]:
        """Take the next test for a worker, one that fits if there is any; with
        no budget, all of its unit. Where none fits, and one must come so that
        the one before it starts, take one that will have to wait."""
        unit = next((unit for unit in worker.own if self.backlog.fits(unit.tests[0], room)), None) if worker.own else None
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
        return bool(self.backlog.heavy) and self.is_quick(worker, test) and not self.backlog.is_heavy(test)

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
        return self.backlog.needs.get(worker.sent[0], NOTHING).over(worker.inherited)

    def choose(self, worker: Worker, sequence: list[int], room: Room) -> Unit | None:
        """Choose a unit that has not begun and fits. Heavy ones come early,
        where they fit, and light ones fill what is left; but one worker keeps
        to the planned order, which has the slow ones first. None may mean
        that to wait is best."""
        backlog = self.backlog
        if not backlog.heavy:
            return backlog.take_first_light(room)
        limit = self.limit()
        due = backlog.due(limit, PATIENCE * len(self.workers))
        if due is not None and due.need > room.total:
            room = room.less(due.need)  # nothing may take what it waits for
        last = sequence[-1] if sequence else None
        if last is not None and backlog.is_heavy(last):
            # What comes next has its memory when the heavy one is gone.
            return backlog.take_filler() or backlog.take_heavy(backlog.fitting(room.less(-backlog.need(last))), limit)
        at = backlog.fitting(room)
        early = at < len(backlog.heavy) and (backlog.heavy[at][3] is due or self.may_be_early(worker, backlog.heavy[at][3]))
        quick = last is None or self.is_quick(worker, last)
        if early and (quick or not backlog.plain):
            return backlog.take_heavy(at, limit)
        # As many tests that need nothing as there are heavy units are kept to
        # be parked behind those: what is parked belongs to its worker, and a
        # heavy test should go to whoever is free when it fits.
        scarce = backlog.spare <= len(backlog.heavy)
        if early or (scarce and not quick):
            return backlog.take_filler() or backlog.take_first_light(room)
        return backlog.take_first_light(room, needy=scarce)

    def may_be_early(self, worker: Worker, unit: Unit) -> bool:
        if not self.backlog.light or unit.number < self.backlog.light[0].number:
            return True
        others = [w for w in self.workers.values() if w is not worker and w.open]
        return any(not any(map(self.backlog.is_heavy, w.sent)) for w in others)

    def least_bad(self, worker: Worker) -> Unit | None:
        """Take a unit that does not fit now. Those that never will come last,
        and all to one worker, so that the others can go."""
        backlog = self.backlog
        if backlog.light:
            return backlog.take_light(0)
        at = backlog.largest(self.limit())
        if at < len(backlog.heavy):
            return backlog.heavy.pop(at)[3]
        if backlog.heavy and not self.too_large_elsewhere(worker):
            return backlog.heavy.pop(0)[3]
        return None

    def too_large_elsewhere(self, worker: Worker) -> bool:
        limit = self.limit()
        return any(
            self.backlog.need(test) > limit
            for other in self.workers.values()
            if other is not worker
            for test in [*other.sent, *(unit.tests[0] for unit in other.own)]
        )

    def nothing_for(self, worker: Worker) -> bool:
        """Report whether no more will come to a worker."""
        if worker.own or self.backlog.light:
            return False
        return not self.backlog.heavy or (self.too_large_elsewhere(worker) and self.backlog.heavy[-1][3].need > self.limit())

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
        waiting = self.backlog.needy(self.limit(), LOOK)
        seconds = (self.needy_seconds if self.needy_seconds.count else self.seconds).value
        return self.starts.value * len(self.workers) < seconds * sum(len(unit.tests) for unit in waiting)

    def most_waiting(self) -> tuple[int, int]:
        """Return the most that a test may need that waits and could run, and
        the number of its unit."""
        limit = self.limit()
        needs = self.backlog.needs
        found = [(0, -1)]
        for unit in self.backlog.needy(limit, 1):
            need = max((needs[test] for test in unit.tests if test in needs), default=NOTHING)
            found.append((min(need.over(w.inherited) for w in self.workers.values()), unit.number))
        for w in self.workers.values():
            if claim := self.claim(w):
                found.append((claim, self.backlog.unit_of[w.sent[0]]))
        return max(entry for entry in found if entry[0] <= limit or entry[1] < 0)

    # What memory there is, in bytes.

    def held(self, worker: Worker) -> int:
        """Return what a worker holds now."""
        return self.memory.held.get(worker.name, worker.base)

    def committed(self, worker: Worker) -> int:
        """Return what a worker holds or may still take."""
        peak = kept = 0
        for test, _ in zip(worker.sent, range(worker.started)):
            need = self.backlog.needs.get(test, NOTHING)
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

    def share(self) -> int:
        """Return what each worker may take while all others take as much, even
        when each holds the most that a test leaves behind. A parked test that
        does not fit any more keeps its worker idle for as long as the others run."""
        staying = [worker for worker in self.workers.values() if not worker.leaving]
        kept = max((need.kept for need in self.backlog.needs.values()), default=0)
        return max(0, self.free() // max(1, len(staying)) - kept)

    def free(self) -> int:
        """Return what all workers together may take over what they hold."""
        return self.budget - self.memory.others - sum(w.base for w in self.workers.values() if not w.leaving)

    def all_meet(self) -> bool:
        """Report whether no order of the tests can take more than there is."""
        needs = self.backlog.needs.values()
        most = heapq.nlargest(len(self.workers), (need.need for need in needs))
        return sum(most) + sum(need.kept for need in needs) <= self.free()

    def limit(self) -> int:
        """Return what a test may need that runs while all workers hold
        nothing but their floor."""
        return self.budget - self.memory.others - sum(w.floor for w in self.workers.values() if not w.leaving)
