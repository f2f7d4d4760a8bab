"""What a test costs, measured in the process that runs it. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import gc
import inspect
import json
import os
import sys
import time
from importlib.machinery import BuiltinImporter, PathFinder
from importlib.util import module_from_spec
from typing import Any, Callable, Generator, NamedTuple

import pytest
from wcshard_importing import LATE, LateImports
from wcshard_instances import instance
from wcshard_results import Real, clean, encode, file_of, microseconds

def own_resource() -> Any:
    """Return Python's own module resource, None where there is none. A project's
    module of that name is on the path before it, and is not to find this one."""
    library = os.path.dirname(os.__file__)
    for finder, place in ((PathFinder, [os.path.join(library, "lib-dynload"), library]), (BuiltinImporter, None)):
        spec = finder.find_spec("resource", place)  # type: ignore[attr-defined]
        if spec is not None and spec.loader is not None:
            module = module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    return None


try:
    resource: Any = own_resource()
except Exception:
    resource = None  # peaks are read elsewhere, or nowhere

# Of what is called for each test and fixture: where pluggy knows wrappers of the
# new kind, it calls those of the old kind by way of two more generators. Of the
# old kind, what is returned does not count.
WRAPPER = {"wrapper": True} if "wrapper" in inspect.signature(type(pytest.hookimpl).__call__).parameters else {"hookwrapper": True}
NEW_WRAPPERS = "wrapper" in WRAPPER

MIB = 1 << 20
DEAR = 1e-3  # seconds: what the set-up of a fixture takes by itself that it matters to share
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def process_start() -> float:
    """Return when this process started, on the clock of time.perf_counter."""
    now = Real.clock()
    try:
        with open("/proc/self/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        if 0 <= age < 3600:
            return now - age
    except (OSError, ValueError, IndexError, AttributeError):
        pass
    return now - time.process_time()  # start-up is nearly all computing


class Memory:
    """Resident memory of this process, in bytes; zeros where the system does
    not tell (only Linux has a peak that can be reset)."""

    def __init__(self) -> None:
        self.files: dict[int, tuple[int, int]] = {}  # by descriptor of ours
        self.largest = self.largest_child()
        self.most = 0  # peak of this process since it had no children
        self.open()
        if self.status >= 0:
            # The descriptors name the process that opened them: a forked
            # child, as under pytest-forked, must look at itself.
            os.register_at_fork(after_in_child=self.open)

    def open(self) -> None:
        for fd, file in self.files.items():
            try:
                if Real.fstat(fd)[1:3] == file:  # a daemon may have closed it, and opened another by its number
                    Real.close(fd)
            except OSError:
                pass
        self.files = {}
        self.status = self.refs = self.statm = -1
        try:
            self.status = self.keep("/proc/self/status", os.O_RDONLY)
            self.refs = self.keep("/proc/self/clear_refs", os.O_WRONLY)
            Real.write(self.refs, b"5")
        except OSError:
            self.refs = -1
            return
        # getrusage tells the same peak at a tenth of the cost, unless whoever
        # started this process was larger: it counts that one's peak, too.
        if resource and self.own_peak() <= self.read()[0]:
            self.statm = self.keep("/proc/self/statm", os.O_RDONLY)

    def keep(self, name: str, flags: int) -> int:
        fd = Real.open(name, flags)
        self.files[fd] = Real.fstat(fd)[1:3]
        return fd

    def reset(self) -> None:
        """Start a new peak."""
        if self.refs >= 0:
            Real.write(self.refs, b"5")
            try:
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                self.most = 0  # there is none that may have started with it

    def read(self) -> tuple[int, int]:
        """Return the peak since the last reset, and what is resident now."""
        if self.refs < 0:
            return 0, 0
        if self.statm >= 0:
            return self.own_peak(), int(Real.pread(self.statm, 100, 0).split(b" ", 2)[1]) * PAGE
        text = Real.pread(self.status, 4096, 0)
        return self.field(text, b"\nVmHWM:"), self.field(text, b"\nVmRSS:")

    def child(self, peak: int) -> int:
        """Return the peak of the largest child process that ended since the
        last call, 0 if an earlier one was as large. Samples see the others,
        and miss what is quick."""
        if self.refs < 0:
            return 0
        largest = self.largest_child()
        rose = largest > self.largest
        self.largest = largest
        # A child starts as this process, and its peak with what this one held then,
        # however long ago.
        self.most = max(self.most, peak)
        return largest if rose and largest > self.most + MIB else 0

    @staticmethod
    def own_peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

    @staticmethod
    def largest_child() -> int:
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10 if resource else 0

    @staticmethod
    def field(text: bytes, name: bytes) -> int:
        start = text.find(name)
        if start < 0:
            return 0
        start += len(name)
        return int(text[start : text.index(b"kB", start)]) << 10


# Whether Python has three generations of objects, and begins a full collection by
# itself when there is much in the last one. In 3.14.0 to 3.14.4 it looks at a part of the
# old ones each time, and a third threshold is always 0.
GENERATIONS = (
    sys.implementation.name == "cpython"
    and gc.get_threshold()[2] > 0
    and getattr(sys, "_is_gil_enabled", lambda: True)()
)


class Garbage:
    """Counts the full collections of garbage that are due during a test. What they take
    only a callback could tell, and that would lose what a signal raises meanwhile."""

    def __init__(self) -> None:
        self.full = self.middle = 0
        if GENERATIONS:  # as they are, whatever tests put in their place
            self.stats, self.count, self.threshold = gc.get_stats, gc.get_count, gc.get_threshold

    def begin(self) -> None:
        if GENERATIONS:
            _, middle, full = self.stats()
            self.full = full["collections"]
            self.middle = middle["collections"] - self.count()[2]

    def due(self) -> int:
        """Return how many there were since begin. Those of a test that asks for them are
        left out, unless one was nearly due."""
        if not GENERATIONS:
            return 0
        _, middle, full = self.stats()
        found = full["collections"] - self.full
        return found if found and middle["collections"] - self.middle > self.threshold()[2] else 0


class Fixtures:
    """Self times of what tests share: fixtures of a scope above function, what is
    imported while tests run, and pools of processes. What one takes inside another is
    not the other's."""

    def __init__(self, anew: Callable[[], None]) -> None:
        self.anew = anew  # called where a module is imported anew
        self.imports = LateImports(self.enter, self.leave_import)
        self.times: dict[str, list[int]] = {}  # by ID: set-up and teardown, of the current test
        self.total = 0.0  # seconds, of the current test
        self.stack: list[float] = []  # what ran inside each fixture that is being set up or torn down, and each import
        self.whole = 0  # fixtures of packages and the session that are being set up or torn down
        self.dear: dict[Any, str] = {}  # IDs by definition: dear ones of packages and the session
        self.used: set[tuple[str, str]] = set()  # files, and dear fixtures that their tests asked for while they ran
        self.asked: list[str] = []  # what the current test was the first of its file to ask for, and pools that it has used

    def begin(self) -> None:
        self.times = {}
        self.total = 0.0
        self.whole = 0
        self.stack.clear()
        self.asked = []

    def setup(self, fixturedef: Any, request: Any) -> Generator[None, Any, Any]:
        __tracebackhide__ = True
        name = instance(fixturedef, request._pyfuncitem)
        if name is None:
            return (yield)
        wide = fixturedef.scope in ("session", "package")
        self.whole += wide
        start = self.enter()
        try:
            result = yield
            failed = not NEW_WRAPPERS and result.excinfo is not None
        except BaseException:
            self.whole -= wide
            self.give_up()
            raise
        self.whole -= wide
        if failed:
            self.give_up()
            return result
        if self.leave(name, 0, start) > DEAR and wide:
            self.dear[fixturedef] = name
        self.watch_end(fixturedef, name, wide)
        return result

    def watch_end(self, fixturedef: Any, name: str, wide: bool) -> None:
        """Have the teardown measured too. Finalizers run last in, first out. Ours come
        when the set-up is over: allure makes a step of a report of each that is there
        by then, and names those by their number."""
        finalizers = getattr(fixturedef, "_finalizers", None)
        if not isinstance(finalizers, list):
            return  # the teardown counts to its test
        began = 0.0

        def goes() -> None:
            nonlocal began
            began = self.enter()
            self.whole += wide

        def gone() -> None:
            self.leave(name, 1, began)
            self.whole -= wide

        finalizers.append(goes)
        finalizers.insert(0, gone)

    def give_up(self) -> None:
        """A set-up has failed: what it took says nothing of the next one, and counts
        to its test."""
        inside = self.stack.pop() if self.stack else 0.0
        if self.stack:
            self.stack[-1] += inside

    def enter(self) -> float:
        self.stack.append(0.0)
        return Real.clock()

    def leave(self, name: str, phase: int, start: float) -> float:
        elapsed = Real.clock() - start
        inside = self.stack.pop() if self.stack else 0.0
        if self.stack:
            self.stack[-1] += elapsed
        own = max(0.0, elapsed - inside)
        self.total += own
        self.times.setdefault(name, [0, 0])[phase] += microseconds(own)
        return own

    def leave_import(self, module: Any, start: float) -> None:
        """A module has been imported while a test runs: what that took by itself is
        its library's, where it is much and nobody else's. What a fixture of a package
        or the session imports is the fixture's: once a worker as well, and known of
        all the tests that need it."""
        if module in self.imports.before:
            self.anew()
        elapsed = Real.clock() - start
        inside = self.stack.pop() if self.stack else 0.0
        own = max(0.0, elapsed - inside)
        library = self.imports.shared(module) if own >= LATE and not self.whole else None
        if library is not None:
            inside = elapsed
            self.total += own
            self.times.setdefault(f"import {clean(library)}", [0, 0])[0] += microseconds(own)
        if self.stack:
            self.stack[-1] += inside

    def note_pools(self, started: str, seconds: float, used: list[str]) -> float:
        """Note a pool of processes that the test has started, and those that it has used;
        return the seconds of its call that the start took."""
        if started:
            self.total += seconds
            self.times.setdefault(started, [0, 0])[0] += microseconds(seconds)
        self.asked += [name for name in used if name not in self.asked]
        return seconds

    def wire(self, item: pytest.Item) -> list[list[Any]]:
        """Return what was set up and torn down during the test; and, without
        any time, the dear fixtures of packages and the session that it asked for
        while it ran (getfixturevalue), if it is the first of its file to do so."""
        if self.dear:
            self.note_asked(item)
        lines: list[list[Any]] = [[name, *times] for name, times in self.times.items() if any(times)]
        return lines + [[name, 0, 0] for name in self.asked]

    def note_asked(self, item: pytest.Item) -> None:
        """Note what the test has asked for. What a shared fixture asks for in
        its own set-up is known only of the test that set that up."""
        active = getattr(getattr(item, "_request", None), "_fixture_defs", None) or {}
        named = getattr(item, "fixturenames", ())
        for argname, fixturedef in active.items():
            if argname not in named and fixturedef in self.dear:
                use = file_of(item.nodeid), self.dear[fixturedef]
                if use not in self.used:
                    self.used.add(use)
                    self.asked.append(use[1])


class Measured(NamedTuple):
    """What a test's worker tells its controller of it: times in microseconds,
    memory in bytes."""

    start_us: int = 0  # since the process started
    wall_us: int = 0
    shared_setup_us: int = 0  # by what tests share, in each phase of the test
    shared_call_us: int = 0
    shared_teardown_us: int = 0
    before: int = 0
    peak: int = 0
    after: int = 0
    children: int = 0
    garbage: int = 0  # full collections
    marked: int = 0  # it has a skip marker
    fixtures: Any = ()  # [[id, set-up, teardown], …]

    def pack(self) -> str:
        """Return it as one string: execnet takes values apart one by one."""
        numbers = "%d %d %d %d %d %d %d %d %d %d %d" % self[:-1]
        return f"{numbers} {encode(self.fixtures)}" if self.fixtures else numbers

    @classmethod
    def unpack(cls, text: str) -> Measured:
        parts = text.split(" ", 11)
        return cls(*map(int, parts[:11]), json.loads(parts[11]) if len(parts) > 11 else ())
