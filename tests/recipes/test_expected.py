"""What recipes say that they reach: said by every one, and reached, where it can be here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from scipy.stats import t as student

from headstart import api
from headstart.config.study import WeightsEntry
from headstart.names import parse
from headstart.recipes.changes import changed
from headstart.recipes.pretraining import Expected, builtin_names, load_recipe
from headstart.study.files import load_study, write_study

MEASURED = {"metric": "seg/miou", "value": 0.5, "spread": 0.1, "seeds": 3, "how": "a command"}


@pytest.mark.parametrize("name", builtin_names())
def test_every_recipe_of_the_package_says_what_it_is_expected_to_reach(name: str) -> None:
    recipe = load_recipe(name)
    assert "expected" in recipe.model_fields_set
    said = recipe.expected.words()
    if recipe.expected.run == "measured":
        assert str(parse(recipe.expected.metric)) == recipe.expected.metric
        assert f"{recipe.expected.value:.3f}, standard deviation {recipe.expected.spread:.3f} over 3 seeds (" in said
    else:
        assert said.startswith("not run in full")
    assert changed(recipe, ["epochs=1"]).expected == Expected()


@pytest.mark.parametrize("lacking", MEASURED)
def test_a_number_without_its_spread_or_source_is_refused(lacking: str) -> None:
    assert Expected(run="measured", **MEASURED).words() == (  # type: ignore[arg-type]
        "seg/miou 0.500, standard deviation 0.100 over 3 seeds (a command)"
    )
    with pytest.raises(ValidationError, match="measured"):
        Expected.model_validate({"run": "measured"} | {k: v for k, v in MEASURED.items() if k != lacking})
    with pytest.raises(ValidationError, match="has none"):
        Expected.model_validate({lacking: MEASURED[lacking]})


@pytest.mark.nightly
def test_another_seed_is_where_the_recipes_say(tmp_path: Path) -> None:
    """A seed that their numbers are not of, each recipe as it is and from random values: within the interval that holds
    another one 19 times of 20."""
    study, _ = load_study("shapes")
    alone = {
        name: study.pretraining[name].model_copy(update={"start": None, "recipe": load_recipe(f"shapes-{name}")})
        for name in ("boxes", "labels")
    }
    small = study.model_copy(
        update={
            "seeds": (3,),
            "pretraining": alone,
            "weights": tuple(WeightsEntry(name=name, pretraining=name) for name in alone),
            "tasks": tuple(task for task in study.tasks if task.name == "probe-base"),
            "explain": None,
            "why": (),
        }
    )
    write_study(small, tmp_path / "small.toml", "one seed of shapes, its probe alone")
    api.run_study(str(tmp_path / "small.toml"), out=tmp_path / "run", quiet=True)
    trials = json.loads((tmp_path / "run" / "metrics.json").read_text())["trials"]
    assert sorted(trial["weights"] for trial in trials) == ["boxes", "labels"]
    for trial in trials:
        expected = load_recipe(f"shapes-{trial['weights']}").expected
        assert expected.value and expected.spread and expected.seeds
        within = student.ppf(0.975, expected.seeds - 1) * expected.spread * (1 + 1 / expected.seeds) ** 0.5
        value = trial["metrics"][expected.metric]
        print(f"shapes-{trial['weights']}: {value:.4f}, expected {expected.value} +- {within:.4f}")
        assert abs(value - expected.value) < within
