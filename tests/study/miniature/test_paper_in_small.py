"""The miniature of the paper's study, run: a part of it as a slow test, all of it at night."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart import api
from headstart.config.study import Study
from headstart.report.finished import summarized
from headstart.study.executors.options import RunOptions
from headstart.study.files import load_study
from headstart.study.miniature.in_small import in_small


def part_of(study: Study, arms: tuple[str, ...], tasks: tuple[str, ...]) -> Study:
    """Some arms on some tasks, with one seed and without explanations."""
    changed = {
        "seeds": study.seeds[:1],
        "weights": tuple(w for w in study.weights if w.name in arms),
        "pretraining": {name: wanted for name, wanted in study.pretraining.items() if name in arms},
        "tasks": tuple(t.model_copy(update={"only": arms}) for t in study.tasks if t.name in tasks),
        "explain": None,
    }
    published = tuple(p for p in study.published if p.weights in arms and p.task in tasks)
    return Study.model_validate((study.model_copy(update=changed | {"published": published})).model_dump())


@pytest.mark.slow
def test_a_part_of_it_runs_to_the_report(tmp_path: Path) -> None:
    """Boxes after labels, then detection by chips, segmentation and a probe with a draw of its own."""
    heard: list[str] = []
    small = in_small(load_study("paper")[0], tmp_path / "data", heard.append, write=True)
    assert heard[0] == "paper-miniature is paper but for sizes and steps:"
    study = part_of(small, ("imagenet", "openimages"), ("voc", "deeplab", "caltech256"))
    how = RunOptions(workers=2, device="cpu", offline=True, quiet=True)
    done = summarized(study, Path(), tmp_path, tmp_path / "run", how=how)
    assert not done.failed
    trials = {(t["task"], t["weights"]): t for t in done.metrics["trials"]}
    assert len(trials) == 6
    voc = trials["voc", "openimages"]
    assert voc["train_images"] == 64 and voc["test_images"] == 24 and "det/voc07-11pt/map@0.7" in voc["metrics"]
    assert trials["caltech256", "imagenet"]["train_images"] == 70
    assert "probe/logistic/mean_class_accuracy" in trials["caltech256", "imagenet"]["metrics"]
    made = {row["name"]: row["lineage"] for row in done.metrics["pretrainings"]}
    assert made["openimages"] == [made["imagenet"][0], made["openimages"][1]] and "boxes" in made["openimages"][1]
    assert any(line.startswith("published: voc from openimages") and "; here " in line for line in done.lines)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Settings and where they are from" in page and "sniper_res101_e2e_pascal_voc.yml" in page
    assert "81.1 (arXiv 1904.05871" in page
    again = summarized(study, Path(), tmp_path, tmp_path / "run", how=how)
    assert again.done_already


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("name", "trials", "made"),
    [
        ("paper", 120, {"imagenet", "coco", "openimages", "imagenet-boxes"}),
        ("paper-small", 54, {"imagenet", "coco"}),
    ],
)
def test_all_of_it_runs_to_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, trials: int, made: set[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    done = api.run_study(name, miniature=True, device="cpu", offline=True, quiet=True)
    assert not done.failed and len(done.metrics["trials"]) == trials
    assert {row["name"] for row in done.metrics["pretrainings"]} == made
    assert {f["id"][:2] for f in done.metrics["findings"]} == {"F1", "F2", "F3", "F4"}
    assert done.report.is_file()
