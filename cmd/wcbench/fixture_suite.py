"""Writes a suite with costly shared set-up, of known cost.

python fixture_suite.py FOLDER SCALE CLOCK

Each import, fixture and test burns CPU time, measured by the process's own
clock (cpu), or sleeps (sleep): the suite costs the same on a busy machine, and
one that sleeps shows how long several workers take on fewer cores. SCALE
multiplies all of it.
"""

import pathlib
import random
import sys

folder, scale, clock = pathlib.Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
random.seed(6)
folder.mkdir(parents=True, exist_ok=True)
burn = {
    "cpu": f"""
    end = time.process_time() + {scale} * seconds
    while time.process_time() < end:
        pass
""",
    "sleep": f"""
    time.sleep({scale} * seconds)
""",
}[clock]
(folder / "burn.py").write_text("import time\n\ndef burn(seconds):" + burn)
(folder / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
(folder / "conftest.py").write_text(
    """import pytest
from burn import burn

burn(0.2)

@pytest.fixture(scope="session")
def database():
    burn(3)
    yield
    burn(0.3)

@pytest.fixture(scope="session")
def model(database):
    burn(1.5)
"""
)
for f in range(24):
    package = folder / f"part_{f % 3}"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()
    if f % 3 == 1:
        (package / "conftest.py").write_text(
            "import pytest\nfrom burn import burn\n\n"
            '@pytest.fixture(scope="package")\ndef server():\n    burn(1)\n    yield\n    burn(0.1)\n'
        )
    text = ["import pytest", "from burn import burn", ""]
    if f % 4 == 0:
        text += [f"burn({random.choice([0.3, 0.6, 1.2])})", ""]
    module = f % 2 == 0
    if module:
        text += ['@pytest.fixture(scope="module")', "def table():", f"    burn({random.choice([0.3, 0.8, 1.6])})", ""]
    shared = ["database", "model", None, None, None, None, None, None][f % 8]
    for c in range(1 + f % 3):
        text += [f"class Test{c}:"]
        class_wide = f % 5 == 0
        if class_wide:
            text += ['    @pytest.fixture(scope="class")', "    def client(self):", "        burn(0.3)", ""]
        for t in range(random.randint(4, 16)):
            needs = ["self"]
            if shared and t % 2 == 0:
                needs.append(shared)
            if f % 3 == 1 and t % 3 == 0:
                needs.append("server")
            if module and t % 4:
                needs.append("table")
            if class_wide:
                needs.append("client")
            cost = 2.0 if f in (5, 14) and c == 0 and t == 1 else random.expovariate(25)
            text += [f"    def test_{t}({', '.join(needs)}):", f"        burn({cost:.3f})", ""]
    (package / f"test_{f}.py").write_text("\n".join(text))
