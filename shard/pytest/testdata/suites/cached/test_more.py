import os

import pytest


@pytest.mark.parametrize("n", range(12))
@pytest.mark.xdist_group("fives")
def test_group(n):
    assert n % 4


@pytest.mark.parametrize("n", range(6))
def test_alone(n):
    assert "@" not in os.environ["PYTEST_CURRENT_TEST"]
