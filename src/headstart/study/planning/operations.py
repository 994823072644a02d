"""How much longer jobs of a larger network take than those that costs are of, where none was timed."""

from __future__ import annotations

from collections.abc import Iterable

from headstart.study.jobs import Job
from headstart.weights.catalogue import operations_of
from headstart.weights.starts import StartSettings

RUNS_NETWORK = ("pretrain", "proposals", "transfer", "finetune", "evaluate", "test_whole", "features", "screen")
"""Kinds of jobs whose costs follow from pixels that one network sees."""
SMALL = 0.67
"""GFLOPs of an image of 224 x 224 pixels of the network that `headstart.study.origins.PIXELS_PER_SECOND` is of."""


def heavier(jobs: Iterable[Job]) -> dict[str, float]:
    """By the key of a job in which a network runs, by what its cost is to be multiplied: the operations of its backbone
    in those of the small one, never less than 1. Jobs of backbones of which they are not known are left out."""
    found = {}
    for job in jobs:
        name = backbone_of(job) or next(filter(None, map(backbone_of, job.inputs.values())), "")
        operations = operations_of(name) or operations_of(name.partition("[")[0])  # options change little
        if operations and job.kind in RUNS_NETWORK:
            found[job.key] = max(1.0, operations / SMALL)
    return found


def backbone_of(job: Job) -> str:
    """Of the network that a job trains or looks through by its own settings; "" where these name none."""
    recipe, weights = getattr(job.settings, "recipe", None), getattr(job.settings, "weights", None)
    identity = (weights.identity if isinstance(weights, StartSettings) else None) or {}
    return str(identity.get("backbone") or getattr(recipe, "backbone", ""))
