"""Tests that kill their worker, the first times or always."""

import os
import pathlib

import pytest


@pytest.fixture(autouse=True)
def counted(request):
    """Wait until pytest-rerunfailures has taken note of the test. Its worker
    sends how often the test may be repeated over a socket and waits for no
    answer: when it dies at once, the controller may ask before it has read
    that, and gives the test up. Questions are answered in their turn."""
    db = getattr(request.config, "failures_db", None)
    if db is not None:
        db.get_test_reruns(request.node.nodeid)


def test_before():
    pass


@pytest.mark.parametrize("good", [1, 2])
def test_recovers(good):
    tries = pathlib.Path(f"tries-{good}")
    with tries.open("a") as file:
        file.write(".")
    if tries.stat().st_size <= good:
        os._exit(3)


def test_never():
    os._exit(4)


@pytest.mark.parametrize("n", range(4))
def test_after(n):
    pass
