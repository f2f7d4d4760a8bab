"""Tests that take their process with them."""

import os
import signal

import pytest


@pytest.mark.parametrize("n", range(8))
def test_before(n):
    pass


def test_exits():
    os._exit(3)


@pytest.mark.parametrize("n", range(8))
def test_between(n):
    pass


def test_killed():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("n", range(8))
def test_after(n):
    assert n != 5
