"""What the schedule's decisions take for a large suite of quick tests, the best
of some rounds, in CPU seconds. Usage: speed.py DIRECTORY-OF-loading.py TESTS"""

import collections
import random
import sys
import time

import loading

schedule, needs = loading.load(sys.argv[1], "schedule", "needs")

WORKERS = 4


def run(tests, needy):
    queues = {w: collections.deque() for w in range(WORKERS)}
    closed, left = set(), tests
    spent = -time.process_time()
    plan = schedule.Schedule(
        ([test] for test in range(tests)), needy, (8 << 30) if needy else 0, look=lambda: needs.Holdings(0, dict.fromkeys(queues, 100 << 20))
    )
    for w in queues:
        plan.add(w, 100 << 20)
        plan.ready(w, 100 << 20)
    orders = plan.decide()
    while True:
        spent += time.process_time()
        for order in orders:
            queues[order.worker] += order.tests
            if order.close:
                closed.add(order.worker)
        if not left:
            return spent
        worker = next(w for w, queue in queues.items() if len(queue) > (w not in closed))
        test = queues[worker].popleft()
        left -= 1
        spent -= time.process_time()
        orders = plan.decide() if plan.complete(worker, test, 0.001) else []


r = random.Random(1)
n = int(sys.argv[2])
for name, share in (("none heavy", 0), ("1 % heavy", 0.01), ("a third heavy", 0.33)):
    needy = {test: needs.Need(r.randint(32 << 20, 3 << 30), 0) for test in range(n) if r.random() < share}
    print(f"{n} tests, {name}: {min(run(n, needy) for _ in range(3)):.2f} s")
