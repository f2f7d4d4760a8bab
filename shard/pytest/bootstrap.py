"""Loads the plugin: pytest imports this as wcshard_plugin. PYTEST_DONT_REWRITE

All of it runs at once, before pytest-cov looks at anything. What runs later is of
modules that have no file, see loading.py.
"""

import importlib
import os
import sys

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), ".sources")
with open(os.path.join(FOLDER, "loading.py"), encoding="utf-8") as source:
    exec(compile(source.read(), "<wcshard_loading>", "exec", dont_inherit=True), {"FOLDER": FOLDER})
main = importlib.import_module("wcshard_main")
main.begin(os.path.dirname(FOLDER))
sys.modules[__name__] = main  # what pytest takes for this one
