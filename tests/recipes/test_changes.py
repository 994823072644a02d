"""Changes of a pre-training's recipe: the same from a command and from a study, and what goes with them."""

from __future__ import annotations

import pytest

from headstart.errors import UsageError
from headstart.recipes.changes import changed
from headstart.recipes.pretraining import PretrainingRecipe, builtin_names, load_recipe
from headstart.recipes.sampling import FixedSampling


@pytest.mark.parametrize("name", builtin_names())
def test_a_recipe_of_the_package_is_written_out_and_read_again(name: str) -> None:
    recipe = load_recipe(name)
    assert PretrainingRecipe.model_validate(recipe.model_dump(mode="json")) == recipe
    assert recipe.recipe(7).updates == 7


@pytest.mark.parametrize("name", builtin_names("boxes"))
def test_the_counterpart_under_labels_is_a_recipe_too(name: str) -> None:
    recipe = load_recipe(name)
    labels = recipe.by("labels")
    assert PretrainingRecipe.model_validate(labels.model_dump(mode="json")) == labels
    assert labels.training.head == "linear"
    assert (labels.training.lr, labels.training.batch_size) == (recipe.training.lr, recipe.training.batch_size)


def test_words_and_tables_change_alike() -> None:
    recipe = load_recipe("shapes-chips")
    words = changed(recipe, ["training.lr=0.01", "epochs=2", "backbone=resnet18", "sampling.small={repeats = 2}"])
    table = {"training": {"lr": 0.01}, "epochs": 2, "backbone": "resnet18", "sampling.small": {"repeats": 2}}
    assert changed(recipe, table) == words
    assert words.training.lr == 0.01 and words.sampling.small.repeats == 2  # type: ignore[union-attr]
    assert changed(recipe, []) is recipe


def test_with_another_head_or_layout_go_the_settings_of_the_former() -> None:
    recipe = load_recipe("sniper-coco")
    other = changed(recipe, ["training.head=fcos", "sampling.negatives=0"])
    assert other.training.head == "fcos" and other.training.channels == recipe.training.channels  # type: ignore[union-attr]
    assert other.negatives == 0
    fixed = changed(load_recipe("shapes-chips"), {"sampling": {"layout": "fixed", "quarter_turns": True}})
    assert fixed.sampling == FixedSampling(layout="fixed", size=160, quarter_turns=True)
    assert fixed.recipe(3).quarter_turns
    assert changed(load_recipe("sniper-openimages"), ["training.deformable=[]"]).recipe(1).head == "faster-rcnn"


@pytest.mark.parametrize(
    "changes, said",
    [
        (["training.quarter_turns=true"], 'training.quarter_turns: head "fcos" has no such setting; images are turned'),
        (["training.rates=[1, 2, 3]"], "training.rates: .*; its rate is `lr`"),
        (["training.proposals=7"], 'training.proposals: head "fcos" has no such setting; head "faster-rcnn" has'),
        (["sampling.least_area=0.5"], 'sampling.least_area: layout "chips" has no such setting; layout "crops" has'),
        (["training.modulated=true"], "training.modulated: not read: it needs `deformable`"),
        (["epoch=3"], "epoch: there is no such setting; did you mean `epochs`?"),
        (["budget.layout=whole"], "budget"),
        (["sampling.layout=crops"], "'crops' is not for boxes; use chips or whole or pyramid or fixed"),
        (["epochs.more=3"], "epochs.more=3: epochs is a value, not a table"),
    ],
)
def test_what_is_asked_for_and_would_not_be_read_is_refused(changes: list[str], said: str) -> None:
    recipe = load_recipe("shapes-chips")
    table = {key: value for key, _, value in (change.partition("=") for change in changes)}
    for given in (changes, table):
        with pytest.raises(UsageError) as refused:
            changed(recipe, given)
        assert all(part in str(refused.value) for part in said.split(".*")), str(refused.value)


def test_evaluation_at_scales_is_for_boxes() -> None:
    with pytest.raises(UsageError, match="inference: not read"):
        changed(load_recipe("shapes-labels"), {"inference": [{"kind": "factor", "value": 1.0}]})


def test_images_of_one_size_serve_boxes_and_labels_alike() -> None:
    for name in ("shapes-boxes", "shapes-labels"):
        recipe = changed(load_recipe(name), ["sampling.layout=fixed", "sampling.quarter_turns=true"])
        assert recipe.recipe(5).quarter_turns and recipe.by("labels").sampling == recipe.sampling
