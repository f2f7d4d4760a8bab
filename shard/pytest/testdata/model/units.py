"""What the plugin keeps together, by name. Usage: units.py DIRECTORY-OF-loading.py"""

import json
import sys
import types

import loading

(workers,) = loading.load(sys.argv[1], "workers")
running = types.SimpleNamespace(plain=str, groups={"a.py::g": "g", "b.py::g": "g"}, cut={"a.py"}, needy=set(), units={})
scheduler = workers.Scheduler.__new__(workers.Scheduler)
scheduler.plugin = running
scheduler.collection = ["a.py::x", "a.py::same", "a.py::g", "a.py::same", "a.py::y", "b.py::z", "b.py::g", "c.py::same", "c.py::z", "c.py::same"]
units = scheduler.units()
print(json.dumps([list(units.values()), sorted(scheduler.whole(units))]))
running.units = {"a.py::x": 2, "b.py::z": 2, "a.py::y": 1, "c.py::same": 3}
units = scheduler.units()
print(json.dumps([list(units.values()), sorted(scheduler.whole(units))]))
