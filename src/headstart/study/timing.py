"""Which networks of a study are timed: each architecture once at each size, however many candidates have it."""

from __future__ import annotations

from collections.abc import Sequence

from headstart.config.sets import FolderSet, WorldSet
from headstart.study.jobs import Job, Trial
from headstart.study.origins import Origins
from headstart.study.settings import TimePlace, TimeSettings

SECONDS = 5.0
"""That the first estimate of the time left takes for one of them."""


def timing_jobs(origins: Origins, trials: Sequence[Trial]) -> dict[tuple[str, str], Job]:
    """By (weights, task) of the trials."""
    study = origins.study
    entries = {entry.name: entry for entry in study.weights}
    tests = {task.name: (task.test[0], task.own_sizes) for task in study.tasks}
    found: dict[tuple[str, str], Job] = {}
    for weights, task in dict.fromkeys((trial.weights, trial.task) for trial in trials):
        test, own_sizes = tests[task]
        images = study.sets[test]
        if own_sizes:
            size_hw = (own_sizes.sampling.size, own_sizes.sampling.size)
        else:
            assert isinstance(images, FolderSet | WorldSet)
            size_hw = (images.size, images.size) if isinstance(images, WorldSet) else images.size_hw
        backbone, digest = origins.architecture(entries[weights])
        shown = backbone.rpartition("/")[2] if digest else backbone
        settings = TimeSettings(shown, digest, size_hw, study.threads, origins.device)
        label = f"time of {shown} at {size_hw[1]} x {size_hw[0]} pixels"
        place = TimePlace(backbone, str(origins.base))
        found[weights, task] = Job("time", settings, {}, place, label=label, cost=SECONDS)
    return found
