"""Kills the worker that it runs in at random moments, so many times in all as
KILLS says."""

import os
import random
import signal
import threading
import time

import pytest

started = []


def claim():
    for n in range(int(os.environ["KILLS"])):
        try:
            os.close(os.open(f"killed-{n}", os.O_CREAT | os.O_EXCL))
            return True
        except FileExistsError:
            pass
    return False


def killer():
    while True:
        time.sleep(random.expovariate(4))
        if claim():
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            return


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    if not started:
        started.append(threading.Thread(target=killer, daemon=True))
        started[0].start()
