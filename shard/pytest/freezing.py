"""Spares Python's garbage collector what imports and collection leave: most of what
a process holds, and it would be looked through again and again while tests run.
PYTEST_DONT_REWRITE"""

from __future__ import annotations

import functools
import gc
import types
from importlib import _bootstrap as bootstrap  # type: ignore[attr-defined]
from typing import Any

# Until tests run, next to nothing that is made is garbage: so many new objects before
# some are looked through. Nobody else sets just this.
MANY = 49_999


class Freezing:
    """What is there before the first test is frozen (gc.freeze), after a last look for
    garbage: mypy does so with what it reads from its cache. Until then garbage is
    looked for less often. Whoever changes the thresholds meanwhile has the last word.

    It stays frozen to the end: that takes half as long where Python does not look
    through it for what might have a finalizer, which it never promised to call at exit.
    But nothing is frozen from when on tests ask what objects there are, or import a
    module anew, so that what it was may have to go."""

    def __init__(self) -> None:
        self.before: tuple[int, ...] | None = None
        self.raised: tuple[int, ...] = ()
        self.frozen = False

    def begin(self) -> None:
        if not hasattr(gc, "freeze"):  # not CPython
            return
        self.before = gc.get_threshold()
        gc.set_threshold(MANY, *self.before[1:])
        self.raised = gc.get_threshold()
        if hasattr(bootstrap, "_exec"):  # what importlib.reload calls, since Python 3.4
            bootstrap._exec = self.thawing(bootstrap._exec)
        asked = {name: Asked(self, name) for name in ("get_objects", "get_referrers")}
        gc.__class__ = type("module", (types.ModuleType,), asked)  # type: ignore[assignment]

    def end(self) -> None:
        """Tests run from now on."""
        if self.before is None:
            return
        if gc.get_threshold() == self.raised:
            gc.set_threshold(*self.before)
        self.before = None
        if gc.isenabled():
            gc.collect()
            gc.freeze()
            self.frozen = True

    def thaw(self) -> None:
        if self.frozen:
            self.frozen = False
            gc.unfreeze()

    def thawing(self, original: Any) -> Any:
        """Return a function before which everything thaws."""

        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            self.thaw()
            result = original(*args, **kwargs)
            return [found for found in result if found is not args] if isinstance(result, list) else result

        return call


class Asked:
    """A function of the module gc before which everything thaws. Who takes it from there
    while tests run gets the function itself: were it called by another one in Python, a
    generator that calls it would be found to hold what it has in its variables. Who takes
    it before has to make do with that: such as from gc import get_objects."""

    def __init__(self, freezing: Freezing, name: str) -> None:
        self.freezing = freezing
        self.name = name
        self.original = getattr(gc, name)
        self.thawing = freezing.thawing(self.original)

    def __get__(self, module: Any, owner: Any = None) -> Any:
        if module is None:
            return self
        try:
            found = vars(module)[self.name]
        except KeyError:
            raise AttributeError(self.name) from None
        if found is self.original and self.freezing.before is not None:
            return self.thawing
        self.freezing.thaw()
        return found

    def __set__(self, module: Any, value: Any) -> None:
        # Where somebody puts back what they had found here, it is the original's place.
        vars(module)[self.name] = self.original if value is self.thawing else value

    def __delete__(self, module: Any) -> None:
        vars(module).pop(self.name, None)
