"""Finds the plugin's modules, wcshard_NAME in FOLDER/NAME.py. PYTEST_DONT_REWRITE

They are compiled under names that no file has: coverage would measure them with
the project's code where it is not told what to measure, and would miss their
files when they are gone.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import sys
from typing import Any

FOLDER: str = globals().get("FOLDER", "")  # from bootstrap.py
PREFIX = "wcshard_"


class Sources(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname.startswith(PREFIX) and os.path.isfile(self.file(fullname)):
            return importlib.util.spec_from_loader(fullname, self)
        return None

    def exec_module(self, module: Any) -> None:
        with open(self.file(module.__name__), encoding="utf-8") as source:
            text = source.read()
        exec(compile(text, f"<{module.__name__}>", "exec", dont_inherit=True), module.__dict__)

    @staticmethod
    def file(name: str) -> str:
        return os.path.join(FOLDER, f"{name[len(PREFIX):]}.py")


sys.meta_path.insert(0, Sources())
