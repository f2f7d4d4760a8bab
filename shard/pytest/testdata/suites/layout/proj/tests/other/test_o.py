import pytest


@pytest.fixture(scope="package")
def packaged():
    yield "tests/other/test_o"


@pytest.mark.parametrize("n", range(3))
def test_it(n, packaged):
    assert n != 1


class TestIt:
    def test_me(self):
        pass


import os

with open(os.environ.get("WCSHARD_TRACE", os.devnull), "a") as file:
    file.write("other module\n")
