"""The plan of a study against what its jobs take, by kind, in CPU seconds: all jobs are run in this process, one after
the other, so that what else the machine does matters little. Speeds are measured first (`headstart plan --calibrate`).

python benchmarks/plan_accuracy.py shapes --out /tmp/accuracy
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path

from headstart import api
from headstart.store.store import Store
from headstart.study.executors.events import Event
from headstart.study.executors.here import run_here
from headstart.study.files import find_study, load_study
from headstart.study.plan import Planner
from headstart.study.run import claim, lookup, settle
from headstart.train.distributed import ALONE

EXPLAINING = ("look", "pair", "contents")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", nargs="?", default="shapes", help="A study file, or a built-in one.")
    parser.add_argument("--out", type=Path, required=True, help="A new run directory.")
    options = parser.parse_args()
    plan = api.plan_study(options.study, options.out, "cpu", calibrate=True)
    guessed = {kind: seconds for kind, (_, seconds) in plan.jobs.items()}
    if plan.explaining:
        guessed["explanations"] = plan.explaining
    took = taken(options.study, options.out)
    if plan.explaining:
        took["explanations"] = [s for kind in EXPLAINING for s in took.pop(kind, [])]
    print(f"{'kind':<14}{'jobs':>6}{'planned':>11}{'taken':>11}{'planned/taken':>15}")
    for kind, jobs in [*took.items(), ("all", [s for of in took.values() for s in of])]:
        planned = sum(guessed.values()) if kind == "all" else guessed.get(kind, 0.0)
        print(f"{kind:<14}{len(jobs):>6}{planned:>9.1f} s{sum(jobs):>9.1f} s{planned / max(sum(jobs), 1e-9):>15.2f}")
    if plan.hidden:
        print(f"{plan.hidden} jobs or more were not in the plan, since rates and lengths were chosen on the way")


def taken(name: str, out: Path) -> dict[str, list[float]]:
    """CPU seconds of every job of the study, by kind."""
    study, base = load_study(name)
    source, planner, store = find_study(name), Planner(study, base), Store(out)
    claim(study, source, base, out, overwrite=False)
    out.mkdir(parents=True)
    settle(study, source, base, out)
    found: dict[str, list[float]] = defaultdict(list)
    began = 0.0

    def told(event: Event) -> None:
        nonlocal began
        if event.what == "started":
            began = time.process_time()
        if event.what == "finished" and event.job:
            found[event.job.kind].append(time.process_time() - began)

    run_here(lambda: planner.expand(lookup(store)), store, told, ALONE)
    return found


if __name__ == "__main__":
    main()
