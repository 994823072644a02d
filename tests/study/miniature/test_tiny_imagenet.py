"""The study of photographs of Tiny ImageNet: planned without data, and in miniature."""

from __future__ import annotations

import re

import pytest

from headstart import api
from headstart.config.data import DataSource
from headstart.config.sets import FolderSet, TableSet
from headstart.errors import UsageError
from headstart.study.files import load_study
from headstart.study.miniature.in_small import in_small
from headstart.study.miniature.smaller import changes_of, miniature
from study.miniature.test_paper import SIZES, STEPS


def test_no_class_is_pre_trained_on_and_transferred_to() -> None:
    """84 classes of the 200, and each set of either kind is of the same."""
    study, _ = load_study("tiny-imagenet")
    read = {name: images.read for name, images in study.sets.items() if isinstance(images, FolderSet | TableSet)}
    of = {name: re.findall(r"n\d{8}", str(how["classes"])) for name, how in read.items() if "classes" in how}
    base, novel = of.pop("pretraining"), of.pop("novel-train")
    assert (len(set(base)), len(set(novel)), set(base) & set(novel)) == (60, 24, set())
    assert set(map(tuple, of.values())) == {tuple(novel)} and len(of) == 3


def test_all_arms_are_trained_alike() -> None:
    """But for what they are told, and where they start: at half the rate."""
    study, _ = load_study("tiny-imagenet")
    recipes = {name: made.recipe.model_dump() for name, made in study.pretraining.items()}
    sampling = {str(recipe["sampling"]) for recipe in recipes.values()}
    lengths = {(recipe["epochs"], recipe["training"]["batch_size"]) for recipe in recipes.values()}
    assert len(sampling) == len(lengths) == 1
    rates = {name: recipe["training"]["lr"] for name, recipe in recipes.items()}
    assert rates == {name: 2e-3 if study.pretraining[name].start else 4e-3 for name in recipes}


def test_only_sizes_and_steps_differ_in_miniature() -> None:
    study, _ = load_study("tiny-imagenet")
    changed = {place.rpartition(".")[2] for place, _, _ in changes_of(study, miniature(study))}
    assert changed - SIZES - STEPS <= {"classes", "most_updates"}


def test_it_is_planned_without_data() -> None:
    plan = api.plan_study("tiny-imagenet", device="cpu")
    assert plan.jobs["pretrain"][0] == 4 * 3 and "trials: " in plan.text()
    assert "tiny-imagenet-novel: Tiny ImageNet, 24 other classes" in plan.text()


def test_data_that_there_is_no_miniature_of() -> None:
    study, _ = load_study("tiny-imagenet")
    data = study.data | {"mine": DataSource(what="x", layout="x", get="x", gigabytes=1)}
    sets = {name: images.model_copy(update={"path": "data:mine"}) for name, images in study.sets.items()}
    with pytest.raises(UsageError, match="there is no miniature of mine; there are voc, "):
        in_small(study.model_copy(update={"data": data, "sets": sets}), None, lambda line: None, write=False)  # type: ignore[arg-type]
