"""The plan of a study against what its run took, by kind of job: seconds expected before, seconds of the jobs after.

Speeds are measured first (`headstart plan --calibrate`). On an idle machine; one worker:

python benchmarks/plan_accuracy.py shapes --out /tmp/accuracy
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

from headstart import api


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", nargs="?", default="shapes", help="A study file, or a built-in one.")
    parser.add_argument("--out", type=Path, required=True, help="A new run directory.")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    plan = api.plan_study(options.study, options.out, options.device, calibrate=True)
    guessed = {kind: seconds for kind, (_, seconds) in plan.jobs.items()}
    if plan.explaining:
        guessed["explanations"] = plan.explaining
    api.run_study(options.study, options.out, workers=1, device=options.device, quiet=True)
    took: dict[str, list[float]] = defaultdict(list)
    for path in sorted(options.out.glob("store/*/job.json")):
        job = json.loads(path.read_text())
        kind = "explanations" if job["kind"] in ("look", "pair", "contents") and plan.explaining else job["kind"]
        took[kind].append(job["seconds"])
    print(f"{'kind':<14}{'jobs':>6}{'planned':>10}{'taken':>10}{'planned/taken':>15}")
    for kind in [*took, "all"]:
        jobs = [s for of in took.values() for s in of] if kind == "all" else took[kind]
        planned = sum(guessed.values()) if kind == "all" else guessed.get(kind, 0.0)
        print(f"{kind:<14}{len(jobs):>6}{planned:>9.1f}s{sum(jobs):>9.1f}s{planned / max(sum(jobs), 1e-9):>15.2f}")
    if plan.hidden:
        print(f"{plan.hidden} jobs or more were not in the plan, since rates and lengths were chosen on the way")


if __name__ == "__main__":
    main()
