"""Heavily parametrized and CPU-bound, as weathercop's test_copulae.py is."""

import pytest

from weather import copula

THETAS = [0.5, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("theta", THETAS)
@pytest.mark.parametrize("family", copula.FAMILIES)
class TestCopula:
    def test_bounds(self, family, theta):
        for u, v in [(0.1, 0.9), (0.5, 0.5), (0.7, 0.2)]:
            assert max(u + v - 1, 0) - 1e-6 <= copula.cdf(family, theta, u, v) <= min(u, v) + 1e-6

    def test_inverse(self, family, theta):
        for u, v in copula.sample(family, theta, 800):
            assert 0 <= v <= 1

    def test_positive_dependence(self, family, theta):
        assert copula.tau(copula.sample(family, theta, 500 + round(300 * theta))) > -0.1
