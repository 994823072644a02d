"""From the metrics of finished transfers to what has converged."""

import numpy as np
import pytest

from headstart.config.study import Task
from headstart.recipes.schema import recipe_of
from headstart.study.jobs import Job, Trial
from headstart.study.lengths import as_rows, convergence_of

RECIPE = recipe_of({"name": "r", "updates": 60, "batch_size": 1, "lr": 0.1, "head": "pixel"})
TASK = Task(name="scenes", kind="segment", train=("a", "b"), test=("c", "d"), recipe=RECIPE)


def trained(*, at, falling=0.0):
    """Metrics of a transfer that scored so at a third, two thirds and the end."""
    names = ("val-1of3/seg/miou", "val-2of3/seg/miou", "val/seg/miou")
    return dict(zip(names, at, strict=True)) | {"train/not_converged": falling}


def found_in(folds):
    """Trials, and the metrics of their transfers: folds maps (weights, seed) to one dict a fold."""
    trials, metrics = [], {}
    for (weights, seed), of_folds in folds.items():
        jobs = tuple(Job("transfer", {"of": [weights, seed, k]}) for k in range(len(of_folds)))
        metrics |= {job.key: values for job, values in zip(jobs, of_folds, strict=True)}
        test = Job("evaluate", {"of": [weights, seed]})
        trials.append(Trial(weights, "scenes", seed, test, transfers=jobs, rates=(0.1,), at_edge=False))
    return trials, lambda job: metrics.get(job.key)


def test_folds_are_averaged_and_seeds_in_order():
    trials, found = found_in(
        {
            ("w", 2): [trained(at=(0.2, 0.3, 0.4)), trained(at=(0.4, 0.5, 0.6))],
            ("w", 1): [trained(at=(0.1, 0.1, 0.1)), trained(at=(0.3, 0.3, 0.3))],
            ("lost", 1): [trained(at=(0.1, 0.1, 0.1)), trained(at=(0.3, 0.3, 0.3))],
        }
    )
    of = convergence_of(TASK, trials, found, seeds=[1, 2], margin=0.01)["seg/miou"]
    assert list(of.scores) == ["w"]  # of the other not all seeds were finished
    assert np.allclose(of.scores["w"], [[0.2, 0.3], [0.2, 0.4], [0.2, 0.5]])
    (row,) = as_rows(TASK, {"seg/miou": of}, 60)
    assert row["task"] == "scenes" and row["updates"] == 60 and row["scores"]["w"][0] == pytest.approx([0.2, 0.3])


@pytest.mark.parametrize("value", [None, "absent"])
def test_without_scores_the_loss_decides(value):
    of_fold = {"train/not_converged": 1.0} | ({} if value == "absent" else {"val/seg/miou": value})
    trials, found = found_in({("w", 1): [of_fold], ("v", 1): [trained(at=(0.1, 0.1, 0.1))]})
    of = convergence_of(TASK, trials, found, seeds=[1], margin=0.01)["seg/miou"]
    assert of.of_pair("v", "w") == "w was still losing training loss"
    assert as_rows(TASK, {"seg/miou": of}, 60)[0]["scores"]["w"] == [[None], [None], [None]]


def test_a_probe_trains_nothing():
    probe = Task(name="p", kind="probe", train=("a",), test=("c",))
    assert convergence_of(probe, [], lambda job: None, seeds=[1], margin=0.01) == {}
    assert as_rows(probe, {}, 0) == []
