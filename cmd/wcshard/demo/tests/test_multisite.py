import pytest

from weather import field, station


@pytest.mark.memory_intensive
def test_whole_field():
    sites = field.ensemble(6, megabytes=64)
    assert field.mean(sites) == 1
    assert len(station.series(1, years=5)) == 5 * 8760


@pytest.mark.memory_intensive
def test_half_field():
    assert field.mean(field.ensemble(3, megabytes=64)) == 1


def test_one_site_is_light():
    assert field.mean(field.ensemble(1, megabytes=1)) == 1
