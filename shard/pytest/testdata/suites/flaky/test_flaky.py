import pytest

tries = {}


@pytest.mark.flaky(reruns=3)
@pytest.mark.parametrize("good", [0, 1, 2, 9])
def test_flaky(good):
    tries[good] = tries.get(good, 0) + 1
    assert tries[good] > good


@pytest.mark.timeout(60)
def test_timed():
    pass
