import pytest


@pytest.mark.parametrize("n", range(8))
def test_before(n, work):
    work()


def test_heavy(take):
    take(1010)


@pytest.mark.parametrize("n", range(8))
def test_after(n, work):
    work()
