"""Says twice a second how many seconds of CPU the same work takes: on a
machine that others share, that differs by half."""

import time

while True:
    began, total = time.thread_time(), 0
    for i in range(20000):
        total += i * i
    print(time.thread_time() - began, flush=True)
    time.sleep(0.5)  # more often, and it would be in the way itself
