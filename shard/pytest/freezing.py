"""Spares Python's garbage collector what imports and collection leave: most of what
a process holds, and it would be looked through again and again while tests run.
PYTEST_DONT_REWRITE"""

from __future__ import annotations

import gc

# Until tests run, next to nothing that is made is garbage. gc.set_threshold says what
# the numbers mean.
RARELY = (50_000, 50, 1000)


class Freezing:
    """What is there before the first test is frozen (gc.freeze), after a last look for
    garbage: mypy does so with what it reads from its cache. Until then garbage is
    looked for rarely. Whoever changes the thresholds meanwhile has the last word.

    It stays frozen to the end: that takes half as long where Python does not look
    through it for what might have a finalizer, which it never promised to call at exit."""

    def __init__(self) -> None:
        self.before: tuple[int, int, int] | None = None

    def begin(self) -> None:
        if hasattr(gc, "freeze"):  # CPython
            self.before = gc.get_threshold()
            gc.set_threshold(*RARELY)

    def end(self) -> None:
        """Tests run from now on."""
        if self.before is None:
            return
        if gc.get_threshold() == RARELY:
            gc.set_threshold(*self.before)
        self.before = None
        if gc.isenabled():
            gc.collect()
            gc.freeze()
