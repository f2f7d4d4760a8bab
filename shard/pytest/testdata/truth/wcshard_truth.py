"""Writes how pytest itself counts each test, for plain runs to compare with."""

import json
import os

import pytest


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if reporter is None:  # a worker
        return
    counts = {}
    for category, reports in reporter.stats.items():
        names = [report.nodeid for report in reports if hasattr(report, "when")]
        if names:
            counts[category] = [name.encode("utf-8", "backslashreplace").decode() for name in names]
    with open(os.environ["WCSHARD_TRUTH"], "w") as file:
        json.dump(counts, file)
