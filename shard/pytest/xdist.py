"""What all sessions know of xdist. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from typing import Any

import pytest


asked: dict[str, str] = {}


def ask(option: Any) -> None:
    """Note how pytest is asked to distribute tests, before use_workers sets what is
    planned."""
    asked["dist"] = str(getattr(option, "dist", None) or "no")


def distribution() -> str:
    """Return how pytest is asked to distribute tests over workers."""
    return asked.get("dist", "no")


def ended_by(node: Any) -> int:
    """Return the signal that ended a worker's process, 0 where that is not known."""
    process = getattr(getattr(node.gateway, "_io", None), "popen", None)  # of execnet
    if process is None:
        return 0
    try:
        status = process.wait(1)  # its pipes are closed
    except Exception:
        return 0
    return -status if status < 0 else 0


def schedulers_of_others(config: pytest.Config, own: Any) -> list[str]:
    """Return the names of plugins and conftest.py that have a scheduler for xdist."""
    hook = getattr(config.hook, "pytest_xdist_make_scheduler", None)
    known = (own, config.pluginmanager.getplugin("dsession"))
    impls = hook.get_hookimpls() if hook is not None else []
    return [impl.plugin_name for impl in impls if impl.plugin not in known and not impl.hookwrapper and not getattr(impl, "wrapper", False)]


def scheduler_of_others(config: pytest.Config, own: Any, log: Any) -> Any:
    """Return the scheduler of a conftest.py or plugin, None where there is none: it may
    keep tests on one worker that have to be."""
    if not schedulers_of_others(config, own):
        return None
    manager, planned = config.pluginmanager, config.option.dist
    if distribution() != "no":
        config.option.dist = distribution()  # they may go by it
    hook = manager.subset_hook_caller("pytest_xdist_make_scheduler", [own, manager.getplugin("dsession")])
    scheduler = hook(config=config, log=log)
    config.option.dist = planned
    return scheduler


def use_workers(option: Any, settings: dict[str, Any]) -> None:
    """Set xdist's options as planned, where the run's own line does not."""
    given, workers = settings["given"], settings["workers"]
    if "workers" in given:
        return
    if workers < 2 or one_process(option):
        workers = 0
    option.numprocesses = workers
    if hasattr(option, "maxprocesses"):
        option.maxprocesses = None
    if not workers or "dist" not in given:  # xdist before 3.1 looks for workers where there is a dist
        option.dist = "load" if workers else "no"
        option.distload = False


def fix_root(config: pytest.Config) -> None:
    """Make the root directory absolute in the arguments that xdist hands to workers: a
    conftest.py may have changed the directory."""
    root, params = str(config.rootpath), config.invocation_params
    if "$" in root:  # which pytest would expand
        return
    args = [f"--rootdir={root}" if str(arg).startswith("--rootdir=") else arg for arg in params.args]
    config.invocation_params = type(params)(args=args, plugins=params.plugins, dir=params.dir)  # type: ignore[misc]


def one_process(option: Any) -> str:
    """Return the option with which tests run in one process, "" where there is none."""
    if getattr(option, "usepdb", False):
        return "--pdb"
    if getattr(option, "benchmark_only", False):
        return "--benchmark-only"  # with workers pytest-benchmark measures nothing
    return ""


def xdist_version(config: pytest.Config) -> str:
    """Return the version of xdist, "" where it is not active."""
    if not config.pluginmanager.hasplugin("xdist"):
        return ""
    import xdist

    return str(getattr(xdist, "__version__", "unknown"))


def xdist_group(item: pytest.Item) -> str:
    """Return the name that xdist gives the test's group, "" for none."""
    names = set()
    for mark in item.iter_markers("xdist_group"):
        names.add(str(mark.args[0] if mark.args else mark.kwargs.get("name", "default")))
    return "_".join(sorted(names))
