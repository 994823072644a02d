"""Runners of a few milliseconds for the tests of the executors; loaded by worker processes."""

import json
import math
import os
import signal
import time
from pathlib import Path

from headstart.errors import DataError


def add(settings, local, inputs, out: Path, progress):
    """Its own number and those of its inputs."""
    progress(0.5, "adding")
    values = [json.loads((path / "metrics.json").read_text())["value"] for path in inputs.values()]
    (out / "note.txt").write_text("added\n")
    return {"value": settings["value"] + sum(values)}


def surroundings(settings, local, inputs, out, progress):
    print("said by a runner", flush=True)
    return {"threads": int(os.environ["OMP_NUM_THREADS"]), "pid": os.getpid(), "missing": math.nan}


def bad_file(settings, local, inputs, out, progress):
    raise DataError("tiny.jpg: not an image; delete it or convert it")


def bug(settings, local, inputs, out, progress):
    return {"value": {}["absent"]}


def dies(settings, local, inputs, out: Path, progress):
    """Ends its own process, the first `times` times."""
    folder = out / "resume"
    folder.mkdir(exist_ok=True)
    deaths = len(list(folder.iterdir()))
    if deaths < settings["times"]:
        (folder / str(deaths)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"deaths": deaths}


def naps(settings, local, inputs, out, progress):
    time.sleep(settings["seconds"])
    return {}


def counts(settings, local, inputs, out: Path, progress):
    """Counts slowly to `steps`; goes on where it was stopped."""
    state = out / "resume" / "count"
    state.parent.mkdir(exist_ok=True)
    first = int(state.read_text()) if state.exists() else 0
    (out / "pid.txt").write_text(str(os.getpid()))
    for step in range(first, settings["steps"]):
        time.sleep(local.get("nap", 0))
        state.with_suffix(".new").write_text(str(step + 1))
        state.with_suffix(".new").replace(state)
        progress((step + 1) / settings["steps"], f"step {step + 1}")
    return {"first": first, "steps": settings["steps"]}


RUNNERS = {
    "add": add,
    "surroundings": surroundings,
    "bad": bad_file,
    "bug": bug,
    "dies": dies,
    "naps": naps,
    "counts": counts,
}
