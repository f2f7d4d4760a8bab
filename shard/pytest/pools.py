"""Pools of processes that one test starts and others go on using. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import os
import threading
import time

from wcshard_results import Real, clean

DEAR = 0.02  # seconds that a start takes at least, if it matters
USED = 1_000_000  # nanoseconds of CPU that a process takes at least for a test that uses it
RESTLESS = 5  # tests in a row after which a process is busy still: it does not wait for work
MOST = 100  # tests of a pool that are told of: that a whole suite uses one says nothing of where to run it
SHARE = 4  # a process of a pool takes at least one part in so many of what the busiest takes to start; helpers take less


class Pool:
    """Processes that a test has started and that are there after it."""

    def __init__(self, starter: str) -> None:
        self.id = f"processes {clean(starter)}"
        self.users = 1


class Process:
    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.schedule = Real.open(f"/proc/{pid}/schedstat", os.O_RDONLY)
        self.cpu = 0  # nanoseconds, as last seen
        self.pool: Pool | None = None  # it is of
        self.restless = 0

    def took(self) -> int:
        """Return the CPU time since the last call, in nanoseconds; 0 if it has ended."""
        try:
            before, self.cpu = self.cpu, int(Real.pread(self.schedule, 100, 0).split(b" ", 1)[0])
        except (OSError, ValueError):
            return 0
        return self.cpu - before

    def close(self) -> None:
        try:
            Real.close(self.schedule)
        except OSError:
            pass  # a test has closed what it had not opened


def stat(pid: int) -> list[bytes]:
    """Return the fields of a process's stat from the state on."""
    file = Real.open(f"/proc/{pid}/stat", os.O_RDONLY)
    try:
        return Real.pread(file, 4096, 0).rpartition(b") ")[2].split()
    finally:
        Real.close(file)


class Pools:
    """Tells which tests start processes that are there after them, as joblib and
    concurrent.futures keep some, what they waited for these, and which other tests
    make them work: those would have started them, had they been the first. Only Linux
    tells, and only of processes that the thread of the tests starts."""

    def __init__(self) -> None:
        self.children = -1  # the file that lists them; -1: there is none
        self.known: dict[int, Process | None] = {}  # None: of no pool
        self.called = self.busy = 0.0
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.give_up)  # a child would be told of its parent's

    def begin(self) -> None:
        """Begin to look, in the thread that runs the tests."""
        try:
            self.children = Real.open(f"/proc/self/task/{threading.get_native_id()}/children", os.O_RDONLY)
        except (OSError, AttributeError):
            self.give_up()

    def give_up(self) -> None:
        self.children, self.known = -1, {}

    def call(self) -> None:
        """Note when the call of a test begins: what its fixtures start is theirs, and
        what a pool still does then is of the test before."""
        self.called, self.busy = Real.clock(), Real.busy()
        for process in self.known.values():
            if process is not None:
                process.took()

    def look(self, nodeid: str) -> tuple[str, float, list[str]]:
        """Return the ID of a pool that the test has started in its call, how many seconds
        it waited for that, and the IDs of the others that it has used."""
        if self.children < 0:
            return "", 0.0, []
        try:
            text = Real.pread(self.children, 1 << 16, 0)
            if not text and not self.known:
                return "", 0.0, []  # nearly always
            pids = set(map(int, text.split()))
        except (OSError, ValueError):
            self.give_up()  # a test has closed what it had not opened
            return "", 0.0, []
        for pid in self.known.keys() - pids:
            process = self.known.pop(pid)
            if process is not None:
                process.close()
        used = self.used()
        return (*self.start(nodeid, sorted(pids - self.known.keys())), used)

    def used(self) -> list[str]:
        found = set()
        for process in self.known.values():
            if process is None or process.pool is None or process.pool.users == MOST or process.took() < USED:
                continue
            found.add(process.pool)
            try:
                process.restless = process.restless + 1 if stat(process.pid)[0] == b"R" else 0
            except (OSError, IndexError):
                continue
            if process.restless == RESTLESS:
                process.pool = None
        for pool in found:
            pool.users += 1
        return sorted(pool.id for pool in found)

    def start(self, nodeid: str, pids: list[int]) -> tuple[str, float]:
        """Note processes that are new. They are a pool where the test's call has started
        them, and had to wait."""
        began = Real.clock() - self.called  # seconds ago
        waited = began - (Real.busy() - self.busy)
        fresh = []
        for pid in pids:
            self.known[pid] = None
            try:
                age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(stat(pid)[19]) / os.sysconf("SC_CLK_TCK")
                if age <= began + 0.02:  # ticks are of a hundredth of a second
                    fresh.append(Process(pid))
            except (OSError, ValueError, IndexError, AttributeError):
                continue
        took = [process.took() for process in fresh]
        members = [process for process, cpu in zip(fresh, took) if SHARE * cpu >= max(took)]
        seconds = min(waited, sum(process.cpu for process in members) / 1e9)
        if seconds < DEAR:
            members = []
        pool = Pool(nodeid)
        for process in fresh:
            if process in members:
                process.pool = pool
                self.known[process.pid] = process
            else:
                process.close()
        return (pool.id, seconds) if members else ("", 0.0)
