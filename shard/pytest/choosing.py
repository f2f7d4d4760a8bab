"""What of a suite runs here: the planned tests and no others. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import collections
import os
import sys
from typing import Any, Generator

import pytest
from wcshard_collecting import Common
from wcshard_groups import groups_of
from wcshard_parameters import Reordered
from wcshard_results import clean, file_of, relative

ONE_A_SESSION = {"MypyStatusItem"}  # pytest-mypy makes one, of whichever file comes first


class Choosing(Common):
    """Collects only the shard's files, and keeps exactly the planned tests, in planned
    order. Notes what is missing, and what no plan has."""

    def __init__(self, config: pytest.Config, settings: dict[str, Any]) -> None:
        super().__init__(config, settings)
        self.is_worker = hasattr(config, "workerinput")
        self.order = ""  # the plugin that orders the tests
        self.planned: list[str] = [p["file"] + rest for p in settings["pieces"] for rest in p["tests"]]
        self.known = set(self.planned) | set(settings["elsewhere"])
        self.files = {piece["file"] for piece in settings["pieces"]}
        self.keep_together(settings["pieces"])
        self.directories: set[str] | None = None  # that hold the files; None where that is not known
        self.extra: list[str] = []
        self.reordered = Reordered()
        self.missing: list[str] = []
        self.broken: list[str] = []  # files that could not be imported
        self.groups: dict[str, str] = {}

    def shared_files(self, items: list[pytest.Item], groups: list[str]) -> set[str]:
        """Return the files whose tests may be of several workers; see Scheduler.units."""
        if not self.is_worker:
            return set()
        files: dict[str, set[str]] = {}  # of each group
        for item, group in zip(items, groups):
            if group:
                files.setdefault(group, set()).add(file_of(self.plain(item.nodeid)))
        return self.cut.union(self.needy, *(found for found in files.values() if len(found) > 1))

    def keep_together(self, pieces: list[dict[str, Any]]) -> None:
        """Note what the plan says of tests that stay on one worker."""
        self.cut = {piece["file"] for piece in pieces if piece["cut"]}
        # files with tests that may have to wait for memory
        self.needy = {piece["file"] for piece in pieces if piece.get("needs")} if self.settings.get("memory") else set()
        self.units: dict[str, int] = {}  # by test, the number of its unit
        for piece in pieces:
            units = zip(piece["tests"], piece.get("units") or ())
            self.units.update((piece["file"] + rest, unit) for rest, unit in units if unit)

    def plain(self, nodeid: str) -> str:
        """Return the ID as it is planned: valid Unicode, without xdist's "@group"."""
        nodeid = clean(nodeid)
        if nodeid not in self.known:
            bare = nodeid.rpartition("@")[0]
            if bare in self.known:
                return bare
        return nodeid

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection(self) -> Generator[None, Any, None]:
        self.find_directories()
        self.drop_arguments()
        self.add_places()
        yield from super().pytest_collection()

    def find_directories(self) -> None:
        root = as_system(str(self.config.rootpath))
        if all(os.path.isfile(os.path.join(root, file)) for file in self.files):
            self.directories = {root}
            for file in [*self.files, *(f"{folder}/conftest.py" for folder in self.settings["conftests"])]:
                path = os.path.dirname(as_system(os.path.join(root, file)))
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

    def add_places(self) -> None:
        """Have modules found in the folders of other shards' files, as in the whole
        suite: pytest puts on sys.path the folder of each file that is in no package.
        They come before what is installed where they did there, but after what is
        Python's own."""
        installed = [k for k, place in enumerate(sys.path) if os.path.basename(str(place)) in ("site-packages", "dist-packages")]
        at = installed[0] if installed else len(sys.path)
        sys.path[at:at] = self.further("places")
        sys.path += self.further("last_places")

    def further(self, places: str) -> list[str]:
        """Return the places that are there and not on sys.path."""
        root = str(self.config.rootpath)
        there = {as_system(place) for place in sys.path if isinstance(place, str)}
        paths = [os.path.abspath(os.path.join(root, place)) for place in self.settings[places]]
        return [path for path in paths if as_system(path) not in there and os.path.exists(path)]

    @pytest.hookimpl
    def pytest_ignore_collect(self, collection_path: Any) -> bool | None:
        if self.directories is not None:
            path = as_system(str(collection_path))
            root = as_system(str(self.config.rootpath))
            if path not in self.directories and path.startswith(root + os.sep) and os.path.isdir(path):
                return True
        return None

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collect_file(self, file_path: Any, parent: Any) -> Generator[None, Any, None]:
        outcome = yield
        if self.directories is None or parent.session.isinitpath(file_path):
            return  # names say nothing of files; pytest insists on finding what its arguments name
        outcome.force_result(
            [
                collector
                for collector in outcome.get_result()
                if isinstance(collector, pytest.Package) or clean(file_of(collector.nodeid)) in self.files
            ]
        )

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.broken.append(clean(file_of(report.nodeid)))

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None, Any, None]:
        yield  # every other plugin has had its say
        groups = groups_of(items)
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
        gathered = self.settings["gathered"] and not self.order
        if not self.is_worker and not self.option("numprocesses") and not self.order and (gathered or interleaved(items)):
            # A plugin has ordered tests over files, as pytest-django does: they
            # would not find what they expect in another order. And the plan of tests
            # of several shards does not know in which order they were collected.
            place = {id(item): k for k, item in enumerate(items)}
            kept.sort(key=lambda item: place[id(item)])
        elif gathered:
            files = [file_of(self.plain(item.nodeid)) for item in items]
            in_definition_order(kept, items, ["" if file in self.cut else file for file in files])
        if not self.order:
            in_definition_order(kept, items, groups)
        if not self.settings.get("again"):  # what ran before is elsewhere then
            self.reordered.check(items, self.plain, str(self.config.rootpath), self.settings, self.planned, self.shared_files(items, groups))
        expected = collections.Counter(self.planned)
        expected.update(self.settings["elsewhere"])
        for item in items:
            nodeid = self.plain(item.nodeid)
            if expected[nodeid] > 0:
                expected[nodeid] -= 1
            elif file_of(nodeid) in self.files and type(item).__name__ not in ONE_A_SESSION:
                self.extra.append(nodeid)
        chosen = {id(item) for item in kept}
        dropped = [item for item in items if id(item) not in chosen]
        for item, group in zip(items, groups):
            if group and id(item) in chosen:
                self.groups[self.plain(item.nodeid)] = group
        items[:] = kept
        if dropped:
            self.config.hook.pytest_deselected(items=dropped)


def as_system(path: str) -> str:
    """Return a path as the system compares it: Windows has two kinds of slashes."""
    return os.path.normcase(os.path.normpath(path))


def in_definition_order(kept: list[pytest.Item], items: list[pytest.Item], groups: list[str]) -> None:
    """Put the tests of each group, which may want others of it before them, into
    their own places in the order in which they were collected."""
    place = {id(item): k for k, item in enumerate(items)}
    slots: dict[str, list[int]] = {}
    for k, item in enumerate(kept):
        if group := groups[place[id(item)]]:
            slots.setdefault(group, []).append(k)
    for slot in slots.values():
        members = sorted((kept[k] for k in slot), key=lambda item: place[id(item)])
        for k, item in zip(slot, members):
            kept[k] = item


def interleaved(items: list[pytest.Item]) -> bool:
    """Report whether tests of one file have some of another between them."""
    files = [file_of(item.nodeid) for item in items]
    return sum(files[k] != files[k - 1] for k in range(1, len(files))) >= len(set(files))
