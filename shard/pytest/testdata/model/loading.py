"""Loads the plugin's modules from a folder, as the plugin does."""

import importlib
import pathlib


def load(folder, *names):
    """Return the modules of these names."""
    source = pathlib.Path(folder, "loading.py").read_text(encoding="utf-8")
    exec(compile(source, "<wcshard_loading>", "exec", dont_inherit=True), {"FOLDER": folder})
    return [importlib.import_module("wcshard_" + name) for name in names]
