"""wcshard's plugin for pytest. PYTEST_DONT_REWRITE

It reports and obeys; what to run, and where, was decided before. Loaded with
"-p wcshard_plugin" and configured by the JSON file that the environment
variable WCSHARD_PLUGIN_CONFIG names. In "collect" mode it writes what pytest
collected; in "run" mode it keeps exactly the planned tests, in planned order,
and writes what each of them cost. Costs are measured where the test runs and
written by the process that owns the terminal. It prints nothing.

For Python 3.9 and later, pytest 7.0 and later, with xdist 3.0 and later or
without it.
"""

from __future__ import annotations

import collections
import json
import os
import platform
import sys
import time
from typing import Any, Generator, Iterable, NamedTuple

import pytest
import wcshard_schedule as schedule

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

VERSION = 1
IDS_A_LINE = 1000  # long lists are split, so that no line of the results grows without bound
MESSAGE_LENGTH = 500
MOST_HELD = 16  # lines of the results
LOOK_EVERY = 0.1  # seconds
MIB = 1 << 20
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

encode = json.JSONEncoder(separators=(",", ":")).encode
quote = json.encoder.encode_basestring_ascii


def clean(text: str) -> str:
    """Return text as valid Unicode: lone surrogates, as in the names of files
    that are not UTF-8, stand as backslash escapes."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()


def microseconds(seconds: float) -> int:
    return max(0, round(seconds * 1e6))


def file_of(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def xdist_group(item: pytest.Item) -> str:
    """Return the name that xdist gives the test's group, "" for none."""
    names = set()
    for mark in item.iter_markers("xdist_group"):
        names.add(str(mark.args[0] if mark.args else mark.kwargs.get("name", "default")))
    return "_".join(sorted(names))


class Stream:
    """A file of JSON lines. They are written in append mode, whole ones at
    once, so that a kill at any moment leaves whole lines."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        self.hold = False  # whoever sets it flushes before it waits for anything
        self.lines: list[str] = []

    def write(self, record: dict[str, Any]) -> None:
        self.write_line(encode(record))

    def write_line(self, line: str) -> None:
        self.lines.append(line)
        if not self.hold or len(self.lines) >= MOST_HELD:
            self.flush()

    def flush(self) -> None:
        if self.lines:
            text = "\n".join(self.lines) + "\n"
            self.lines.clear()
            os.write(self.fd, text.encode())

    def write_ids(self, kind: str, ids: list[str]) -> None:
        for i in range(0, len(ids), IDS_A_LINE):
            self.write({"t": kind, "ids": ids[i : i + IDS_A_LINE]})


class Memory:
    """Resident memory of this process, in bytes; zeros where the system does
    not tell (only Linux has a peak that can be reset)."""

    def __init__(self) -> None:
        self.status = self.refs = self.statm = -1
        self.largest = self.largest_child()
        self.open()
        if self.status >= 0:
            # The descriptors name the process that opened them: a forked
            # child, as under pytest-forked, must look at itself.
            os.register_at_fork(after_in_child=self.open)

    def open(self) -> None:
        for fd in (self.status, self.refs, self.statm):
            if fd >= 0:
                os.close(fd)
        self.status = self.refs = self.statm = -1
        try:
            self.status = os.open("/proc/self/status", os.O_RDONLY)
            self.refs = os.open("/proc/self/clear_refs", os.O_WRONLY)
            os.write(self.refs, b"5")
        except OSError:
            self.refs = -1
            return
        # getrusage tells the same peak at a tenth of the cost, unless whoever
        # started this process was larger: it counts that one's peak, too.
        if resource and self.own_peak() <= self.read()[0]:
            self.statm = os.open("/proc/self/statm", os.O_RDONLY)

    def reset(self) -> None:
        """Start a new peak."""
        if self.refs >= 0:
            os.write(self.refs, b"5")

    def read(self) -> tuple[int, int]:
        """Return the peak since the last reset, and what is resident now."""
        if self.refs < 0:
            return 0, 0
        if self.statm >= 0:
            return self.own_peak(), int(os.pread(self.statm, 100, 0).split(b" ", 2)[1]) * PAGE
        text = os.pread(self.status, 4096, 0)
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
        # A child starts as this process, and its peak with this one's.
        return largest if rose and largest > peak + MIB else 0

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


def process_start() -> float:
    """Return when this process started, on the clock of time.perf_counter."""
    now = time.perf_counter()
    try:
        with open("/proc/self/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        if 0 <= age < 3600:
            return now - age
    except (OSError, ValueError, IndexError, AttributeError):
        pass
    return now - time.process_time()  # start-up is nearly all computing


class Fixtures:
    """Self times of the fixtures that tests share: those of a scope above
    function. What one takes inside another is not the other's."""

    def __init__(self) -> None:
        self.times: dict[str, list[int]] = {}  # by ID: set-up and teardown, of the current test
        self.total = 0.0  # seconds, of the current test
        self.stack: list[float] = []  # what ran inside each fixture that is being set up or torn down
        self.ids: dict[tuple[Any, ...], str] = {}

    def begin(self) -> None:
        self.times = {}
        self.total = 0.0
        self.stack.clear()

    @staticmethod
    def place(scope: str, fixturedef: Any, node: pytest.Item | pytest.Collector) -> str | None:
        """Say which of the fixture's instances node uses; None for one of its own."""
        if scope == "session":
            return ""
        if scope == "package":
            # What pytest looks up to find the package, so it tells packages
            # apart even where it falls back to the session.
            base = str(fixturedef.baseid)
            return base[: -len("/__init__.py")] if base.endswith("/__init__.py") else base
        if scope == "module":
            return file_of(node.nodeid)
        if scope == "class":
            owner = node.getparent(pytest.Class)
            return owner.nodeid if owner is not None else None
        return None

    def identify(self, fixturedef: Any, request: Any) -> str | None:
        scope = fixturedef.scope
        place = self.place(scope, fixturedef, request.node)
        if place is None or is_parameter(fixturedef):
            return None
        index = f"[{request.param_index}]" if hasattr(request, "param") else ""
        return clean(f"{scope} {place}::{fixturedef.argname}{index}")

    def setup(self, fixturedef: Any, request: Any) -> Generator[None, Any, None]:
        name = self.identify(fixturedef, request)
        if name is None:
            yield
            return
        # Finalizers run last in, first out: the one added now runs when the
        # fixture is gone, the one added after its set-up before it goes.
        clock = [0.0]
        fixturedef.addfinalizer(lambda: self.leave(name, 1, clock[0]) if clock[0] else None)
        start = self.enter()
        try:
            yield
        finally:
            self.leave(name, 0, start)

            def enter() -> None:
                clock[0] = self.enter()

            fixturedef.addfinalizer(enter)

    def enter(self) -> float:
        self.stack.append(0.0)
        return time.perf_counter()

    def leave(self, name: str, phase: int, start: float) -> None:
        elapsed = time.perf_counter() - start
        inside = self.stack.pop() if self.stack else 0.0
        if self.stack:
            self.stack[-1] += elapsed
        own = max(0.0, elapsed - inside)
        self.total += own
        self.times.setdefault(name, [0, 0])[phase] += microseconds(own)

    def wire(self) -> list[list[Any]]:
        return [[name, *times] for name, times in self.times.items()]


def is_parameter(fixturedef: Any) -> bool:
    """Report whether this is pytest's stand-in for a parametrized argument."""
    return getattr(fixturedef.func, "__name__", "") == "get_direct_param_fixture_func"


def shared_fixtures(item: pytest.Item) -> list[str]:
    """Return the IDs of the shared fixtures that a collected test is known to need."""
    definitions = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    indices = getattr(getattr(item, "callspec", None), "indices", {})
    names = []
    for argname, fixturedefs in definitions.items():
        # The last one hides the others, unless it asks for what it hides.
        for fixturedef in reversed(fixturedefs):
            place = Fixtures.place(fixturedef.scope, fixturedef, item)
            if place is not None and not is_parameter(fixturedef):
                index = f"[{indices[argname]}]" if argname in indices else ""
                names.append(clean(f"{fixturedef.scope} {place}::{argname}{index}"))
            if argname not in fixturedef.argnames:
                break
    return sorted(set(names))


class Common:
    """What collecting and running have in common."""

    def __init__(self, config: pytest.Config, settings: dict[str, Any]) -> None:
        self.config = config
        self.settings = settings
        self.notes: list[str] = []
        self.born = process_start()
        self.collection_start = time.perf_counter()
        self.collection_end = self.collection_start
        self.imports: dict[str, float] = {}

    def note(self, text: str) -> None:
        self.notes.append(text)

    def option(self, name: str) -> Any:
        return getattr(self.config.option, name, None)

    def switch_off(self) -> None:
        """Switch off what would make pytest run something else than all of its tests."""
        given = self.settings["given"]
        if self.option("maxfail") and "maxfail" not in given:
            self.config.option.maxfail = 0
            self.note("-x or --maxfail is on: switched off, a shard runs all its tests")
        for name, flag in (
            ("lf", "--lf"),
            ("failedfirst", "--ff"),
            ("newfirst", "--nf"),
            ("stepwise", "--sw"),
            ("stepwise_skip", "--sw-skip"),
            ("stepwise_reset", "--sw-reset"),
        ):
            if self.option(name) and name not in given:
                setattr(self.config.option, name, False)
                self.note(f"{flag} is on: switched off, the plan says what runs")

    def seed(self) -> tuple[str, int | None]:
        """Give random-order plugins the planned seed where they have none.
        Return the plugin that orders the tests, "" for none, and the seed."""
        given = self.settings["seed"]
        option = self.config.option
        order, seed = "", None
        if self.option("randomly_seed") is not None:  # pytest-randomly
            if option.randomly_seed in ("default", "last"):
                option.randomly_reorganize = False
                if given is not None:
                    option.randomly_seed = seed = given
                    self.note(f"pytest-randomly has no seed of its own: tests keep their order, and its seed is {given}")
            else:
                seed = option.randomly_seed
                if option.randomly_reorganize:
                    order = "pytest-randomly"
        value = self.option("random_order_seed")  # pytest-random-order
        if value is not None:
            bucket = self.option("random_order_bucket") or ""
            on = self.option("random_order_enabled") or not bucket.startswith("default:")
            if not value.startswith("default:"):
                order = "pytest-random-order" if bucket != "none" else order
                seed = int(value) if value.lstrip("-").isdigit() else seed
            elif on and bucket != "none":
                option.random_order_bucket = "none"
                self.note("pytest-random-order has no seed: switched off, tests keep their order")
        return order, seed

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection(self) -> Generator[None, Any, None]:
        self.collection_start = time.perf_counter()
        yield
        self.collection_end = time.perf_counter()

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, Any, None]:
        # A file's own collector and those of its classes. None of them
        # collects inside another, so these are self times.
        own = "::" in collector.nodeid or (
            isinstance(collector, pytest.File) and not isinstance(collector, pytest.Package)
        )
        start = time.perf_counter()
        yield
        if own:
            name = clean(file_of(collector.nodeid))
            self.imports[name] = self.imports.get(name, 0.0) + time.perf_counter() - start


class Collecting(Common):
    """Collect mode: writes what was collected."""

    def __init__(self, config: pytest.Config, settings: dict[str, Any]) -> None:
        super().__init__(config, settings)
        self.stream = Stream(settings["out"])
        self.order: str = ""
        self.planned_seed: int | None = None
        self.file = ""  # being collected

    def configure(self) -> None:
        self.switch_off()
        self.order, self.planned_seed = self.seed()

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection(self) -> Generator[None, Any, None]:
        config = self.config
        self.stream.write(
            {
                "wcshard": "collection",
                "version": VERSION,
                "pytest": pytest.__version__,
                "python": platform.python_version(),
                "xdist": xdist_version(config),
                "root": relative(str(config.rootpath), str(config.invocation_params.dir)),
                "order": self.order or "definition",
                "seed": self.planned_seed,
            }
        )
        # A million names need no printing. Not sooner: without a header to
        # print, hooks that make one would not be called as in a run.
        config.option.verbose = -3
        yield from super().pytest_collection()

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, Any, None]:
        yield from super().pytest_make_collect_report(collector)
        if isinstance(collector, pytest.File):
            # A file's classes are collected after it: its time is complete
            # when the next file's turn comes.
            self.write_file()
            self.file = clean(file_of(collector.nodeid))

    def write_file(self) -> None:
        if self.file in self.imports:
            seconds = self.imports.pop(self.file)
            self.stream.write({"t": "file", "file": self.file, "import_us": microseconds(seconds)})

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None, Any, None]:
        yield  # every other plugin has had its say
        end = time.perf_counter()
        for self.file in list(self.imports):
            self.write_file()
        for i in range(0, len(items), 1000):
            lines = [encode(self.describe(item)) + "\n" for item in items[i : i + 1000]]
            os.write(self.stream.fd, "".join(lines).encode())
        for text in self.notes:
            self.stream.write({"t": "note", "text": text})
        self.stream.write(
            {
                "t": "end",
                "collect_us": microseconds(end - self.collection_start),
                "startup_us": microseconds(self.collection_start - self.born),
            }
        )

    @staticmethod
    def describe(item: pytest.Item) -> dict[str, Any]:
        line = item.location[1]
        return {
            "t": "test",
            "id": clean(item.nodeid),
            "line": 0 if line is None else line + 1,
            "markers": sorted({clean(mark.name) for mark in item.iter_markers()}),
            "group": clean(xdist_group(item)),
            "fixtures": shared_fixtures(item),
        }


class Inspecting:
    """Beside collect mode, for wcshard doctor: writes which markers are
    registered, and where in their source the tests of some files begin."""

    def __init__(self, config: pytest.Config, settings: dict[str, Any]) -> None:
        self.config = config
        self.markers = settings["markers"]
        self.files = set(settings["files"])
        self.stream = Stream(settings["out"])

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        # conftest files have registered theirs by now, and no test was imported.
        lines = self.config.getini("markers")
        registered = sorted({clean(line.partition(":")[0].partition("(")[0].strip()) for line in lines})
        record = {"t": "config", "root": str(self.config.rootpath), "ini": str(self.config.inipath or "")}
        self.stream.write({name: clean(text) for name, text in record.items()} | {"markers": registered})
        for name in self.markers:  # so that --strict-markers does not end the inspection
            if name not in registered:
                self.config.addinivalue_line("markers", name)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        seen = set()
        for item in session.items:
            file = clean(file_of(item.nodeid))
            if file in self.files and file not in seen and isinstance(item, pytest.Function):
                seen.add(file)
                self.write_source(file, str(item.path))

    def write_source(self, file: str, path: str) -> None:
        import ast

        try:
            with open(path, "rb") as source:
                body = ast.parse(source.read()).body
        except (OSError, SyntaxError, ValueError):
            return
        defs: dict[str, int] = {}
        alias, start = "", 0  # what pytest is called, and the line after which it can be imported
        for node in body:
            text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
            if start == 0 and (text or (isinstance(node, ast.ImportFrom) and node.module == "__future__")):
                continue
            if start == 0:
                start = self.first_line(node)
            for name in node.names if isinstance(node, ast.Import) and not defs else ():
                if name.name == "pytest":
                    alias = name.asname or "pytest"
            self.find(node, "", defs)
        self.stream.write({"t": "source", "file": file, "path": clean(path), "pytest": alias, "start": start, "defs": defs})

    def find(self, node: Any, within: str, defs: dict[str, int]) -> None:
        """Note where tests and their classes begin: the last of a name counts, as in Python."""
        import ast

        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name = within + "::" + node.name
            defs[name] = self.first_line(node)
            if not isinstance(node, ast.ClassDef):
                return
            within = name
        elif not isinstance(node, (ast.If, ast.Try, ast.With, ast.ExceptHandler)):
            return
        for child in ast.iter_child_nodes(node):
            self.find(child, within, defs)

    @staticmethod
    def first_line(node: Any) -> int:
        return min([node.lineno] + [d.lineno for d in getattr(node, "decorator_list", [])])


class Running(Common):
    """Run mode: keeps the planned tests, measures them where they run, and
    writes the results in the process that owns the terminal."""

    def __init__(self, config: pytest.Config, settings: dict[str, Any], exchange: str) -> None:
        super().__init__(config, settings)
        self.exchange = exchange  # where workers leave what they collected for the controller
        self.worker: str = getattr(config, "workerinput", {}).get("workerid", "main")
        self.is_worker = hasattr(config, "workerinput")
        self.stream: Stream | None = None if self.is_worker else Stream(settings["out"])
        self.planned: list[str] = [p["file"] + rest for p in settings["pieces"] for rest in p["tests"]]
        self.known = set(self.planned) | set(settings["elsewhere"])
        self.files = {piece["file"] for piece in settings["pieces"]}
        self.keep_together(settings["pieces"])
        self.directories: set[str] | None = None  # that hold the files; None where that is not known
        self.extra: list[str] = []
        self.missing: list[str] = []
        self.groups: dict[str, str] = {}
        # Measuring, where tests run.
        self.memory = Memory()
        self.fixtures = Fixtures()
        self.resident = 0
        self.floor = 0
        self.started = 0.0
        self.ended = 0.0
        self.shared_before = self.shared_setup = self.shared_call = 0.0
        self.tail = 0.0
        self.tests = 0
        self.measured = Measured()
        # Writing, where the terminal is.
        self.tries: dict[str, Try] = {}  # by worker
        self.repeated: dict[str, int] = {}  # by test: tries before the next, where one crashed
        self.starting: Any = None  # the node whose test is about to start
        self.running: dict[str, str | None] = {}  # by worker: the test, None when all its reports are in
        self.collected = False
        self.floors: dict[str, int] = {}  # by worker
        self.pids: dict[str, int] = {}
        self.starts: dict[str, float] = {}  # by worker: seconds until it could run a test
        self.scheduler: Scheduler | None = None

    def write(self, record: dict[str, Any]) -> None:
        if self.stream is not None:
            self.stream.write(record)

    def plain(self, nodeid: str) -> str:
        """Return the ID as it is planned: valid Unicode, without xdist's "@group"."""
        nodeid = clean(nodeid)
        if nodeid not in self.known:
            bare = nodeid.rpartition("@")[0]
            if bare in self.known:
                return bare
        return nodeid

    # Configuring.

    def configure(self) -> None:
        self.switch_off()
        self.seed()
        if self.is_worker:
            if "dist" not in self.settings["given"]:
                self.config.option.loadgroup = False  # no "@group" in the names
        else:
            self.set_workers()
            if self.settings.get("timeout") and not hasattr(self.config.option, "timeout"):
                self.note("pytest-timeout is not there: nothing stops a test that hangs")
        # Whoever started pytest looks from time to time what it holds.
        with open(os.path.join(self.exchange, f"pid-{self.worker}"), "w", encoding="utf-8") as file:
            file.write(str(os.getpid()))
        for text in self.notes:
            self.write({"t": "note", "text": text})

    def set_workers(self) -> None:
        given, workers = self.settings["given"], self.settings["workers"]
        option = self.config.option
        if not hasattr(option, "numprocesses"):
            if workers > 1:
                self.note(f"pytest-xdist is not there: {workers} workers were planned, the tests run in one process")
            return
        if "workers" not in given and workers > 1 and self.option("usepdb"):
            self.note("--pdb is on: the tests run in one process")
        use_workers(option, self.settings)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        self.watch_starts()
        if "dist" in self.settings["given"]:
            return None
        self.scheduler = Scheduler(config, self)
        return self.scheduler

    def watch_starts(self) -> None:
        """Learn which worker a test starts on: xdist knows, but its hook does
        not say."""
        session = self.config.pluginmanager.getplugin("dsession")
        announce = getattr(session, "worker_logstart", None)
        if announce is None:
            return

        def worker_logstart(node: Any, nodeid: str, location: Any) -> None:
            self.starting = node
            announce(node, nodeid, location)

        session.worker_logstart = worker_logstart

    # Collecting: only the shard's files, then only its tests.

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection(self) -> Generator[None, Any, None]:
        self.find_directories()
        self.drop_arguments()
        yield from super().pytest_collection()

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection_finish(self) -> Generator[None, Any, None]:
        self.collection_end = time.perf_counter()
        self.memory.reset()
        self.resident = self.floor = self.memory.read()[1]
        self.report_collection()
        yield  # here xdist sends the names

    def find_directories(self) -> None:
        root = str(self.config.rootpath)
        if all(os.path.isfile(os.path.join(root, file)) for file in self.files):
            self.directories = {root}
            for file in self.files:
                path = os.path.dirname(os.path.join(root, file))
                while path not in self.directories and len(path) > len(root):
                    self.directories.add(path)
                    path = os.path.dirname(path)

    def drop_arguments(self) -> None:
        """Drop the arguments that name files of other shards, which pytest
        would import to find out that nothing of them is wanted."""
        config = self.config
        files = {os.path.normcase(file) for file in self.files}
        kept = []
        for arg in config.args:
            path = os.path.abspath(os.path.join(str(config.invocation_params.dir), arg.partition("::")[0]))
            name = relative(path, str(config.rootpath))
            if not os.path.isfile(path) or os.path.basename(path) == "__init__.py" or os.path.normcase(name) in files:
                kept.append(arg)
        if kept and self.directories is not None:
            config.args[:] = kept

    @pytest.hookimpl
    def pytest_ignore_collect(self, collection_path: Any) -> bool | None:
        if self.directories is not None:
            path = str(collection_path)
            root = str(self.config.rootpath)
            if path not in self.directories and path.startswith(root + os.sep) and os.path.isdir(path):
                return True
        return None

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collect_file(self, file_path: Any, parent: Any) -> Generator[None, Any, None]:
        outcome = yield
        if parent.session.isinitpath(file_path):
            return  # pytest insists on finding what its arguments name
        outcome.force_result(
            [
                collector
                for collector in outcome.get_result()
                if isinstance(collector, pytest.Package) or clean(file_of(collector.nodeid)) in self.files
            ]
        )

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None, Any, None]:
        yield  # every other plugin has had its say
        found: dict[str, list[pytest.Item]] = collections.defaultdict(list)
        for item in items:
            found[self.plain(item.nodeid)].append(item)
        # Tests may share a name: each shard has its turns among them.
        turns = {nodeid: collections.deque(places) for nodeid, places in self.settings["turns"].items()}
        kept = []
        for nodeid in self.planned:
            namesakes = found.get(nodeid, [])
            place = turns[nodeid].popleft() if nodeid in turns else 0
            if place < len(namesakes):
                kept.append(namesakes[place])
            else:
                self.missing.append(nodeid)
        expected = collections.Counter(self.planned)
        expected.update(self.settings["elsewhere"])
        for item in items:
            nodeid = self.plain(item.nodeid)
            if expected[nodeid] > 0:
                expected[nodeid] -= 1
            elif file_of(nodeid) in self.files:
                self.extra.append(nodeid)
        chosen = {id(item) for item in kept}
        dropped = [item for item in items if id(item) not in chosen]
        items[:] = kept
        if dropped:
            self.config.hook.pytest_deselected(items=dropped)
        for item in kept:
            if group := xdist_group(item):
                self.groups[self.plain(item.nodeid)] = group

    def keep_together(self, pieces: list[dict[str, Any]]) -> None:
        """Note what the plan says of tests that stay on one worker."""
        self.cut = {piece["file"] for piece in pieces if piece["cut"]}
        self.units: dict[str, int] = {}  # by test, the number of its unit
        for piece in pieces:
            units = zip(piece["tests"], piece.get("units") or ())
            self.units.update((piece["file"] + rest, unit) for rest, unit in units if unit)

    def report_collection(self) -> None:
        report = {
            "worker": self.worker,
            "startup_us": microseconds(self.collection_start - self.born),
            "collect_us": microseconds(self.collection_end - self.collection_start),
            "floor": self.floor,
            "pid": os.getpid(),
            "imports_us": {file: microseconds(s) for file, s in self.imports.items()},
            "missing": self.missing,
            "extra": self.extra,
            "groups": self.groups,
        }
        if self.is_worker:
            # xdist carries nothing but names after collection, so the rest
            # goes by a file, which is whole before xdist sends them.
            with open(self.exchange_file(self.worker), "w", encoding="utf-8") as file:
                json.dump(report, file)
        else:
            self.write_collection(report)

    def exchange_file(self, worker: str) -> str:
        return os.path.join(self.exchange, f"collected-{worker}.json")

    def write_collection(self, report: dict[str, Any]) -> None:
        imports = list(report["imports_us"].items())
        head = {key: report[key] for key in ("worker", "startup_us", "collect_us", "floor", "pid")}
        for i in range(0, max(1, len(imports)), IDS_A_LINE):
            self.write({"t": "worker", **head, "imports_us": dict(imports[i : i + IDS_A_LINE])})
        if self.stream is not None and not self.collected:  # all workers find the same
            self.collected = True
            self.stream.write_ids("missing", report["missing"])
            self.stream.write_ids("extra", report["extra"])

    # Measuring, in the process that runs the test.

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Generator[None, Any, None]:
        self.started = time.perf_counter()
        self.ended = 0.0
        self.fixtures.begin()
        self.shared_before = 0.0
        yield
        if self.ended:
            self.tail += time.perf_counter() - self.ended
            self.tests += 1

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Generator[None, Any, None]:
        if fixturedef.scope == "function":
            yield
        else:
            yield from self.fixtures.setup(fixturedef, request)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, call: Any) -> None:
        # No wrapper: three of them a test are a tenth of what we cost.
        shared = self.fixtures.total - self.shared_before
        if call.when == "setup":
            self.shared_setup, self.shared_call = shared, 0.0
        elif call.when == "call":
            # Subtests report within the call: the call's own report is the last.
            self.shared_call = shared - self.shared_setup
        else:
            self.ended = time.perf_counter()
            peak, resident = self.memory.read()
            self.shared_before = self.fixtures.total  # another try may follow
            self.measured = Measured(
                microseconds(self.started - self.born),
                microseconds(self.ended - self.started),
                microseconds(self.shared_setup),
                microseconds(self.shared_call),
                microseconds(shared - self.shared_setup - self.shared_call),
                self.resident,
                peak,
                resident,
                self.memory.child(peak),
                self.fixtures.wire(),
            )
            self.memory.reset()
            self.resident = resident

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, Any, None]:
        tail = microseconds(self.tail / self.tests) if self.tests else 0
        if self.stream is not None:
            self.stream.hold = False
            self.stream.flush()
        if self.scheduler is not None:
            self.scheduler.note_crowding()
        if self.is_worker:
            self.config.workeroutput["wcshard_tail_us"] = tail  # type: ignore[attr-defined]
        elif self.tests:
            self.write({"t": "tail", "worker": self.worker, "tail_us": tail})
        yield

    # Writing, in the process that owns the terminal.

    def floor_of(self, worker: str) -> int:
        """Return what a worker holds after its imports: as measured, or as
        others of them do, or as planned."""
        memory = self.settings.get("memory") or {}
        return self.floors.get(worker) or max(self.floors.values(), default=0) or memory.get("floor", 0)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any) -> None:
        try:
            with open(self.exchange_file(node.gateway.id), encoding="utf-8") as file:
                report = json.load(file)
        except FileNotFoundError:
            return  # a worker on another machine
        self.groups.update(report["groups"])
        self.floors[node.gateway.id] = report["floor"]
        self.pids[node.gateway.id] = report["pid"]
        self.starts[node.gateway.id] = (report["startup_us"] + report["collect_us"]) / 1e6
        self.write_collection(report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: Any) -> None:
        if error:  # before it is known which of its tests died with it
            self.write({"t": "down", "worker": node.gateway.id, "signal": ended_by(node)})
        output = getattr(node, "workeroutput", None) or {}
        if output.get("wcshard_tail_us"):
            self.write({"t": "tail", "worker": node.gateway.id, "tail_us": output["wcshard_tail_us"]})

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if self.stream is None:
            return
        worker, node = self.worker, self.starting
        if node is not None:
            worker = node.gateway.id
        if self.running.get(worker) == nodeid:
            return  # another try
        self.running[worker] = nodeid
        # By hand, since it is written while the test waits: a third of the time.
        self.stream.write_line(f'{{"t":"start","id":{quote(self.plain(nodeid))},"worker":{quote(worker)}}}')

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        if self.stream is None:
            if report.when == "teardown":
                report.wcshard = self.measured.pack()
            return
        node = getattr(report, "node", None)
        worker = node.gateway.id if node is not None else self.worker
        if report.when == "???":
            self.crash(worker, report)
            return
        current = self.tries.get(worker)
        if current is None or current.nodeid != report.nodeid:
            current = self.tries[worker] = Try(report.nodeid, self.repeated.pop(report.nodeid, 0))
        packed = report.__dict__.pop("wcshard", None)
        current.add(report)
        if report.when == "teardown" and not current.repeated:
            del self.tries[worker]
            self.running[worker] = None
            measured = self.measured if node is None else Measured.unpack(packed) if packed else Measured()
            self.write_test(worker, current, measured)

    def crash(self, worker: str, report: Any) -> None:
        """Write that a test killed its worker, unless pytest-rerunfailures
        repeats it: then its last try is the result."""
        died = self.tries.pop(worker, None)
        reruns = self.repeated.pop(report.nodeid, 0)
        if died is not None and died.nodeid == report.nodeid:
            reruns = died.reruns
        if report.outcome == "rerun":
            self.repeated[report.nodeid] = reruns + 1
            return
        self.write(
            {
                "t": "test",
                "id": self.plain(report.nodeid),
                "worker": worker,
                "start_us": 0,
                "outcome": "crashed",
                "setup_us": 0,
                "call_us": 0,
                "teardown_us": 0,
                "wall_us": 0,
                **({"reruns": reruns} if reruns else {}),
                "message": first_line(str(report.longrepr)),
            }
        )

    def write_test(self, worker: str, done: Try, measured: Measured) -> None:
        setup, call, teardown = done.durations
        setup_us = max(0, microseconds(setup) - measured.shared_setup_us)
        call_us = max(0, microseconds(call) - measured.shared_call_us)
        teardown_us = max(0, microseconds(teardown) - measured.shared_teardown_us)
        line = (
            f'{{"t":"test","id":{quote(self.plain(done.nodeid))},"worker":{quote(worker)},"start_us":{measured.start_us}'
            f',"outcome":"{done.outcome}","setup_us":{setup_us},"call_us":{call_us},"teardown_us":{teardown_us}'
            f',"wall_us":{measured.wall_us}'
        )
        if measured.fixtures:
            line += f',"fixtures":{encode(measured.fixtures)}'
        if measured.peak:
            line += f',"before":{measured.before},"peak":{measured.peak},"after":{measured.after}'
        more: dict[str, Any] = {}
        if measured.children:
            more["children"] = measured.children
        if done.reruns:
            more["reruns"] = done.reruns
        if done.message:
            more["message"] = done.message
        if done.path:
            more["path"] = clean(relative(done.path, str(self.config.invocation_params.dir)))
            more["line"] = done.line
        assert self.stream is not None
        self.stream.write_line(line + ("," + encode(more)[1:] if more else "}"))


class Measured(NamedTuple):
    """What a test's worker tells its controller of it: times in microseconds,
    memory in bytes."""

    start_us: int = 0  # since the process started
    wall_us: int = 0
    shared_setup_us: int = 0  # by shared fixtures, in each phase of the test
    shared_call_us: int = 0
    shared_teardown_us: int = 0
    before: int = 0
    peak: int = 0
    after: int = 0
    children: int = 0
    fixtures: Any = ()  # [[id, set-up, teardown], …]

    def pack(self) -> str:
        """Return it as one string: execnet takes values apart one by one."""
        numbers = " ".join(map(str, self[:-1]))
        return f"{numbers} {encode(self.fixtures)}" if self.fixtures else numbers

    @classmethod
    def unpack(cls, text: str) -> Measured:
        parts = text.split(" ", 9)
        return cls(*map(int, parts[:9]), json.loads(parts[9]) if len(parts) > 9 else ())


PHASES = {"setup": 0, "call": 1, "teardown": 2}


class Try:
    """What the reports of one test say, by its last try."""

    def __init__(self, nodeid: str, reruns: int = 0) -> None:
        self.nodeid = nodeid
        self.reruns = reruns
        self.repeated = False  # another try follows
        self.clear()

    def clear(self) -> None:
        self.outcome = "passed"
        self.durations = [0.0, 0.0, 0.0]
        self.message = self.path = ""
        self.line = 0

    def add(self, report: Any) -> None:
        if self.repeated and report.when == "setup":
            self.repeated = False
            self.clear()
        if report.outcome == "rerun":  # pytest-rerunfailures says it of one phase of the try
            self.reruns += not self.repeated
            self.repeated = True
        subtest = hasattr(report, "context")
        if not subtest and report.when in PHASES:
            self.durations[PHASES[report.when]] = report.duration
        expected = hasattr(report, "wasxfail")
        if report.outcome == "failed":
            if self.outcome == "failed":
                return  # its first failure says most
            self.outcome = "failed" if report.when == "call" else "error"
            self.explain(report)
        elif subtest or self.outcome in ("failed", "error"):
            return
        elif report.outcome == "skipped":
            self.outcome = "xfailed" if expected else "skipped"
            if expected:
                self.message = first_line(report.wasxfail)
            else:
                self.explain(report)
        elif report.outcome == "passed" and expected:
            self.outcome = "xpassed"
            self.message = first_line(report.wasxfail)

    def explain(self, report: Any) -> None:
        longrepr = report.longrepr
        crash = getattr(longrepr, "reprcrash", None)
        if crash is not None:
            self.message = first_line(crash.message)
            # The place that pytest shows; it hides unittest's own frames.
            entries = getattr(getattr(longrepr, "reprtraceback", None), "reprentries", None)
            place = getattr(entries[-1], "reprfileloc", None) if entries else None
            place = place or crash
            self.path, self.line = str(place.path), place.lineno
        elif isinstance(longrepr, tuple) and len(longrepr) == 3:
            path, line, reason = longrepr
            self.message = first_line(str(reason).partition("Skipped: ")[2] or str(reason))
            self.path, self.line = str(path), line or 0
        elif longrepr is not None:
            self.message = first_line(str(longrepr))


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
        return not self.plan.light and self.plan.finished and self.collection_is_completed

    @property
    def has_pending(self) -> bool:
        return self.plan.pending

    # What xdist tells.

    def add_node(self, node: Any) -> None:
        self.nodes.append(node)
        self.plan.add(node, self.plugin.floor_of(node.gateway.id))

    def add_node_collection(self, node: Any, collection: Iterable[str]) -> None:
        self.registered[node] = list(collection)

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
        self.useful.add(node)
        if self.plan.complete(node, item_index, duration):
            self.obey()

    def mark_test_pending(self, item: str) -> None:
        """Queue a test again, as plugins do that want a crashed test repeated."""
        if self.collection is not None:
            self.plan.again(self.collection.index(item))
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
        return self.collection[test] if crashed and test is not None and self.collection else None

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
        for index, nodeid in enumerate(names):
            file, group = file_of(nodeid), plugin.groups.get(nodeid)
            cut = ("same", nodeid) if turns[nodeid] > 1 else ("test", index)
            scope = ("group", group) if group else cut if file in plugin.cut else ("file", file)
            unit = plugin.units.get(nodeid)
            units.setdefault(("unit", unit) if unit else scope, []).append(index)
        numbered = sorted(scope for scope in units if scope[0] == "unit")
        return {scope: units[scope] for scope in [*numbered, *(scope for scope in units if scope[0] != "unit")]}

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

    def needs(self) -> dict[int, schedule.Need]:
        """Find the planned needs of the collected tests."""
        assert self.collection is not None
        planned: dict[str, list[schedule.Need]] = {}  # namesakes in running order
        for piece in self.plugin.settings["pieces"]:
            needs = {test: schedule.Need(need, kept, low) for test, low, need, kept in piece.get("needs") or ()}
            for test, rest in enumerate(piece["tests"]):
                if needs:
                    planned.setdefault(piece["file"] + rest, []).append(needs.get(test, schedule.NOTHING))
        found = {}
        for index, name in enumerate(self.collection):
            namesakes = planned.get(self.plugin.plain(name))
            if namesakes:
                need = namesakes.pop(0) if len(namesakes) > 1 else namesakes[0]
                if need != schedule.NOTHING:
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
            text = f"{plan.surplus} of the workers were closed: all together held more than {budget} while they ran no test"
            self.plugin.write({"t": "note", "text": f"{text}: plan fewer workers, or allow more memory"})
        if plan.over:
            text = f"{plan.over} of the tests ran while no other did: they did not fit into {budget} beside what the workers held"
            self.plugin.write({"t": "note", "text": text})


def gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"


class Processes:
    """What the processes of the session hold, in bytes. Only Linux tells."""

    def __init__(self) -> None:
        self.pids: dict[Any, int] = {}  # by worker
        self.files: dict[int, int] = {}  # descriptors, by process
        self.last = schedule.Memory(0, {})
        self.until = 0.0  # when it may be looked at again for little
        self.trees: dict[int, tuple[float, int]] = {}  # by process: until when its children are known, and what they hold

    def look(self, available: bool, lazily: bool) -> schedule.Memory:
        """Return what is held now; where none of the tests needs much, a look
        from time to time shows who has grown all the same."""
        now = time.monotonic()
        if lazily and now < self.until:
            return self.last
        held = {}
        for worker, pid in self.pids.items():
            resident = self.resident(pid)
            if resident:
                held[worker] = resident + self.children(pid, resident)
        own = self.resident(os.getpid())
        self.last = schedule.Memory(own, held, self.available() if available else None)
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
        start = time.perf_counter()
        until, held = self.trees.get(pid, (0.0, 0))
        if start > until:  # it takes some 25 us a MiB
            held = max(0, sum(map(self.proportional, [pid, *descendants])) - resident)
            end = time.perf_counter()
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


def ended_by(node: Any) -> int:
    """Return the signal that ended a worker's process, 0 where that is not known."""
    process = getattr(getattr(node.gateway, "_io", None), "popen", None)  # of execnet
    if process is None:
        return 0
    try:
        status = process.wait(1)  # its pipes are closed
    except Exception:
        return 0
    return -status if status < 0 else 0


def relative(path: str, base: str) -> str:
    """Return path relative to base with forward slashes, where that is shorter
    than the path itself; a path that is relative already as it is."""
    if os.path.isabs(path):
        try:
            short = os.path.relpath(path, base)
        except ValueError:  # another drive
            short = path
        path = short if len(short) < len(path) else path
    return path.replace(os.sep, "/")


def first_line(text: str) -> str:
    return clean(text.strip().partition("\n")[0][:MESSAGE_LENGTH])


def xdist_version(config: pytest.Config) -> str:
    """Return the version of xdist, "" where it is not active."""
    if not config.pluginmanager.hasplugin("xdist"):
        return ""
    import xdist

    return str(getattr(xdist, "__version__", "unknown"))


def use_workers(option: Any, settings: dict[str, Any]) -> None:
    """Set xdist's options as planned, where the run's own line does not."""
    given, workers = settings["given"], settings["workers"]
    if "workers" in given:
        return
    if workers < 2 or getattr(option, "usepdb", False):
        workers = 0
    option.numprocesses = workers
    if hasattr(option, "maxprocesses"):
        option.maxprocesses = None
    if "dist" not in given:
        option.dist = "load" if workers else "no"
        option.distload = False


def read_settings() -> dict[str, Any]:
    with open(os.environ["WCSHARD_PLUGIN_CONFIG"], encoding="utf-8") as file:
        return dict(json.load(file))


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, Any, None]:
    # pytest-cov decides here whether it is to work with workers. What is set
    # here goes no further: the options are read again.
    settings, option = read_settings(), early_config.known_args_namespace
    if settings["mode"] == "run" and hasattr(option, "numprocesses"):
        use_workers(option, settings)
    if "PYTEST_XDIST_WORKER" in os.environ and hasattr(option, "cov_append"):
        # Each worker begins by erasing all data of earlier runs. One that
        # takes the place of another would erase what that has found.
        option.cov_append = True
    yield


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, Any, None]:
    # The first moment that options are parsed and a worker knows that it is
    # one, and the last before plugins act on their options.
    settings = read_settings()
    plugin: Collecting | Running
    if settings["mode"] == "collect":
        plugin = Collecting(config, settings)
    else:
        plugin = Running(config, settings, os.path.dirname(os.environ["WCSHARD_PLUGIN_CONFIG"]))
    plugin.configure()
    config.pluginmanager.register(plugin, "wcshard")
    if settings.get("inspect"):
        config.pluginmanager.register(Inspecting(config, settings["inspect"]), "wcshard_inspecting")
    yield
