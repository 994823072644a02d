"""Times the first updates of each kind of training of a study, and a test, on the device that they would run on.

Each is begun as a job begins it (`headstart.tasks.transfer.fit`), from random values, on drawn images of as many
pixels and classes: values and contents change little of the time. An update is the difference of two lengths, so that
what a training does once is left out. On the CPU seconds of the process count, elsewhere those of the clock.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.batches.image_sets import ImageSet
from headstart.data.flags import IGNORED
from headstart.places.speeds import Speed, keep
from headstart.processes import keep_freed_memory
from headstart.progress import silent
from headstart.stats.bootstrap import image_weights
from headstart.study.plan import Planner
from headstart.study.planning.speeds import Training
from headstart.terminal import tell
from headstart.train.devices import Devices, Seat, take_seat
from headstart.weights.starts import StartPlace, StartSettings

if TYPE_CHECKING:
    from torch import nn

    from headstart.tasks.protocol import Arrays
    from headstart.tasks.transfer import Start
    from headstart.train.loop import LossCurve

FIRST, MORE = 2, 6
"""Updates: of the shorter length, and by how many the longer one is longer at first."""
ENOUGH = 1.5
"""Seconds that the difference of the two lengths should take."""
MOST = 200
"""Updates, at most, by which it is longer."""
TESTED = 64
"""Images of the test."""


def calibrate(planner: Planner, devices: Devices, *, again: bool = True) -> int:
    """Measure and keep all trainings of a study whose jobs the planner has made; returns how many that were. again:
    also those that were measured on this machine before."""
    import torch

    torch.set_num_threads(planner.study.threads)
    keep_freed_memory()
    take_seat(Seat(devices.names[0] if devices.names else "cpu"))
    asked = [training for training, speed in planner.speeds.asked.values() if again or not speed]
    for training in asked:
        speed = measured(training, planner, devices.kind)
        keep(training.what(planner.speeds.device, planner.speeds.threads), speed)
        name = f"{training.recipe.name} on {training.backbone}"
        tested = f"{1e3 * speed.image:.2f} and {1e3 * speed.score:.2f} ms an image tested and scored"
        tell(f"{name}: {1e3 * speed.update:.1f} ms an update, {tested}")
    return len(asked)


def measured(training: Training, planner: Planner, kind: str) -> Speed:
    """The training and a test of it, timed."""
    from headstart.tasks.starts import start_of
    from headstart.tasks.table import trained_task
    from headstart.world.shapes import draw_set

    side = max(32, 32 * round(training.pixels**0.5 / 32))
    scale = training.pixels / side**2
    spec = planner.origins.spec(f"random:{training.backbone}")
    place = StartPlace(str(planner.base), spec, planner.offline)

    def begun() -> Start:
        start, _, _ = start_of(StartSettings(spec.identity(), seed=0), place, None, 0)
        return replace(start, is_random=False)  # recipes that freeze parts refuse random ones

    with tempfile.TemporaryDirectory() as folder:
        draw_set("novel", max(TESTED, training.recipe.batch_size), 0, side, out=Path(folder), progress=silent)
        images = with_classes(ImageSet.open(Path(folder)), training.classes)
        update = _update(training, images, begun, Path(folder), clock=_clock(kind))
        start = begun()
        model, _ = _fitted(training, images, start, Path(folder) / "tested", updates=1)
        task, clock = trained_task(training.task), _clock(kind)
        runs = []
        for _ in range(3):
            began = clock()
            task.predict(model, start.preprocessing, images, silent)
            runs.append((clock() - began) / len(images))
        score = _score(training, task.predict(model, start.preprocessing, images, silent), images, clock)
    return Speed(scale * update, scale * min(runs), score, date.today().isoformat())


def with_classes(images: ImageSet, count: int) -> ImageSet:
    """Drawn images told apart by so many classes, of whatever; 0: by their own. A map of ten classes takes longer than
    one of two: an update of a segmentation 216 ms in place of 150."""
    if not count:
        return images
    assert images.masks is not None
    names = np.array([f"class {k}" for k in range(count)])
    masks = np.where(images.masks == IGNORED, IGNORED, images.masks % count).astype(np.uint8)
    return replace(
        images,
        box_classes=names,
        box_labels=images.box_labels % count,
        image_classes=names,
        image_labels=images.image_labels % count,
        mask_classes=names,
        masks=masks,
    )


def _score(training: Training, predictions: Arrays, images: ImageSet, clock: Callable[[], float]) -> float:
    """Seconds of an image in the scores of a test."""
    from headstart.tasks.folds import score_folds
    from headstart.tasks.table import trained_task

    if not training.bootstrap:
        return 0.0
    runs = []
    for _ in range(3):
        weights, began = image_weights(images.clusters, training.bootstrap), clock()
        score_folds(trained_task(training.task), [predictions], [images], weights, protocol=training.protocol)
        runs.append((clock() - began) / len(images))
    return min(runs)


def _update(
    training: Training, images: ImageSet, begun: Callable[[], Start], folder: Path, *, clock: Callable[[], float]
) -> float:
    """Seconds of an update."""

    def took(updates: int) -> float:
        start, began = begun(), clock()
        _fitted(training, images, start, folder / f"{updates}-{began}", updates=updates)
        return clock() - began

    took(1)  # libraries and kernels are loaded now
    shorter = took(FIRST)
    if shorter > FIRST * ENOUGH:  # what a training does once is little beside an update
        return shorter / FIRST
    each = max(took(FIRST + MORE) - shorter, 1e-6) / MORE
    more = min(MOST, ceil(ENOUGH / each))
    return each if more <= MORE else max(took(FIRST + more) - shorter, 1e-6) / more


def _fitted(
    training: Training, images: ImageSet, start: Start, state: Path, *, updates: int
) -> tuple[nn.Module, LossCurve]:
    from headstart.tasks.transfer import fit
    from headstart.train.distributed import assigned_world

    state.mkdir()
    changes = {"updates": updates, "lr": training.recipe.lr or training.recipe.rates[0], "rates": (), "sentinel": False}
    recipe = training.recipe.model_copy(update=changes)
    return fit(
        start, training.task, images, recipe, seed=0, state_dir=state, progress=silent, world=assigned_world(),
        stopped=lambda: False,
    )  # fmt: skip


def _clock(kind: str) -> Callable[[], float]:
    return time.process_time if kind == "cpu" else time.perf_counter
