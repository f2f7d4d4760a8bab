import pytest


@pytest.fixture(scope="package")
def packaged():
    yield "tests/unit/test_v"


@pytest.mark.parametrize("n", range(3))
def test_it(n, packaged):
    assert n != 1


class TestIt:
    def test_me(self):
        pass
