"""Runners of a few milliseconds for the tests of the executors; loaded by worker processes."""

import json
import logging
import math
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from headstart.data.summaries import NOTES
from headstart.errors import DataError, Interrupted
from headstart.processes import asked_to_stop
from headstart.study.jobs import Expansion
from headstart.train.devices import seat


@dataclass(frozen=True)
class Adding:
    value: int


@dataclass(frozen=True)
class Dying:
    times: int


@dataclass(frozen=True)
class Napping:
    seconds: float


@dataclass(frozen=True)
class Counting:
    steps: int


@dataclass(frozen=True)
class Pace:
    nap: float


@dataclass(frozen=True)
class Together:
    """Of a job of several processes, as the place of a pre-training is."""

    processes: int
    devices: tuple[str, ...] = ()


def add(settings, place, inputs, out: Path, progress):
    """Its own number and those of its inputs."""
    progress(0.5, "adding")
    values = [json.loads((path / "metrics.json").read_text())["value"] for path in inputs.values()]
    (out / "note.txt").write_text("added\n")
    return {"value": settings.value + sum(values)}


def surroundings(settings, place, inputs, out, progress):
    print("said by a runner", flush=True)
    return {"threads": int(os.environ["OMP_NUM_THREADS"]), "pid": os.getpid(), "missing": math.nan}


def bad_file(settings, place, inputs, out, progress):
    raise DataError("tiny.jpg: not an image; delete it or convert it")


def bug(settings, place, inputs, out, progress):
    return {"value": {}["absent"]}


def dies(settings, place, inputs, out: Path, progress):
    """Ends its own process, the first `times` times."""
    folder = out / "resume"
    folder.mkdir(exist_ok=True)
    deaths = len(list(folder.iterdir()))
    if deaths < settings.times:
        (folder / str(deaths)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"deaths": deaths}


def assigned(settings, place, inputs, out, progress):
    """What Ray gave the job, the GPUs that it was told and sees, and whether it may run code of others."""
    import ray

    given = ray.get_runtime_context().get_assigned_resources()
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    told = {"told": len(place.devices), "seen": len([name for name in seen.split(",") if name])}
    trusts = os.environ.get("HEADSTART_TRUST_CODE") == "1"
    return {"cpus": given.get("CPU", 0), "gpus": given.get("GPU", 0), "trusts": trusts, **told}


def naps(settings, place, inputs, out, progress):
    time.sleep(settings.seconds)
    return {}


def counts(settings, place, inputs, out: Path, progress):
    """Counts slowly to `steps`; goes on where it was stopped."""
    state = out / "resume" / "count"
    state.parent.mkdir(exist_ok=True)
    first = int(state.read_text()) if state.exists() else 0
    (out / "pid.txt").write_text(str(os.getpid()))
    for step in range(first, settings.steps):
        time.sleep(place.nap)
        state.with_suffix(".new").write_text(str(step + 1))
        state.with_suffix(".new").replace(state)
        progress((step + 1) / settings.steps, f"step {step + 1}")
    return {"first": first, "steps": settings.steps}


def saves(settings, place, inputs, out: Path, progress):
    """Works until it is asked to stop, and leaves a word then."""
    (out / "pid.txt").write_text(str(os.getpid()))
    while not asked_to_stop():
        time.sleep(0.01)
    (out / "saved").write_text("in time")
    raise Interrupted("stopped after update 7 of 9; the same command goes on there")


def warns(settings, place, inputs, out, progress):
    logging.getLogger("headstart.tiny").warning("3 of 9 images are gray")
    logging.getLogger("headstart.tiny").warning("3 of 9 images are gray")
    logging.getLogger("headstart.tiny").info("nothing to see")
    logging.getLogger(NOTES).warning("read as COCO")
    return {}


RUNNERS = {
    "warns": warns,
    "transfer": saves,
    "add": add,
    "surroundings": surroundings,
    "bad": bad_file,
    "bug": bug,
    "dies": dies,
    "naps": naps,
    "time": naps,
    "counts": counts,
}


ON_RAY = RUNNERS | {"pretrain": counts, "proposals": assigned}


def seated(settings, place, inputs, out, progress):
    """Where this process was told to work."""
    time.sleep(0.3)  # long enough that another worker gets the next job
    return {"device": seat().device, "loaders": seat().loaders, "pid": os.getpid()}


SEATED = {"features": seated, "probe": seated, "transfer": dies, "evaluate": dies}
"""Under names of kinds that want a GPU, and one that does not."""


def expansion_of(jobs, store):
    """All of the jobs and what they need, as a planner would tell it."""
    known = {}

    def collect(job):
        for needed in job.inputs.values():
            collect(needed)
        known[job.name] = job

    for job in jobs:
        collect(job)
    done = {name for name, job in known.items() if store.find(name, job.key)}
    ready = [j for n, j in known.items() if n not in done and all(i.name in done for i in j.inputs.values())]
    return Expansion(list(known.values()), ready, len(done) == len(known))
