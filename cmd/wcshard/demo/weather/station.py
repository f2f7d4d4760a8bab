"""Synthetic stations: a year of hourly temperatures."""

import math
import random


def series(station: int, years: int = 1) -> list[float]:
    """Hourly temperatures in degrees Celsius."""
    rng = random.Random(station)
    level, out = 0.0, []
    for hour in range(years * 8760):
        level = 0.95 * level + rng.gauss(0, 1)
        out.append(10 - 10 * math.cos(2 * math.pi * hour / 8760) + 3 * math.sin(2 * math.pi * hour / 24) + level)
    return out


def monthly(temperatures: list[float]) -> list[float]:
    """Mean of each of twelve equal months, over all years."""
    step = 8760 // 12
    months: list[list[float]] = [[] for _ in range(12)]
    for start in range(0, len(temperatures), step):
        months[start // step % 12].extend(temperatures[start : start + step])
    return [math.fsum(month) / len(month) for month in months]
