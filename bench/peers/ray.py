# SPDX-License-Identifier: Apache-2.0
# Ray's side of `npm run bench -- --vs ray`. Runs Ray's own microbenchmark with its rows timed by the same rule as ours
# (a warm-up, then rounds of a fixed time; operations by elapsed time), then one cluster's start-up, several times,
# and what goes from node to node of a cluster on this machine.
# Prints one JSON object a line: {"name", "group", "unit", "rounds"} for rows, {"startup": {name: ms or MB}} for each start-up run.
# Usage: ray.py micro|cluster ROUNDS ROUND_SECONDS FILTER | ray.py startup | ray.py version

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
        emit(name=name, group="ray microbenchmark", unit="/s", rounds=rates)
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


MB = 10**6
BROADCAST_NODES = 8


# As bench/rows/cluster.ts: the same rows on Ray's cluster of processes on one machine.
def cluster(rounds, round_seconds, wanted):
    import numpy
    import ray
    from ray.cluster_utils import Cluster

    @ray.remote
    def small_value():
        return b"ok"

    @ray.remote
    def length_of(array):
        return len(array)

    @ray.remote(num_cpus=0)
    class Holder:
        def make(self, count, size):
            return [ray.put(numpy.full(size, i, dtype=numpy.uint8)) for i in range(count)]

    def elsewhere(i=0):
        return {"resources": {f"elsewhere{i}": 1}}

    def measure(name, unit, operations, nodes, here, there, begin):
        if wanted and wanted not in name:
            return
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": int(here)})
        for i in range(nodes):
            made.add_node(num_cpus=1, resources={f"elsewhere{i}": 1}, object_store_memory=int(there))
        ray.init(address=made.address, logging_level="ERROR")
        try:
            run = begin()
            run()
            timed(run, operations, unit, min(1, round_seconds))
            figures = [timed(run, operations, unit, round_seconds) for _ in range(rounds)]
            emit(name=name, group="cluster", unit=unit, rounds=figures)
        finally:
            ray.shutdown()
            made.shutdown()

    def timed(run, operations, unit, seconds):
        start = time.perf_counter()
        count = 0
        while time.perf_counter() - start < seconds:
            run()
            count += 1
        per_second = operations * count / (time.perf_counter() - start)
        return per_second if unit == "/s" else (1e6 if unit == "us" else 1e3) / per_second

    def one_by_one():
        task = small_value.options(**elsewhere())
        return lambda: [ray.get(task.remote()) for _ in range(10)]

    def many(count):
        task = small_value.options(**elsewhere())
        return lambda: ray.get([task.remote() for _ in range(count)])

    def objects(count, size):
        holder = Holder.options(**elsewhere()).remote()
        refs = ray.get(holder.make.remote(count, size))
        turns = iter(range(10**9))
        # Keeps the holder alive as long as the row runs.
        return lambda: holder is not None and len(ray.get(refs[next(turns) % count]))

    def broadcast():
        def run():
            ref = ray.put(numpy.zeros(100 * MB, dtype=numpy.uint8))
            ray.get([length_of.options(**elsewhere(i)).remote(ref) for i in range(BROADCAST_NODES)])

        return run

    # Ray refuses stores that are smaller.
    small = 80 * MB
    measure("remote task, there and back", "us", 10, 1, small, small, one_by_one)
    measure("remote tasks async", "/s", 1000, 1, small, small, lambda: many(1000))
    measure("remote tasks async, 10,000 at once", "/s", 10_000, 1, small, small, lambda: many(10_000))
    for name, size in [("1 MB", MB), ("100 MB", 100 * MB), ("1 GB", 1000 * MB)]:
        here = max(small, 1.3 * size)
        count = int(here // size) + 2
        there = max(small, 2 * count * size)
        measure(f"object of {name} from another node", "ms", 1, 1, here, there, lambda: objects(count, size))
    measure(f"broadcast of 100 MB to {BROADCAST_NODES} nodes", "ms", 1, BROADCAST_NODES, 260 * MB, 130 * MB, broadcast)


def version():
    import ray

    emit(version=ray.__version__, python=sys.version.split()[0])


if __name__ == "__main__":
    what = sys.argv[1]
    if what in ("micro", "cluster"):
        (micro if what == "micro" else cluster)(int(sys.argv[2]), float(sys.argv[3]), sys.argv[4] if len(sys.argv) > 4 else "")
    elif what == "startup":
        startup()
    else:
        version()
