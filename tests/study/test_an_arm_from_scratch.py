"""Weights that are trained for longer than recipes say: what is planned for them."""

from __future__ import annotations

import pytest

from headstart.config.study import Study
from headstart.study.jobs import Job
from support.small_studies import drawn, planner


def everything(job: Job) -> dict[str, float | None]:
    """All is done, and the middle rate is the best."""
    return {"val/det/coco/map@0.5:0.95": -abs(job.settings.recipe.lr - 3e-3)} if job.kind == "transfer" else {}


def test_an_arm_from_nothing_is_trained_for_longer() -> None:
    values = drawn()
    values["weights"].append({"name": "scratch", "uri": "random:shapes-resnet", "times": 2.5})
    values["explain"]["scratch"] = "scratch"
    values["tasks"][0]["only"] = ["boxes", "scratch"]
    trials = {t.weights: t for t in planner(values).expand(everything).trials if t.task == "find"}
    assert {name: t.transfers[0].settings.recipe.updates for name, t in trials.items()} == {"boxes": 30, "scratch": 75}
    assert trials["scratch"].transfers[0].cost == pytest.approx(2.5 * trials["boxes"].transfers[0].cost)
    with pytest.raises(ValueError, match=r"explain\.scratch: no weights named 'nothing'"):
        Study.model_validate(values | {"explain": values["explain"] | {"scratch": "nothing"}})
