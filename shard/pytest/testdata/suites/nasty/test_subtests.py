"""Subtests, pytest's own since 9.0 and pytest-subtests' before."""

import pytest


@pytest.fixture
def maybe_subtests(request):
    try:
        return request.getfixturevalue("subtests")
    except pytest.FixtureLookupError:
        pytest.skip("no subtests here")


def test_some_fail(maybe_subtests):
    for i in range(4):
        with maybe_subtests.test(msg="step", i=i):
            assert i != 2


def test_all_pass(maybe_subtests):
    for i in range(4):
        with maybe_subtests.test(i=i):
            pass


def test_one_skips(maybe_subtests):
    with maybe_subtests.test("skipping"):
        pytest.skip("this one")
