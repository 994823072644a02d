"""Study files, recipes and weights cards, changed in thousands of ways, end in a message or are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart import api
from headstart.errors import StudyError, UsageError, WeightsError
from headstart.recipes.changes import changed_recipe
from headstart.recipes.pretraining import load_recipe
from headstart.texts import DEEPEST, json_of, toml_of
from headstart.weights.cards import resolve
from support.fuzz.expect import FEW, MANY, sound
from support.fuzz.settings import CARD, SETTINGS, STUDY

NAMES = [target.name for target in SETTINGS]


@pytest.mark.parametrize("name", NAMES)
def test_some_changed_settings_end_in_a_message(name: str, tmp_path: Path) -> None:
    assert not sound(name, FEW, tmp_path).findings


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_changed_settings_end_in_a_message(name: str, tmp_path: Path) -> None:
    assert not sound(name, MANY, tmp_path).findings


# What was found.

DEEP = "[" * 20_000 + "]" * 20_000
NOT_TOML = {
    "lists in lists without end": f"x = {DEEP}",
    "a number of 5,000 digits": f"x = {'9' * 5000}",
    "a number that no integer holds": "x = 18446744073709551616",
}


@pytest.mark.parametrize("text", NOT_TOML.values(), ids=NOT_TOML)
def test_what_python_cannot_hold_is_no_toml(text: str, tmp_path: Path) -> None:
    """A file of settings with it is refused by its name, whichever it is."""
    for name in ("study.toml", "recipe.toml", "card.toml"):
        (tmp_path / name).write_text(text)
    with pytest.raises(StudyError, match=r"study\.toml: not valid TOML"):
        api.plan_study(tmp_path / "study.toml", tmp_path / "run")
    with pytest.raises(UsageError, match=r"recipe\.toml: not valid TOML"):
        load_recipe(str(tmp_path / "recipe.toml"))
    with pytest.raises(WeightsError, match=r"card\.toml: not a readable weights card"):
        resolve("card.toml", tmp_path)


def test_values_nest_as_deep_as_is_said_and_no_deeper() -> None:
    for read, begin in ((json_of, ""), (toml_of, "x = ")):
        most = DEEPEST - 1 - bool(begin)
        assert read(begin + "[" * most + "1" + "]" * most)
        with pytest.raises(ValueError, match="nested more than 64 deep"):
            read(begin + "[" * (most + 1) + "1" + "]" * (most + 1))
    assert toml_of(f"x = {2**64 - 1}") == {"x": 2**64 - 1} and toml_of(f"x = {1 - 2**64}")
    with pytest.raises(ValueError, match="a whole number of 20 digits"):
        toml_of(f"x = {2**64}")


FAULTS = {
    "a set that is a number": ('pretraining = { world = "base", count = 60 }', "pretraining = 7", "dictionary"),
    "a set that is a list": ('pretraining = { world = "base", count = 60 }', "pretraining = [{}]", "dictionary"),
    "a recipe that is true": ('recipe = "shapes-boxes"', "recipe = true", "name of a recipe"),
    "a recipe that is a list": ('recipe = "shapes-boxes"', "recipe = [{}]", "name of a recipe"),
    "a recipe of 300 letters": ('recipe = "shapes-boxes"', f'recipe = "{"a" * 300}"', "no such recipe"),
    "changes that are a number": ('start = "labels"', "changes = 0.5", "is a table of settings"),
    "changes that are a list": ('start = "labels"', "changes = [{}]", "is a table of settings"),
    "a supervision that there is not": ('start = "labels"', 'supervision = "x"', "'boxes' or 'labels', not 'x'"),
    "a head that is a table": ('head = "fcos"', "head = { x = 1 }", "recipe.head: needed, one of"),
    "a rate of nothing": (
        "rates = [1e-3,",
        "rates = [0.0,",
        "rates.0: input should be greater than",
    ),
    "a margin without end": ("bootstrap = 100", "margin = inf", "margin: input should be a finite number"),
}


@pytest.mark.parametrize(("old", "new", "said"), FAULTS.values(), ids=FAULTS)
def test_values_of_another_kind_in_a_study(old: str, new: str, said: str, tmp_path: Path) -> None:
    text = STUDY.decode()
    assert old in text
    (tmp_path / "study.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(StudyError, match="fault") as caught:
        api.plan_study(tmp_path / "study.toml", tmp_path / "run")
    assert said in str(caught.value)


@pytest.mark.parametrize("change", ["training.lr=inf", "training.lr=nan", "epochs=inf", f"training.lr={DEEP}"])
def test_rates_and_lengths_without_end_are_no_settings(change: str) -> None:
    with pytest.raises(UsageError, match="recipe shapes-boxes with --set"):
        changed_recipe("shapes-boxes", None, [change])


@pytest.mark.parametrize("drops", ["[-1.0]", "[0.5, 1e9]", "[0.0, 0.5]"])
def test_drops_are_fractions(drops: str) -> None:
    steps = 'training.schedule="steps"'
    assert changed_recipe("shapes-boxes", None, [steps, "training.drops=[0.5, 0.75]"]).training.drops == (0.5, 0.75)
    with pytest.raises(UsageError, match=r"training.drops.\d: Input should be (greater|less) than"):
        changed_recipe("shapes-boxes", None, [steps, f"training.drops={drops}"])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"shapes-resnet"', f'"{"a" * 300}.py:f"', "cannot be looked for"),
        ('"kept.safetensors"', f'"{"a" * 300}"', "cannot be looked for"),
        ('"kept.safetensors"', '"a\\u0000b"', "cannot be looked for"),
        ("norm_eps = 1e-3", "norm_eps = inf", "norm_eps: Input should be a finite number"),
        ("std = [0.229", "std = [nan", "std.0: Input should be a finite number"),
    ],
)
def test_what_a_card_cannot_say(old: str, new: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "card.toml").write_text(CARD.decode().replace(old, new, 1))
    with pytest.raises(WeightsError, match="card") as caught:
        resolve("card.toml", tmp_path)
    assert said in str(caught.value)


def test_thousands_of_faults_are_counted_and_some_are_named(tmp_path: Path) -> None:
    """Each is looked for in the whole text, so that the time to name all of them grows with its square."""
    (tmp_path / "study.toml").write_text(STUDY.decode() + "\n[[published]]\n" * 1000)
    with pytest.raises(StudyError) as caught:
        api.plan_study(tmp_path / "study.toml", tmp_path / "run")
    first, *named, last = str(caught.value).splitlines()
    assert first.endswith(": 5000 faults in the study:") and len(named) == 50 and last == "  and 4950 more"
    (tmp_path / "card.toml").write_text(CARD.decode().replace('["fc."]', str(list(range(5000)))))
    with pytest.raises(WeightsError, match=r"card\.toml: 5000 faults in this weights card") as caught:
        resolve("card.toml", tmp_path)
    assert str(caught.value).count("ignore.") == 50
