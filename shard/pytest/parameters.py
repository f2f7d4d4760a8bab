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
import types
from typing import Any, Callable, Iterable

import pytest

SPELT = frozenset([str, int, float, complex, bool, bytes, type(None)])  # by pytest in the ID
TELLING = frozenset(["datetime", "decimal", "fractions", "pathlib", "pathlib._local", "uuid", "zoneinfo"])  # modules: what their values are, their repr tells
NAMED = (type, types.FunctionType, types.BuiltinFunctionType)
LONG = 200  # values that are looked at of one parameter
DEEP = 5


def parameters(items: Iterable[pytest.Item], plain: Callable[[str], str]) -> dict[str, tuple[str, str]]:
    """Return for each parametrized function whose IDs do not tell all values two
    fingerprints: of its tests with their values, and of the values alone."""
    functions: dict[str, list[tuple[str, dict[str, Any]]]] = collections.defaultdict(list)
    untold = set()
    for item in items:
        spec = getattr(item, "callspec", None)
        if spec is None:
            continue
        name = plain(item.nodeid)
        function = name.partition("[")[0]
        functions[function].append((name, spec.params))
        if function not in untold and not SPELT.issuperset(map(type, spec.params.values())):
            untold.add(function)
    return {function: fingerprints(functions[function]) for function in untold}


def fingerprints(tests: list[tuple[str, dict[str, Any]]]) -> tuple[str, str]:
    told = sorted((name, " ".join(f"{key}={Spelling().of(params[key], DEEP)}" for key in sorted(params))) for name, params in tests)
    return fingerprint(f"{name} {values}" for name, values in told), fingerprint(sorted(values for _, values in told))


def fingerprint(lines: Iterable[str]) -> str:
    found = hashlib.blake2b(digest_size=8)
    for line in lines:
        found.update(line.encode("utf-8", "backslashreplace") + b"\n")
    return found.hexdigest()


class Spelling:
    """Spells a value as each process does, by Python's own means alone: of others, which
    may say something else or be slow, their type."""

    def __init__(self) -> None:
        self.left = LONG

    def of(self, value: Any, deep: int) -> str:
        kind = type(value)
        self.left -= 1
        if self.left < 0 or not deep:
            return "..."
        if kind in SPELT or kind.__module__ in TELLING:
            return repr(value)
        if issubclass(kind, NAMED):
            return str(value.__qualname__)
        if issubclass(kind, enum.Enum):
            return f"{kind.__qualname__}.{value._name_}"
        if kind is list or issubclass(kind, tuple):
            iterate = list.__iter__ if kind is list else tuple.__iter__
            return f"{kind.__qualname__}({','.join(self.of(each, deep - 1) for each in itertools.islice(iterate(value), self.left + 1))})"
        if kind is dict or kind in (set, frozenset):
            if len(value) > self.left:
                return f"{kind.__qualname__} of {len(value)}"
            each = value.items() if kind is dict else value
            return f"{kind.__qualname__}({','.join(sorted(self.of(one, deep - 1) for one in each))})"
        return f"<{kind.__qualname__}>"
