"""The loop: the same bits however often it is stopped, rates, freezing, faults."""

from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.batches.image_batches import Batches
from headstart.batches.image_sets import ImageSet
from headstart.errors import TrainingError, WeightsError
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.models.classification import Classifier
from headstart.progress import silent
from headstart.recipes.schema import Recipe, recipe_of
from headstart.tasks.table import trained_task
from headstart.tasks.transfer import Start, fit, load_model, model_facts, save_model
from headstart.train import saving
from headstart.train.loop import LossCurve, make_optimizer, reestimate_batch_norm, refuse_frozen_random, set_mode
from headstart.train.schedule import warmup_cosine
from headstart.train.state import STATE, model_tensors
from headstart.world.shapes import draw_set

HEADS = {"classify": "linear", "detect": "fcos", "segment": "pixel"}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> ImageSet:
    out = tmp_path_factory.mktemp("drawn")
    draw_set("base", 32, 0, 64, out=out, progress=silent)
    return ImageSet.open(out)


def recipe(task: str = "classify", **changes) -> Recipe:
    settings = {"name": "test", "updates": 8, "batch_size": 4, "lr": 1e-3, "head": HEADS[task]}
    return recipe_of(settings | ({} if task == "classify" else {"channels": 16}) | changes)


def start() -> Start:
    torch.manual_seed(7)
    return Start(build_backbone("shapes-resnet"), "shapes-resnet", Path(), Preprocessing(), is_random=True)


class Stopped(Exception):
    pass


@pytest.mark.parametrize("task", ["classify", "detect", "segment"])
def test_stopped_three_times_ends_in_the_same_bits(drawn, tmp_path, monkeypatch, task):
    monkeypatch.setattr(saving, "SAVE_EVERY_SECONDS", 0.0)
    whole, curve = fit(start(), task, drawn, recipe(task), seed=5, state_dir=_made(tmp_path / "whole"), progress=silent)

    folder = _made(tmp_path / "parts")
    for stop_at in (2, 3, 7):

        def stop(model, at=stop_at):
            return {at: _raise}

        with pytest.raises(Stopped):
            fit(start(), task, drawn, recipe(task), seed=5, state_dir=folder, progress=silent, at_step=stop)
    parts, curve_of_parts = fit(start(), task, drawn, recipe(task), seed=5, state_dir=folder, progress=silent)
    assert np.array_equal(curve.values, curve_of_parts.values)
    for name, tensor in model_tensors(whole).items():
        assert torch.equal(tensor, model_tensors(parts)[name]), name


def _raise():
    raise Stopped


def _made(folder):
    folder.mkdir()
    return folder


def test_a_torn_state_file_is_ignored(drawn, tmp_path):
    folder = _made(tmp_path / "run")
    (folder / STATE).write_bytes(b"half written")
    _, curve = fit(start(), "classify", drawn, recipe(), seed=5, state_dir=folder, progress=silent)
    assert len(curve.values) == 8


def test_the_same_seed_gives_every_candidate_the_same_head(drawn, tmp_path):
    heads = []
    for k in (1, 2):
        torch.manual_seed(k)
        other = Start(build_backbone("shapes-resnet"), "shapes-resnet", Path(), Preprocessing(), is_random=True)
        model, _ = fit(
            other,
            "classify",
            drawn,
            recipe(updates=1, warmup=0, lr=1e-12),
            seed=5,
            state_dir=_made(tmp_path / str(k)),
            progress=silent,
        )
        heads.append(model.classes.weight.detach())
    assert torch.allclose(heads[0], heads[1], atol=1e-8)


def test_warmup_and_cosine_by_hand():
    factors = [warmup_cosine(k, 10, 2) for k in range(10)]
    assert factors[:3] == [0.5, 1.0, 1.0]
    assert factors[6] == pytest.approx(0.5)  # half way down the cosine
    assert factors[9] == pytest.approx(0.5 * (1 + np.cos(np.pi * 7 / 8)))
    assert warmup_cosine(0, 2, 50) == 1.0  # a warm-up longer than the training is cut to its half


def test_groups_hold_every_parameter_once_and_norms_do_not_decay():
    model = Classifier(build_backbone("shapes-resnet"), 3)
    optimizer = make_optimizer(model, recipe(backbone_rate=0.1, lr=1.0))
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(list(model.parameters()))
    for group in optimizer.param_groups:
        assert (group["weight_decay"] == 0) == all(p.ndim == 1 for p in group["params"])
    assert sorted({g["base_lr"] for g in optimizer.param_groups}) == [0.1, 1.0]


def test_heads_only_leaves_the_backbone_untouched(drawn, tmp_path):
    begin = start()
    before = {k: v.clone() for k, v in model_tensors(begin.backbone).items()}
    settings = recipe(trainable="heads", reestimate_batch_norm=False, lr=1e-2)
    fit(begin, "classify", drawn, settings, seed=5, state_dir=_made(tmp_path / "run"), progress=silent)
    for name, tensor in model_tensors(begin.backbone).items():
        assert torch.equal(tensor, before[name]), name


def test_statistics_are_those_of_the_target_images(drawn):
    begin = start()
    batches = Batches(drawn, 32, 0, flip=False, quarter_turns=False)
    assert reestimate_batch_norm(begin.backbone, batches, begin.preprocessing) == 12
    stem = begin.backbone.conv1(begin.preprocessing.apply(batches.batch(0).images))
    assert torch.allclose(begin.backbone.bn1.running_mean, stem.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(begin.backbone.bn1.running_var, stem.var((0, 2, 3)), rtol=1e-4)
    assert begin.backbone.bn1.momentum == 0.1


def test_frozen_statistics_stay_and_are_refused_for_random_weights(drawn):
    model = Classifier(build_backbone("shapes-resnet"), 3)
    set_mode(model, recipe(batch_norm="frozen"))
    assert model.training and not model.backbone.bn1.training
    with pytest.raises(WeightsError, match=r"recipe test: frozen batch norm.*random weights.*leave the random"):
        refuse_frozen_random(recipe(batch_norm="frozen"), is_random=True)


def test_a_loss_that_is_not_finite_names_images_and_advice(drawn, tmp_path):
    begin = start()
    with torch.no_grad():
        begin.backbone.conv1.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"update 0: the loss classes is not finite.*base-0000\d\d.*Lower the rate"):
        fit(
            begin,
            "classify",
            drawn,
            recipe(reestimate_batch_norm=False),
            seed=5,
            state_dir=_made(tmp_path / "run"),
            progress=silent,
        )


def test_a_falling_curve_is_not_converged():
    flat, falling = np.ones((50, 1)), np.linspace(2, 0.5, 50)[:, None]
    assert not LossCurve(("a",), flat).still_falling()
    assert LossCurve(("a",), falling).still_falling()
    assert not LossCurve(("a",), falling[:3]).still_falling()


@pytest.mark.parametrize("task", ["classify", "detect", "segment"])
def test_a_saved_model_predicts_the_same(drawn, tmp_path, task):
    begin = start()
    model, _ = fit(begin, task, drawn, recipe(task), seed=5, state_dir=_made(tmp_path / "run"), progress=silent)
    save_model(_made(tmp_path / "model"), model, model_facts(begin, task, recipe(task), drawn, resize="stretch"))
    again = load_model(tmp_path / "model")
    kind = trained_task(task)
    first = kind.predict(model, begin.preprocessing, drawn, silent)
    second = kind.predict(again.model, again.preprocessing, drawn, silent)
    assert again.classes == kind.classes_of(drawn)
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"not a task model \(no model.json\)"):
        load_model(tmp_path)


def test_losses_fall(drawn, tmp_path):
    _, curve = fit(
        start(),
        "classify",
        drawn,
        recipe(updates=40, batch_size=8, lr=3e-3),
        seed=5,
        state_dir=_made(tmp_path / "run"),
        progress=silent,
    )
    assert curve.total[-5:].mean() < 0.8 * curve.total[:5].mean()
