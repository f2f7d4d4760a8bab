"""Which tests stay together on one worker. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from typing import Any, Iterable

import pytest
from wcshard_results import file_of
from wcshard_xdist import distribution, xdist_group


def groups_of(items: list[pytest.Item]) -> list[str]:
    """Return for each test the name of what stays together with it, "" for nothing:
    its xdist_group, its file or class with xdist's loadfile or loadscope, and tests that
    want others to have run before in the same process: those of pytest-dependency,
    which skips them if not, of pytest-order and pytest-ordering, of pytest's recipe for
    incremental classes, of a notebook, and of a document of Sybil's."""
    bound = Bound(items)
    if items:
        config = items[0].config
        if has_option(config, "automark_dependency"):
            bound.depend("dependency", ("depends",))
        if config.pluginmanager.hasplugin("orderingplugin"):
            bound.depend("order", ("after", "before"))
        if config.pluginmanager.hasplugin("pytest_ordering"):
            bound.depend("run", ())  # which it adds to first, last and the like
    dist = distribution()
    for k, item in enumerate(items):
        if item.get_closest_marker("incremental"):
            owner = item.getparent(pytest.Class)
            if owner is not None:
                bound.join(k, ("class", owner.nodeid))
        if file_of(item.nodeid).endswith(".ipynb") or type(item).__name__ == "SybilItem":
            bound.join(k, ("document", file_of(item.nodeid)))
        if dist == "loadfile":
            bound.join(k, ("file", file_of(item.nodeid)))
        elif dist == "loadscope":
            bound.join(k, ("scope", item.nodeid.rsplit("::", 1)[0]))
        if group := xdist_group(item):
            bound.join(k, ("group", group))
    return bound.names()


def has_option(config: pytest.Config, name: str) -> bool:
    """Report whether a plugin has registered an option of the configuration file."""
    try:
        config.getini(name)
    except (KeyError, ValueError):
        return False
    return True


class Bound:
    """Tests, and what binds them to each other: a union-find."""

    def __init__(self, items: list[pytest.Item]) -> None:
        self.items = items
        self.parent = list(range(len(items)))
        self.first: dict[Any, int] = {}  # by what binds them, a test of those

    def find(self, k: int) -> int:
        while self.parent[k] != k:
            self.parent[k] = k = self.parent[self.parent[k]]
        return k

    def unite(self, a: int, b: int) -> None:
        a, b = self.find(a), self.find(b)
        self.parent[max(a, b)] = min(a, b)

    def join(self, k: int, key: Any) -> None:
        self.unite(k, self.first.setdefault(key, k))

    def depend(self, marker: str, keywords: Iterable[str]) -> None:
        """Bind the marked tests of each file, and to those the tests and classes that
        they name, in their own file or by IDs."""
        wanted: list[tuple[int, str]] = []
        for k, item in enumerate(self.items):
            for mark in item.iter_markers(marker):
                self.join(k, (marker, file_of(item.nodeid)))
                for keyword in keywords:
                    names = mark.kwargs.get(keyword) or ()
                    for name in [names] if isinstance(names, str) else list(names):
                        wanted.append((k, str(name)))
        if not wanted:
            return
        called: dict[tuple[str, str], list[int]] = {}  # by file, or "", and name
        for k, item in enumerate(self.items):
            file, _, rest = item.nodeid.partition("::")
            called.setdefault(("", item.nodeid), []).append(k)
            plain = rest.partition("[")[0]
            # Of a name in a class also the class, whose name stands for all of its tests.
            for name in {rest, plain, rest.partition("::")[2], rest.rpartition("::")[2], plain.rpartition("::")[0]}:
                called.setdefault((file, name), []).append(k)
            for mark in item.iter_markers(marker):
                if own := mark.kwargs.get("name"):
                    called.setdefault((file, str(own)), []).append(k)
                    called.setdefault(("", str(own)), []).append(k)
        for k, name in wanted:
            file = file_of(self.items[k].nodeid)
            keys = [(file, name), ("", name)]
            if "::" in name:  # pytest-order takes the path from the test's own folder, or one above
                keys += [("", f"{file[:at]}/{name}") for at in reversed(range(len(file))) if file[at] == "/"]
            for key in keys:
                for other in called.get(key, ()):
                    self.unite(k, other)

    def names(self) -> list[str]:
        """Return a name for each bound test: its xdist_group, if one of those that it
        is bound to has one, or else that of the first."""
        size: dict[int, int] = {}
        called: dict[int, set[str]] = {}
        for k in range(len(self.items)):
            root = self.find(k)
            size[root] = size.get(root, 0) + 1
        for key, k in self.first.items():
            if key[0] == "group":
                called.setdefault(self.find(k), set()).add(key[1])
        return [
            "_".join(sorted(called[root])) if root in called else f"with {self.items[root].nodeid}" if size[root] > 1 else ""
            for root in map(self.find, range(len(self.items)))
        ]
