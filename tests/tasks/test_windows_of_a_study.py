"""A study that trains segmentation on windows and tests it by several looks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from headstart import api
from headstart.batches.image_sets import ImageSet
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.progress import silent
from headstart.recipes.schema import recipe_of
from headstart.study.jobs import as_json
from headstart.tasks.transfer import Start, fit
from headstart.texts import toml_of
from headstart.world.shapes import draw_set
from support.small_studies import nothing, planner, task_text

RECIPE = 'name = "r", updates = 3, batch_size = 4, lr = 3e-3, head = "pixel", crop = 32, scale_jitter = [0.5, 2.0]'
STUDY = """\
name = "windows"
seeds = [0]
bootstrap = 100

[sets]
train = { world = "novel", count = 12, size = 64 }
test = { world = "novel", count = 8, first = 12, size = 64 }

[[weights]]
name = "random"
uri = "random:shapes-resnet"

[[axes]]
task = "paint"
setting = "inference.flip"
values = [true]

[[axes]]
task = "paint"
setting = "inference.window"
values = [64, 48]

""" + task_text("paint", "segment", RECIPE)


def test_ways_of_looking_share_a_training_and_change_no_other_key() -> None:
    trials = {trial.task: trial for trial in planner(toml_of(STUDY)).expand(nothing).trials}
    assert list(trials) == ["paint", "paint-flip-True", "paint-window-64", "paint-window-48"]
    assert len({trial.transfers[0].key for trial in trials.values()}) == 1
    assert len({trial.evaluate.key for trial in trials.values()}) == 4
    assert "inference" not in as_json(trials["paint"].evaluate.settings)
    assert as_json(trials["paint-flip-True"].evaluate.settings)["inference"]["flip"] is True
    costs = {name: trial.evaluate.cost for name, trial in trials.items()}
    assert costs["paint"] == costs["paint-window-64"] < costs["paint-flip-True"] < costs["paint-window-48"]


def test_what_is_trained_on_is_windows(tmp_path: Path) -> None:
    """The sizes that the network sees, and where it starts from: with no window, other values come out."""
    draw_set("novel", 8, 0, 64, out=tmp_path / "set", progress=silent)
    images, found = ImageSet.open(tmp_path / "set"), []
    for k, more in enumerate(({}, {"crop": 32}, {"scale_jitter": (0.5, 2.0)})):
        torch.manual_seed(0)
        backbone, sizes = build_backbone("shapes-resnet"), set[torch.Size]()
        backbone.register_forward_pre_hook(lambda _, given, sizes=sizes: sizes.add(given[0].shape[-2:]))
        settings = {"name": "t", "updates": 1, "batch_size": 4, "lr": 1e-2, "head": "pixel", "sentinel": False}
        start = Start(backbone, "shapes-resnet", Path(), Preprocessing(), is_random=False)
        state = tmp_path / str(k)
        _, curve = fit(start, "segment", images, recipe_of(settings | more), seed=5, state_dir=state, progress=silent)
        found.append((sizes, float(curve.total[0])))
    assert [sizes for sizes, _ in found] == [{(64, 64)}, {(32, 32)}, {(64, 64)}]
    assert len({loss for _, loss in found}) == 3


@pytest.mark.slow
def test_it_runs_to_scores_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(STUDY)
    done = api.run_study(tmp_path / "s.toml", tmp_path / "run", workers=1, device="cpu", quiet=True)
    assert done.failed == []
    trials = json.loads((tmp_path / "run" / "metrics.json").read_text())["trials"]
    metrics = {trial["task"]: trial["metrics"] for trial in trials}
    assert metrics["paint"] == metrics["paint-window-64"], "one window is the whole image"
    assert metrics["paint"]["seg/miou"] != metrics["paint-flip-True"]["seg/miou"]
    for of_task in metrics.values():
        assert {"seg/miou", "seg/foreground_iou", "seg/boundary_iou", "seg/iou/background"} <= set(of_task)
    ceilings = {m["ceiling/seg/miou"] for m in metrics.values() if "ceiling/seg/miou" in m}
    assert len(ceilings) <= 1, "what the grid could reach does not depend on how often one looks"
