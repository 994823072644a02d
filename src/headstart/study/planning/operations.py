"""How much longer trainings and tests of a larger network take than those that costs are of, where none was timed."""

from __future__ import annotations

from collections.abc import Iterable

from headstart.study.jobs import Job
from headstart.weights.catalogue import operations_of

SMALL = 0.67
"""GFLOPs of an image of 224 x 224 pixels of the network that `headstart.study.origins.PIXELS_PER_SECOND` is of."""


def heavier(jobs: Iterable[Job]) -> dict[str, float]:
    """By the key of a job, by what its cost is to be multiplied: the operations of its backbone in those of the small
    one, never less than 1. Others, and backbones of which they are not known, are left out."""
    found = {}
    for job in jobs:
        trained = (
            job if job.kind == "transfer" else next((j for j in job.inputs.values() if j.kind == "transfer"), None)
        )
        if trained is None or job.kind not in ("transfer", "evaluate"):
            continue
        identity = trained.settings.weights.identity
        if identity and (operations := operations_of(identity["backbone"])):
            found[job.key] = max(1.0, operations / SMALL)
    return found
