"""Which jobs are needed: of a run those that its study asks for, of a shared store those that some run uses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headstart.errors import UsageError
from headstart.store.shared import used_by_runs
from headstart.store.store import Store
from headstart.study.extending import read_extended
from headstart.study.files import load_study
from headstart.study.plan import Planner
from headstart.study.run import lookup
from headstart.train.devices import chosen_devices

DAY = 24 * 3600.0


@dataclass(frozen=True)
class Needed:
    """Names of jobs that stay, a line about the others, and how many seconds these must have been left alone."""

    names: set[str]
    why: str
    older_than: float = 0.0


def needed(folder: Path, device: str = "auto", days: float = 1.0) -> Needed:
    """What a run directory or a shared store needs; reads the study's data sets, runs nothing.

    device: where the run's networks are, since jobs of another kind of device are not the study's. days: of a shared
    store what was changed since stays, too: a run on another machine may be about to use it.
    """
    if (folder / "study.toml").is_file():
        study, base = load_study(str(folder))
        planner = Planner(study, base, device=chosen_devices(device).kind, extended=read_extended(folder))
        names = {job.name for job in planner.expand(lookup(Store(folder))).known}
        return Needed(names, f"not asked for by {folder / 'study.toml'}")
    if not (folder / "runs").is_dir():
        raise UsageError(f"{folder}: neither a run with its study.toml nor a store that runs share")
    used, gone = used_by_runs(folder)
    why = "used by no run" + (f"; runs that are gone: {', '.join(gone)}" if gone else "")
    return Needed(used, why, days * DAY)
