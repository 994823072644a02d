"""What the weights of a study looked like."""

from __future__ import annotations

from typing import Any

from headstart.config.sets import FolderSet
from headstart.screening.result import FAULT
from headstart.store.files import read_json
from headstart.study.finished.jobs import FinishedJobs
from headstart.study.planning.making import JobMaker


def screened(jobs: JobMaker, finished: FinishedJobs) -> dict[str, Any]:
    """The task, the size of images, and of each of the weights whose job is finished, in the order of the study, its
    name, metrics and fault."""
    assert jobs.study.screen
    images = jobs.study.sets[jobs.study.screen.images]
    assert isinstance(images, FolderSet)
    rows = []
    for entry in jobs.study.weights:
        job = jobs.screen(entry)
        metrics = finished.metrics(job)
        if metrics is not None:
            fault = read_json(finished.store.path(job.name) / FAULT)
            rows.append({"name": entry.name, "uri": "", "metrics": metrics, "fault": str(fault), "dir": job.name})
    return {"task": images.task, "size_hw": list(images.size_hw), "rows": rows}
