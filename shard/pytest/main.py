"""wcshard's plugin for pytest. PYTEST_DONT_REWRITE

It reports and obeys; what to run, and where, was decided before. Loaded with
"-p wcshard_plugin", by bootstrap.py, and configured by the JSON file beside that. In
"collect" mode it writes what pytest collected; in "run" mode it keeps exactly the
planned tests, in planned order, and writes what each of them cost. Costs are measured
where the test runs and written by the process that owns the terminal. It prints
nothing.

The modules beside it are imported as wcshard_NAME.

For Python 3.9 and later, pytest 7.0 and later, with xdist 3.0 and later or
without it.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Generator

import pytest
from wcshard_choosing import Choosing
from wcshard_collecting import Collecting, Inspecting
from wcshard_freezing import Freezing
from wcshard_groups import has_option
from wcshard_measuring import WRAPPER, Fixtures, Garbage, Measured, Memory
from wcshard_pools import Pools
from wcshard_results import IDS_A_LINE, Real, Stream, Try, clean, encode, first_line, microseconds, parts, quote, relative
from wcshard_xdist import ask, distribution, ended_by, fix_root, one_process, scheduler_of_others, schedulers_of_others, use_workers

if TYPE_CHECKING:
    from wcshard_workers import Scheduler

NOTHING = Measured()
# Options that name a file which pytest or a plugin writes at the end of a session.
REPORTS = ("xmlpath", "htmlpath", "report_log", "json_report_file", "durations_path", "log_file")


class Running(Choosing):
    """Run mode: measures the planned tests where they run, and writes the results in
    the process that owns the terminal."""

    def __init__(self, config: pytest.Config, settings: dict[str, Any]) -> None:
        super().__init__(config, settings)
        self.worker: str = getattr(config, "workerinput", {}).get("workerid", "main")
        self.stream: Stream | None = None if self.is_worker else Stream(settings["out"])
        # Measuring, where tests run.
        self.memory = Memory()
        self.fixtures = Fixtures(freezing.thaw)
        self.resident = 0
        self.floor = 0
        self.started = 0.0
        self.ended = 0.0
        self.shared_before = self.shared_setup = self.shared_call = 0.0
        self.garbage = Garbage()
        self.pools = Pools()
        self.tail = 0.0
        self.tests = 0
        self.measured = NOTHING
        self.marked = False  # to be skipped
        # Writing, where the terminal is.
        self.tries: dict[tuple[str, str], Try] = {}  # by worker and test
        self.reported: dict[str, str] = {}  # by worker: the test whose end was reported, until its protocol is over
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

    # Configuring.

    def configure(self) -> None:
        self.switch_off()
        if again := self.settings.get("again"):
            self.keep_reports(again)
            if self.option("cov_source") and not self.is_worker:
                self.note("what a killed process had covered is lost: coverage says less than was run")
        if self.settings["partial"]:
            self.spare_parts()
        if self.settings["reduced"] and hasattr(self.config.option, "ignore_unknown_dependency"):
            self.config.option.ignore_unknown_dependency = True  # what it depends on has run before
        self.order, _ = self.seed()
        if self.is_worker:
            if "dist" not in self.settings["given"]:  # "@group" in the names is for other schedulers than ours
                self.config.option.loadgroup = distribution() == "loadgroup" and bool(schedulers_of_others(self.config, self))
        else:
            self.set_workers()
        self.set_timeout()
        sign_in(self.worker)
        for text in self.notes:
            self.write({"t": "note", "text": text})

    def keep_reports(self, again: int) -> None:
        """Give reports names of their own: those of the first call are there."""
        for name in REPORTS:
            path = self.option(name) or (self.config.getini(name) if name == "log_file" and has_option(self.config, name) else None)
            if isinstance(path, str) and path:
                start, extension = os.path.splitext(path)
                setattr(self.config.option, name, f"{start}.again-{again}{extension}")
        if self.option("clean_alluredir"):  # allure-pytest has a folder, of which each call adds to the files
            self.config.option.clean_alluredir = False

    def set_workers(self) -> None:
        given, workers = self.settings["given"], self.settings["workers"]
        option = self.config.option
        if not hasattr(option, "numprocesses"):
            if workers > 1:
                self.note(f"pytest-xdist is not there: {workers} workers were planned, the tests run in one process")
            return
        if "workers" not in given and workers > 1 and (name := one_process(option)):
            self.note(f"{name} is on: the tests run in one process")
        use_workers(option, self.settings)

    def set_timeout(self) -> None:
        """Limit what a test may take, unless the user does, in any of the ways that
        pytest-timeout looks at."""
        seconds, option = self.settings.get("timeout"), self.config.option
        if not seconds:
            return
        if not (hasattr(option, "timeout") and has_option(self.config, "timeout")):
            self.note("pytest-timeout is not there: nothing stops a test that hangs")
        elif option.timeout is None and not os.environ.get("PYTEST_TIMEOUT") and not self.config.getini("timeout"):
            option.timeout = seconds
        else:
            self.note("pytest-timeout has a limit already, from its option, its variable or pytest's configuration: --test-timeout does not count")

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        freezing.end()  # xdist collects nothing in this process
        self.watch_starts()
        if "dist" in self.settings["given"]:
            return None
        if theirs := scheduler_of_others(config, self, log):
            names = " or ".join(schedulers_of_others(config, self))
            self.write({"t": "note", "text": f"{names} has a scheduler of its own for xdist: it hands out the tests, not wcshard"})
            return theirs
        from wcshard_workers import Scheduler  # here: one process need not compile it

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

    # Telling what was collected.

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection_finish(self) -> Generator[None, Any, None]:
        freezing.end()
        self.collection_end = Real.clock()
        self.memory.reset()
        self.resident = self.floor = self.memory.read()[1]
        self.report_collection()
        yield  # here xdist sends the names

    def report_collection(self) -> None:
        report = {
            "worker": self.worker,
            "startup_us": microseconds(self.collection_start - self.born),
            "collect_us": microseconds(self.collection_end - self.collection_start),
            "floor": self.floor,
            "pid": os.getpid(),
            "imports_us": {name: microseconds(s) for name, s in self.costs().items()},
            "missing": self.missing,
            "extra": self.extra,
            "broken": self.broken,
            "reordered": self.reordered.functions,
            "orders": self.reordered.orders,
            "groups": self.groups,
        }
        if self.is_worker:
            # xdist carries nothing but names after collection, so the rest
            # goes by a file, which is whole before xdist sends them.
            with open(self.exchange_file(self.worker), "w", encoding="utf-8") as file:
                json.dump(report, file)
        else:
            self.write_collection(report)

    def costs(self) -> dict[str, float]:
        """Return the seconds that each file and each library took to import."""
        libraries = {f"import {clean(name)}": s for name, s in self.importing.shared()}
        return {**self.imports, **libraries}

    def exchange_file(self, worker: str) -> str:
        return os.path.join(exchange, f"collected-{worker}.json")

    def write_collection(self, report: dict[str, Any]) -> None:
        imports = list(report["imports_us"].items())
        head = {key: report[key] for key in ("worker", "startup_us", "collect_us", "floor", "pid")}
        for i in range(0, max(1, len(imports)), IDS_A_LINE):
            self.write({"t": "worker", **head, "imports_us": dict(imports[i : i + IDS_A_LINE])})
        if self.stream is not None and not self.collected:  # all workers find the same
            self.collected = True
            self.stream.write_ids("missing", report["missing"])
            self.stream.write_ids("extra", report["extra"])
            self.stream.write_ids("broken", report["broken"])
        if self.stream is not None:
            self.reordered.write(self.stream, report["reordered"], report["orders"])

    # Measuring, in the process that runs the test.

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> Generator[None, Any, None]:
        self.fixtures.imports.begin()
        self.pools.begin()
        if not self.config.pluginmanager.hasplugin("dsession"):  # else xdist's workers are what this process starts
            os.environ[INSIDE] = exchange
        yield
        os.environ.pop(INSIDE, None)
        self.fixtures.imports.end()

    @pytest.hookimpl(tryfirst=True, **WRAPPER)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        __tracebackhide__ = True
        self.started = Real.clock()
        self.marked = item.get_closest_marker("skip") is not None
        self.ended = 0.0
        self.measured = NOTHING
        self.fixtures.begin()
        self.garbage.begin()
        self.pools.begin_test()
        self.shared_before = 0.0
        result = yield
        self.reported.clear()
        if self.ended:
            self.tail += Real.clock() - self.ended
            self.tests += 1
        return result

    @pytest.hookimpl(tryfirst=True, **WRAPPER)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Generator[None, Any, Any]:
        __tracebackhide__ = True
        if fixturedef.scope == "function":
            return (yield)
        return (yield from self.fixtures.setup(fixturedef, request))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: Any) -> None:
        # No wrapper: three of them a test are a tenth of what we cost.
        shared = self.fixtures.total - self.shared_before
        if call.when == "setup":
            self.shared_setup, self.shared_call = shared, 0.0
            self.pools.call()
        elif call.when == "call":
            # Subtests report within the call: the call's own report is the last.
            self.shared_call = shared - self.shared_setup
            self.pools.call_ended(self.shared_call)
        else:
            started = self.fixtures.note_pools(*self.pools.over(self.plain(item.nodeid)))
            self.shared_call += started
            shared += started
            self.ended = Real.clock()
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
                self.garbage.due(),
                self.marked,
                self.fixtures.wire(item),
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

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        super().pytest_unconfigure()
        # pytest looks for garbage now, and an error in a finalizer may be its status.
        filters = [*self.config.getini("filterwarnings"), *(self.option("pythonwarnings") or [])]
        if any(line.strip().startswith("e") for line in filters) and not self.is_worker:
            freezing.thaw()

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
        again = ',"again":true' if self.reported.pop(worker, None) == nodeid else ""  # flaky: not over, though reported
        self.stream.write_line(f'{{"t":"start","id":{quote(self.plain(nodeid))},"worker":{quote(worker)}{again}}}')

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        if self.stream is None:
            if report.when == "teardown":
                report.wcshard = self.measure().pack()
            return
        node = getattr(report, "node", None)
        worker = node.gateway.id if node is not None else self.worker
        if report.when == "???":
            self.crash(worker, report)
            return
        nodeid = report.nodeid
        if self.plain(nodeid) not in self.known:  # a conftest.py may have given the report another name
            nodeid = self.running.get(worker) or nodeid
        current = self.tries.get((worker, nodeid))
        if current is None:
            current = self.tries[worker, nodeid] = Try(nodeid, self.repeated.pop(nodeid, 0))
        packed = report.__dict__.pop("wcshard", None)
        current.add(report)
        if report.when == "teardown" and not current.repeated:
            del self.tries[worker, nodeid]
            self.running[worker] = None
            if node is None or self.scheduler is not None:
                self.reported[worker] = nodeid
            measured = self.measure() if node is None else Measured.unpack(packed) if packed else NOTHING
            self.write_test(worker, current, measured)

    def measure(self) -> Measured:
        """Return what was measured of the test; of one that ran in a child of this
        process (pytest-forked), how long that took."""
        if self.measured is NOTHING and self.started:
            start = microseconds(self.started - self.born)
            self.measured = Measured(start, microseconds(Real.clock() - self.started), children=self.memory.child(self.memory.read()[0]), marked=self.marked)
        return self.measured

    def crash(self, worker: str, report: Any) -> None:
        """Write that a test killed its worker, unless pytest-rerunfailures
        repeats it: then its last try is the result."""
        died = self.tries.get((worker, report.nodeid))
        reruns = self.repeated.pop(report.nodeid, 0) if died is None else died.reruns
        self.tries = {key: one for key, one in self.tries.items() if key[0] != worker}
        if report.outcome == "rerun":
            self.repeated[report.nodeid] = reruns + 1
            return
        self.write(
            {
                "t": "test",
                "id": self.plain(report.nodeid),
                "worker": worker,
                "start_us": 0,
                # pytest-forked reports a crash that was expected.
                "outcome": "xfailed" if report.outcome == "skipped" and hasattr(report, "wasxfail") else "crashed",
                "setup_us": 0,
                "call_us": 0,
                "teardown_us": 0,
                "wall_us": 0,
                **({"reruns": reruns} if reruns else {}),
                "message": first_line(str(report.longrepr)),
            }
        )

    def write_test(self, worker: str, done: Try, measured: Measured) -> None:
        setup, call, teardown = parts(measured.wall_us, done.durations)
        setup_us = max(0, setup - measured.shared_setup_us)
        call_us = max(0, call - measured.shared_call_us)
        teardown_us = max(0, teardown - measured.shared_teardown_us)
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
        if measured.garbage:
            more["garbage"] = measured.garbage
        if done.reruns:
            more["reruns"] = done.reruns
        if done.message:
            more["message"] = done.message
        if done.path:
            near = relative(done.path, str(self.config.invocation_params.dir))
            more["path"] = clean(min(near, done.path.replace(os.sep, "/"), key=len))
            more["line"] = done.line
        if measured.marked and done.outcome == "skipped":
            more["marked"] = True  # the collection knows
        assert self.stream is not None
        self.stream.write_line(line + ("," + encode(more)[1:] if more else "}"))


exchange = ""  # the folder in which the processes of a session leave files for each other


def read_settings() -> dict[str, Any]:
    with open(os.path.join(exchange, "config.json"), encoding="utf-8") as file:
        return dict(json.load(file))


freezing = Freezing()


def begin(folder: str) -> None:
    """pytest has loaded this plugin, which lies in a folder: most of what it imports
    comes after."""
    global exchange
    exchange = folder
    if read_settings()["freeze"] and not inner():
        freezing.begin()


def sign_in(worker: str) -> None:
    """Whoever started pytest looks from time to time what a process holds, and has the
    first one stop when it is to."""
    with open(os.path.join(exchange, f"pid-{worker}"), "w", encoding="utf-8") as file:
        file.write(str(os.getpid()))


INSIDE = "_WCSHARD_INSIDE"  # a variable of what tests start


def inner() -> bool:
    """Report whether this pytest was started while a test runs, with the options of the
    one that the test is of: by the test, or by a plugin that has several processes run it."""
    return os.environ.get(INSIDE) == exchange


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, Any, None]:
    # pytest-cov decides here whether it is to work with workers. What is set
    # here goes no further: the options are read again.
    if inner():
        yield
        return
    settings, option = read_settings(), early_config.known_args_namespace
    ask(option)
    if settings["mode"] == "run" and hasattr(option, "numprocesses"):
        use_workers(option, settings)
        if option.numprocesses and "PYTEST_XDIST_WORKER" not in os.environ:
            import wcshard_workers  # noqa: F401  # before a conftest changes how modules are found
    if ("PYTEST_XDIST_WORKER" in os.environ or settings.get("again")) and hasattr(option, "cov_append"):
        # Each worker begins by erasing all data of earlier runs. One that
        # takes the place of another would erase what that has found, and so
        # would a second call after a kill.
        option.cov_append = True
    if settings["mode"] == "run" and settings["partial"] and hasattr(option, "cov_fail_under") and "cov_fail_under" not in settings["given"]:
        option.cov_fail_under = 0  # not None, which stands for what coverage's own configuration says
    yield


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, Any, None]:
    # The first moment that options are parsed and a worker knows that it is
    # one, and the last before plugins act on their options.
    if inner():
        yield
        return
    settings = read_settings()
    fix_root(config)
    plugin: Collecting | Running
    if settings["mode"] == "collect":
        plugin = Collecting(config, settings)
        sign_in("main")
    else:
        plugin = Running(config, settings)
    plugin.configure()
    config.pluginmanager.register(plugin, "wcshard")
    if settings.get("inspect"):
        config.pluginmanager.register(Inspecting(config, settings["inspect"]), "wcshard_inspecting")
    yield
