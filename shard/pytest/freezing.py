"""Spares Python's garbage collector what imports and collection leave: most of what
a process holds, and it would be looked through again and again while tests run.
PYTEST_DONT_REWRITE"""

from __future__ import annotations

import functools
import gc
import sys
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
    But what tests ask of the collector is to be as ever: nothing is frozen from then on."""

    def __init__(self) -> None:
        self.before: tuple[int, ...] | None = None
        self.raised: tuple[int, ...] = ()

    def begin(self) -> None:
        if not hasattr(gc, "freeze"):  # not CPython
            return
        self.before = gc.get_threshold()
        gc.set_threshold(MANY, *self.before[1:])
        self.raised = gc.get_threshold()
        for name in ("collect", "get_objects", "get_referrers"):
            setattr(gc, name, thawing(getattr(gc, name)))

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


PYTEST = "_pytest.unraisableexception"  # collects what tests left, at the end of a session


def thawing(original: Any) -> Any:
    """Return one of gc's functions with which all is there that was frozen; but for
    pytest's own call."""

    @functools.wraps(original)
    def ask(*args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe().f_back
        if caller is None or caller.f_globals.get("__name__") != PYTEST:
            gc.unfreeze()
        result = original(*args, **kwargs)
        return [found for found in result if found is not args] if isinstance(result, list) else result

    return ask
