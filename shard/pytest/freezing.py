"""Spares Python's garbage collector what imports and collection leave: most of what
a process holds, and it would be looked through again and again while tests run.
PYTEST_DONT_REWRITE"""

from __future__ import annotations

import functools
import gc
from importlib import _bootstrap as bootstrap  # type: ignore[attr-defined]
from typing import Any

# Until tests run, next to nothing that is made is garbage: so many new objects before
# some are looked through. Nobody else sets just this.
MANY = 49_999

OURS = {"__getattr__", "__dir__"}  # what the module gc has while two of its functions are apart


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
        self.asked: dict[str, Any] = {}  # functions of the module gc before which everything thaws

    def begin(self) -> None:
        if not hasattr(gc, "freeze"):  # not CPython
            return
        self.before = gc.get_threshold()
        gc.set_threshold(MANY, *self.before[1:])
        self.raised = gc.get_threshold()
        if hasattr(bootstrap, "_exec"):  # what importlib.reload calls, since Python 3.4
            bootstrap._exec = self.thawing(bootstrap._exec)
        self.asked = {name: vars(gc).pop(name) for name in ("get_objects", "get_referrers")}
        gc.__getattr__ = self.take  # type: ignore[attr-defined]
        gc.__dir__ = lambda: sorted({*vars(gc), *self.asked} - OURS)  # type: ignore[method-assign]

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

    def take(self, name: str) -> Any:
        """Return a function of the module gc, where it is no more. Who takes it while
        tests run gets the function itself: were it called by another one in Python, a
        generator that calls it would be found to hold what it has in its variables. Who
        takes it before, by from gc import get_objects, has to make do with that."""
        if name not in self.asked:
            raise AttributeError(f"module 'gc' has no attribute {name!r}")
        if self.before is not None:
            return self.thawing(self.asked[name])
        self.thaw()
        vars(gc).update(self.asked)
        for own in OURS:
            vars(gc).pop(own, None)
        return self.asked[name]

    def thawing(self, original: Any) -> Any:
        """Return a function before which everything thaws."""

        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            self.thaw()
            result = original(*args, **kwargs)
            return [found for found in result if found is not args] if isinstance(result, list) else result

        return call
