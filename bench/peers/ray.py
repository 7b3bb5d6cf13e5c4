# SPDX-License-Identifier: Apache-2.0
# Ray's side of `npm run bench -- --vs ray`. Runs Ray's own microbenchmark with its rows timed by the same rule as ours
# (a warm-up, then rounds of a fixed time; operations by elapsed time), then one cluster's start-up, several times.
# Prints one JSON object a line: {"name", "rounds"} for rates, {"startup": {name: ms or MB}} for each start-up run.
# Usage: ray.py micro ROUNDS ROUND_SECONDS FILTER | ray.py startup | ray.py version

import json
import os
import sys
import time


def emit(**line):
    print("JSON " + json.dumps(line), flush=True)


def micro(rounds, round_seconds, wanted):
    from ray._private import ray_perf

    def timeit(name, fn, multiplier=1, warmup_time_sec=1):
        if wanted and wanted not in name:
            return [None]
        time.sleep(warmup_time_sec)
        start = time.perf_counter()
        count = 0
        while time.perf_counter() - start < 1:
            fn()
            count += 1
        step = count // 10 + 1
        rates = []
        for _ in range(rounds):
            start = time.perf_counter()
            count = 0
            while time.perf_counter() - start < round_seconds:
                for _ in range(step):
                    fn()
                count += step
            rates.append(multiplier * count / (time.perf_counter() - start))
        emit(name=name, rounds=rates)
        return [(name, sum(rates) / len(rates), 0)]

    ray_perf.timeit = timeit
    # Ray Client's rows measure another product.
    ray_perf.client_microbenchmark_main = lambda results: None
    ray_perf.main()


def process_tree(root):
    children = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as stat:
                parent = int(stat.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(name))
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue.extend(children.get(pid, []))
    return found


def resident_megabytes(pids):
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as rollup:
                total += next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
        except OSError:
            continue
    return total * 1024 / 1e6


def startup():
    figures = {}

    def timed(name, work):
        start = time.perf_counter()
        result = work()
        figures[name] = (time.perf_counter() - start) * 1000
        return result

    ray = timed("import", lambda: __import__("ray"))
    timed("init, 2 CPUs", lambda: ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR"))

    @ray.remote
    def one():
        return 1

    @ray.remote(num_cpus=0)
    class Actor:
        def answer(self):
            return 1

    def first_actor():
        actor = Actor.remote()
        ray.get(actor.answer.remote())
        return actor

    def twenty_actors():
        actors = [Actor.remote() for _ in range(20)]
        ray.get([actor.answer.remote() for actor in actors])
        return actors

    timed("first task after init", lambda: ray.get(one.remote()))
    figures["resident memory, idle after the first task"] = resident_megabytes(process_tree(os.getpid()))
    first = timed("first actor, until its first answer", first_actor)
    actors = timed("20 actors at once, until all have answered", twenty_actors)
    figures["resident memory with 21 actors"] = resident_megabytes(process_tree(os.getpid()))
    del first, actors
    timed("shutdown", ray.shutdown)
    emit(startup=figures)


def version():
    import ray

    emit(version=ray.__version__, python=sys.version.split()[0])


if __name__ == "__main__":
    what = sys.argv[1]
    if what == "micro":
        micro(int(sys.argv[2]), float(sys.argv[3]), sys.argv[4] if len(sys.argv) > 4 else "")
    elif what == "startup":
        startup()
    else:
        version()
