"""A study in miniature that has every kind of job, and its jobs run one after the other in this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from headstart.config.study import Study
from headstart.store.store import Store
from headstart.study.executors.worker import RUNNERS, JobOrder, execute
from headstart.study.plan import Planner
from headstart.study.run import lookup
from headstart.train.devices import Seat, seat, take_seat
from headstart.world.shapes import draw
from support.drawn_layouts import as_coco, drawn_images

PARTS = {"updates": 2, "batch_size": 4, "lr": 1e-3, "precision": "fp32"}
PIXELS = {"head": "pixel", "channels": 8}
BOXES = {"head": "fcos", "channels": 8}
REGIONS = {"head": "faster-rcnn", "channels": 8, "proposals": 20, "rois": 8}
CHIPS = {
    "sampling.scales": [{"kind": "longest", "value": 48}],
    "sampling.negatives": 1,
    "sampling.proposal_epochs": 1,
    "inference": [{"kind": "longest", "value": 48}],
}
ROLES = {"boxes": "boxes", "labels": "labels", "random": "random"}


def study_of_every_kind(photos: Path, seeds: tuple[int, ...] = (0,), precision: str | None = "fp32") -> Study:
    """Drawn sets and a folder of classes; boxes against labels against random weights, all tasks, all explanations."""
    parts = PARTS | {"precision": precision}
    drawn = {"world": "novel", "size": 48}
    own = {"path": str(photos), "task": "classify", "size_hw": [48, 48], "fold": 0, "folds": 2}

    def small(training: dict) -> dict:
        common = {"batch_size": 4, "lr": 1e-3, "precision": precision}
        return {"epochs": 1, "sampling.size": 48, "training": common | training}

    def task(name, kind, where, recipe=None, **more):
        entry = {"name": name, "kind": kind, "train": [f"{where}train"], "test": [f"{where}test"]} | more
        return entry | ({"recipe": parts | {"name": name} | recipe} if recipe else {})

    return Study.model_validate(
        {
            "name": "every-kind",
            "seeds": seeds,
            "bootstrap": 100,
            "sets": {
                "base": {"world": "base", "size": 48, "count": 8},
                "train": drawn | {"count": 12},
                "test": drawn | {"count": 12, "first": 12},
                "own-train": own | {"role": "train"},
                "own-val": own | {"role": "val"},
                "own-test": own | {"role": "test"},
                "table": {"path": str(photos.parent / "coco"), "splits": ["train"]},
                "seen": {
                    "path": str(photos.parent / "coco"),
                    "task": "detect",
                    "role": "trainval",
                    "size_hw": [48, 48],
                },
                "held": {"path": str(photos.parent / "coco"), "splits": ["val"]},
            },
            "pretraining": {
                "boxes": {"images": "base", "recipe": "shapes-boxes", "changes": small({"channels": 8})},
                "labels": {"images": "base", "recipe": "shapes-labels", "early": 0.5, "changes": small({})},
                "resized": {"images": "table", "recipe": "shapes-boxes", "changes": small({"channels": 8})},
                "chips": {
                    "images": "table",
                    "recipe": "shapes-chips",
                    "start": "labels",
                    "validation": "val",
                    "changes": small(REGIONS) | CHIPS,
                },
            },
            "weights": [
                {"name": "boxes", "pretraining": "boxes"},
                {"name": "labels", "pretraining": "labels", "default": True},
                {"name": "random", "uri": "random:shapes-resnet"},
            ],
            "tasks": [
                task("detect", "detect", "", BOXES, only=["boxes"]),
                task("segment", "segment", "", PIXELS, only=["labels"]),
                task("classify", "classify", "own-", {"head": "linear"}, only=["random"], val=["own-val"]),
                task("probe", "probe", ""),
                {
                    "name": "cut",
                    "kind": "detect",
                    "only": ["random"],
                    "train": ["table"],
                    "test": ["held"],
                    "own_sizes": "shapes-chips",
                    "changes": small({"channels": 8})
                    | {name: CHIPS[name] for name in ("sampling.scales", "inference")},
                },
            ],
            "why": [{"task": "probe", "images": "test", "statistics": "train", "pairs": [["boxes", "labels"]]}],
            "screen": {"images": "seen", "most": 20},
            "explain": ROLES | {"images": "test", "statistics": "train", "probe": "probe"},
        }
    )


def study_that_decides() -> Study:
    """Two random networks by seeds that come one after the other: what a study of one seed has no job for."""
    drawn = {"world": "novel", "size": 48, "count": 8}
    recipe = PARTS | PIXELS | {"name": "segment"}
    return Study.model_validate(
        {
            "name": "deciding",
            "seeds": (0, 1, 2),
            "bootstrap": 100,
            "adaptive": True,
            "sets": {"train": drawn, "test": drawn | {"first": 8}},
            "weights": [
                {"name": "one", "uri": "random:shapes-resnet", "default": True},
                {"name": "other", "uri": "random:shapes-resnet[norm=group]"},
            ],
            "tasks": [{"name": "segment", "kind": "segment", "train": ["train"], "test": ["test"], "recipe": recipe}],
        }
    )


def photo_folder(root: Path) -> Path:
    """32 drawn images, in folders of two classes; beside it `coco`, 8 images in COCO's layout."""
    as_coco(drawn_images(root.parent / "drawn", 8), root.parent / "coco")
    for k in range(32):
        folder = root / ("even" if k % 2 == 0 else "odd")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw("novel", 40 + k, 48).image).save(folder / f"{k}.png")
    return root


def done_here(study: Study, run: Path, place: Seat) -> dict[str, Path]:
    """Run all jobs of a study as a worker process in this place would; folder of each by its label."""
    planner, store = Planner(study, Path(), device=place.device.partition(":")[0]), Store(run)
    before, folders = seat(), {}
    take_seat(place)
    try:
        while ready := planner.expand(lookup(store)).ready:
            for job in ready:
                inputs = {role: folders[needed.label] for role, needed in job.inputs.items()}
                told = {"threads": 1, "runners": RUNNERS, "log": run / "logs" / f"{job.name}.txt"}
                order = JobOrder(job.kind, job.settings, job.place, inputs, out=store.partial(job.name), **told)
                report = execute(order)
                assert not report.message, f"{job.label} on {place.device}: {report.trace}"
                folders[job.label] = store.commit(job.name, job.key, {"kind": job.kind})
    finally:
        take_seat(before)
    return folders


def differences(one: Path, other: Path) -> list[str]:
    """Files of two jobs that differ in what they hold; times are left out."""
    names = {path.relative_to(folder) for folder in (one, other) for path in folder.rglob("*") if path.is_file()}
    told = {"time.json", "job.json", "digests.json"}
    return [str(name) for name in sorted(names) if name.name not in told and not _same(one / name, other / name)]


def _same(one: Path, other: Path) -> bool:
    if not (one.is_file() and other.is_file()):
        return False
    if one.suffix == ".npz":
        with np.load(one) as a, np.load(other) as b:
            return a.files == b.files and all(np.array_equal(a[k], b[k], equal_nan=_floats(a[k])) for k in a.files)
    if one.suffix == ".safetensors":
        a, b = load_file(one), load_file(other)
        return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    return one.read_bytes() == other.read_bytes()


def _floats(values: np.ndarray) -> bool:
    return bool(np.issubdtype(values.dtype, np.floating))
