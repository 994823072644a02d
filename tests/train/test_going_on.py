"""A training that goes on from the end of another: its rate, its bits, and the scores that it takes over."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.batches.image_sets import ImageSet
from headstart.errors import Interrupted
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.progress import silent
from headstart.recipes.schema import Recipe, recipe_of
from headstart.tasks.held_out import HeldOut
from headstart.tasks.table import trained_task
from headstart.tasks.transfer import Start, fit, model_facts, save_curve, save_model
from headstart.train.ends import FILE
from headstart.train.schedule import rate_factor, resumed, warmup_cosine
from headstart.train.state import model_tensors
from headstart.world.shapes import draw_set

OPTIMIZERS = [{}, {"optimizer": "sgd"}, {"average": 0.5}, {"precision": "fp64"}]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    folder = tmp_path_factory.mktemp("drawn")
    draw_set("base", 16, 0, 48, out=folder, progress=silent)
    return ImageSet.open(folder)


def recipe(updates: int, **changes) -> Recipe:
    return recipe_of(
        {"name": "c", "updates": updates, "batch_size": 4, "lr": 5e-3, "warmup": 1, "head": "linear"} | changes
    )


def train(drawn: ImageSet, out: Path, settings: Recipe, before: Path | None = None, stop_after: int = 0):
    """Train into a folder as a job does."""
    torch.manual_seed(3)
    start = Start(build_backbone("shapes-resnet"), "shapes-resnet", Path(), Preprocessing(), is_random=True)
    (out / "resume").mkdir(parents=True, exist_ok=True)
    calls = []

    def stopped() -> bool:
        calls.append(1)
        return len(calls) == stop_after

    model, curve = fit(
        start,
        "classify",
        drawn,
        settings,
        seed=5,
        state_dir=out / "resume",
        progress=silent,
        before=before,
        end=out,
        stopped=stopped,
    )
    save_model(out, model, model_facts(start, "classify", settings, drawn, resize="stretch"))
    save_curve(out / "curve.npz", curve)
    return {name: tensor.clone() for name, tensor in model_tensors(model).items()}, curve


def test_the_rate_climbs_to_that_of_a_training_of_the_whole_length():
    """From 100 updates to 200: over the 10 updates that are a tenth of those added; then as if planned for 200."""
    assert [resumed(step, 100, 200) for step in (99, 100, 104, 109, 150, 199)] == [1.0, 0.1, 0.5, 1.0, 1.0, 1.0]
    assert resumed(3, 0, 200) == 1.0
    settings = recipe(200, warmup=20)
    assert rate_factor(settings, 104, 100) == pytest.approx(0.5 * warmup_cosine(104, 200, 20))
    assert rate_factor(settings, 110, 100) == warmup_cosine(110, 200, 20)
    assert rate_factor(settings, 110) == warmup_cosine(110, 200, 20)


@pytest.mark.parametrize("changes", OPTIMIZERS, ids=str)
def test_it_goes_on_where_the_other_ended_and_ends_in_the_same_bits_after_stops(drawn, tmp_path, changes):
    _, first = train(drawn, tmp_path / "first", recipe(4, **changes))
    whole, curve = train(drawn, tmp_path / "whole", recipe(8, **changes), tmp_path / "first")
    assert len(curve.values) == 8 and np.array_equal(curve.values[:4], first.values)
    for stop_after in (1, 2):
        with pytest.raises(Interrupted):
            train(drawn, tmp_path / "parts", recipe(8, **changes), tmp_path / "first", stop_after=stop_after)
    parts, of_parts = train(drawn, tmp_path / "parts", recipe(8, **changes), tmp_path / "first")
    assert all(torch.equal(parts[name], tensor) for name, tensor in whole.items())
    assert np.array_equal(of_parts.values, curve.values)
    assert (tmp_path / "parts" / FILE).read_bytes() == (tmp_path / "whole" / FILE).read_bytes()


def test_with_no_rate_left_it_changes_nothing_but_statistics(drawn, tmp_path):
    """The values are those of the end: at rate 0, which the last update of a cosine over many has nearly, they stay."""
    first, _ = train(drawn, tmp_path / "first", recipe(4))
    longer = recipe(8, lr=1e-30, weight_decay=0.0)
    again, _ = train(drawn, tmp_path / "again", longer, tmp_path / "first")
    trained = [name for name in first if "running" not in name and "num_batches" not in name]
    assert trained and all(torch.equal(first[name], again[name]) for name in trained)


def test_what_the_optimizer_remembers_matters_and_is_small(drawn, tmp_path):
    train(drawn, tmp_path / "first", recipe(4))
    with_memory, _ = train(drawn, tmp_path / "with", recipe(8), tmp_path / "first")
    end = tmp_path / "first" / FILE
    model = sum((tmp_path / "first" / name).stat().st_size for name in ("backbone.safetensors", "head.safetensors"))
    assert end.stat().st_size < 1.1 * model
    from safetensors.torch import load_file

    from headstart.train.state import read_facts, save_tensors

    empty = {k: torch.zeros_like(t) if "exp_avg" in k else t for k, t in load_file(end).items()}
    save_tensors(end, empty, read_facts(end))
    without, _ = train(drawn, tmp_path / "without", recipe(8), tmp_path / "first")
    assert not torch.equal(
        with_memory["fc.weight"] if "fc.weight" in with_memory else next(iter(with_memory.values())),
        without["fc.weight"] if "fc.weight" in without else next(iter(without.values())),
    )


def test_two_thirds_of_the_first_training_are_a_third_of_the_longer_one(drawn, tmp_path):
    scores = HeldOut(trained_task("classify"), drawn, Preprocessing(), protocol="voc-area", folder=tmp_path)
    scores.carry({"val-1of3/cls/top1": 0.1, "val-2of3/cls/top1": 0.2, "val/cls/top1": 0.3, "train/loss_last": 1.0})
    torch.manual_seed(3)
    start = Start(build_backbone("shapes-resnet"), "shapes-resnet", Path(), Preprocessing(), is_random=True)
    (tmp_path / "run").mkdir()
    model, _ = fit(
        start,
        "classify",
        drawn,
        recipe(6),
        seed=5,
        state_dir=tmp_path / "run",
        progress=silent,
        at_step=lambda model: {4: partial(scores.note, model, 2)},
    )
    found = scores.metrics(model, silent)
    assert found["val-1of3/cls/top1"] == 0.2 and "val-2of3/cls/top1" in found and "val/cls/top1" in found
