"""What a job of a study costs on a Ray cluster beside what Ray's own task costs: wall seconds of empty jobs, each after
the other, on one CPU of this machine. Needs the extra `ray`.

python benchmarks/cluster.py --jobs 50
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))
os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS.parent / "src"), str(TESTS)])

from headstart.store.store import Store  # noqa: E402
from headstart.study.executors.cluster import connected  # noqa: E402
from headstart.study.executors.local import run_jobs  # noqa: E402
from headstart.study.jobs import Expansion, Job  # noqa: E402
from support.tiny_runners import Adding  # noqa: E402


def chain(length: int, first: int) -> list[Job]:
    """Jobs each of which needs the one before it."""
    jobs: list[Job] = []
    for k in range(length):
        jobs.append(Job("add", Adding(first + k), {"before": jobs[-1]} if jobs else {}, label=f"add {k}"))
    return jobs


def ours(length: int, first: int, folder: Path, **where: object) -> float:
    """Seconds of a chain of jobs, run as a study runs them."""
    jobs, store = chain(length, first), Store(folder)
    finished: set[str] = set()

    def expand() -> Expansion:
        finished.update(job.key for job in jobs if job.key not in finished and store.find(job.name, job.key))
        ready = [j for j in jobs if j.key not in finished and all(n.key in finished for n in j.inputs.values())]
        return Expansion(jobs, ready, not ready)

    began = time.perf_counter()
    outcome = run_jobs(
        expand, store, 1, 1, on_event=lambda event: None, runners="support.tiny_runners:RUNNERS", **where
    )
    assert outcome.finished == length, outcome
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=50)
    count = parser.parse_args().jobs
    with connected(None, 1, 1) as cluster, tempfile.TemporaryDirectory() as folder:
        import ray

        empty = ray.remote(lambda before: before + 1).options(num_cpus=1, max_retries=0)
        ray.get(empty.remote(0))
        began = time.perf_counter()
        for _ in range(count):
            assert ray.get(empty.remote(1)) == 2
        bare = (time.perf_counter() - began) / count
        ours(3, 10**6, Path(folder) / "warm", cluster=cluster)
        on_ray = ours(count, 0, Path(folder) / "ray", cluster=cluster) / count
    with tempfile.TemporaryDirectory() as folder:
        ours(3, 10**6, Path(folder) / "warm")
        local = ours(count, 0, Path(folder) / "local") / count
    print(f"a task of Ray alone: {1e3 * bare:.1f} ms")
    print(f"a job of a study on Ray: {1e3 * on_ray:.1f} ms, so {1e3 * (on_ray - bare):.1f} ms over Ray's own")
    print(f"a job of a study in a worker of this machine: {1e3 * local:.1f} ms (with the start of the worker)")


if __name__ == "__main__":
    main()
