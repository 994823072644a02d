"""One study over many data sets, and what its trials say of data sets like these."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from headstart.errors import DataError, UsageError
from headstart.readers.suites import open_suite
from headstart.recipes.schema import recipe_of
from headstart.study.files import resolved
from headstart.study.suites.answer import read_pairs, suite_answer
from headstart.study.suites.planning import Fixed, Suite, choose_kind, extends, short_names, suite_study
from headstart.study.suites.published import published
from headstart.weights.cards import resolve
from headstart.weights.detectors.facts import facts_of
from support.drawn_layouts import as_coco, drawn_images

CANDIDATES = ["random:shapes-resnet", "random:resnet18"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four sets that detect, one of them in a folder in a folder; one whose file is cut short; one of classes only."""
    base = tmp_path_factory.mktemp("suites")
    images = drawn_images(base / "drawn", 48)
    suite = base / "mine"
    for k, name in enumerate(("-grccs", "aerial", "dice/medium/export", "street 1")):
        (suite / name).mkdir(parents=True)
        as_coco(images[k * 12 : (k + 1) * 12], suite / name / "x").rename(suite / name / "y")
        for part in (suite / name / "y").iterdir():
            part.rename(suite / name / part.name)
        (suite / name / "y").rmdir()
    broken = suite / "broken"
    broken.mkdir()
    for part in (suite / "aerial").rglob("*.json"):
        target = broken / part.relative_to(suite / "aerial")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(part.read_text()[:500])
    for name in ("cat", "dog"):
        for k, image in enumerate(images[:6]):
            target = suite / "classes" / name / f"{k}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(image.file.read_bytes())
    return suite


def made(folder: Path, candidates: list[str] = CANDIDATES, seeds: int = 2, **starts: Any) -> Suite:
    specs = [(uri, resolve(uri, folder)) for uri in candidates]
    return suite_study(
        "mine",
        open_suite(folder),
        specs,
        "detect",
        root=str(folder),
        budget="quick",
        seeds=seeds,
        fixed=Fixed(updates=2, rate=1e-3),
        reading={},
        **starts,
    )


def test_each_set_is_a_task_and_what_cannot_be_used_is_named(folder: Path) -> None:
    suite = made(folder)
    assert choose_kind(open_suite(folder), None) == "detect"
    assert suite.sets == {
        "grccs": "-grccs",
        "aerial": "aerial",
        "dice-medium-export": "dice/medium/export",
        "street-1": "street 1",
    }
    assert {one.name: one.why[:24] for one in suite.left_out}.keys() == {"broken", "classes"}
    assert "serve classify, not detect" in {o.name: o.why for o in suite.left_out}["classes"]
    assert [t.name for t in suite.study.tasks] == list(suite.sets)
    for task in suite.study.tasks:
        assert task.recipe and (task.recipe.updates, task.recipe.lr, task.recipe.rates) == (2, 1e-3, ())
        assert task.recipe.name.endswith("fixed-lr") and task.most_updates is None
        for name in (*task.train, *task.val, *task.test):
            assert suite.study.sets[name].path == str(folder / suite.sets[task.name])  # type: ignore[union-attr]


def test_starts_are_candidates_and_all_train_the_same_detector(folder: Path) -> None:
    recipe = {
        "name": "r",
        "updates": 9,
        "batch_size": 2,
        "lr": 1e-3,
        "head": "retinanet",
        "neck": "fpn",
        "channels": 24,
    }
    suite = made(folder, CANDIDATES[1:] * 2, starts=["backbone", "detector"], detector=facts_of(recipe_of(recipe)))
    assert [(w.name, w.start) for w in suite.study.weights] == [
        ("random-resnet18-backbone", "backbone"),
        ("random-resnet18-detector", "detector"),
    ]
    for task in suite.study.tasks:
        assert task.recipe and (task.recipe.head, task.recipe.updates, task.recipe.lr) == ("retinanet", 2, 1e-3)
        assert task.recipe.channels == 24 and not task.only  # type: ignore[attr-defined]


def test_names_stay_apart() -> None:
    assert short_names(["-a", "a", "b/c d", "é"]) == ["a", "a.2", "b-c-d", "set"]


def test_more_sets_weights_and_seeds_go_on_and_nothing_else_does(folder: Path) -> None:
    small = resolved(made(folder, seeds=1).study, folder)
    assert extends(small, resolved(made(folder, [*CANDIDATES, "random:resnet34"], 2).study, folder))
    assert not extends(resolved(made(folder, seeds=2).study, folder), small)
    other = json.loads(json.dumps(small))
    other["tasks"][0]["recipe"]["lr"] = 2e-3
    assert not extends(other, small)


def test_one_usable_set_is_no_suite(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "aerial").symlink_to(folder / "aerial")
    with pytest.raises(UsageError, match="needs two data sets that can be used for 'detect'"):
        made(tmp_path)


def summary(suite: Suite, scores: np.ndarray, lineage: str) -> dict:
    """As metrics.json has it: scores (D, M, S); nan: no trial."""
    names = [w.name for w in suite.study.weights]
    trials = [
        {
            "task": task,
            "weights": names[m],
            "seed": seed,
            "train_images": 50 if d < 2 else 500,
            "test_images": 100,
            "metrics": {"det/voc-area/map@0.5": scores[d, m, s]},
        }
        for d, task in enumerate(suite.sets)
        for m in range(len(names))
        for s, seed in enumerate(suite.study.seeds)
        if not np.isnan(scores[d, m, s])
    ]
    return {"trials": trials, "weights": [{"name": names[0], "lineage": [lineage]}, {"name": names[1], "lineage": []}]}


def test_data_sets_are_the_random_factor(folder: Path) -> None:
    """Gains of .10, .12, .08 and .30; without the set that was seen the mean is .10."""
    suite = made(folder)
    gains = np.array([0.10, 0.12, 0.08, 0.30])
    scores = np.stack([np.stack([0.5 + gains, 0.5 + gains], 1), np.full((4, 2), 0.5)], 1)
    scores[1, 1] = np.nan
    answer = suite_answer(
        suite.study,
        summary(suite, scores, "Street boxes"),
        suite.sets,
        groups={"-grccs": "a", "aerial": "a", "dice/medium/export": "b", "street 1": "b"},
        told_seen=[],
        left_out=suite.left_out,
        published=(),
        where="suite mine",
    )
    assert answer.whole and answer.unseen
    (behind,) = [s.to_leader for s in answer.whole.verdict.standings if s.to_leader]
    assert behind.effect == pytest.approx(-np.mean([0.10, 0.08, 0.30]))
    first = suite.study.weights[0].name
    assert answer.seen == ((first, "street 1", "pre-trained on: Street boxes"),)
    (behind,) = [s.to_leader for s in answer.unseen.verdict.standings if s.to_leader]
    assert behind.effect == pytest.approx(-0.09)
    assert answer.unfinished == (f"aerial: no score of {suite.study.weights[1].name}",)
    assert answer.by_size is not None
    json.dumps(answer.to_json(), allow_nan=False)


def test_published_scores_stay_beside() -> None:
    rows = published(None, "RF100-VL")
    assert rows and all(row.suite == "rf100-vl" and row.source and row.looked_up for row in rows)
    assert published(None, "my-sets") == ()
    with pytest.raises(UsageError, match=r"--published coco: not known\. Known are rf100-vl"):
        published("coco", "x")


def test_a_file_of_groups_needs_its_columns(tmp_path: Path) -> None:
    (tmp_path / "groups.csv").write_text("name,domain\na,b\n")
    with pytest.raises(DataError, match=r"groups\.csv: no column 'dataset'; there are name, domain"):
        read_pairs(tmp_path / "groups.csv", "dataset", "group")
    (tmp_path / "groups.csv").write_text("group,dataset\nx,a b\n")
    assert read_pairs(tmp_path / "groups.csv", "dataset", "group") == [("a b", "x")]


@pytest.mark.slow
def test_a_suite_runs_and_goes_on_with_one_set_more(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("-grccs", "aerial", "broken"):
        (tmp_path / "mine" / name).symlink_to(folder / name)
    (tmp_path / "groups.csv").write_text("dataset,group\naerial,sky\n")

    def run() -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "headstart", "suite", "mine", "--seeds", "1", "--updates", "2", "--rate", "1e-3"]
        words += ["-w", CANDIDATES[0], "-w", CANDIDATES[0], "--size", "64", "--groups", "groups.csv", "--out", "run"]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)

    first = run()
    assert first.returncode == 0, first.stderr
    assert "left out: broken: " in first.stdout and "over 2 data sets" in first.stdout
    before = {p.name for p in (tmp_path / "run" / "store").iterdir()}
    (tmp_path / "mine" / "dice").symlink_to(folder / "dice/medium/export")
    second = run()
    assert second.returncode == 0, second.stderr
    after = {p.name for p in (tmp_path / "run" / "store").iterdir()}
    assert before < after and "over 3 data sets" in second.stdout
    table = pq.read_table(tmp_path / "run" / "table.parquet").to_pydict()
    assert len({*zip(table["data_set"], table["weights"], table["seed"], strict=True)}) == 6
    judged = subprocess.run(
        [sys.executable, "-m", "headstart", "judge", "run/table.csv"], cwd=tmp_path, capture_output=True, text=True
    )
    assert judged.returncode == 0, judged.stderr
    assert "Seen in pre-training" not in (tmp_path / "run" / "suite.html").read_text()
