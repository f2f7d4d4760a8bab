"""A module with doctests.

>>> 1 + 1
2
"""


def double(x):
    """
    >>> double(2)
    4
    >>> double("a")
    'aaa'
    """
    return 2 * x
