import multiprocessing
import os
import subprocess
import sys
import time

import pytest

HOLD = "import time; block = b'x' * ({0} << 20); time.sleep({1})"


def test_nothing():
    time.sleep(0.3)


def test_child():
    subprocess.run([sys.executable, "-c", HOLD.format(150, 0.6)], check=True)


def test_pool():
    context = multiprocessing.get_context("spawn")
    with context.Pool(2, meet, [context.Barrier(2)]) as pool:
        pool.map(hold, [70, 80], chunksize=1)


def meet(barrier):
    global both
    both = barrier


def hold(size):
    block = b"x" * (size << 20)
    both.wait(60)  # however long the other takes to start
    time.sleep(0.6)
    return len(block)


def test_quick_child():
    subprocess.run([sys.executable, "-c", HOLD.format(400, 0)], check=True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forked():
    block = b"x" * (150 << 20)
    pid = os.fork()
    if pid == 0:
        time.sleep(0.6)
        os._exit(len(block) & 1)
    os.waitpid(pid, 0)


def test_after():
    time.sleep(0.3)
