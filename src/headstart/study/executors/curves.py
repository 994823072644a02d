"""The trainings of a run as TensorBoard shows them: losses, their rate, images a second, scores on held-out images.

What is shown is read where it is kept anyway, so that no training knows of it: the losses of one under way in its saved
states, those of a finished one in its job, the speed in what it says of itself. Each point is written once, whatever
was stopped and went on: what stands in the files of before is not written again. Needs the extra `tb`; no torch.
"""

from __future__ import annotations

import io
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headstart.errors import StoreError, UsageError
from headstart.names import COUNT, parse
from headstart.recipes.pretraining import PretrainingRecipe
from headstart.recipes.schema import Recipe
from headstart.store.arrays import load_arrays
from headstart.store.files import append_bytes, read_json
from headstart.store.sealing import RESUME
from headstart.store.shared import chosen_store
from headstart.study.executors.events import Event
from headstart.study.jobs import SAVES_STATE, Job
from headstart.train.pace import Update
from headstart.train.schedule import rate_factor

FOLDER = "tensorboard"
POINTS = 1000
"""Of a curve, at most: TensorBoard draws no more, and a loss is a mean over the updates between two."""
STATE = f"{RESUME}/state.safetensors"
CHECKPOINTS = "checkpoints.json"

Points = dict[int, dict[str, float]]
"""Update -> tag -> value."""


def with_curves(on_event: Callable[[Event], None], out: Path, wanted: bool) -> Callable[[Event], None]:
    """Who is told of a run into `out`: where they are `wanted` its curves, too. Raises UsageError without the extra."""
    if not wanted:
        return on_event
    curves = Curves(out)

    def both(event: Event) -> None:
        on_event(event)
        curves(event)

    return both


class Curves:
    """Takes in the events of a run and keeps `tensorboard/` of it, with a folder for each training."""

    def __init__(self, out: Path) -> None:
        try:
            import tensorboard.summary.writer.record_writer  # noqa: F401
        except ImportError:
            raise UsageError(
                "--tensorboard needs TensorBoard, which is not installed: pip install 'headstart[tb]'"
            ) from None
        self.out, self._began = out, int(time.time())
        self._written: dict[str, dict[str, int]] = {}
        """Name of a job -> tag -> the last update that is in its files."""
        self._read: dict[Path, int] = {}
        """Files of trainings under way, and when what was read last was written."""
        self._ended: set[str] = set()

    def __call__(self, event: Event) -> None:
        """Raises StoreError where a file cannot be written."""
        if event.what == "known":
            for job in event.known:
                if job.kind in SAVES_STATE and job.name in event.done:
                    self._end(job)
        elif event.job is not None and event.job.kind in SAVES_STATE:
            if event.what == "progress" and (update := Update.read(event.message)):
                self._go_on(event.job, update)
            elif event.what == "finished":
                self._end(event.job)

    def _go_on(self, job: Job, update: Update) -> None:
        """Of a training under way: what it says of itself, and what its last state has."""
        points: Points = {}
        every = _every(update.updates)
        last = self._last(job).get("images_per_second", 0)
        if update.images_per_second and update.step // every > last // every:
            points[update.step] = {"images_per_second": update.images_per_second}
        partial = (chosen_store(self.out, None, None) or self.out) / "partial" / job.name
        if self._is_new(partial / STATE):
            _merge(points, _of_state(partial / STATE, job, update.updates))
        if self._is_new(partial / CHECKPOINTS):
            _merge(points, _of_checkpoints(partial))
        self._write(job, points)

    def _is_new(self, path: Path) -> bool:
        """Whether a file was written since this was asked before."""
        before = self._read.get(path)
        with suppress(FileNotFoundError):
            self._read[path] = path.stat().st_mtime_ns
        return self._read.get(path) != before

    def _end(self, job: Job) -> None:
        """Of a finished training: all that is not written yet."""
        folder = self.out / "store" / job.name
        if job.name in self._ended or not (folder / "curve.npz").is_file():  # one that diverged has none
            return
        self._ended.add(job.name)
        columns = {n: c for n, c in load_arrays(folder / "curve.npz").items() if n not in ("step", "loss")}
        updates = len(next(iter(columns.values())))
        points = _of_losses(list(columns), np.stack(list(columns.values()), 1), job, updates)
        if (folder / CHECKPOINTS).is_file():
            _merge(points, _of_checkpoints(folder))
        _merge(points, _of_scores(read_json(folder / "metrics.json"), updates))
        self._write(job, points)

    def _last(self, job: Job) -> dict[str, int]:
        if job.name not in self._written:
            self._written[job.name] = last_updates(self._folder(job))
        return self._written[job.name]

    def _folder(self, job: Job) -> Path:
        """Named for people; by its key where it is there."""
        there = next((self.out / FOLDER).glob(f"*({job.name})"), None)
        label = re.sub(r"[^\w .,+=-]+", "_", job.label)[:100]
        return there or self.out / FOLDER / f"{label} ({job.name})"

    def _write(self, job: Job, points: Points) -> None:
        """Those beyond what is written, all of one update as one event."""
        from tensorboard.compat.proto.event_pb2 import Event as Told
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        last = self._last(job)
        buffer = io.BytesIO()
        records = RecordWriter(buffer)
        for step in sorted(points):
            new = {tag: value for tag, value in points[step].items() if step > last.get(tag, 0)}
            if new:
                summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in new.items()])
                records.write(Told(wall_time=time.time(), step=step, summary=summary).SerializeToString())
                last.update(dict.fromkeys(new, step))
        if not (told := buffer.getvalue()):
            return
        path = self._folder(job) / f"events.out.tfevents.{self._began:010d}.headstart.{os.getpid()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            first = io.BytesIO()
            RecordWriter(first).write(Told(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
            told = first.getvalue() + told
        append_bytes(path, told)


def last_updates(folder: Path) -> dict[str, int]:
    """By tag, the last update that the event files of a folder have. What a kill cut off counts as not written."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event as Told

    last: dict[str, int] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for record in RawEventFileLoader(str(path)).Load():
            told = Told.FromString(record)
            for value in told.summary.value:
                last[value.tag] = max(told.step, last.get(value.tag, 0))
    return last


def _every(updates: int) -> int:
    """Updates from one point of a curve to the next."""
    return -(-updates // POINTS)


def _of_state(path: Path, job: Job, updates: int) -> Points:
    """The losses up to a state that was saved; none of one that is damaged, or of other settings: the training, too,
    does not go on from it."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            losses = file.get_tensor("losses")
    except (OSError, ValueError, SafetensorError):
        return {}
    return _of_losses(facts["names"], losses, job, updates) if facts.get("key") == job.name else {}


def _of_losses(names: list[str], losses: NDArray[np.float32], job: Job, updates: int) -> Points:
    """losses: (done, len(names)), by update. A point stands at the last of the updates that it is the mean of."""
    every, done = _every(updates), len(losses)
    ends = [*range(every, done + 1, every), *([updates] if done == updates and updates % every else [])]
    parts = [name for name in names if not name.startswith(COUNT)]
    rate, points = _rate(job, updates), {}
    for begin, end in zip([0, *ends], ends, strict=False):
        means = dict(zip(names, losses[begin:end].mean(0, dtype=np.float64).tolist(), strict=True))
        points[end] = {"loss": sum(means[name] for name in parts), "learning_rate": rate(end - 1)}
        points[end] |= {f"loss/{name}": means[name] for name in (parts if len(parts) > 1 else [])}
        points[end] |= {f"count/{n.removeprefix(COUNT)}": means[n] for n in names if n not in parts}
    return points


def _rate(job: Job, updates: int) -> Callable[[int], float]:
    """The learning rate of the heads at a step, 0-based."""
    recipe: Recipe | PretrainingRecipe = job.settings.recipe
    training = recipe.recipe(updates) if isinstance(recipe, PretrainingRecipe) else recipe
    before = job.inputs.get("before")
    begun = before.settings.recipe.updates if before else 0
    return lambda step: training.rate * rate_factor(training, step, begun)


def _of_checkpoints(folder: Path) -> Points:
    """What a pre-training has scored of its validation images."""
    try:
        taken = read_json(folder / CHECKPOINTS)
    except StoreError:  # damaged: the job says so and makes it again
        return {}
    return {int(t["update"]): _held_out({n: v for n, v in t.items() if n != "update"}) for t in taken}


def _of_scores(metrics: Mapping[str, float | None], updates: int) -> Points:
    """What a transfer has scored on held-out images, after thirds of its updates."""
    points: Points = {}
    for name, value in metrics.items():
        parts = parse(name)
        if parts and parts.is_validation:
            _merge(points, {updates * parts.thirds // 3: _held_out({re.sub(r"^val[^/]*/", "", name): value})})
    return points


def _held_out(scores: Mapping[str, float | None]) -> dict[str, float]:
    """Tags of those that are of all classes and known."""
    told = {name: value for name, value in scores.items() if (parts := parse(name)) and parts.of is None}
    return {f"held-out/{name}": float(value) for name, value in told.items() if value is not None}


def _merge(points: Points, more: Points) -> None:
    for step, values in more.items():
        points.setdefault(step, {}).update(values)
