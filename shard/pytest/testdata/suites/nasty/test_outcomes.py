"""Every way that a test can end."""

import pytest


@pytest.fixture
def bad_setup():
    raise ValueError("set-up\nwith a second line")


@pytest.fixture
def bad_teardown():
    yield
    raise ValueError("teardown")


@pytest.fixture(scope="module")
def bad_shared():
    raise OSError("shared set-up")


def test_passes():
    pass


def test_fails():
    assert 1 == 2, "one is not two"


def test_set_up(bad_setup):
    pass


def test_tear_down(bad_teardown):
    pass


def test_fails_twice(bad_teardown):
    raise KeyError("first")


def test_shared(bad_shared):
    pass


def test_shared_again(bad_shared):
    pass


@pytest.mark.skip(reason="a reason: with colons\nand lines")
def test_skip():
    pass


def test_skip_inside():
    pytest.skip("inside")


@pytest.mark.skipif("True", reason="always")
def test_skip_if():
    pass


@pytest.mark.xfail(reason="known")
def test_xfail():
    assert False


@pytest.mark.xfail(run=False, reason="not even tried")
def test_xfail_not_run():
    assert False


@pytest.mark.xfail
def test_xpass():
    pass


@pytest.mark.xfail(strict=True, reason="must fail")
def test_xpass_strict():
    pass


def test_xfail_inside():
    pytest.xfail("inside")


@pytest.mark.xfail(raises=ValueError)
def test_xfail_other():
    raise KeyError("another")


def test_exit_quietly():
    raise SystemExit(3)
