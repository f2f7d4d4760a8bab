"""Pools of processes that one test starts and others go on using. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import os
import re
import threading

from wcshard_results import Real

DEAR = 0.02  # seconds that a start takes at least, if it matters
USED = 1_000_000  # nanoseconds of CPU that a process takes at least for a test that uses it
LOOKED_AT = 8  # processes of a pool: the others of a large one do much the same
MOST = 1000  # tests of a pool that are told of
NUMBERS = re.compile(rb"\d+")
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


class Pool:
    """Processes that a test has started and that are there after it."""

    def __init__(self, starter: str) -> None:
        self.id = f"processes {starter}"
        self.users = 1


class Process:
    def __init__(self, pid: int, pool: Pool) -> None:
        self.pool = pool
        self.schedule = Real.open(f"/proc/{pid}/schedstat", os.O_RDONLY)
        self.file = Real.fstat(self.schedule)[1:3]
        self.cpu = 0
        self.took()

    def took(self) -> int:
        """Return what its first thread has computed since the last call, in nanoseconds;
        0 if it has ended."""
        try:
            before, self.cpu = self.cpu, int(Real.pread(self.schedule, 100, 0).split(b" ", 1)[0])
        except (OSError, ValueError):
            return 0
        return self.cpu - before

    def close(self) -> None:
        try:
            if Real.fstat(self.schedule)[1:3] == self.file:  # a test may have closed what it had not opened
                Real.close(self.schedule)
        except OSError:
            pass


class Pools:
    """Tells which tests start processes that are there after them, as joblib and
    concurrent.futures keep some, what they waited for these, and which other tests
    make them work: those would have started them, had they been the first. Only Linux
    tells, and only of processes that the thread of the tests starts itself."""

    def __init__(self) -> None:
        self.children = -1  # the file that lists them; -1: there is none
        self.known: dict[int, Process | None] = {}  # None: of no pool
        self.working: list[Process] = []  # what the last test has used or started
        self.late: list[Process] = []  # of these, what was still at that when this test began
        self.listed: set[int] = set()  # when the call ended
        self.called = self.busy = self.waited = self.ended = 0.0
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.give_up)  # a child would be told of its parent's

    def begin(self) -> None:
        """Begin to look, in the thread that runs the tests."""
        try:
            self.children = Real.open(f"/proc/self/task/{threading.get_native_id()}/children", os.O_RDONLY)
        except (OSError, AttributeError):
            self.give_up()

    def give_up(self) -> None:
        self.children, self.known, self.working, self.late = -1, {}, [], []

    def pids(self) -> set[int]:
        try:
            return set(map(int, Real.pread(self.children, 1 << 16, 0).split()))
        except (OSError, ValueError):  # a test has closed what it had not opened
            for process in self.known.values():
                if process is not None:
                    process.close()
            self.give_up()
            return set()

    def begin_test(self) -> None:
        """Note what pools do between two tests: they go on with what the one before gave
        them to do, or start. Whether they want to compute says nothing, as they may do so
        where the tests have kept their only core busy."""
        gap = Real.clock() - self.ended if self.working else 0.0
        self.late = [process for process in self.working if 2 * process.took() > gap * 1e9]

    def call(self) -> None:
        """Note when the call of a test begins: what its fixtures start is theirs."""
        self.called, self.busy = Real.clock(), Real.busy()

    def call_ended(self, shared: float) -> None:
        """Note when the call ends, of which so many seconds were of what tests share. It
        may come several times, as subtests end."""
        self.listed = self.pids() if self.children >= 0 else set()
        if self.listed:  # much of what is shared keeps this thread busy
            self.waited = Real.clock() - self.called - max(Real.busy() - self.busy, shared)

    def over(self, nodeid: str) -> tuple[str, float, list[str]]:
        """Return the ID of a pool that the test has started in its call, how many seconds
        it waited for that, and the IDs of the others that it has used."""
        if not self.listed and not self.known:
            return "", 0.0, []  # nearly always
        pids = self.pids()
        for pid in self.known.keys() - pids:
            process = self.known.pop(pid)
            if process is not None:
                process.close()
        used = self.used()
        started, seconds = self.started(nodeid, sorted(pids - self.known.keys()))
        self.listed = set()
        self.ended = Real.clock()
        return started, seconds, used

    def used(self) -> list[str]:
        """Return the IDs of the pools that have worked since the test began."""
        self.working = [process for process in self.known.values() if process is not None and process.took() >= USED]
        pools = {process.pool.id: process.pool for process in self.working if process not in self.late}
        for pool in pools.values():
            pool.users += 1
        for pid, process in self.known.items():
            if process is not None and process.pool.users >= MOST:
                self.known[pid] = None
                process.close()
        self.working = [process for process in self.working if process.pool.users < MOST]
        return sorted(pools)

    def started(self, nodeid: str, pids: list[int]) -> tuple[str, float]:
        """Note processes that are new. They are a pool where the test's call has started
        them, and had to wait. What they have done since is their start and what the test
        gave them to do; the one that had least to do tells most of the first."""
        fresh: dict[bytes, list[tuple[float, float, int]]] = {}  # CPU and age by what is alike of their command lines
        for pid in pids:
            self.known[pid] = None
            try:
                fields = read(pid, "stat").rpartition(b") ")[2].split()  # from the state on
                age = Real.boottime() - (int(fields[19]) + 1) / TICKS  # at least
                if pid in self.listed and fields[0] not in b"ZX" and age <= Real.clock() - self.called:
                    line = NUMBERS.sub(b"", read(pid, "cmdline"))
                    fresh.setdefault(line, []).append(((int(fields[11]) + int(fields[12])) / TICKS, age, pid))
            except (OSError, ValueError, IndexError):
                continue
        members = max(fresh.values(), key=max, default=[])  # others help them
        oldest = max((age for _, age, _ in members), default=0.0)
        least = min((cpu for cpu, age, _ in members if 2 * age >= oldest), default=0.0)  # some have hardly begun
        turns = -(-len(members) // len(Real.affinity(0)))
        seconds = min(self.waited, 2 * turns * least)  # they are started one after another, and read files
        if seconds < max(DEAR, least / 2):  # or it was waited for elsewhere
            return "", 0.0
        pool = Pool(nodeid)
        for _, _, pid in members[:LOOKED_AT]:
            try:
                process = self.known[pid] = Process(pid, pool)
                self.working.append(process)
            except OSError:
                continue
        return pool.id, seconds


def read(pid: int, name: str) -> bytes:
    file = Real.open(f"/proc/{pid}/{name}", os.O_RDONLY)
    try:
        return bytes(Real.pread(file, 4096, 0))
    finally:
        Real.close(file)
