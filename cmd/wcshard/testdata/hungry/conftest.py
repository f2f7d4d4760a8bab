"""A suite of 200 light tests and 12 that take 0.3 to 1.6 GiB for a moment."""

import mmap
import os
import time

import pytest

PAGE = mmap.PAGESIZE
SCALE = float(os.environ.get("HUNGRY_SCALE", "1"))


@pytest.fixture
def take():
    def take(mib):
        """Take memory for real, page by page, hold it, and give it back."""
        size = int(mib * SCALE) << 20
        with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
            for at in range(0, size, 8 << 20):
                memory[at : at + (8 << 20) : PAGE] = b"x" * len(memory[at : at + (8 << 20) : PAGE])
            time.sleep(0.4)

    return take


@pytest.fixture
def work():
    return lambda: time.sleep(0.01)
