"""What files import beside each other, and tests while they run: what they share
is imported once a worker, by whichever comes first. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import builtins
import os
import sys
from _thread import get_ident
from importlib import _bootstrap as bootstrap  # type: ignore[attr-defined]
from types import ModuleType
from typing import AbstractSet, Any, Callable, Iterable

from wcshard_results import Real

SLOW = 1e-4  # seconds: what is faster counts to who imports it
INIT = ".<init>"  # after the name of a package: what that itself imports, which is no library
WORTH = 1e-3  # seconds: a library that took less in all counts to the session, as Python's own do
OURS = frozenset(["_pytest", "pluggy", "pytest"])  # there before any file
STANDARD = getattr(sys, "stdlib_module_names", frozenset()) | OURS

# Under this name warnings do not take the frame of the hook for the importer's,
# as with importlib's own frames: filters go by the module that is to blame.
FRAME = "<frozen importlib._bootstrap>"
HOOK = """
def make(original, modules, plain, enter, leave, thread, own):
    def __import__(name, globals=None, locals=None, fromlist=(), level=0):
        __tracebackhide__ = True
        if level == 0 and plain(name, fromlist) or thread() != own:
            return original(name, globals, locals, fromlist, level)
        if level == 0 and name not in modules:
            # Packages first, each by itself, as the original does at once.
            parent = name if fromlist else name.rpartition(".")[0]
            if parent and parent not in modules:
                __import__(parent, globals, locals)
        if fromlist and len(fromlist) > 1 and (level and not name or not level and hasattr(modules.get(name), "__path__")):
            for part in fromlist:  # of a package, each may be a module
                __import__(name, globals, locals, (part,), level)
        start = enter()
        try:
            return original(name, globals, locals, fromlist, level)
        finally:
            leave(start, name, globals, fromlist, level)
    return __import__

def make_module(original, statement, alone, frame):
    def _gcd_import(name, package=None, level=0):
        __tracebackhide__ = True
        if level == 0 and alone() and frame(1).f_globals.get("__name__") == "importlib" and frame(2).f_globals.get("__name__") != "_pytest.pathlib":
            statement(name, None, None, ("__name__",))  # what the test file itself asks for, with pytest.importorskip too
        return original(name, package, level)
    return _gcd_import
"""


class Importing:
    """Watches the import statements that run while test files are imported.

    A library is the first two parts of a module's name: those of larger
    packages, such as scipy.stats, are imported apart from each other. What was there
    before any file, as an initial conftest.py has imported it, start-up has paid for.
    A part of it that was not is a library by itself: not all who import from the
    library pay for that."""

    def __init__(self, edges: bool = False) -> None:
        self.took: dict[str, float] = {}  # seconds by library, without the libraries inside
        self.direct: dict[str, set[str]] = {}  # libraries by file
        self.edges: dict[str, set[str]] | None = {} if edges else None  # libraries by library
        self.first: dict[str, str] = {}  # with edges: by module, the file that imported it first
        self.before: frozenset[str] = frozenset()  # modules that were there before any file
        self.stack: list[float] = []  # what ran inside each statement
        self.spent = 0.0  # in all statements of the current file
        self.file = ""
        scope: dict[str, Any] = {}
        exec(compile(HOOK, FRAME, "exec"), scope)
        self.make, self.make_module = scope["make"], scope["make_module"]
        self.original: Any = None
        self.hook: Any = None
        self.original_module: Any = None  # what importlib.import_module calls, since Python 3.3
        self.hook_module: Any = None

    def start(self) -> None:
        """Files are collected from now on: what is there by now, start-up has paid for."""
        self.before = frozenset(sys.modules)

    def begin(self, file: str) -> None:
        """A file is being collected from now on, or a folder: its name ends with a slash."""
        self.file = file
        if self.edges is not None:
            self.direct.setdefault(file, set())
        self.spent = 0.0
        self.stack.clear()
        self.original = builtins.__import__
        own = get_ident()
        self.hook = builtins.__import__ = self.make(self.original, sys.modules, self.plain, self.enter, self.leave, get_ident, own)
        self.original_module = getattr(bootstrap, "_gcd_import", None)
        if self.original_module is not None:
            self.hook_module = self.make_module(self.original_module, self.hook, lambda: not self.stack and get_ident() == own, sys._getframe)
            setattr(bootstrap, "_gcd_import", self.hook_module)

    def end(self, module: Any) -> float:
        """The file has been collected, as the module of a name. Return how many
        seconds of that were libraries."""
        if isinstance(module, str) and self.first.get(module, self.file) != self.file:
            # Another test file has imported it: none of its own statements ran by
            # now, and what it needs is known of its library.
            self.direct.setdefault(self.file, set()).add(library_of(module, self.before))
        if isinstance(module, str) and self.edges is not None:
            parts = module.split(".")
            packages = {".".join(parts[:n]) + INIT for n in range(1, len(parts))}
            self.direct.setdefault(self.file, set()).update(packages & self.edges.keys())
        if builtins.__import__ is self.hook:  # else the file has put its own around it
            builtins.__import__ = self.original
        if self.hook_module is not None and getattr(bootstrap, "_gcd_import", None) is self.hook_module:
            setattr(bootstrap, "_gcd_import", self.original_module)
        self.file = ""
        return self.spent

    def plain(self, name: str, fromlist: Any) -> bool:
        """Report whether an import, as most are, is of a module that is there and
        holds no others: it takes no time, and who imports whom is not asked."""
        module = sys.modules.get(name) if self.edges is None and isinstance(name, str) else None
        return type(module) is ModuleType and not (fromlist and hasattr(module, "__path__"))

    def enter(self) -> float:
        self.stack.append(0.0)
        return Real.clock()

    def leave(self, start: float, name: str, importer: Any, fromlist: Iterable[str], level: int) -> None:
        took = Real.clock() - start
        inside = self.stack.pop() if self.stack else 0.0
        if not self.file or not isinstance(name, str):
            return
        importer = importer if isinstance(importer, dict) else {}
        slow = took > SLOW
        if not slow and self.edges is None:
            return
        module = absolute(name, importer, level)
        # Of a package, what is taken from it: modules inside, where they are.
        modules = [f"{module}.{part}" for part in fromlist or () if f"{module}.{part}" in sys.modules] or [module]
        if slow:
            new = [part for part in modules if part not in self.before]
            if new:
                library = library_of(new[0], self.before)
                self.took[library] = self.took.get(library, 0.0) + max(0.0, took - inside)
            else:
                took = inside  # start-up has paid for it: what is left is the importer's
            if self.stack:
                self.stack[-1] += took
            else:
                self.spent += took
        if self.edges is not None:
            if self.stack:
                found = self.edges.setdefault(library_of(str(importer.get("__name__")), self.before), set())
            else:
                found = self.direct.setdefault(self.file, set())
            libraries = {library_of(module, self.before) for module in modules}
            found.update(libraries)
            if "__path__" in importer and getattr(importer.get("__spec__"), "_initializing", False):
                # What a package imports itself, whoever imports that: all test files
                # inside need it, as pytest imports it on its way to them.
                package = str(importer.get("__name__"))
                self.edges.setdefault(package + INIT, set()).update(libraries)
                self.edges.setdefault(library_of(package, self.before), set()).add(package + INIT)
            for module in modules:
                self.first.setdefault(module, self.file)

    def shared(self) -> list[tuple[str, float]]:
        """Return the libraries that matter, and the seconds that each took."""
        return [(name, s) for name, s in self.took.items() if s >= WORTH and name.partition(".")[0] not in STANDARD]

    def needed(self, always: Iterable[str] = ()) -> dict[str, list[str]]:
        """Return the libraries that each file imports, itself or by way of
        others and of its folders' conftest.py, and that were not there before any
        file, sorted; the conftest.py of some folders is always loaded."""
        assert self.edges is not None
        names = sorted({*self.edges, *(name for found in [*self.edges.values(), *self.direct.values()] for name in found)})
        bit = {name: 1 << i for i, name in enumerate(names)}
        reach = {name: bit[name] for name in names}
        changed = True
        while changed:
            changed = False
            for name in names:
                parent = name.partition(".")[0]
                more = reach[name] | reach.get(parent, 0)
                for other in self.edges.get(name, ()):
                    more |= reach[other]
                changed = changed or more != reach[name]
                reach[name] = more
        paid = {name for name in names if name.partition(".")[0] in STANDARD or name in self.before or name.endswith(INIT)}
        loaded = {name for folder in always for each in folders_of(folder + "/") for name in self.direct.get(each, ())}
        lists: dict[int, list[str]] = {}  # files that need the same share one
        found = {}
        for file, direct in self.direct.items():
            if file.endswith("/"):
                continue
            bits = 0
            for name in direct.union(loaded, *(self.direct.get(folder, ()) for folder in folders_of(file))):
                bits |= reach[name]
            if bits not in lists:
                lists[bits] = [name for name in names if bits & bit[name] and name not in paid]
            found[file] = lists[bits]
        return found


LATE = 1e-2  # seconds: an import that took less while a test ran counts to whoever imported it
LATE_HOOK = """
def make(original, modules, here, enter, leave):
    def _find_and_load(name, import_):
        __tracebackhide__ = True
        if name in modules or not here():
            return original(name, import_)
        start = enter()
        try:
            return original(name, import_)
        finally:
            leave(name, start)
    return _find_and_load
"""


class LateImports:
    """Watches what is imported while tests run: by statements inside of functions,
    and by packages that import their parts when these are asked for.

    import statements come to what is replaced here only for a module that is not
    there yet, so most of them cost nothing; importlib.import_module, which mock.patch
    calls, comes for any. It has been _find_and_load since Python 3.3."""

    def __init__(self, enter: Callable[[], float], leave: Callable[[str, float], None]) -> None:
        self.enter = enter
        self.leave = leave
        self.original: Any = None
        self.hook: Any = None
        self.before: set[str] = set()  # modules that were there before any test
        self.later: set[str] = set()
        self.places: set[str] = set()

    def begin(self) -> None:
        """Tests run from now on, on this thread."""
        self.before = set(sys.modules)
        paths = [path for path in sys.path if isinstance(path, str)]
        self.places = {os.path.normpath(os.path.abspath(path)) for path in paths}
        self.original = getattr(bootstrap, "_find_and_load", None)
        if self.original is not None:
            own = get_ident()
            scope: dict[str, Any] = {}
            exec(compile(LATE_HOOK, FRAME, "exec"), scope)
            self.hook = scope["make"](self.original, sys.modules, lambda: get_ident() == own, self.enter, self.leave)
            setattr(bootstrap, "_find_and_load", self.hook)

    def end(self) -> None:
        if self.hook is not None and getattr(bootstrap, "_find_and_load", None) is self.hook:  # else somebody has put their own around it
            setattr(bootstrap, "_find_and_load", self.original)

    def shared(self, name: Any) -> str | None:
        """Return the library of a module that this worker has imported for the first
        time, None where others do not share it: it was there before and is imported
        anew, or it is of no place that modules are imported from, as one that a test
        has made for itself. A part of a library that was there before any test is a
        library by itself."""
        if not isinstance(name, str) or name in self.before or name in self.later or name not in sys.modules:
            return None
        self.later.add(name)
        top = name.partition(".")[0]
        if top in STANDARD or top not in self.before and self.place_of(top) not in self.places:
            return None
        return library_of(name, self.before)

    @staticmethod
    def place_of(top: str) -> str:
        """Return the folder that a module was found in."""
        module = sys.modules.get(top)
        try:
            # Modules may answer to any name, and do so by importing what they stand for.
            if not issubclass(type(module), ModuleType):
                return ""
            inside = ModuleType.__dict__["__dict__"].__get__(module)
            folders, file = inside.get("__path__"), inside.get("__file__")
            return os.path.dirname(os.path.abspath(next(iter(folders)) if folders else file))
        except Exception:
            return ""


def library_of(module: str, before: AbstractSet[str]) -> str:
    """Return the library of a module, where others were there before: the first two
    parts of its name, and where that was there and the module was not, as many more
    as it takes to name what was not."""
    parts = module.split(".")
    size = 2
    while size < len(parts) and ".".join(parts[:size]) in before and module not in before:
        size += 1
    return ".".join(parts[:size])


def folders_of(file: str) -> list[str]:
    """Return the folders that a file is in, the outermost first, with a slash at the end."""
    parts = file.split("/")
    return ["/".join(parts[:n]) + "/" for n in range(1, len(parts))]


def absolute(name: str, importer: dict[str, Any], level: int) -> str:
    """Return the full name of a module that is imported relatively."""
    if level == 0:
        return name
    package = importer.get("__package__")
    if package is None:
        package = str(importer.get("__name__"))
        if "__path__" not in importer:
            package = package.rpartition(".")[0]
    base = str(package).rsplit(".", level - 1)[0]
    return f"{base}.{name}" if name else base
