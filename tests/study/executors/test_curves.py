"""Curves of trainings as TensorBoard's own reader has them: while they run, after a stop, once they are done."""

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from headstart.errors import UsageError
from headstart.recipes.schema import Recipe, recipe_of
from headstart.store.arrays import save_arrays
from headstart.study.executors.curves import POINTS, Curves, with_curves
from headstart.study.executors.events import Event
from headstart.study.jobs import Job
from headstart.train.pace import Update


@dataclass(frozen=True)
class Trained:
    recipe: Recipe


def job_of(updates: int, label: str = "detect from A/B", **inputs: Job) -> Job:
    recipe = {"name": "r", "updates": updates, "batch_size": 4, "lr": 0.1, "warmup": 2, "head": "linear"}
    return Job("transfer", Trained(recipe_of(recipe)), inputs, label=label)


def scalars(out: Path, job: Job) -> dict[str, list[tuple[int, float]]]:
    (folder,) = (out / "tensorboard").glob(f"*({job.name})")
    read = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    read.Reload()
    return {
        tag: [(e.step, pytest.approx(e.value, rel=1e-6)) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]
    }


def write_state(out: Path, job: Job, losses: list[list[float]], key: str = "") -> None:
    folder = out / "partial" / job.name / "resume"
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"step": len(losses), "names": ["boxes", "classes", "number_of_positives"], "key": key or job.name}
    tensors = {"losses": np.array(losses, np.float32)}
    save_file(tensors, folder / "new", {"facts": json.dumps(facts)})
    (folder / "new").replace(folder / "state.safetensors")


def finish(out: Path, job: Job, losses: list[list[float]], metrics: dict[str, float]) -> None:
    folder, values = out / "store" / job.name, np.array(losses, np.float32)
    folder.mkdir(parents=True)
    columns = dict(zip(("boxes", "classes", "number_of_positives"), values.T, strict=True))
    save_arrays(folder / "curve.npz", {"step": np.arange(len(values)), "loss": values[:, :2].sum(1), **columns})
    (folder / "metrics.json").write_text(json.dumps(metrics))


LOSSES = [[2.0, 1.0, 8.0], [1.5, 1.0, 6.0], [1.0, 0.5, 7.0], [0.5, 0.5, 9.0]]


def test_curves_of_a_training_while_it_runs_after_a_stop_and_when_it_is_done(tmp_path):
    """Rates by hand: half, all, all, and half a cosine's middle of 0.1."""
    job = job_of(4)
    first = Curves(tmp_path)
    first(Event("progress", job, 0.2, str(Update(1, 4, 3.0))))
    assert not (tmp_path / "tensorboard").exists(), "nothing is known yet"
    write_state(tmp_path, job, LOSSES[:2])
    first(Event("progress", job, 0.4, str(Update(2, 4, 2.5, 12.5, memory=2 << 30))))
    first(Event("progress", job, 0.5, "update 2: val/cls/top1 0.5"))
    now = scalars(tmp_path, job)
    assert now == {
        "loss": [(1, 3.0), (2, 2.5)],
        "loss/boxes": [(1, 2.0), (2, 1.5)],
        "loss/classes": [(1, 1.0), (2, 1.0)],
        "count/positives": [(1, 8.0), (2, 6.0)],
        "learning_rate": [(1, 0.05), (2, 0.1)],
        "images_per_second": [(2, 12.5)],
    }
    (file,) = (tmp_path / "tensorboard").glob("detect from A_B (*)/*")
    with file.open("ab") as torn:
        torn.write(file.read_bytes()[:40])  # what a kill leaves of a record, behind whole ones
    second = Curves(tmp_path)
    second._began += 1  # its own file, as a second later
    write_state(tmp_path, job, LOSSES[:3])
    second(Event("progress", job, 0.5, str(Update(2, 4, 2.5, 99.0))))
    finish(tmp_path, job, LOSSES, {"val-1of3/cls/top1": 0.25, "val/cls/top1": 0.5, "val/cls/top1/cat": 0.1, "a": 1})
    second(Event("finished", job, 1.0))
    then = scalars(tmp_path, job)
    assert then["loss"] == [(1, 3.0), (2, 2.5), (3, 1.5), (4, 1.0)]
    assert then["learning_rate"] == [(1, 0.05), (2, 0.1), (3, 0.1), (4, 0.05)]
    assert then["images_per_second"] == [(2, 12.5)] and then["held-out/cls/top1"] == [(1, 0.25), (4, 0.5)]
    assert not [tag for tag in then if "cat" in tag]
    third = Curves(tmp_path)
    third._began += 2
    third(Event("known", known=(job,), done=frozenset([job.name])))
    assert scalars(tmp_path, job) == then and len(list(file.parent.iterdir())) == 2


def test_what_was_finished_before_is_told_and_what_is_of_other_settings_is_not(tmp_path):
    """One that goes on from another, too: its rate climbs over a tenth of what is added."""
    before = job_of(20)
    job, other = job_of(40, before=before), job_of(3)
    finish(tmp_path, job, LOSSES * 10, {})
    write_state(tmp_path, other, LOSSES[:1], key="transfer-of-other-settings")
    curves = Curves(tmp_path)
    curves(Event("known", known=(before, job, other), done=frozenset([job.name])))
    curves(Event("progress", other, 0.3, str(Update(1, 3, 3.0))))
    rates = dict(scalars(tmp_path, job)["learning_rate"])
    cosine = {step: 0.05 * (1 + math.cos(math.pi * (step - 2) / 38)) for step in (19, 20, 21)}
    assert (rates[20], rates[21], rates[22]) == (cosine[19], cosine[20] / 2, cosine[21])
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1


def test_a_long_training_has_a_thousand_points_each_the_mean_since_the_one_before(tmp_path):
    job, losses = job_of(2 * POINTS + 1), [[float(k), 0.0, 0.0] for k in range(2 * POINTS + 1)]
    finish(tmp_path, job, losses, {})
    Curves(tmp_path)(Event("finished", job))
    told = scalars(tmp_path, job)["loss"]
    assert told[:2] == [(3, 1.0), (6, 4.0)] and told[-1] == (2001, 1999.0) and len(told) == 667


def test_a_checkpoint_of_a_pre_training_is_told_while_it_trains(tmp_path):
    job = job_of(4)
    partial = tmp_path / "partial" / job.name
    partial.mkdir(parents=True)
    (partial / "checkpoints.json").write_text(json.dumps([{"update": 2, "cls/top1": 0.25, "cls/top1/cat": 1.0}]))
    Curves(tmp_path)(Event("progress", job, 0.5, str(Update(3, 4, 2.0))))
    assert scalars(tmp_path, job) == {"held-out/cls/top1": [(2, 0.25)]}


def test_what_a_training_says_is_read_as_it_was_said():
    for rate in (None, 0.52, 38.4, 4096.0):
        update = Update(3, 120, 0.125, rate, memory=5 if rate else 0)
        read = Update.read(f"fold 2: {update}")
        assert read and (read.step, read.updates, read.loss) == (update.step, update.updates, update.loss)
        assert read.images_per_second == update.images_per_second
    assert str(Update(3, 120, 2.5, 41.3, memory=1_340_000_000)) == "update 3/120, loss 2.500, 41.3 images/s, 1.3 GB"
    assert Update.read("update 3: det/voc-area/map@0.5 0.3") is None


def test_without_tensorboard_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.record_writer", None)
    with pytest.raises(UsageError, match=r"pip install 'headstart\[tb\]'"):
        with_curves(print, tmp_path, True)
    assert with_curves(print, tmp_path, False) is print
