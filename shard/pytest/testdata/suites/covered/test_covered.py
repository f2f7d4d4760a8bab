import numbers_of
import pytest

kept = []


@pytest.mark.parametrize("n", range(4))
def test_branch(n):
    assert numbers_of.branch(n)


@pytest.mark.parametrize("n", range(20))
def test_small(n):
    assert numbers_of.small() == 1


def test_large():
    assert numbers_of.large() == 100 << 20


@pytest.mark.parametrize("n", range(3))
def test_keeps(n):
    kept.append(b"x" * (100 << 20))  # so that its worker is replaced


@pytest.mark.parametrize("n", range(20))
def test_more(n):
    assert numbers_of.small() == 1
