"""Splits recorded tests with the own code of a pytest plugin that does so.

Input on stdin: {"planner": name, "counts": [n, ...], "tests": [id, ...],
"seconds": {id: seconds, ...}}. Tests of which no seconds are known are new.
Output: {"groups": for each count, the group of each test, "cpu_seconds": of all counts}.
"""

import json
import sys
import time

request = json.load(sys.stdin)
ids, durations = request["tests"], request["seconds"]


def pytest_split(algorithm):
    from pytest_split.algorithms import Algorithms

    class Item:
        """What the algorithms use of a pytest item: its ID, and its name to sort by."""

        def __init__(self, nodeid):
            self.nodeid = nodeid

        def __str__(self):
            return self.nodeid

    items = [Item(nodeid) for nodeid in ids]
    split = Algorithms[algorithm].value
    return lambda count: [[item.nodeid for item in group.selected] for group in split(count, items, durations)]


def pytest_balance():
    from pytest_balance.algorithms.lpt import partition
    from pytest_balance.algorithms.partitioner import Scope, group_by_scope

    def split(count):
        groups = {group.scope_id: group.test_ids for group in group_by_scope(ids, Scope.MODULE)}
        seconds = {scope: sum(durations[nodeid] for nodeid in chosen) for scope, chosen in groups.items()}
        return [[nodeid for scope in bucket for nodeid in groups[scope]] for bucket in partition(seconds, count)]

    return split


def pytest_fsplit():
    from pytest_fsplit.planning import assign_files_to_shards

    def split(count):
        seconds, tests = {}, {}
        for nodeid in ids:
            file = nodeid.partition("::")[0]
            seconds[file] = seconds.get(file, 0) + durations[nodeid]
            tests.setdefault(file, []).append(nodeid)
        return [[nodeid for file in shard.files for nodeid in tests[file]] for shard in assign_files_to_shards(tests, seconds, count)]

    return split


split = {
    "pytest-split duration_based_chunks": lambda: pytest_split("duration_based_chunks"),
    "pytest-split least_duration": lambda: pytest_split("least_duration"),
    "pytest-balance": pytest_balance,
    "pytest-fsplit": pytest_fsplit,
}[request["planner"]]()
groups, seconds = [], 0.0
for count in request["counts"]:
    began = time.process_time()
    jobs = split(count)
    seconds += time.process_time() - began
    group = {nodeid: k for k, chosen in enumerate(jobs) for nodeid in chosen}
    groups.append([group[nodeid] for nodeid in ids])
json.dump({"groups": groups, "cpu_seconds": seconds}, sys.stdout)
