"""Which pairs a study explains: chosen by what its trials scored, or named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from headstart.config.study import Study
from headstart.study.jobs import Job
from headstart.study.plan_summary import plan_summary
from headstart.study.why.told import pair_facts
from support.small_studies import by_label, drawn, needs, nothing, planner

SCORES = {"boxes": 0.6, "labels": 0.5, "random": 0.7}


def explained(**why: Any) -> dict[str, Any]:
    """The probe of `drawn`, explained; its two seeds score their candidates alike."""
    values = {k: v for k, v in drawn().items() if k != "explain"}
    values["tasks"] = [task for task in values["tasks"] if task["kind"] == "probe"]
    return values | {"seeds": [5, 6], "why": [{"task": "probe", "images": "test", "statistics": "train"} | why]}


def scored(job: Job) -> dict[str, float | None] | None:
    """Every probe is done."""
    if job.kind != "probe":
        return {} if job.kind in ("draw", "pretrain", "features") else None
    return {"probe/logistic/top1": SCORES[job.label.split()[2].rstrip(",")]}


def pairs(values: dict[str, Any], lookup: Any = scored) -> list[tuple[str, str]]:
    return [(pair.a, pair.b) for pair in planner(values).expand(lookup).pairs]


def test_the_best_is_explained_against_the_default_once_all_are_tested() -> None:
    assert pairs(explained()) == [("random", "labels")]
    plan = planner(explained()).expand(nothing)
    assert plan.pairs == [] and plan.hidden == 4 and not plan.complete
    one_left = planner(explained()).expand(lambda job: None if "random, seed 6" in job.label else scored(job))
    assert one_left.pairs == [] and one_left.hidden == 4


def test_the_default_that_is_best_is_explained_against_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCORES, "labels", 0.9)
    assert pairs(explained()) == [("labels", "random")]


def test_named_pairs_and_all_pairs() -> None:
    named = [("boxes", "labels")]
    assert pairs(explained(pairs=named), nothing) == named, "nothing needs to be known"
    assert pairs(explained(pairs=named, every=True)) == [
        ("random", "labels"),
        ("boxes", "labels"),
        ("random", "boxes"),
    ]
    assert pairs(explained(task=None, pairs=named), nothing) == named


def test_what_the_jobs_of_a_pair_need() -> None:
    jobs = by_label(planner(explained(pairs=[("boxes", "random")])).expand(scored))
    looks = {f"look at {name} on test" for name in ("boxes", "random")}
    assert looks | {"neighbors of boxes and random (probe)"} <= set(jobs)
    images = {"images": "draw test", "statistics": "draw train"}
    assert needs(jobs["look at boxes on test"]) == images | {"weights": "pre-train boxes, seed 5"}
    assert needs(jobs["look at random on test"]) == images
    contents = needs(jobs["which images boxes and random get right (probe)"])
    assert contents.keys() == {"images", "a5", "a6", "b5", "b6", "test5_0", "test6_0"}
    assert (contents["a6"], contents["b5"]) == ("probe from boxes, seed 6", "probe from random, seed 5")


def test_two_starts_from_one_backbone_are_looked_at_once(tmp_path: Path) -> None:
    """As two candidates are whose transfers copy different parts of one file."""
    values = explained(pairs=[("random", "again")])
    values["weights"] = [*values["weights"], {"name": "again", "uri": "random:shapes-resnet"}]
    [pair] = planner(values).expand(nothing).pairs
    assert pair.looks[0].key == pair.looks[1].key
    (tmp_path / pair.pair.name).mkdir()
    (tmp_path / pair.looks[0].name).mkdir()
    for job in (pair.pair, pair.looks[0]):
        np.savez(tmp_path / job.name / "replicates.npz", x=np.arange(5.0))
    (tmp_path / pair.pair.name / "said.json").write_text('["{a} is told apart from {b}."]')
    done = {job.key: {"x": 2.0} for job in pair.jobs if job is not pair.contents}
    facts = pair_facts(pair, lambda job: done.get(job.key), lambda name: tmp_path / name)
    assert facts and facts["said"][:2] == [
        "Both start from the same backbone, so their neighbors and activations are the same.",
        "random is told apart from again.",
    ]
    assert facts["effects"]["x"] == [2.0, pytest.approx(0.1), pytest.approx(3.9)]
    assert pair_facts(pair, lambda job: None, lambda name: tmp_path / name) is None


def test_a_candidate_that_failed_is_not_waited_for() -> None:
    plan = planner(explained())
    failing = [t.evaluate for t in plan.expand(nothing).trials if t.weights == "random"]
    plan.failed |= {job.key for job in failing}

    def found(job: Job) -> dict[str, float | None] | None:
        return None if job.key in plan.failed else scored(job)

    assert [(p.a, p.b) for p in plan.expand(found).pairs] == [("boxes", "labels")]


def test_the_plan_says_what_explaining_costs() -> None:
    values = explained()
    plan = planner(values)
    summary = plan_summary(plan.study, plan.base, plan.expand(nothing), explaining=plan.pairs.cost())
    assert summary.explaining > 8 and "its explanations (compare: --no-explain leaves them out)" in summary.text()
    assert plan_summary(plan.study, plan.base, plan.expand(scored), explaining=9.0).explaining == 0
    [why] = plan.study.why
    assert plan.pairs.cost() == pytest.approx(2 * plan.pairs.look_cost(why) + plan.pairs.pair_cost(why) + 8)
    assert plan.pairs.pair_cost(why) == pytest.approx(2 + 30 * (plan.pairs.sets.count(why.images) / 2000) ** 2)


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ({"task": None}, "give a `task`, whose best candidate is explained, or `pairs`"),
        ({"task": "prob"}, "no task named 'prob'"),
        ({"pairs": [("boxes", "nobody")]}, "no weights named 'nobody'"),
        ({"pairs": [("boxes", "boxes")]}, "'boxes' is paired with itself"),
        ({"statistics": "nowhere"}, "no set of prepared images named 'nowhere'"),
    ],
)
def test_faults_of_the_settings(why: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Study.model_validate(explained(**why))
