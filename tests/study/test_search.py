"""The search for a rate: the same grid for all, extended at an edge, never on test images."""

from dataclasses import dataclass

import pytest

from headstart.config.study import Task
from headstart.recipes.schema import recipe_of
from headstart.study.jobs import Job
from headstart.study.search import search_rate


@dataclass(frozen=True)
class At:
    """Settings of a made-up training."""

    lr: float


RATES = (1e-3, 3e-3, 9e-3)


def task(kind: str = "segment") -> Task:
    head = {"segment": "pixel", "classify": "linear"}[kind]
    recipe = recipe_of({"name": "r", "updates": 1, "batch_size": 1, "rates": RATES, "head": head})
    return Task(name="t", kind=kind, train=("a",), val=("b",), test=("c",), recipe=recipe)


def search(best_at: float, done: int = 99, kind: str = "segment", name: str = "val/seg/miou"):
    """A made-up validation metric that is best at `best_at`; the first `done` trainings are finished."""
    tried: list[float] = []

    def lookup(job: Job):
        rate = job.settings.lr
        if rate not in tried:
            tried.append(rate)
        return {name: -abs(rate - best_at), "seg/miou": rate} if tried.index(rate) < done else None

    return search_rate(task(kind), RATES, lambda lr: Job("transfer", At(lr)), lookup)


def test_a_best_rate_inside_the_grid_is_taken():
    found = search(3e-3)
    assert (found.rate, found.at_edge, len(found.jobs)) == (3e-3, False, 3)


def test_nothing_is_chosen_while_trainings_are_missing():
    found = search(3e-3, done=2)
    assert found.rate is None and [j.settings.lr for j in found.jobs] == list(RATES)


@pytest.mark.parametrize(
    ("best", "grid", "at_edge"),
    [
        (2.7e-2, [1e-3, 3e-3, 9e-3, 2.7e-2, 8.1e-2], False),
        (1.0, [1e-3, 3e-3, 9e-3, 2.7e-2, 8.1e-2], True),
        (3e-4, [1.11111e-4, 3.33333e-4, 1e-3, 3e-3, 9e-3], False),
    ],
)
def test_the_grid_grows_at_an_edge_by_its_own_ratio_twice_at_most(best, grid, at_edge):
    found = search(best)
    assert [j.settings.lr for j in found.jobs] == pytest.approx(grid)
    assert found.at_edge == at_edge


def test_rates_of_an_extended_grid_do_not_depend_on_the_last_bit():
    assert [j.settings.lr for j in search(3e-4).jobs][:2] == [0.000111111, 0.000333333]


def test_ties_in_accuracy_are_broken_by_the_loss():
    losses = {1e-3: 0.9, 3e-3: 0.5, 9e-3: 0.7}

    def lookup(job):
        return {"val/cls/top1": 1.0, "val/cls/log_loss": losses[job.settings.lr]}

    assert search_rate(task("classify"), RATES, lambda lr: Job("t", At(lr)), lookup).rate == 3e-3


def test_a_metric_without_value_is_never_the_best():
    def lookup(job):
        return {"val/seg/miou": None if job.settings.lr == 9e-3 else 0.1 - abs(job.settings.lr - 3e-3)}

    assert search_rate(task(), RATES, lambda lr: Job("t", At(lr)), lookup).rate == 3e-3


def test_rates_that_cannot_be_told_apart_give_the_middle_one():
    """All diverged, or a metric at 0 everywhere: nothing says that a lower or higher rate would be better."""
    found = search_rate(task(), RATES, lambda lr: Job("t", At(lr)), lambda job: {"train/diverged": 1.0})
    assert (found.rate, found.at_edge, len(found.jobs)) == (3e-3, False, 3)
