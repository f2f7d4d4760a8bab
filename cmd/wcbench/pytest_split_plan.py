"""Splits recorded tests with one of pytest-split's own algorithms.

Input on stdin: {"algorithm": name, "counts": [n, ...], "tests": [{"id", "seconds"}, ...]}.
Output: for each count, the group of each test.
"""

import json
import sys

from pytest_split.algorithms import Algorithms

request = json.load(sys.stdin)
tests = request["tests"]


class Item:
    """What the algorithms use of a pytest item: its ID, and its name to sort by."""

    def __init__(self, index, nodeid):
        self.index, self.nodeid = index, nodeid

    def __str__(self):
        return self.nodeid


items = [Item(i, test["id"]) for i, test in enumerate(tests)]
durations = {test["id"]: test["seconds"] for test in tests if test["seconds"] >= 0}
algorithm = Algorithms[request["algorithm"]].value
answer = []
for count in request["counts"]:
    groups = [None] * len(items)
    for group, chosen in enumerate(algorithm(count, items, durations)):
        for item in chosen.selected:
            groups[item.index] = group
    answer.append(groups)
json.dump(answer, sys.stdout)
