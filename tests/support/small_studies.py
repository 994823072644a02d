"""Studies to plan, parts of studies to run, and a card of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headstart.config.study import Study
from headstart.study.jobs import Expansion, Job
from headstart.study.plan import Planner

DETECT = {"name": "d", "updates": 30, "batch_size": 8, "head": "fcos", "channels": 16}
BOXES = {"epochs": 5, "sampling.size": 64, "training": {"batch_size": 8, "lr": 1e-3, "channels": 16}}
"""Changes: 30 updates on 48 images."""
LABELS = {"epochs": 1.6, "sampling.size": 64, "training": {"batch_size": 4, "lr": 2e-3}}
LABELS_AND_RANDOM = """\
[[weights]]
name = "labels"
pretraining = "labels"
default = true

[[weights]]
name = "random"
uri = "random:shapes-resnet"

"""
"""Weights in a study file, of a pre-training `labels` and a control."""
ARMS = f"""\
[[weights]]
name = "boxes"
pretraining = "boxes"

{LABELS_AND_RANDOM}"""
"""The same, and before them of a pre-training `boxes`."""
PROBE_AND_EXPLAIN = """\
[[tasks]]
name = "probe"
kind = "probe"
train = ["train"]
test = ["test"]

[explain]
boxes = "boxes"
labels = "labels"
random = "random"
images = "test"
statistics = "train"
probe = "probe"
"""
"""The end of a study file whose weights are `ARMS`."""


def task_text(
    name: str, kind: str, recipe: str = "", *, train: str = "train", val: str = "", test: str = "test", more: str = ""
) -> str:
    """A task in a study file. recipe: what stands between its braces; more: further lines."""
    lines = [f'name = "{name}"', f'kind = "{kind}"', f'train = ["{train}"]', f'test = ["{test}"]']
    lines += [f'val = ["{val}"]'] if val else []
    lines += [f"recipe = {{ {recipe} }}"] if recipe else []
    return "\n".join(["[[tasks]]", *lines, more, ""])


CARD = """\
name = "pretrained"
backbone = "shapes-resnet"
file = "weights.safetensors"
lineage = ["ImageNet-1k labels"]
licence = "mit"
[preprocessing]
channel_order = "rgb"
scale = 0.00392156862745098
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]
"""
"""Beside a file of the weights of a `shapes-resnet`."""
RATES = [f"find from boxes, seed 5, rate {rate}" for rate in ("0.001", "0.003", "0.009")]
"""Labels of the trainings that the search of `drawn` begins with."""


def drawn() -> dict[str, Any]:
    """Two arms and a control, one seed, a searched detection task, a probe, explanations."""
    return {
        "name": "drawn",
        "seeds": [5],
        "backbone": "shapes-resnet",
        "bootstrap": 150,
        "threads": 2,
        "sets": {
            "base": {"world": "base", "count": 48, "size": 64},
            "train": {"world": "novel", "count": 24, "size": 48},
            "val": {"world": "novel", "count": 12, "first": 24, "size": 48},
            "test": {"world": "novel", "count": 20, "first": 36, "size": 48},
        },
        "pretraining": {
            "boxes": {"images": "base", "recipe": "shapes-boxes", "changes": BOXES},
            "labels": {"images": "base", "recipe": "shapes-labels", "early": 0.5, "changes": LABELS},
        },
        "weights": [
            {"name": "boxes", "pretraining": "boxes"},
            {"name": "labels", "pretraining": "labels", "default": True},
            {"name": "random", "uri": "random:shapes-resnet"},
        ],
        "tasks": [
            {
                "name": "find",
                "kind": "detect",
                "only": ["boxes"],
                "train": ["train"],
                "val": ["val"],
                "test": ["test"],
                "limit": 10,
                "protocol": "coco",
                "recipe": DETECT | {"rates": [1e-3, 3e-3, 9e-3]},
            },
            {"name": "probe", "kind": "probe", "train": ["train"], "test": ["test"], "limit": 7},
        ],
        "explain": {
            "boxes": "boxes",
            "labels": "labels",
            "random": "random",
            "images": "test",
            "statistics": "train",
            "probe": "probe",
        },
    }


def planner(values: dict[str, Any], base: Path = Path(), offline: bool = False) -> Planner:
    return Planner(Study.model_validate(values), base, offline)


def photos(**changes: Any) -> dict[str, Any]:
    """Detection on a data set in a folder, from random values."""
    of = {"path": "photos", "task": "detect", "size_hw": [40, 60]} | changes
    return {
        "name": "photos",
        "seeds": [1],
        "sets": {"train": of | {"role": "train"}, "val": of | {"role": "val"}, "test": of | {"role": "test"}},
        "weights": [{"name": "random", "uri": "random:shapes-resnet"}],
        "tasks": [
            {
                "name": "find",
                "kind": "detect",
                "train": ["train"],
                "val": ["val"],
                "test": ["test"],
                "recipe": DETECT | {"lr": 1e-3},
            }
        ],
    }


def nothing(job: Job) -> None:
    """Metrics of jobs while none is finished."""
    return


def everything(job: Job) -> dict[str, float | None]:
    """Metrics where all is done, and the middle rate is the best."""
    return {"val/det/coco/map@0.5:0.95": -abs(job.settings.recipe.lr - 3e-3)} if job.kind == "transfer" else {}


def by_label(expansion: Expansion) -> dict[str, Job]:
    """All jobs of a plan."""
    found = {job.label: job for job in expansion.known}
    assert len(found) == len(expansion.known)
    return found


def needs(job: Job) -> dict[str, str]:
    """Labels of what a job reads."""
    return {name: needed.label for name, needed in job.inputs.items()}
