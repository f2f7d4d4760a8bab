"""The lines of a results file: how they are written, and what the reports of a
test come to. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import functools
import json
import os
import re
import time
from typing import Any

IDS_A_LINE = 1000  # long lists are split, so that no line of the results grows without bound
MESSAGE_LENGTH = 500
MOST_US = 10**12  # that a test takes, where nobody measured it
MOST_HELD = 16  # lines of the results

# Where a doctest failed, as pytest ends what it shows of one, and the line before
# which there is nothing but source.
DOCTEST = re.compile(r"^(.+):(\d+|None): (?:DocTestFailure|UnexpectedException)$", re.MULTILINE)
DOCTEST_SAYS = re.compile(r"^(?:Expected(?: nothing|:)$|Differences .*:$|UNEXPECTED EXCEPTION: .*)", re.MULTILINE)

# A test or fixture, in what pytest says of a missing fixture: the one that wants it
# comes last, and then what is missing.
WANTED_BY = re.compile(r"^file (.+), line (\d+)$")

encode = json.JSONEncoder(separators=(",", ":")).encode
quote = json.encoder.encode_basestring_ascii


class Real:
    """The clock and the system's calls as they are before tests replace them.
    freezegun and pyfakefs do that in modules, and do not look into classes."""

    clock = staticmethod(time.perf_counter)
    busy = staticmethod(getattr(time, "thread_time", time.process_time))
    boottime = staticmethod(functools.partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic)
    affinity = staticmethod(getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1)))
    fstat = staticmethod(os.fstat)
    open = staticmethod(os.open)
    close = staticmethod(os.close)
    write = staticmethod(os.write)
    pread = staticmethod(getattr(os, "pread", None))


def clean(text: str) -> str:
    """Return text as valid Unicode: lone surrogates, as in the names of files
    that are not UTF-8, stand as backslash escapes."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()


def microseconds(seconds: float) -> int:
    return round(seconds * 1e6) if seconds > 0 else 0


def parts(wall_us: int, durations: list[float]) -> list[int]:
    """Return the phases in microseconds, together at most what the whole test took:
    where it has replaced the clock, pytest's own figures may be anything."""
    left = wall_us or MOST_US
    found = []
    for seconds in durations:
        found.append(min(microseconds(min(seconds, MOST_US)), left))
        left -= found[-1]
    return found


def file_of(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def relative(path: str, base: str) -> str:
    """Return path relative to base with forward slashes; a path that is relative
    already as it is."""
    if os.path.isabs(path):
        try:
            path = os.path.relpath(path, base)
        except ValueError:  # another drive
            pass
    return path.replace(os.sep, "/")


def is_one_of(kinds: tuple[type, ...], value: Any) -> bool:
    """Report whether a value's very type is among some. Classes may have an == of their
    own, and no hash."""
    return any(type(value) is kind for kind in kinds)


def first_line(text: str) -> str:
    return clean(text.strip().partition("\n")[0][:MESSAGE_LENGTH])


class Stream:
    """A file of JSON lines. They are written in append mode, whole ones at
    once, so that a kill at any moment leaves whole lines."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        self.hold = False  # whoever sets it flushes before it waits for anything
        self.lines: list[str] = []
        self.muted = False
        if hasattr(os, "register_at_fork"):  # a test's child may come back to pytest, and go on with all tests
            os.register_at_fork(after_in_child=self.mute)

    def mute(self) -> None:
        self.muted = True

    def write(self, record: dict[str, Any]) -> None:
        self.write_line(encode(record))

    def write_line(self, line: str) -> None:
        self.lines.append(line)
        if not self.hold or len(self.lines) >= MOST_HELD:
            self.flush()

    def flush(self) -> None:
        if self.lines:
            data = ("\n".join(self.lines) + "\n").encode()
            self.lines.clear()
            while data and not self.muted:  # on a disk that is full the first part alone is no error
                data = data[Real.write(self.fd, data) :]

    def write_ids(self, kind: str, ids: list[str]) -> None:
        for i in range(0, len(ids), IDS_A_LINE):
            self.write({"t": kind, "ids": ids[i : i + IDS_A_LINE]})

PHASES = {"setup": 0, "call": 1, "teardown": 2}


class Try:
    """What the reports of one test say, by its last try."""

    def __init__(self, nodeid: str, reruns: int = 0) -> None:
        self.nodeid = nodeid
        self.reruns = reruns
        self.repeated = False  # another try follows
        self.clear()

    def clear(self) -> None:
        self.outcome = "passed"
        self.durations = [0.0, 0.0, 0.0]
        self.message = self.path = ""
        self.line = 0

    def add(self, report: Any) -> None:
        subtest = hasattr(report, "context")
        # Reports of a try's subtests come before that of its set-up, which
        # pytest-rerunfailures holds back.
        if self.repeated and (subtest or report.when == "setup"):
            self.repeated = False
            self.clear()
        if report.outcome == "rerun":  # pytest-rerunfailures says it of one phase of the try
            self.reruns += not self.repeated
            self.repeated = True
        if not subtest and report.when in PHASES:
            self.durations[PHASES[report.when]] = report.duration
        expected = hasattr(report, "wasxfail")
        if report.outcome == "failed":
            if self.outcome == "failed":
                return  # its first failure says most
            self.outcome = "failed" if report.when == "call" else "error"
            self.explain(report)
        elif subtest or self.outcome in ("failed", "error"):
            return
        elif report.outcome == "skipped":
            self.outcome = "xfailed" if expected else "skipped"
            if expected:
                self.message = first_line(str(report.wasxfail or ""))
            else:
                self.explain(report)
        elif report.outcome == "passed" and expected:
            self.outcome = "xpassed"
            self.message = first_line(str(report.wasxfail or ""))

    def explain(self, report: Any) -> None:
        longrepr = report.longrepr
        crash = getattr(longrepr, "reprcrash", None)
        if crash is not None:
            self.message = first_line(crash.message)
            # The place that pytest shows; it hides unittest's own frames.
            entries = getattr(getattr(longrepr, "reprtraceback", None), "reprentries", None)
            place = getattr(entries[-1], "reprfileloc", None) if entries else None
            place = place or crash
            self.path, self.line = str(place.path), place.lineno
        elif isinstance(longrepr, tuple) and len(longrepr) == 3:
            path, line, reason = longrepr
            self.message = first_line(str(reason).partition("Skipped: ")[2] or str(reason))
            self.path, self.line = str(path), line or 0
        elif longrepr is not None:
            self.explain_text(str(longrepr))

    def explain_text(self, text: str) -> None:
        self.message = first_line(text)
        if WANTED_BY.match(text.partition("\n")[0]):
            self.explain_fixture(text)
            return
        place = DOCTEST.search(text)
        says = DOCTEST_SAYS.search(text)
        if place is None or says is None or place.start() < says.start():
            return
        self.path, self.line = place[1], 0 if place[2] == "None" else int(place[2])
        # What is expected and what was got take a line each or more.
        exception = says[0].startswith("UNEXPECTED")
        self.message = first_line(says[0] if exception else " ".join(text[says.start() : place.start()].split()))

    def explain_fixture(self, text: str) -> None:
        for line in text.splitlines():
            if place := WANTED_BY.match(line):
                self.path, self.line = place[1], int(place[2])
            elif line.startswith("E "):
                self.message = first_line(line[1:])
                return
