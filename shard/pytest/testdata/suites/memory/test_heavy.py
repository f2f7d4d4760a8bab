import os
import time

import pytest

SIZES = [200, 60, 120, 70, 180, 90, 100, 50, 150, 80]  # MiB


@pytest.mark.parametrize("n", range(40))
def test_light(n):
    time.sleep(0.01)


@pytest.mark.parametrize("size", SIZES)
def test_heavy(size):
    start = time.time()
    block = b"x" * (size << 20)
    time.sleep(0.3)
    with open(os.environ["HEAVY_LOG"], "a") as file:
        file.write(f"{start} {time.time()} {len(block) >> 20}\n")


def test_too_large():
    test_heavy(300)
