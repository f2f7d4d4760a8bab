"""xdist's scheduler: the workers of a session, what runs on them, and what they
hold. Imported only by their controller. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import collections
import os
from typing import TYPE_CHECKING, Any, Iterable

import pytest
import wcshard_schedule as schedule
from wcshard_measuring import PAGE, Memory
from wcshard_needs import NOTHING, Holdings, Need
from wcshard_results import Real, file_of

if TYPE_CHECKING:
    from wcshard_main import Running

LOOK_EVERY = 0.1  # seconds


class Scheduler:
    """Speaks with xdist for a wcshard_schedule.Schedule, which decides.

    The tests of one xdist_group, and those of a file that was not cut, stay
    together; those of a cut file go one by one. Work goes by position, not by
    name, since tests may share a name, and each step costs the same however
    many tests there are; xdist's own LoadScopeScheduling does neither, and
    runs a test that killed its worker again and again.
    """

    def __init__(self, config: pytest.Config, plugin: Running) -> None:
        self.config = config
        self.plugin = plugin
        self.expected = len(config.getvalue("tx"))
        self.collection: list[str] | None = None  # the same for all workers
        self.registered: dict[Any, list[str]] = {}
        self.nodes: list[Any] = []
        self.plan = schedule.Schedule([])  # until there is a collection
        assert plugin.stream is not None
        self.stream = plugin.stream
        self.events = getattr(config.pluginmanager.getplugin("dsession"), "queue", None)
        self.stream.hold = self.events is not None
        self.processes = Processes()
        self.useful: set[Any] = set()  # workers that have run a test
        self.renewing: set[Any] = set()  # workers that end, and shall be replaced
        self.crashed: int | None = None  # the test that killed a worker last

    # What xdist asks.

    @property
    def collection_is_completed(self) -> bool:
        return self.collection is not None or len(self.registered) >= self.expected

    @property
    def tests_finished(self) -> bool:
        # Asked after each event: when there is no other, what was held back
        # is written.
        if self.stream.lines and (self.events is None or self.events.empty()):
            self.stream.flush()
        return self.plan.finished and self.collection_is_completed

    @property
    def has_pending(self) -> bool:
        return self.plan.pending

    # What xdist tells.

    def add_node(self, node: Any) -> None:
        self.nodes.append(node)
        self.plan.add(node, self.plugin.floor_of(node.gateway.id))

    def add_node_collection(self, node: Any, collection: Iterable[str]) -> None:
        # They are alike, and each of them is as long as the suite.
        known = self.collection or next(iter(self.registered.values()), None)
        found = list(collection)
        self.registered[node] = known if known is not None and known == found else found

    def schedule(self) -> None:
        if self.collection is None and not self.agree():
            return
        for node in self.nodes:
            if node not in self.registered or self.plan.workers[node].ready:
                continue
            if self.registered[node] == self.collection:
                name = node.gateway.id
                self.processes.pids[node] = self.plugin.pids.get(name, 0)
                self.plan.ready(node, self.plugin.floor_of(name), self.plugin.starts.get(name, 0.0))
            elif not node.shutting_down:
                self.plugin.write({"t": "note", "text": f"{node.gateway.id} collected other tests: it runs none"})
                node.shutdown()
        self.obey()

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        self.plugin.running.pop(node.gateway.id, None)
        self.plugin.reported.pop(node.gateway.id, None)
        self.useful.add(node)
        if self.plan.complete(node, item_index, duration):
            self.obey()

    def mark_test_pending(self, item: str) -> None:
        """Queue a test again, as plugins do that want a crashed test repeated."""
        if self.collection is not None:
            at = self.crashed if self.crashed is not None and self.collection[self.crashed] == item else self.collection.index(item)
            self.plan.again(at)
            self.obey()

    def remove_pending_tests_from_node(self, node: Any, indices: Iterable[int]) -> None:
        raise NotImplementedError("tests are never taken back from a worker that lives")

    def remove_node(self, node: Any) -> str | None:
        """Take back what a worker has not run. Return the test that killed it."""
        if node not in self.nodes:
            raise KeyError(node)  # as xdist's own schedulers do
        self.nodes.remove(node)
        self.registered.pop(node, None)
        self.processes.forget(node)
        name = node.gateway.id
        running = name in self.plugin.running
        crashed = self.plugin.running.pop(name, None) is not None
        test = self.plan.remove(node, running)
        ended = hasattr(node, "workeroutput")  # as it was told; xdist replaces one that crashed
        renew = ended and node in self.renewing and self.plan.queued
        self.renewing.discard(node)
        if renew:
            self.config.pluginmanager.getplugin("dsession")._clone_node(node)
        if renew or not ended:
            self.plan.expect(self.plugin.floor_of(name))
        self.obey()
        if running or node in self.useful:
            self.allow_restart()
        self.useful.discard(node)
        self.crashed = test if crashed and self.collection else None
        return None if self.crashed is None else self.collection[self.crashed]

    def allow_restart(self) -> None:
        """Let xdist replace a worker that has run tests, however often that
        happens: each time there are fewer left. By default it gives up after
        four deaths a worker, which shall count those that never ran any."""
        session = self.config.pluginmanager.getplugin("dsession")
        most = getattr(session, "_max_worker_restart", None)
        if most is not None and self.config.option.maxworkerrestart is None:
            session._max_worker_restart = most + 1

    # How it obeys.

    def agree(self) -> bool:
        """Take the collection that all workers found, and make a schedule of
        its tests."""
        from xdist.report import report_collection_diff

        (first, collection), *others = self.registered.items()
        for node, other in others:
            message = report_collection_diff(collection, other, first.gateway.id, node.gateway.id)
            if message:
                report = pytest.CollectReport(nodeid=node.gateway.id, outcome="failed", longrepr=message, result=[])
                self.config.hook.pytest_collectreport(report=report)
                self.collection = []
                return False
        self.collection = collection
        memory = self.plugin.settings.get("memory") or {}
        units = self.units()
        needs = self.needs() if memory else {}
        self.plan = schedule.Schedule(
            units.values(),
            needs=needs,
            budget=memory.get("budget", 0),
            reserve=memory.get("reserve", 0),
            look=lambda: self.processes.look(memory.get("reserve", 0) > 0, lazily=not needs),
            groups=self.whole(units),
            restarts=self.restarts(units),
            may_renew=hasattr(self.config.pluginmanager.getplugin("dsession"), "_clone_node"),
        )
        for node in sorted(self.nodes, key=lambda node: (len(node.gateway.id), node.gateway.id)):
            self.plan.add(node, self.plugin.floor_of(node.gateway.id))
        return True

    def units(self) -> dict[Any, list[int]]:
        """Divide tests into what stays together, by what that is: first what
        the plan says, by number, then the others as they come. Tests that
        share a name stay together, as in the plan: which of them have run can
        only be told when they run in order."""
        plugin = self.plugin
        names = self.names()
        turns = collections.Counter(names)
        units: dict[Any, list[int]] = {}
        numbers: dict[str, set[int]] = {}  # of each group's tests
        files: dict[str, set[str]] = {}
        for nodeid in names:
            if group := plugin.groups.get(nodeid):
                files.setdefault(group, set()).add(file_of(nodeid))
                numbers.setdefault(group, set()).add(plugin.units.get(nodeid, 0))
        for index, nodeid in enumerate(names):
            file, group = file_of(nodeid), plugin.groups.get(nodeid)
            cut = ("same", nodeid) if turns[nodeid] > 1 else ("test", index)
            # A group within a file that nothing cuts stays with the rest of it, but
            # where tests that need much may have to be taken out of that.
            apart = group and (file in plugin.cut or len(files[group]) > 1 or file in plugin.needy)
            scope = ("group", group) if apart else cut if file in plugin.cut else ("file", file)
            unit = plugin.units.get(nodeid)
            if group and len(numbers[group]) > 1:
                unit = None  # what the plan says parts the group
            units.setdefault(("unit", unit) if unit else scope, []).append(index)
        numbered = sorted(scope for scope in units if scope[0] == "unit")
        return {scope: units[scope] for scope in [*numbered, *(scope for scope in units if scope[0] != "unit")]}

    def restarts(self, units: dict[Any, list[int]]) -> set[int]:
        """Return the places of the units from which on slow tests come first again:
        behind a file that is cut, whose own come first in it, and behind what the plan
        has put together."""
        names = self.names()
        files = [file_of(names[tests[0]]) for tests in units.values()]
        kinds = [scope for scope, _ in units]
        return {
            place
            for place in range(1, len(files))
            if kinds[place] != "unit" and files[place] != files[place - 1] and (files[place - 1] in self.plugin.cut or kinds[place - 1] == "unit")
        }

    def whole(self, units: dict[Any, list[int]]) -> set[int]:
        """Return the places of the units that nothing may part: groups, and
        those with tests that share a name."""
        names = self.names()
        turns = collections.Counter(names)
        return {
            place
            for place, ((scope, _), tests) in enumerate(units.items())
            if scope == "group" or any(turns[names[test]] > 1 or names[test] in self.plugin.groups for test in tests)
        }

    def names(self) -> list[str]:
        """Return the collected tests as they are planned."""
        assert self.collection is not None
        return [self.plugin.plain(name) for name in self.collection]

    def needs(self) -> dict[int, Need]:
        """Find the planned needs of the collected tests."""
        assert self.collection is not None
        planned: dict[str, list[Need]] = {}  # namesakes in running order
        for piece in self.plugin.settings["pieces"]:
            needs = {test: Need(need, kept, low) for test, low, need, kept in piece.get("needs") or ()}
            for test, rest in enumerate(piece["tests"]):
                if needs:
                    planned.setdefault(piece["file"] + rest, []).append(needs.get(test, NOTHING))
        found = {}
        for index, name in enumerate(self.collection):
            namesakes = planned.get(self.plugin.plain(name))
            if namesakes:
                need = namesakes.pop(0) if len(namesakes) > 1 else namesakes[0]
                if need != NOTHING:
                    found[index] = need
        return found

    def obey(self) -> None:
        for node, tests, close, renew in self.plan.decide():
            if renew:
                self.renewing.add(node)
            try:
                if tests:
                    node.send_runtest_some(tests)
                if close:
                    node.shutdown()
            except OSError:
                pass  # it died, and xdist is about to say so

    def note_crowding(self) -> None:
        """Say where memory was too little for tests to run beside each other."""
        plan, budget = self.plan, gib(self.plan.budget)
        if plan.surplus:
            closed = "1 worker was" if plan.surplus == 1 else f"{plan.surplus} workers were"
            text = f"{closed} closed: all together held more than {budget} while they ran no test"
            self.plugin.write({"t": "note", "text": f"{text}: plan fewer workers, or allow more memory"})
        if plan.over:
            ran = "1 test ran alone: it" if plan.over == 1 else f"{plan.over} tests ran alone: they"
            text = f"{ran} did not fit into {budget} beside what the workers held"
            self.plugin.write({"t": "note", "text": text})


def gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size >> 20} MiB"


class Processes:
    """What the processes of the session hold, in bytes. Only Linux tells."""

    def __init__(self) -> None:
        self.pids: dict[Any, int] = {}  # by worker
        self.files: dict[int, int] = {}  # descriptors, by process
        self.last = Holdings(0, {})
        self.until = 0.0  # when it may be looked at again for little
        self.trees: dict[int, tuple[float, int]] = {}  # by process: until when its children are known, and what they hold

    def look(self, available: bool, lazily: bool) -> Holdings:
        """Return what is held now; where none of the tests needs much, a look
        from time to time shows who has grown all the same."""
        now = Real.clock()
        if lazily and now < self.until:
            return self.last
        held = {}
        for worker, pid in self.pids.items():
            resident = self.resident(pid)
            if resident:
                held[worker] = resident + self.children(pid, resident)
        own = self.resident(os.getpid())
        self.last = Holdings(own, held, self.available() if available else None)
        self.until = now + LOOK_EVERY
        return self.last

    def forget(self, worker: Any) -> None:
        pid = self.pids.pop(worker, 0)
        self.trees.pop(pid, None)
        file = self.files.pop(pid, -1)
        if file >= 0:
            os.close(file)

    def resident(self, pid: int) -> int:
        try:
            file = self.files.get(pid, -1)
            if file < 0:
                file = self.files[pid] = os.open(f"/proc/{pid}/statm", os.O_RDONLY)
            return int(os.pread(file, 100, 0).split()[1]) * PAGE
        except (OSError, ValueError, IndexError):
            return 0  # gone, or another system

    def children(self, pid: int, resident: int) -> int:
        """Return what the descendants of a process hold, without what they
        share with it since they were forked."""
        descendants = self.descendants(pid)
        if not descendants:
            return 0
        start = Real.clock()
        until, held = self.trees.get(pid, (0.0, 0))
        if start > until:  # it takes some 25 us a MiB
            held = max(0, sum(map(self.proportional, [pid, *descendants])) - resident)
            end = Real.clock()
            self.trees[pid] = end + 50 * (end - start), held
        return held

    def descendants(self, pid: int) -> list[int]:
        found = []
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
                    found += [int(child) for child in file.read(1 << 16).split()]
        except OSError:
            pass
        return found + [deeper for child in found for deeper in self.descendants(child)]

    @staticmethod
    def proportional(pid: int) -> int:
        """Return what a process holds, shared memory divided among its users."""
        try:
            with open(f"/proc/{pid}/smaps_rollup", "rb", buffering=0) as file:
                return Memory.field(file.read(4096), b"\nPss:")
        except OSError:
            return 0

    @staticmethod
    def available() -> int | None:
        try:
            with open("/proc/meminfo", "rb", buffering=0) as file:
                return Memory.field(file.read(4096), b"\nMemAvailable:")
        except OSError:
            return None
