import ctypes
import time

import pytest


@pytest.mark.parametrize("n", range(10))
def test_before(n):
    pass


def test_hangs():
    time.sleep(120)


def test_segfault():
    ctypes.string_at(0)


@pytest.mark.parametrize("n", range(10))
def test_after(n):
    pass
