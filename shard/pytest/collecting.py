"""Collect mode, and what running shares with it. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import functools
import os
import platform
import sys
from typing import Any, Generator

import pytest
from wcshard_groups import groups_of
from wcshard_importing import WORTH, Importing
from wcshard_instances import instance
from wcshard_measuring import process_start
from wcshard_parameters import parameters
from wcshard_results import IDS_A_LINE, Real, Stream, clean, encode, file_of, relative
from wcshard_xdist import distribution, xdist_version

VERSION = 1

SEED, OUR_SEED = "PYTHONHASHSEED", "0"  # as in plugin.go


class Common:
    """What collecting and running have in common."""

    def __init__(self, config: pytest.Config, settings: dict[str, Any]) -> None:
        self.config = config
        self.settings = settings
        self.notes: list[str] = []
        self.born = process_start()
        self.collection_start = Real.clock()
        self.collection_end = self.collection_start
        self.imports: dict[str, float] = {}  # seconds by file, and by folder with a slash at the end (its conftest.py), without the libraries inside
        self.importing = Importing(edges=settings["mode"] == "collect")
        self.hidden: int | None = None  # where in sys.argv the arguments were that are not the user's
        self.seedless = False  # the seed of hashes is out of the environment

    def note(self, text: str) -> None:
        self.notes.append(text)

    def option(self, name: str) -> Any:
        return getattr(self.config.option, name, None)

    def switch_off(self) -> None:
        """Switch off what would make pytest run something else than all of its tests."""
        given = self.settings["given"]
        if self.settings["mode"] == "run" and self.option("setuponly"):
            raise pytest.UsageError("--setup-only and --setup-plan run no test, and would call all of them passed: leave them out")
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

    def spare_parts(self) -> None:
        """Switch off what judges a whole run, where this is a part of one."""
        if self.option("cov_fail_under") and "cov_fail_under" not in self.settings["given"]:  # to pytest-cov, see pytest_load_initial_conftests
            self.note("--cov-fail-under is on: switched off, a shard covers its part only; coverage combine and coverage report judge all of them")
        self.spare_snapshots()

    def spare_snapshots(self) -> None:
        """Have syrupy leave alone the snapshots of tests that do not run: version 7
        judges a collection as well."""
        if hasattr(self.config.option, "warn_unused_snapshots"):
            self.config.option.warn_unused_snapshots = True
            if self.option("update_snapshots"):
                raise pytest.UsageError("--snapshot-update would delete the snapshots of tests that run elsewhere: update them with pytest itself")

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
        self.hide()
        self.collection_start = Real.clock()
        self.importing.start()
        yield

    def hide(self) -> None:
        """Leave to test files, to tests and to what they start the arguments that the
        user has, and the seed of hashes, which Python has read by now."""
        if self.config.pluginmanager.hasplugin("dsession"):
            return  # no test runs here, and its workers start with that seed, at any time
        added, own = self.settings["added"], self.settings["hash_seed"]
        argv = getattr(sys, "argv", None)
        for k in range(len(argv) if isinstance(argv, list) else 0):
            if argv[k : k + len(added)] == added:
                del argv[k : k + len(added)]
                self.hidden = k
                break
        if own is not None and os.environ.get(SEED) == OUR_SEED:  # else a conftest.py has set another one
            self.seedless = True
            if own:
                os.environ[SEED] = own
            else:
                del os.environ[SEED]

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Give back what was hidden: who called pytest may call it again, with the same
        arguments."""
        argv = getattr(sys, "argv", None)
        if self.hidden is not None and isinstance(argv, list):
            argv[self.hidden : self.hidden] = self.settings["added"]
            self.hidden = None
        if self.seedless and os.environ.get(SEED, "") == self.settings["hash_seed"]:
            os.environ[SEED] = OUR_SEED
            self.seedless = False

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, Any, None]:
        # A file's own collector and those of its classes, and a folder that is to
        # load its conftest.py. None of them collects inside another, so these are
        # self times.
        folder = has_conftest(collector)
        own = "::" in collector.nodeid or (
            isinstance(collector, pytest.File) and not isinstance(collector, pytest.Package)
        )
        if not own and not folder:
            yield
            return
        name = clean(collector.nodeid) + "/" if folder else clean(file_of(collector.nodeid))
        start = Real.clock()
        self.importing.begin(name)
        yield
        took = Real.clock() - start - self.importing.end(getattr(getattr(collector, "_obj", None), "__name__", ""))
        if not folder or took >= WORTH:  # those of initial conftests load nothing any more
            self.imports[name] = self.imports.get(name, 0.0) + took


def has_conftest(collector: pytest.Collector) -> bool:
    """Report whether a collector is of a folder whose conftest.py pytest loads with it.
    Before pytest 8 the session loads them all, and none is."""
    kind = getattr(pytest, "Directory", ())
    return isinstance(collector, kind) and collector.nodeid not in ("", ".") and os.path.exists(os.path.join(str(collector.path), "conftest.py"))


class Collecting(Common):
    """Collect mode: writes what was collected."""

    def __init__(self, config: pytest.Config, settings: dict[str, Any]) -> None:
        super().__init__(config, settings)
        self.stream = Stream(settings["out"])
        self.order: str = ""
        self.planned_seed: int | None = None
        self.skipped: dict[str, str] = {}  # why, by file
        self.places: list[Any] = []  # sys.path before any file
        self.lasting: set[str] = set()  # folders whose conftest.py changes the environment

    def configure(self) -> None:
        self.switch_off()
        self.spare_snapshots()
        for flag, part, parts in (("--splits", "group", "splits"), ("--num-shards", "shard_id", "num_shards")):  # of pytest-split, pytest-shard
            n = self.option(parts)
            if self.option(part) is not None and isinstance(n, int) and n > 1:
                raise pytest.UsageError(f"{flag} is on, and leaves out most tests: take it out of addopts, the plan is to have them all")
        self.watch_conftests()
        self.order, self.planned_seed = self.seed()
        if scope := {"loadfile": "file", "loadscope": "class or module"}.get(distribution()):
            self.note(f"--dist {distribution()} is on: the tests of a {scope} stay on one worker, so no {scope} is cut over several jobs")

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
        self.places = list(sys.path)
        yield from super().pytest_collection()

    def watch_conftests(self) -> None:
        """Note the folders whose conftest.py changes the environment, of those that
        pytest loads with the first file of their folder."""
        manager: Any = self.config.pluginmanager
        original = getattr(manager, "_importconftest", None)  # since pytest 2.2
        if original is None:
            return

        @functools.wraps(original)
        def load(path: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            before = dict(os.environ)
            try:
                return original(path, *args, **kwargs)
            finally:
                if before != dict(os.environ):
                    self.lasting.add(os.path.dirname(str(path)))

        manager._importconftest = load

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            why = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else ""
            self.skipped[clean(file_of(report.nodeid))] = clean(why.removeprefix("Skipped: "))

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None, Any, None]:
        yield  # every other plugin has had its say
        groups = groups_of(items)
        for i in range(0, len(items), 1000):
            self.stream.lines += [encode(self.describe(*each)) for each in zip(items[i : i + 1000], groups[i : i + 1000])]
            self.stream.flush()
        if self.skipped:
            file, why = min(self.skipped.items())
            more = f" and {len(self.skipped) - 1} more" if len(self.skipped) > 1 else ""
            self.note(f"skipped where the plan is made, so that no job runs their tests: {file} ({why}){more}")
        conftests = self.conftests()
        self.write_libraries(conftests)
        if conftests:
            self.stream.write({"t": "conftests", "folders": conftests})
        self.write_places()
        root = str(self.config.rootpath)
        for function, (order, values) in sorted(parameters(items, clean, root).items()):
            self.stream.write({"t": "parameters", "id": function, "order": order, "values": values})
        for text in self.notes:
            self.stream.write({"t": "note", "text": text})
        self.stream.write({"t": "end"})

    def write_places(self) -> None:
        """Write the folders that have come onto sys.path, and apart those that stand
        behind all that was there."""
        root, here = str(self.config.rootpath), str(self.config.invocation_params.dir)
        paths = list(dict.fromkeys(place for place in sys.path if isinstance(place, str)))  # the first of several is what counts
        end = max((k for k, place in enumerate(paths) if place in self.places), default=len(paths))

        def folders(places: list[str]) -> list[str]:
            return list(dict.fromkeys(clean(relative(os.path.join(here, place), root)) for place in places if place not in self.places))

        found, last = folders(paths[:end]), folders(paths[end:])
        if found or last:
            self.stream.write({"t": "places", "folders": found, "last": [place for place in last if place not in found]})

    def conftests(self) -> list[str]:
        """Return the folders whose conftest.py says something of all tests, whichever
        folders they are in: it has hooks that pytest calls once, or changes the
        environment."""
        root = str(self.config.rootpath)
        folders = set(self.lasting)
        for name in ("configure", "make_parametrize_id", "collection_modifyitems", "collection_finish", "deselected", "runtestloop", "sessionfinish", "terminal_summary"):
            for impl in getattr(self.config.hook, f"pytest_{name}").get_hookimpls():
                path = str(getattr(impl.plugin, "__file__", None) or "")
                if os.path.basename(path) == "conftest.py":
                    folders.add(os.path.dirname(path))
        return sorted(clean(relative(folder, root)) for folder in folders if folder.startswith(root + os.sep))

    def write_libraries(self, folders: list[str]) -> None:
        """Write which files import the same libraries."""
        files: dict[tuple[str, ...], list[str]] = {}
        for file, libraries in self.importing.needed(folders).items():
            if libraries:
                files.setdefault(tuple(map(clean, libraries)), []).append(file)
        for found, names in files.items():
            for i in range(0, len(names), IDS_A_LINE):
                self.stream.write({"t": "imports", "libraries": found, "files": names[i : i + IDS_A_LINE]})

    @staticmethod
    def describe(item: pytest.Item, group: str) -> dict[str, Any]:
        return {
            "t": "test",
            "id": clean(item.nodeid),
            "markers": sorted({clean(mark.name) for mark in item.iter_markers()}),
            "group": clean(group),
            "fixtures": shared_fixtures(item),
        }


def shared_fixtures(item: pytest.Item) -> list[str]:
    """Return the IDs of the shared fixtures that a collected test is known to need."""
    definitions = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    names = set()
    for argname, fixturedefs in definitions.items():
        # The last one hides the others, unless it asks for what it hides.
        for fixturedef in reversed(fixturedefs):
            name = instance(fixturedef, item)
            if name is not None:
                names.add(name)
            if argname not in fixturedef.argnames:
                break
    return sorted(names)


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
