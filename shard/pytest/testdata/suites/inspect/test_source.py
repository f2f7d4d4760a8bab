"""A docstring,
of two lines."""
from __future__ import annotations

# A comment before the first import.
import os
import pytest as pt, sys

if os.name:

    @pt.mark.parametrize(
        "x", [1, 2]
    )
    def test_decorated(x):
        pass


class TestA:
    def test_method(self):
        def test_inner():
            pass

    class TestB:
        @pt.mark.memory_intensive
        @pt.mark.slow
        def test_nested(self): pass


def test_twice():
    pass


async def test_async():
    pass


def test_twice():  # noqa: F811
    pass
