"""A model of xdist that drives the plugin's schedule: random tests, needs,
workers, budgets and crashes. Checked at every step: what is in use stays
within the budget, unless one test runs alone; at the end: every test ran
exactly once. Usage: model.py DIRECTORY-OF-loading.py CASES SEED
"""

import collections
import heapq
import random
import sys
import time

import loading

s, needs = loading.load(sys.argv[1], "schedule", "needs")

MIB = 1 << 20
LATENCY = 0.0001  # seconds until the controller hears of something


class Process:
    """A worker of xdist: starts a test when it knows the next one, or that
    there is none."""

    def __init__(self, floor):
        self.floor = floor
        self.held = floor
        self.queue = collections.deque()
        self.shutdown = False
        self.renew = False
        self.running = None


class Case:
    def __init__(self, seed):
        r = self.random = random.Random(seed)
        self.workers = r.randint(1, 6)
        self.tests = r.choice([0, 1, 2, 3, r.randint(4, 40), r.randint(40, 300)])
        self.crash_rate = r.choice([0, 0, 0, 0.01, 0.1])
        self.floor = r.randint(20, 300) * MIB
        self.others = r.randint(0, 100) * MIB
        spare = r.randint(1, 3000) * MIB
        self.budget = self.others + self.workers * self.floor + spare
        if r.random() < 0.15:  # too little for all workers
            self.budget = self.others + int(self.workers * self.floor * r.random()) + 1
        heavy, keeps = r.choice([0, 0.02, 0.2, 1]), r.choice([0, 0, 0.1, 0.1, 0.9])
        self.start_time = r.choice([0.01, 1, 20])
        self.needs = {}
        for test in range(self.tests):
            if r.random() < heavy:
                kept = r.randint(0, spare // 4) if r.random() < keeps else 0
                need = max(kept, r.randint(32 * MIB, max(33 * MIB, int(spare * r.choice([0.3, 0.9, 1.0, 1.2])))))
                self.needs[test] = needs.Need(need, kept, int(need * r.choice([0, r.random(), 1])))
        self.wall = [r.expovariate(1) * r.choice([0.001, 0.1, 1, 10]) for _ in range(self.tests)]
        if r.random() < 0.7:
            self.wall.sort(reverse=True)
        self.measures = r.random() < 0.8
        self.blind = r.random() < 0.1  # no budget at all
        self.now = 0.0
        self.events = []
        self.names = self.serial = self.collections = 0
        self.processes = {}
        self.runs = collections.Counter()
        self.crashed = collections.Counter()
        self.alone = self.renewed = self.avoidable = 0
        self.may_renew = r.random() < 0.7
        self.groups = {place for place in range(self.tests) if r.random() < 0.3}
        self.peak = 0

    def units(self):
        units, test = [], 0
        while test < self.tests:
            n = min(self.tests - test, self.random.choice([1, 1, 1, 2, 10]))
            units.append(list(range(test, test + n)))
            test += n
        return units

    def look(self):
        held = {}
        for name, p in self.processes.items():
            held[name] = p.held
            if p.running is not None:  # anywhere between nothing and all that it needs
                held[name] += int(self.taken(p) * self.random.random())
        return needs.Holdings(self.others, held if self.measures else {})

    def run(self):
        self.schedule = s.Schedule(self.units(), self.needs, 0 if self.blind else self.budget, look=self.look, may_renew=self.may_renew, groups=self.groups)
        for _ in range(self.workers):
            self.start()
        while self.events:
            self.now, _, action, *args = heapq.heappop(self.events)
            action(*args)
        if self.schedule.pending or not self.schedule.finished:
            raise AssertionError(f"stuck with {dict(self.runs)} of {self.tests}: {self.state()}")
        most = max(self.schedule.renewals.values(), default=0)
        assert most <= self.workers, f"{most} of {self.workers} workers were renewed for one unit"
        self.surplus = self.schedule.surplus
        for test in range(self.tests):
            if self.runs[test] != 1:
                raise AssertionError(f"test {test} ran {self.runs[test]} times")

    def state(self):
        return {w.name: (list(w.sent), w.closed, w.ready, [list(u.tests) for u in w.own]) for w in self.schedule.workers.values()}

    def at(self, delay, action, *args):
        self.serial += 1
        heapq.heappush(self.events, (self.now + delay, self.serial, action, *args))

    def start(self):
        name = f"gw{self.names}"
        self.names += 1
        self.processes[name] = Process(self.floor)
        self.added(name)

    def replace(self):
        """xdist tells of a new worker when that has started, and it holds
        memory before."""
        name = f"gw{self.names}"
        self.names += 1
        self.processes[name] = Process(self.floor)
        self.schedule.expect(self.floor)
        self.at(self.random.expovariate(1) * self.start_time, self.added, name)

    def added(self, name):
        self.schedule.add(name, self.floor)
        self.at(self.random.random(), self.collected, name)

    def collected(self, name):
        if name in self.processes:
            self.schedule.ready(name, self.floor, self.start_time)
            self.collections += 1
            if self.collections >= self.workers:  # xdist waits for all, at first
                self.obey()

    def obey(self):
        for order in self.schedule.decide():
            p = self.processes.get(order.worker)
            if p is None:
                continue  # died, and the controller has not heard of it
            assert not p.shutdown, f"{order} after shutdown"
            if order.close and not order.renew and not self.schedule.finished:
                self.check_surplus(order)
            p.queue.extend(order.tests)
            p.shutdown = order.close
            p.renew = order.renew
        for name in list(self.processes):
            self.go(name)

    def check_surplus(self, order):
        """Where tests are left that others may need, the last worker stays."""
        staying = [w for w in self.schedule.workers.values() if not w.closed or w.renewing or w.sent]
        assert staying, f"{order} closes the last worker"

    def go(self, name):
        p = self.processes[name]
        if p.running is None and p.queue and (p.shutdown or len(p.queue) > 1):
            p.running = p.queue.popleft()
            self.runs[p.running] += 1
            self.check()
            if self.random.random() < self.crash_rate:
                self.at(self.wall[p.running] * self.random.random(), self.die, name)
            else:
                self.at(self.wall[p.running], self.end, name)
        elif p.running is None and p.shutdown and not p.queue:
            del self.processes[name]
            self.at(LATENCY, self.gone, name, p.renew)

    def gone(self, name, renew):
        assert self.schedule.remove(name, False) is None
        if renew and self.schedule.queued:
            self.renewed += 1
            self.replace()
        self.obey()

    def taken(self, p):
        """What a running test needs on top of what its worker held."""
        need = self.needs.get(p.running, needs.NOTHING)
        return need.over(p.held - p.floor) if p.running is not None else 0

    def check(self):
        used = self.others
        for p in self.processes.values():
            used += p.held + self.taken(p)
        self.peak = max(self.peak, used)
        running = [p for p in self.processes.values() if p.running is not None]
        if used > self.budget and not self.blind:
            self.alone += 1
            self.avoidable += used - sum(p.held - p.floor for p in self.processes.values()) <= self.budget
            if len(running) > 1 and not self.idle_too_large(running):
                raise AssertionError(f"{used // MIB} of {self.budget // MIB} MiB in use by {[(p.running, self.needs.get(p.running), p.held//MIB) for p in running]}")

    def idle_too_large(self, running):
        """Report whether tests that need nothing, and nothing else, run on
        workers that hold too much by themselves: then to let them wait saves
        nothing. Whoever could go has been told to."""
        if any(p.running in self.needs for p in running):
            return False
        staying = [p for p in self.processes.values() if not p.shutdown or p.renew]
        if self.others + sum(p.floor for p in staying) > self.budget:
            useless = [w.name for w in self.schedule.workers.values() if w.open and not (w.sent or w.own)]
            assert not useless, f"{useless} hold memory for nothing"
        return True

    def end(self, name):
        p = self.processes[name]
        test, p.running = p.running, None
        p.held += self.needs.get(test, needs.NOTHING).kept
        self.at(LATENCY, self.told, name, test)
        self.go(name)

    def told(self, name, test):
        if self.schedule.complete(name, test, self.wall[test]):
            self.obey()

    def die(self, name):
        test = self.processes.pop(name).running
        self.at(LATENCY, self.died, name, test)

    def died(self, name, test):
        crashed = self.schedule.remove(name, True)
        assert crashed == test, f"{crashed} for {test}"
        self.replace()
        self.obey()


def main():
    cases, seed = int(sys.argv[2]), int(sys.argv[3])
    alone = tests = renewed = avoidable = surplus = 0
    start = time.perf_counter()
    for case in range(seed, seed + cases):
        c = Case(case)
        try:
            c.run()
        except Exception:
            print(f"case {case}: {c.tests} tests, {c.workers} workers, crashes {c.crash_rate}, measures {c.measures}, needs {len(c.needs)}")
            raise
        alone += c.alone
        renewed += c.renewed
        surplus += c.surplus
        avoidable += c.avoidable
        tests += c.tests
    print(f"{cases} cases, {tests} tests, {alone} ran alone past their budget, {avoidable} of them for what others left, {renewed} workers renewed, {surplus} closed as too many: {time.perf_counter() - start:.1f} s")


main()
