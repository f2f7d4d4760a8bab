"""Suites of 200 light and 12 heavy tests on four workers, driven by a model of
xdist: prints the least share of the time that no schedule within the same
memory undercuts. Usage: pairs.py DIRECTORY-OF-loading.py CASES"""

import pathlib
import sys

source = pathlib.Path(__file__).with_name("model.py").read_text().removesuffix("main()\n")
exec(compile(source, "model.py", "exec"))

HEAVY = [  # MiB, of each suite
    [1600, 1350, 300, 350, 1150, 450, 1050, 550, 950, 650, 850, 750],
    [1600, 1350, 300, 350, 1150, 450, 1050, 550, 1010, 650, 930, 750],
]
LIGHT = [25, *[16] * 10, 15]  # tests of the same file, 8 of them before the heavy one


class Pairs(Case):
    def __init__(self, seed):
        super().__init__(seed)
        self.workers, self.crash_rate, self.start_time = 4, 0, 0.6
        self.floor, self.others, self.budget = 36 * MIB, 60 * MIB, 1920 * MIB
        self.measures, self.blind, self.may_renew, self.groups = True, False, True, set()
        self.needs, self.wall, self.files = {}, [], []
        for need, light in zip(HEAVY[seed % len(HEAVY)], LIGHT):
            first = len(self.wall)
            seconds = [0.011] * 8 + [0.4 + need / 1000] + [0.011] * (light - 8)
            self.wall += [s * self.random.uniform(1, 1.3) for s in seconds]
            self.needs[first + 8] = needs.Need(need * MIB, 0, need * MIB)
            self.files.append(range(first, len(self.wall)))
        self.tests = len(self.wall)
        self.starts = []

    def units(self):
        return [list(f) for f in sorted(self.files, key=lambda f: -sum(self.wall[t] for t in f))]

    def look(self):
        return needs.Holdings(self.others, {name: p.held + self.taken(p) for name, p in self.processes.items()})

    def check(self):
        self.starts.append(self.now)
        super().check()

    def bound(self):
        """All over all workers; as an area over the memory; one after another
        those of which no two fit together."""
        room = self.budget - self.others - self.workers * self.floor
        serial, last = 0.0, room
        for test, need in sorted(self.needs.items(), key=lambda item: -item[1].need):
            if need.need + last <= room:
                break
            serial, last = serial + self.wall[test], need.need
        area = sum(self.wall[test] * need.need for test, need in self.needs.items()) / room
        return max(sum(self.wall) / self.workers, area, serial)


def share(seed):
    case = Pairs(seed)
    case.run()
    end = case.now - LATENCY
    return case.bound() / (end - min(case.starts))


print(min(share(seed) for seed in range(int(sys.argv[2]))))
