import pytest

from weather import field

pytestmark = pytest.mark.memory_intensive


@pytest.mark.parametrize("members", [2, 4])
def test_ensemble_mean(members):
    assert field.mean(field.ensemble(members, megabytes=64)) == 1
