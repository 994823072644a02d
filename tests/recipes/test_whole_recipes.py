"""Recipes of whole detectors: what a task says, what is left to their authors, and where that is from."""

import pytest
from pydantic import ValidationError

from headstart.models.whole.families import FAMILIES
from headstart.recipes.heads import OWN_OF_FAMILY
from headstart.recipes.schema import recipe_of
from headstart.recipes.whole_recipes import MULTIPLES, authors, own_recipe

TASK = {"name": "r", "updates": 90, "batch_size": 4, "head": "whole"}


def test_every_family_has_a_recipe_with_its_source():
    for family in FAMILIES:
        said = authors(family)
        assert said["source"].startswith("github.com/") and said["left_out"]
        assert said.keys() <= {*OWN_OF_FAMILY, "source", "left_out"}
        assert {"own_rate", "backbone_rate", "weight_decay", "clip_norm", "precision"} <= said.keys()
        own = own_recipe(recipe_of(TASK | {"lr": 1.0}), family)
        assert (own.updates, own.batch_size, own.of_family, own.reestimate_batch_norm) == (90, 4, family, False)
        assert own.rate == said["own_rate"] and recipe_of(own.model_dump()) == own


def test_rates_are_multiples_of_the_authors():
    searched = recipe_of(TASK | {"rates": MULTIPLES})
    own = own_recipe(searched, "d_fine")
    assert own.rates == MULTIPLES and len(MULTIPLES) == 3
    assert own.model_copy(update={"lr": 3.0, "rates": ()}).rate == pytest.approx(7.5e-4)
    assert (own.backbone_rate, own.weight_decay, own.clip_norm) == (0.05, 1.25e-4, 0.1)


def test_what_families_have_of_their_own_is_not_a_task_s_to_say():
    with pytest.raises(ValidationError, match=r"not read: each whole detector has its own"):
        recipe_of(TASK | {"lr": 1.0, "weight_decay": 0.1})
    assert not set(OWN_OF_FAMILY) & recipe_of(TASK | {"lr": 1.0}).model_dump().keys()
    named = recipe_of(TASK | {"lr": 1.0, "of_family": "detr", "weight_decay": 0.1})
    assert own_recipe(named, "detr") is named
