"""One costly fixture that all tests of the module share."""

import pytest

from weather import station


@pytest.fixture(scope="module")
def climate():
    return [station.monthly(station.series(number, years=25)) for number in range(12)]


@pytest.mark.parametrize("number", range(12))
def test_summer_is_warm(climate, number):
    assert climate[number][6] > climate[number][0] + 10


def test_stations_differ(climate):
    assert len({tuple(months) for months in climate}) == len(climate)
