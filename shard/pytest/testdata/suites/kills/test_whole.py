import random
import time

import pytest


@pytest.mark.parametrize("n", range(300))
def test_quick(n):
    time.sleep(random.choice([0, 0.001, 0.02]))


@pytest.mark.parametrize("n", range(60))
class TestGroup:
    def test_slow(self, n):
        time.sleep(0.1)
