"""Which instance of a shared fixture a test needs. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import enum
import re
import types
import zlib
from typing import Any, Iterator

import pytest
from wcshard_results import clean, file_of, is_one_of

PLAIN = re.compile(r"(?!.*::)[\w .:+<>'\",=-]{1,40}", re.ASCII)  # how a parameter may be written in an ID
NAMED = (type, types.FunctionType, types.BuiltinFunctionType)
BUILTIN = (str, bytes, int, float, complex, bool, type(None), tuple, list, dict, range)
known: dict[int, tuple[Any, str]] = {}  # values, which are here to keep their number, and how they are written


def instance(fixturedef: Any, item: pytest.Item) -> str | None:
    """Return the ID of the instance that item needs of a fixture: its scope, place,
    name and parameters. None where it has one of its own."""
    scope = fixturedef.scope
    where = place(scope, fixturedef, item)
    if where is None or is_parameter(fixturedef):
        return None
    return clean(f"{scope} {where}::{fixturedef.argname}{parameters(fixturedef, item)}")


def place(scope: str, fixturedef: Any, item: pytest.Item) -> str | None:
    if scope in ("session", "package"):
        # Where it is defined: two of one name are two fixtures, and so is one that two
        # files import. It is also what pytest looks up to find the package, so it tells
        # packages apart even where it falls back to the session.
        base = str(fixturedef.baseid)
        return base[: -len("/__init__.py")] if base.endswith("/__init__.py") else base
    if scope == "module":
        return file_of(item.nodeid)
    if scope == "class":
        owner = item.getparent(pytest.Class)
        return owner.nodeid if owner is not None else None
    return None


def is_parameter(fixturedef: Any) -> bool:
    """Report whether this is pytest's stand-in for a parametrized argument."""
    return getattr(fixturedef.func, "__name__", "") == "get_direct_param_fixture_func"


def parameters(fixturedef: Any, item: pytest.Item) -> str:
    """Return what of a test's parameters its instance of a fixture is made with: the
    fixture's own one, and those of what it is built on. Where one of these is
    another, pytest makes the fixture anew as well (FixtureDef.execute)."""
    callspec = getattr(item, "callspec", None)
    if callspec is None:
        return ""
    definitions = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    wide = {name for name in callspec.indices if any(one.scope != "function" for one in definitions.get(name, ()))}
    if not wide:
        return ""
    names = wide.intersection(built_on(fixturedef, definitions))
    if not names:
        return ""
    own = fixturedef.argname
    texts = []
    for name in sorted(names, key=lambda name: (name != own, name)):
        text = parameter(callspec.params.get(name), callspec.indices[name], definitions[name], item)
        texts.append(text if name == own else f"{name}{text}" if text.startswith("=") else f"{name} {text}")
    return f"[{', '.join(texts)}]"


def built_on(fixturedef: Any, definitions: Any) -> Iterator[str]:
    """Yield the names of a fixture and of all that it is built on."""
    seen: set[Any] = set()
    left = [fixturedef]
    while left:
        one = left.pop()
        if one in seen:
            continue
        seen.add(one)
        yield one.argname
        for name in one.argnames:
            chain = definitions.get(name, ())
            # One that asks for its own name gets what it hides.
            hidden = chain[: chain.index(one)] if name == one.argname and one in chain else chain
            left.extend(hidden[-1:])


def parameter(value: Any, index: int, fixturedefs: Any, item: pytest.Item) -> str:
    """Name a parameter: by its number among the fixture's own ones; one that the test
    gives (indirect) by its value, since its number is of that test's list."""
    for fixturedef in fixturedefs:
        own = fixturedef.params or ()
        if index < len(own) and given_value(own[index]) is value:
            return str(index)
        for number, given in enumerate(map(given_value, own)):
            if given is value or alike(given, value):
                return str(number)
    if id(value) not in known:
        known[id(value)] = value, written(value)
    # Of one that cannot be written, which of the test's own list it is.
    return "=" + (known[id(value)][1] or f"{index} of {file_of(item.nodeid)} {item.name.partition('[')[0]}")


def given_value(given: Any) -> Any:
    """Return the value of a parameter, which may be in a pytest.param."""
    return given.values[0] if type(given).__name__ == "ParameterSet" else given


def alike(a: Any, b: Any) -> bool:
    """Report whether pytest takes two parameters for one, as it does by == from 8 on."""
    if type(a) is not type(b) or not is_one_of(BUILTIN, a):
        return False
    try:
        return bool(a == b)
    except Exception:  # of what they hold
        return False


def written(value: Any) -> str:
    """Write a value in few letters; "" for one that only means something in this
    process, as objects without a repr of their own. Nothing is asked of others than
    Python's own: proxies answer with what they stand for, or with an error."""
    kind = type(value)
    if issubclass(kind, NAMED):
        return "" if "<" in value.__qualname__ else f"{value.__module__}.{value.__qualname__}"  # <lambda>, <locals>
    if issubclass(kind, enum.Enum):
        return f"{kind.__qualname__}.{value.name}"
    if not is_one_of(BUILTIN, value):
        return ""
    try:
        text = repr(value)
    except Exception:  # of what it holds
        return ""
    if " at 0x" in text:
        return ""
    return text if PLAIN.fullmatch(text) else f"{zlib.crc32(text.encode('utf-8', 'backslashreplace')):08x}"
