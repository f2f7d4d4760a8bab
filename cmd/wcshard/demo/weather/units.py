"""Conversions between units."""

KELVIN = 273.15


def celsius(fahrenheit: float) -> float:
    return (fahrenheit - 32) * 5 / 9


def fahrenheit(celsius: float) -> float:
    return celsius * 9 / 5 + 32


def kelvin(celsius: float) -> float:
    return celsius + KELVIN
