"""Costs of networks that nobody has timed follow their operations."""

from dataclasses import replace
from pathlib import Path

import pytest

from headstart.study.files import load_study
from headstart.study.plan import Planner
from headstart.study.plan_summary import plan_summary
from headstart.study.planning.operations import RUNS_NETWORK, heavier
from study.planning.test_spending import Finished, plan_of, study


def test_a_larger_network_takes_longer_by_its_operations() -> None:
    expansion = replace(plan_of(Finished(0, {})), done=frozenset())
    times = heavier(expansion.known)
    of_arm = {job.label.split()[2].rstrip(","): times.get(job.key) for job in expansion.known if job.kind == "transfer"}
    by_hand = {"boxes": 1.0, "labels": pytest.approx(3.627 / 0.67), "random": pytest.approx(8.174 / 0.67)}
    assert of_arm == by_hand, "the first is the small network itself; GFLOPs of ResNet-18 and -50"
    assert not {job.kind for job in expansion.known if job.key in times} - set(RUNS_NETWORK)

    timed = plan_summary(study(), Path("run"), expansion, calibrated="2026-11-30").jobs
    untimed = plan_summary(study(), Path("run"), expansion).jobs
    factor = (1 + 3.627 / 0.67 + 8.174 / 0.67) / 3
    assert untimed["transfer"] == (timed["transfer"][0], pytest.approx(factor * timed["transfer"][1]))
    assert all(untimed[kind] == job for kind, job in timed.items() if kind not in RUNS_NETWORK)


def test_pre_trainings_features_and_tests_follow_their_networks_too() -> None:
    """The paper's study: a ResNet-101 in every job that runs a network, whose weights are given or made."""
    study, base = load_study("paper")
    known = Planner(study, base, without_data=True).expand(lambda job: None).known
    times = heavier(known)
    of = {kind: {times.get(job.key, 0.0) for job in known if job.kind == kind} for kind in RUNS_NETWORK}
    for kind in ("pretrain", "finetune", "proposals", "test_whole", "features"):
        assert of[kind] and min(of[kind]) >= 15.599 / 0.67 - 1e-9, (kind, of[kind])
