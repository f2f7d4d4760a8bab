import pytest

from weather import station


@pytest.mark.parametrize("number", range(20))
def test_a_year_is_complete(number):
    year = station.series(number)
    assert len(year) == 8760
    assert -40 < min(year) < max(year) < 50


@pytest.mark.parametrize("number", range(4))
def test_decade(number):
    assert len(station.monthly(station.series(number, years=10))) == 12
