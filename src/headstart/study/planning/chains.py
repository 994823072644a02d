"""Jobs with all that they need, and transfers that go on from one another."""

from __future__ import annotations

from dataclasses import replace

from headstart.study.jobs import Job


def collect(job: Job, known: dict[str, Job]) -> None:
    """Put a job and all that it needs into `known`, inputs first."""
    if job.key in known:
        return
    for needed in job.inputs.values():
        collect(needed, known)
    known[job.key] = job


def longer(job: Job, doublings: int) -> Job:
    """The transfer that goes on from the end of this one, so often, each time for as many updates as there were."""
    cost, label = job.cost, job.label
    for _ in range(doublings):
        recipe = job.settings.recipe
        more = recipe.model_copy(update={"updates": 2 * recipe.updates})
        settings, inputs = replace(job.settings, recipe=more), job.inputs | {"before": job}
        label_now = f"{label}, to update {more.updates}"
        job = Job("transfer", settings, inputs, job.place, label=label_now, cost=cost)
        cost *= 2
    return job
