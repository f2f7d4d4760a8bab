"""Bivariate copulas: how two variables of the weather depend on each other."""

import math
import random

FAMILIES = ("clayton", "frank", "gumbel", "joe", "plackett", "gaussian")


def sample(family: str, theta: float, n: int, seed: int = 0) -> list[tuple[float, float]]:
    """Draw n pairs by inverting the conditional distribution of u given v."""
    rng = random.Random(f"{family}{theta}{seed}")
    return [(u, conditional_inverse(family, theta, u, rng.random())) for u in (rng.random() for _ in range(n))]


def conditional(family: str, theta: float, u: float, v: float) -> float:
    """P(V <= v | U = u), by a difference quotient of the copula."""
    h = 1e-5
    return (cdf(family, theta, min(u + h, 1), v) - cdf(family, theta, max(u - h, 0), v)) / (2 * h)


def conditional_inverse(family: str, theta: float, u: float, p: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(20):
        mid = (low + high) / 2
        if conditional(family, theta, u, mid) < p:
            low = mid
        else:
            high = mid
    return (low + high) / 2


def cdf(family: str, theta: float, u: float, v: float) -> float:
    u, v = min(max(u, 1e-9), 1 - 1e-9), min(max(v, 1e-9), 1 - 1e-9)
    if family == "clayton":
        return (u**-theta + v**-theta - 1) ** (-1 / theta)
    if family == "frank":
        return -math.log1p(math.expm1(-theta * u) * math.expm1(-theta * v) / math.expm1(-theta)) / theta
    if family == "gumbel":
        g = 1 + theta
        return math.exp(-(((-math.log(u)) ** g + (-math.log(v)) ** g) ** (1 / g)))
    if family == "joe":
        g = 1 + theta
        a, b = (1 - u) ** g, (1 - v) ** g
        return 1 - (a + b - a * b) ** (1 / g)
    if family == "plackett":
        eta = theta
        s = 1 + eta * (u + v)
        return (s - math.sqrt(max(s * s - 4 * u * v * eta * (eta + 1), 0))) / (2 * eta)
    return u * v * (1 + theta / 10 * (1 - u) * (1 - v))


def tau(pairs: list[tuple[float, float]]) -> float:
    """Kendall's tau, counted pair by pair."""
    concordant = 0
    for i, (a, b) in enumerate(pairs):
        for c, d in pairs[:i]:
            concordant += 1 if (a - c) * (b - d) > 0 else -1
    return 2 * concordant / (len(pairs) * (len(pairs) - 1))
