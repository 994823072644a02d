"""Whole detectors in comparisons and studies: a task of their own, the same bits wherever and however it is run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.batches.image_sets import ImageSet
from headstart.config.study import Study
from headstart.errors import Interrupted, StudyError, UsageError
from headstart.models.whole.families import FAMILIES
from headstart.progress import silent
from headstart.readers.formats import open_dataset
from headstart.recipes.schema import recipe_of
from headstart.study.compare import comparison
from headstart.study.plan import Planner
from headstart.tasks.starts import start_of
from headstart.tasks.transfer import fit
from headstart.train.devices import Seat
from headstart.weights.cards import resolve
from headstart.weights.starts import CopySettings, StartPlace, StartSettings
from headstart.world.shapes import draw_set
from support.devices.device_study import done_here
from support.devices.pretend_device import NAME, pretended
from support.drawn_layouts import as_coco, drawn_images
from support.whole.small import small_folder

RECIPE = {"name": "whole", "head": "whole", "updates": 2, "batch_size": 4, "lr": 1.0}


def config_folder(path: Path, family: str, **processor: Any) -> Path:
    """Of weights that are never loaded."""
    path.mkdir(parents=True)
    known = {"model_type": family, "architectures": [f"{FAMILIES[family].network}ForObjectDetection"]}
    (path / "config.json").write_text(json.dumps(known))
    (path / "preprocessor_config.json").write_text(json.dumps(processor))
    (path / "model.safetensors").write_bytes(b"")
    return path


@pytest.fixture
def made(tmp_path):
    """A comparison of these, by their URIs."""
    as_coco(drawn_images(tmp_path / "drawn", 12), tmp_path / "coco")
    data = open_dataset(tmp_path / "coco")
    config_folder(tmp_path / "a", "rt_detr_v2", size={"height": 320, "width": 320})
    config_folder(tmp_path / "b", "rf_detr", size={"height": 560, "width": 560})

    def make(*uris: str, **more: Any) -> Study:
        candidates = [(uri, resolve(uri, tmp_path)) for uri in uris]
        return comparison(data.root, data, candidates, ["detect"], budget="quick", seeds=2, **more)

    return make


def test_whole_detectors_have_a_task_of_their_own(made):
    study = made("file:a#whole", "random:resnet18", "file:b#whole", "random:shapes-resnet")
    plain, whole = study.tasks
    assert (plain.name, plain.only) == ("detect", ("random-resnet18", "random-shapes-resnet"))
    assert (whole.name, whole.only, whole.kind) == ("detect-whole", ("a-whole", "b-whole"), "detect")
    recipe, other = whole.recipe, plain.recipe
    assert recipe and other and recipe.head == "whole" and other.head == "fcos"
    same = ("updates", "batch_size", "warmup")
    assert [getattr(recipe, name) for name in same] == [getattr(other, name) for name in same]
    assert len(recipe.rates) == len(other.rates) == 3 and whole.most_updates == plain.most_updates
    height, width = study.sets[whole.train[0]].size_hw
    assert abs(height * width / 560**2 - 1) < 0.1, "images of the largest input; each network has its own"
    roles = [study.sets[name].model_copy(update={"size_hw": (1, 1)}) for name in (*whole.train, *whole.test)]
    assert roles == [study.sets[n].model_copy(update={"size_hw": (1, 1)}) for n in (*plain.train, *plain.test)]
    assert [why.task for why in study.why] == ["detect"], "whole detectors are not explained"
    alone = made("file:a#whole", "file:b#whole")
    assert [task.name for task in alone.tasks] == ["detect-whole"] and not alone.why
    assert all(name.startswith("detect-whole-") for name in alone.sets)
    without = made("random:resnet18", "random:shapes-resnet")
    assert [task.name for task in without.tasks] == ["detect"] and without.tasks[0].only == ()


def test_whole_detectors_do_nothing_but_detect(tmp_path, made):
    candidates = [(uri, resolve(uri, tmp_path)) for uri in ("file:a#whole", "file:b#whole")]
    data = open_dataset(tmp_path / "coco")
    with pytest.raises(UsageError, match=r"a-whole, b-whole: whole detectors are compared by detection only"):
        comparison(data.root, data, candidates, ["classify"], budget="quick", seeds=2)


def drawn_study(weights: list[dict[str, str]], **task: Any) -> Study:
    drawn = {"world": "novel", "size": 48}
    detect = {"name": "detect", "kind": "detect", "train": ["train"], "test": ["test"], "recipe": RECIPE} | task
    sets = {"train": drawn | {"count": 12}, "test": drawn | {"count": 8, "first": 12}}
    values = {"name": "s", "seeds": [0], "bootstrap": 100, "sets": sets, "weights": weights, "tasks": [detect]}
    return Study.model_validate(values)


def test_what_a_recipe_cannot_train_is_refused_before_anything_runs(tmp_path):
    folder = config_folder(tmp_path / "a", "detr")
    whole, plain = {"name": "w", "uri": f"file:{folder}#whole"}, {"name": "p", "uri": "random:shapes-resnet"}
    fcos = {"name": "r", "head": "fcos", "updates": 2, "batch_size": 4, "lr": 1e-3}
    for weights, task, said in (
        ([whole, plain], {}, "trains whole detectors, and p is none"),
        ([whole, plain], {"recipe": fcos}, "w is a whole detector, which recipe 'r' cannot train"),
        ([whole], {"recipe": None, "kind": "probe"}, "w is a whole detector, and is compared by detection only"),
    ):
        with pytest.raises(StudyError, match=said):
            Planner(drawn_study(weights, **task), Path()).expand(lambda job: None)


@pytest.mark.nightly
def test_a_whole_detector_trains_on_a_device_as_on_the_cpu(tmp_path):
    """To rounding: attention is computed by another kernel there."""
    pytest.importorskip("transformers")
    folder = small_folder(tmp_path / "w", "rt_detr_v2", side=64)
    study = drawn_study([{"name": "w", "uri": f"file:{folder}#whole"}])
    here = done_here(study, tmp_path / "here", Seat())
    with pretended(1):
        there = done_here(study, tmp_path / "there", Seat(f"{NAME}:1", loaders=1))
    assert here.keys() == there.keys() and any(label.startswith("test ") for label in here)
    (label,) = (label for label in here if label.startswith("detect from w"))
    losses = [np.load(of[label] / "curve.npz")["loss"] for of in (here, there)]
    assert np.allclose(*losses, rtol=1e-4) and losses[0].min() > 1
    assert json.loads((here[label] / "load.json").read_text())["start"]["parts"]["classes"] == [0, 0, 11]
    assert json.loads((here[label] / "model.json").read_text())["backbone"] == "config.json:rt_detr_v2@64"


@pytest.mark.slow
def test_a_stopped_training_ends_in_the_same_bits(tmp_path):
    """With windows, sizes of the input and noise on true boxes drawn anew in each update."""
    pytest.importorskip("transformers")
    spec = resolve(f"file:{small_folder(tmp_path / 'w', 'rt_detr_v2', side=64)}#whole")
    draw_set("novel", 12, 0, 48, out=tmp_path / "images", progress=silent)
    images = ImageSet.open(tmp_path / "images")
    changes = {"of_family": "rt_detr_v2", "zoom_out": 0.5, "overlap_crop": 0.5, "input_scales": [1.0, 1.5]}
    recipe = recipe_of(RECIPE | changes | {"own_rate": 1e-3, "updates": 4, "reestimate_batch_norm": False})

    def trained(state: Path, after: int) -> Any:
        """Stopped after so many updates each time."""
        count = 0

        def stopped() -> bool:
            nonlocal count
            count += 1
            return count == after

        place = StartPlace("", spec, True)
        start, _, _ = start_of(StartSettings(spec.identity()), place, None, 0, copied=CopySettings("detector"))
        return fit(start, "detect", images, recipe, seed=0, state_dir=state, progress=silent, stopped=stopped)

    whole, curve = trained(tmp_path / "once", 99)
    for _ in range(2):
        with pytest.raises(Interrupted):
            trained(tmp_path / "often", 1)
    again, other = trained(tmp_path / "often", 99)
    assert curve.values.tolist() == other.values.tolist()
    assert all(bool((v == again.state_dict()[k]).all()) for k, v in whole.state_dict().items())
