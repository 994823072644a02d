"""A plan as a tree: what is done, and of what is not the setting that has changed; what finished jobs took."""

import pytest

from headstart.store.store import Store
from headstart.study.jobs import VERSIONS
from headstart.study.plan_summary import plan_summary
from headstart.study.planning.measured import rates
from headstart.study.planning.tree import Tree
from support.small_studies import DETECT, drawn, nothing, planner


def study(**task):
    values = drawn() | {
        "explain": None,
        "pretraining": {},
        "weights": [{"name": "random", "uri": "random:shapes-resnet"}],
    }
    values["tasks"] = [values["tasks"][0] | {"only": [], "recipe": DETECT | {"lr": 1e-3}} | task]
    return values


def planned(store, values):
    plan = planner(values)
    return plan.expand(lambda job: {} if store.find(job.name, job.key) else None)


def finish_all(store, values, seconds=10.0):
    while ready := planned(store, values).ready:
        for job in ready:
            (store.partial(job.name) / "metrics.json").write_text("{}")
            store.commit(job.name, job.key, job.info(seconds))


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    finish_all(store, study())
    return store


def told(store, values):
    return Tree(planned(store, values), store).lines()


def test_what_is_done_is_one_line(store):
    lines = told(store, study())
    assert lines and all(line.endswith(": done") for line in lines)


def test_the_setting_that_has_changed_is_named(store):
    lines = told(store, study(recipe=DETECT | {"lr": 4e-3}))
    trained = next(line for line in lines if " find from random, seed 5, rate 0.004: " in f" {line}")
    assert "waits; recipe.lr was 0.001 (transfer-" in trained
    tested = next(line for line in lines if "test find" in line)
    assert tested.startswith("test find from random, seed 5: waits; model0 is another (evaluate-")
    assert trained.startswith(("├─ ", "└─ "))
    assert [line for line in lines if "draw train: done" in line]


def test_several_changes_are_counted(store):
    changed = DETECT | {"lr": 4e-3, "updates": 31, "batch_size": 4, "channels": 8}
    trained = next(line for line in told(store, study(recipe=changed)) if "rate 0.004" in line)
    assert "recipe.batch_size was 8; recipe.channels was 16; recipe.lr was 0.001; 1 more (transfer-" in trained


def test_another_version_and_damage_are_told(store, monkeypatch):
    monkeypatch.setitem(VERSIONS, "transfer", 99)
    trained = next(line for line in told(store, study()) if "rate 0.001" in line)
    assert "waits; its kind had version " in trained
    monkeypatch.undo()
    (victim,) = (store.root / "store").glob("transfer-*")
    (victim / "metrics.json").write_text("[")
    fresh = Store(store.root)
    assert any("rate 0.001: waits; what is stored is damaged" in line for line in told(fresh, study()))


def test_nothing_of_its_kind_and_the_end_of_a_long_tree(tmp_path):
    empty = Store(tmp_path)
    expansion = planner(drawn()).expand(nothing)
    lines = Tree(expansion, empty).lines(5)
    assert len(lines) == 6 and lines[0].endswith("waits; no job of its kind was made")
    whole = Tree(expansion, empty).lines(1000)
    assert lines[:5] == whole[:5] and lines[5].startswith("... and ") and lines[5].endswith(" jobs more")
    told_once = [line for line in whole if not line.endswith(": as above")]
    assert len(told_once) == len(expansion.known)


def test_what_finished_jobs_took_is_what_others_will_take(store):
    values = study() | {"seeds": [5, 6, 7]}
    expansion = planned(store, values)
    found = rates(expansion, store)
    (transfer,) = (job for job in expansion.known if job.kind == "transfer" and job.key in expansion.done)
    assert found["transfer"].slower == pytest.approx(10.0 / transfer.cost)
    assert found["transfer"].size == store.entry(transfer.name).size > 100
    plan = plan_summary(planner(values).study, store.root, expansion, rates=found)
    assert plan.jobs["transfer"] == (2, pytest.approx(20.0)) and "transfer" in plan.measured
    assert plan.disk == pytest.approx(sum(found[kind].size * count for kind, (count, _) in plan.jobs.items()))
    text = plan.text()
    assert "2 jobs, about    0.3 CPU minutes (measured)" in text and "MB more, as finished jobs take" in text
    assert "measured" not in plan_summary(planner(values).study, store.root, expansion).text()
