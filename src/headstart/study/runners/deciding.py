"""Jobs that decide, after some seeds, which candidates get more of them (`headstart.stats.sequential`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headstart.names import parse
from headstart.progress import Progress
from headstart.stats.sequential import judge
from headstart.store.arrays import load_arrays
from headstart.store.files import read_json
from headstart.study.runners.shared import Inputs, Metrics
from headstart.study.settings import DecideSettings


def decide(settings: DecideSettings, place: None, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """inputs: `arm0_0`, ... the tests of each arm, by number of the seed. `best`: number of the best arm; `dropped/1`:
    whether arm 1 is shown to be worse; `chance`: that the seeds that are left would drop another one."""
    values, replicates = {}, {}
    for arm in range(settings.arms):
        folders = [inputs[f"arm{arm}_{seed}"] for seed in range(settings.seeds)]
        found = [read_json(folder / "metrics.json")[settings.metric] for folder in folders]
        values[f"{arm}"] = np.array([np.nan if value is None else value for value in found])
        replicates[f"{arm}"] = np.stack([load_arrays(folder / "replicates.npz")[settings.metric] for folder in folders])
    parts = parse(settings.metric)
    sign = 1.0 if parts is None or parts.higher_is_better else -1.0
    verdict = judge(values, replicates, settings.most, sign=sign)
    dropped = {f"dropped/{name}": float(name in verdict.dropped) for name in values}
    return {"best": float(verdict.best), "chance": verdict.chance, **dropped}
