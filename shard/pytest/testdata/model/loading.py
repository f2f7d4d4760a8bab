"""Loads the plugin's modules from a folder, by the names that they have beside
pytest."""

import importlib.util
import pathlib
import sys


def load(folder):
    """Return the modules by their names."""
    modules = {}
    for name in ("results", "importing", "measuring", "schedule", "workers", "xdist", "groups", "collecting", "main"):
        spec = importlib.util.spec_from_file_location("wcshard_" + name, pathlib.Path(folder, name + ".py"))
        modules[name] = sys.modules["wcshard_" + name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(modules[name])
    return modules
