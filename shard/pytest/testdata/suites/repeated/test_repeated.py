"""Tests that kill their worker, the first times or always."""

import os
import pathlib

import pytest


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
