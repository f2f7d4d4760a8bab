"""A suite of 200 light tests and 12 that take 0.3 to 1.6 GiB for a moment.

The two heaviest are tests 8 and 34 of 212: xdist's load hands out an eighth of
all tests to each of two workers first, a sixteenth to each of four, so that the
two start at once and meet.

Any two of the six largest are, with what workers hold before any test, more than
2 GiB, and each but the largest fits into 1.7 GiB beside one of the others: so no
schedule gains from the memory that wcshard leaves free, and what the best one takes
is a bound that can be reached.
"""

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
