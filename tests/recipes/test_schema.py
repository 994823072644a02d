"""What a head does not read is refused by name, with the head that has it; every field of every other is walked."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from headstart.recipes.pretraining import PretrainingTraining
from headstart.recipes.schema import AnyRecipe, Recipe, as_written, recipe_of
from headstart.recipes.settings import ReadSettings, faults_of

PLAIN: dict[str, Any] = {"name": "r", "updates": 4, "batch_size": 2, "lr": 0.1}
TRAINING: dict[str, Any] = {"batch_size": 2, "lr": 0.1}
VALUES: dict[str, Any] = {"deformable": ("C5",), "modulated": False, "neck": "fpn", "levels": ("C4", "C5")}
"""Values of fields whose default is no value that a user would give."""


def faults(make: Any, values: dict[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as refused:
        make(values)
    return faults_of(refused.value)


def others(family: dict[str, type[ReadSettings]]) -> list[tuple[str, str]]:
    """(kind, a field that it has not and another kind has), all of them."""
    every = {name for kind in family.values() for name in kind.model_fields}
    return [(kind, name) for kind, own in family.items() for name in sorted(every - set(own.model_fields))]


def having(family: dict[str, type[ReadSettings]], name: str) -> list[str]:
    return [kind for kind, own in family.items() if name in own.model_fields]


@pytest.mark.parametrize("head, name", others(Recipe.family))
def test_every_field_of_every_other_head_is_refused_by_name(head: str, name: str) -> None:
    usual = next(kind.model_fields[name].default for kind in Recipe.family.values() if name in kind.model_fields)
    (line,) = faults(recipe_of, PLAIN | {"head": head, name: VALUES.get(name, usual)})
    assert line.startswith(f'{name}: head "{head}" has no such setting; head')
    assert all(f'"{kind}"' in line for kind in having(Recipe.family, name))


@pytest.mark.parametrize("head, name", others(PretrainingTraining.family))
def test_every_field_of_every_other_head_is_refused_in_a_pre_training(head: str, name: str) -> None:
    (line,) = faults(PretrainingTraining.model_validate, TRAINING | {"head": head, name: VALUES.get(name, 1)})
    assert line.startswith(f'{name}: head "{head}" has no such setting; head')
    assert all(f'"{kind}"' in line for kind in having(PretrainingTraining.family, name))


@pytest.mark.parametrize("head", PretrainingTraining.family)
@pytest.mark.parametrize("name", [*sorted({*Recipe.model_fields} - {*PretrainingTraining.model_fields}), "limit"])
def test_what_a_pre_training_does_not_read_is_refused_with_what_to_do_instead(head: str, name: str) -> None:
    (line,) = faults(PretrainingTraining.model_validate, TRAINING | {"head": head, name: 1})
    assert line.startswith(f'{name}: head "{head}" has no such setting; ')
    assert line.split("; ")[1].startswith(("images are", "they follow", "its rate is", "it is of", "it stands"))


@pytest.mark.parametrize("base", [Recipe, PretrainingTraining])
def test_a_base_class_cannot_be_made(base: type[ReadSettings]) -> None:
    with pytest.raises(TypeError, match=f"{base.__name__} is one of several kinds"):
        base(**PLAIN, head="fcos")


def test_both_of_two_faults_are_named() -> None:
    lines = faults(recipe_of, PLAIN | {"head": "fcos", "decoupled": True, "proposals": 7})
    assert lines == [
        'decoupled: head "fcos" has no such setting; head "faster-rcnn" has',
        'proposals: head "fcos" has no such setting; head "faster-rcnn" has',
    ]


@pytest.mark.parametrize(
    "more, said",
    [
        ({"head": "fcos", "proposal": 7}, 'the nearest is `proposals`, of head "faster-rcnn"'),
        ({"head": "fcos", "levls": ()}, 'levls: head "fcos" has no such setting; did you mean `levels`?'),
        ({"head": "fcs"}, 'head: there is no head "fcs", only "fcos" or .*; did you mean "fcos"\\?'),
        (
            {},
            'head: needed, one of "fcos" or "retinanet" or "faster-rcnn" or "pixel" or "fcn" or "deeplab" or "lin',
        ),
        ({"head": "fcos", "zzz": 1}, "zzz: .*no such setting; there are accumulate, average, "),
    ],
)
def test_what_is_misspelt_is_told_with_the_nearest_right_name(more: dict[str, Any], said: str) -> None:
    import re

    (line,) = faults(recipe_of, PLAIN | more)
    assert said in line or re.search(said, line)


@pytest.mark.parametrize(
    "more, said",
    [
        ({"head": "fcos", "modulated": True}, "modulated: not read: it needs `deformable`"),
        ({"head": "faster-rcnn", "neck": "c4", "levels": ("C4",)}, 'levels: not read: `neck = "c4"` reads C4 alone'),
        ({"head": "linear", "drops": (0.5,)}, 'drops: not read: it needs `schedule = "steps"`'),
        ({"head": "linear", "trainable": "heads", "backbone_rate": 0.1}, "backbone_rate: not read: `trainable ="),
        ({"head": "fcn", "scale_jitter": (2.0, 0.5)}, "`scale_jitter` is the least and the greatest factor"),
        ({"head": "fcos", "neck": "dc5"}, "neck: it should be 'plain' or 'fpn'; 'dc5' is for head \"faster-rcnn\""),
    ],
)
def test_what_is_not_read_as_the_others_are_set_is_refused(more: dict[str, Any], said: str) -> None:
    (line,) = faults(recipe_of, PLAIN | more)
    assert line.startswith(said)


EXAMPLES: list[dict[str, Any]] = [
    *({"head": head} for head in Recipe.family),
    {"head": "faster-rcnn", "neck": "c4", "deformable": ("C4", "C5"), "modulated": False},
    {"head": "fcos", "schedule": "steps", "drops": (0.5, 0.9), "trainable": "heads"},
]


class Holder(BaseModel):
    recipe: AnyRecipe


@pytest.mark.parametrize("more", EXAMPLES, ids=str)
def test_what_is_written_out_is_read_again_and_holds_what_is_read_alone(more: dict[str, Any]) -> None:
    recipe = recipe_of(PLAIN | more)
    assert type(recipe) is Recipe.family[more["head"]]
    assert recipe_of(recipe.model_dump()) == recipe_of(recipe.model_dump(mode="json")) == recipe
    assert recipe_of(recipe.model_dump(exclude_defaults=True)) == recipe
    assert set(recipe.model_dump()) == set(type(recipe).model_fields) - set(recipe.idle()) - recipe.tacit - recipe.later
    held = Holder(recipe=recipe)
    assert Holder.model_validate_json(held.model_dump_json()) == held
    assert held.recipe is recipe


def test_settings_of_windows_are_in_no_key_of_a_training_without() -> None:
    assert not {"crop", "scale_jitter"} & set(recipe_of(PLAIN | {"head": "deeplab"}).identity())
    cut = recipe_of(PLAIN | {"head": "deeplab", "crop": 513, "scale_jitter": [0.5, 2]})
    assert cut.identity()["crop"] == 513 and recipe_of(cut.model_dump(mode="json")) == cut


def test_recipes_that_were_written_with_the_settings_of_all_heads_are_read() -> None:
    """As results of older versions hold them: tuples are lists, defaults written out."""
    every = {n: f.default for kind in Recipe.family.values() for n, f in kind.model_fields.items() if n not in PLAIN}
    old = {n: list(v) if isinstance(v, tuple) else v for n, v in every.items()} | PLAIN | {"head": "fcos"}
    assert "proposals" in old and old["modulated"] is True
    assert recipe_of(as_written(old)) == recipe_of(PLAIN | {"head": "fcos"})
    with pytest.raises(ValidationError, match="typo"):
        recipe_of(as_written(old | {"typo": 1}))
