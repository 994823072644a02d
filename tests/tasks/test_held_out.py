"""Scores at a third and at two thirds of a training: those of the model at that time, and the same after a stop."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.batches.image_sets import ImageSet
from headstart.batches.training_part import selected
from headstart.errors import Interrupted
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.progress import silent
from headstart.recipes.schema import recipe_of
from headstart.tasks.held_out import HeldOut
from headstart.tasks.table import trained_task
from headstart.tasks.transfer import Start, fit
from headstart.world.shapes import draw_set

UPDATES = 7
"""A third is after 2 updates, two thirds after 4."""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    folder = tmp_path_factory.mktemp("drawn")
    draw_set("novel", 16, 0, 48, out=folder, progress=silent)
    return ImageSet.open(folder)


def train(drawn: ImageSet, folder: Path, *, precision: str = "fp32", stop_after: int | None = None):
    """The scores of a classifier, and the steps after which it was scored."""
    torch.manual_seed(1)
    preprocessing = Preprocessing("rgb", 1 / 255, (0.5,) * 3, (0.25,) * 3)
    start = Start(build_backbone("shapes-resnet", Path()), "shapes-resnet", Path(), preprocessing, is_random=True)
    recipe = recipe_of(
        {"name": "c", "updates": UPDATES, "batch_size": 4, "lr": 1e-2, "warmup": 1, "head": "linear"}
        | {"precision": precision}
    )
    folder.mkdir(exist_ok=True)
    held_out = HeldOut(trained_task("classify"), drawn, preprocessing, protocol="voc-area", folder=folder)
    calls = []

    def stopped() -> bool:
        calls.append(1)
        return len(calls) == stop_after

    model, _ = fit(
        start,
        "classify",
        drawn,
        recipe,
        seed=2,
        state_dir=folder,
        progress=silent,
        rows=np.arange(12),
        at_step=partial(held_out.steps, updates=UPDATES),
        stopped=stopped,
    )
    return held_out.metrics(model, silent), held_out.steps(model, UPDATES)


def test_the_way_and_the_end_are_scored(drawn: ImageSet, tmp_path: Path) -> None:
    scores, steps = train(drawn, tmp_path / "a")
    assert list(steps) == [2, 4]
    main = {"cls/top1", "cls/log_loss"}
    assert {name for name in scores if name.startswith("val-1of3/")} == {f"val-1of3/{name}" for name in main}
    assert {f"val-2of3/{name}" for name in main} | {f"val/{name}" for name in main} < set(scores)
    assert len({scores[f"{at}/cls/log_loss"] for at in ("val-1of3", "val-2of3", "val")}) == 3


@pytest.mark.parametrize("stop_after", [1, 2, 3, 5])
def test_a_stop_changes_no_score(drawn: ImageSet, tmp_path: Path, stop_after: int) -> None:
    whole, _ = train(drawn, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(drawn, tmp_path / "parts", stop_after=stop_after)
    assert train(drawn, tmp_path / "parts")[0] == whole


def test_scoring_does_not_change_the_training(drawn: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_scores, _ = train(drawn, tmp_path / "with")
    monkeypatch.setattr(HeldOut, "steps", lambda self, model, updates: {})
    without, _ = train(drawn, tmp_path / "without")
    assert with_scores["val/cls/log_loss"] == without["val/cls/log_loss"]


def test_a_model_in_double_precision_is_scored_in_single(drawn: ImageSet, tmp_path: Path) -> None:
    single, double = (train(drawn, tmp_path / name, precision=name)[0] for name in ("fp32", "fp64"))
    assert double["val/cls/log_loss"] == pytest.approx(single["val/cls/log_loss"], rel=1e-2)


def test_fewer_than_three_updates_have_no_thirds(drawn: ImageSet, tmp_path: Path) -> None:
    preprocessing = Preprocessing("rgb", 1 / 255, (0.5,) * 3, (0.25,) * 3)
    held_out = HeldOut(trained_task("classify"), drawn, preprocessing, protocol="voc-area", folder=tmp_path)
    assert held_out.steps(torch.nn.Identity(), 2) == {}


def test_without_images_nothing_is_scored(drawn: ImageSet, tmp_path: Path) -> None:
    nothing = HeldOut(
        trained_task("classify"),
        selected(drawn, np.arange(0)),
        None,
        protocol="voc-area",
        folder=tmp_path,  # type: ignore[arg-type]
    )
    assert nothing.steps(torch.nn.Identity(), 9) == {} and nothing.metrics(torch.nn.Identity(), silent) == {}
