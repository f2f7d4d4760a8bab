"""Which values the IDs of parametrized tests stand for. PYTEST_DONT_REWRITE

pytest names what it cannot spell by its position, case0 and case1. Where the values come
from a set, or from a folder as its file system lists it, another process may have them in
another order: then these names are of other tests there, and some would run nowhere.
"""

from __future__ import annotations

import collections
import enum
import hashlib
import itertools
import os
import pathlib
import types
from typing import Any, Callable, Container, Iterable

import pytest
from wcshard_results import Stream, file_of, is_one_of

SPELT = (str, int, float, complex, bool, bytes, type(None))  # by pytest in the ID
NAMED = (type, types.FunctionType, types.BuiltinFunctionType)
LONG = 200  # values that are looked at of one parameter, and letters of each
DEEP = 5


def parameters(items: Iterable[pytest.Item], plain: Callable[[str], str], root: str, among: Container[str] | None = None) -> dict[str, tuple[str, str]]:
    """Return for each parametrized function whose IDs do not tell all values, among some
    functions or all, two fingerprints: of its tests with their values, and of the values
    alone."""
    functions: dict[str, list[tuple[str, dict[str, Any]]]] = collections.defaultdict(list)
    chosen = set()
    for item in items:
        spec = getattr(item, "callspec", None)
        if spec is None:
            continue
        name = plain(item.nodeid)
        function = name.partition("[")[0]
        if among is not None and function not in among:
            continue
        functions[function].append((name, spec.params))
        if function not in chosen and not all(is_one_of(SPELT, value) for value in spec.params.values()):
            chosen.add(function)
    return {function: fingerprints(functions[function], root) for function in chosen}


def fingerprints(tests: list[tuple[str, dict[str, Any]]], root: str) -> tuple[str, str]:
    lines = sorted((name, " ".join(f"{key}={spell(params[key], root)}" for key in sorted(params))) for name, params in tests)
    return fingerprint(f"{name} {values}" for name, values in lines), fingerprint(sorted(values for _, values in lines))


def fingerprint(lines: Iterable[str]) -> str:
    found = hashlib.blake2b(digest_size=8)
    for line in lines:
        found.update(line.encode("utf-8", "backslashreplace") + b"\n")
    return found.hexdigest()


def spell(value: Any, root: str) -> str:
    try:
        return Spelling(root).of(value, DEEP)
    except Exception:  # of a class that does not even say what it is called
        return "?"


class Spelling:
    """Spells a value as each process does, by Python's own means alone. Of what may be
    another one in each process, such as a time, or may be slow to spell, it is the type."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.left = LONG

    def of(self, value: Any, deep: int) -> str:
        self.left -= 1
        if self.left < 0 or not deep:
            return "..."
        kind = type(value)
        if kind is int:
            return hex(value)
        if kind in (str, bytes):
            return repr(value[:LONG])
        if value is None or kind is bool:
            return repr(value)
        if kind in (pathlib.PosixPath, pathlib.WindowsPath, pathlib.PurePosixPath, pathlib.PureWindowsPath):
            path = str(value)  # another checkout may be in another folder
            return path[len(self.root) + 1 :] if path.startswith(self.root + os.sep) else path
        if issubclass(kind, NAMED):
            return str(value.__qualname__)
        if issubclass(kind, enum.Enum):
            return f"{kind.__qualname__}.{value._name_}"
        if kind is list or issubclass(kind, tuple):
            each = list.__iter__(value) if kind is list else tuple.__iter__(value)
            return f"{kind.__qualname__}({','.join(self.of(one, deep - 1) for one in itertools.islice(each, self.left + 1))})"
        if kind in (dict, set, frozenset):
            if len(value) > self.left:
                return f"{kind.__qualname__} of {len(value)}"
            parts = value.items() if kind is dict else value
            return f"{kind.__qualname__}({','.join(sorted(self.of(one, deep - 1) for one in parts))})"
        return f"<{kind.__qualname__}>"


class Reordered:
    """Functions whose parameters are in another order than planned, or than in other
    workers."""

    def __init__(self) -> None:
        self.functions: list[str] = []
        self.orders: dict[str, list[str]] = {}  # fingerprints that workers are to have in common, by function
        self.written: set[str] = set()

    def check(self, items: Iterable[pytest.Item], plain: Callable[[str], str], root: str, settings: dict[str, Any], tests: Iterable[str], apart: Container[str]) -> None:
        """Hold functions of which other shards have tests against the plan, and note the
        order of those in files whose tests may go to several workers."""
        planned = {each["id"]: each for each in settings["parameters"]}
        if not planned:
            return
        elsewhere = {nodeid.partition("[")[0] for nodeid in settings["elsewhere"]}
        mine = planned.keys() & {nodeid.partition("[")[0] for nodeid in tests}
        for function, (order, values) in sorted(parameters(items, plain, root, mine).items()):
            if function in elsewhere and values == planned[function]["values"] and order != planned[function]["order"]:
                self.functions.append(function)
            if file_of(function) in apart:
                self.orders[function] = [order, values]

    def write(self, stream: Stream, functions: list[str], orders: dict[str, list[str]]) -> None:
        """Write, of what one process has found, what was not written yet."""
        found = {*functions}
        for function, (order, values) in orders.items():
            first = self.orders.setdefault(function, [order, values])
            if first[1] == values and first[0] != order:
                found.add(function)
        new = sorted(found - self.written)
        if new:
            self.written.update(new)
            more = f" and {len(new) - 1} more" if len(new) > 1 else ""
            text = f"the parameters of {new[0]}{more} come in another order than planned, and their IDs are of other tests: sort what a set or a folder gives"
            stream.write({"t": "note", "text": text})
            stream.write_ids("extra", [f"{function}[in another order than planned]" for function in new])
