import random

import pytest


def test_drawn():
    pytest.skip(f"drew {random.random()}")


@pytest.mark.parametrize("n", range(8))
def test_numbered(n):
    assert n != 5


class TestC:
    def test_a(self):
        pass

    def test_b(self):
        pass
