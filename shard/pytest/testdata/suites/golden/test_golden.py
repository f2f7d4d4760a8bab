"""One test for each thing that a results file can say of a test."""

import os
import warnings

import pytest


@pytest.fixture(scope="module", params=["p"])
def shared(request):
    yield request.param


def test_passes(shared):
    pass


@pytest.mark.parametrize("text", ["a::b]", "line\nbreak", "🌧️"])
def test_named(text):
    pass


def test_fails():
    assert 1 == 2, "one is not two"


@pytest.fixture
def broken():
    raise ValueError("no set-up")


def test_error(broken):
    pass


@pytest.mark.skip(reason="not today")
def test_skips():
    pass


@pytest.mark.xfail(reason="known")
def test_xfails():
    assert False


@pytest.mark.xfail(reason="known")
def test_xpasses():
    pass


tries = []


@pytest.mark.flaky(reruns=2)
def test_flaky():
    tries.append(1)
    assert len(tries) == 2


def test_dies():
    os._exit(1)


def test_unplanned():
    pass
