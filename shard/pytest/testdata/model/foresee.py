"""What sessions take: the plugin's units and its schedule, driven without
xdist. Usage: foresee.py DIRECTORY-OF-loading.py < CASES, a JSON list of
{"workers", "pieces", "tests": {name: [cost, [set-up, ...]]}, "setups": [cost],
"fixtures": [name], "files": [name]} in microseconds; prints a list of walls. Of the
set-ups whose fixture has the same name, one is there at a time; those of a file are
gone when its worker leaves that."""

import collections
import heapq
import json
import sys
import types

import loading

schedule, plugin, workers = loading.load(sys.argv[1], "schedule", "main", "workers")


def schedule_of(case):
    """Divide the tests as the plugin does, with what it keeps of its pieces."""
    running = plugin.Running.__new__(plugin.Running)
    running.settings = {}
    running.keep_together(case["pieces"])
    running.groups = {}
    running.plain = str
    scheduler = workers.Scheduler.__new__(workers.Scheduler)
    scheduler.plugin = running
    scheduler.collection = [piece["file"] + rest for piece in case["pieces"] for rest in piece["tests"]]
    units = scheduler.units()
    return scheduler.collection, schedule.Schedule(units.values(), restarts=scheduler.restarts(units))


class Session:
    def __init__(self, case):
        names, self.plan = schedule_of(case)
        self.tests = [case["tests"][name] for name in names]
        self.setups = case["setups"]
        self.fixtures, self.files = case["fixtures"], case["files"]
        self.places = [name.partition("::")[0] for name in names]
        if case["workers"] == 1:  # pytest sorts the tests itself
            self.fixtures, self.files = list(range(len(self.setups))), [""] * len(self.setups)
        self.workers = [types.SimpleNamespace(queue=collections.deque(), closed=False, running=None, has={}) for _ in range(case["workers"])]
        self.now = 0
        self.events = []

    def run(self):
        for name in range(len(self.workers)):
            self.plan.add(name)
        for name in range(len(self.workers)):
            self.plan.ready(name, 0)
        self.obey()
        while self.events:
            self.now, name = heapq.heappop(self.events)
            worker = self.workers[-name]
            test, worker.running = worker.running, None
            self.go(-name)
            if self.plan.complete(-name, test, (self.tests[test][0]) / 1e6):
                self.obey()
        assert self.plan.finished and not self.plan.pending
        return self.now

    def obey(self):
        for order in self.plan.decide():
            self.workers[order.worker].queue.extend(order.tests)
            self.workers[order.worker].closed = order.close
            self.go(order.worker)

    def go(self, name):
        worker = self.workers[name]
        if worker.running is None and worker.queue and (worker.closed or len(worker.queue) > 1):
            worker.running = worker.queue.popleft()
            cost, needs = self.tests[worker.running]
            place = self.places[worker.running]
            worker.has = {name: s for name, s in worker.has.items() if self.files[s] in ("", place)}
            for s in needs:
                if worker.has.get(self.fixtures[s]) != s:
                    cost += self.setups[s]
                    worker.has[self.fixtures[s]] = s
            heapq.heappush(self.events, (self.now + cost, -name))  # of several at once, the last worker is the first


print(json.dumps([Session(case).run() for case in json.load(sys.stdin)]))
