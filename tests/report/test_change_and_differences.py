"""What would change the answer, and what differs between candidates: sentences and rows by hand."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from headstart.report import change, differs
from headstart.report.build import build
from headstart.report.run_dir import RunDir
from headstart.report.words import each_once
from headstart.store.files import write_json
from support.reports.fake_run import write_comparison, write_run

OF = {
    "rival": "labels",
    "effect": 0.012,
    "detectable": 0.031,
    "twice_seeds": 0.025,
    "twice_images": 0.028,
    "twice_both": 0.021,
    "seeds": 17,
    "images": None,
    "share": {"images": 0.3, "seeds": 0.6, "both": 0.1},
}


def changed(run: RunDir, **of: Any) -> list[str]:
    ranking = run.metrics["rankings"][0]
    return change.sentences(run, ranking | {"best": "boxes", "test_images": 72, "change": OF | of})


def test_the_sentences_by_hand(tmp_path: Path) -> None:
    run = RunDir.open(write_run(tmp_path / "run"))
    said = changed(run)
    assert said[:4] == [
        "boxes is 1.2 points ahead of labels; a study like this one finds 3.1 points in 8 of 10 cases.",
        "More seeds: with 6 it would find 2.5 points; 17 seeds find 1.2 points, if that is the true difference.",
        "More test images: with twice as many it would find 2.8 points, with twice as many of both 2.1; no number of "
        "images alone finds 1.2 points.",
        "Of the variance, 60 % is the seeds’, 30 % the images’, and 10 % what an image does to one seed.",
    ]
    assert "150 find 1.2 points" in changed(run, images=2.07)[2]
    seen = changed(run, effect=0.04, seeds=3, images=1.04)
    assert seen[1].endswith("the 3 seeds here find 4.0 points already.")
    assert seen[2].endswith("the 72 images here find 4.0 points already.")
    still = {"images": 1.0, "seeds": 0.0, "both": 0.0}
    assert changed(run, share=still)[1] == "More seeds: no seed changes anything here."
    assert "no number of seeds up to 100" in changed(run, seeds=None)[1]
    assert "there is no difference to find" in changed(run, effect=0.0)[1]


def test_the_lead_over_the_last_third_of_the_updates(tmp_path: Path) -> None:
    run = RunDir.open(write_run(tmp_path / "run"))
    [first] = run.metrics["convergence"]
    scores = {"boxes": [[0.1, 0.1], [0.5, 0.6], [0.7, 0.8]], "labels": [[0.1, 0.1], [0.5, 0.5], [0.7, 0.6]]}
    row = first | {"scores": scores, "moving": {}, "unsettled": [], "updates": 90}
    moved = replace(run, metrics=run.metrics | {"convergence": [row]})
    said = "over labels was +5.0 points after 60 updates and +10.0 after 90; no more than seeds spread"
    assert said in changed(moved)[-1]
    row = row | {"unsettled": [["labels", "boxes", "its gain still changes"]]}
    moved = replace(run, metrics=run.metrics | {"convergence": [row]})
    assert changed(moved)[-1].endswith("it has not settled: --extend trains on.")


def test_a_reason_is_told_once() -> None:
    """The reasons of a pair of arms are those of both, and each arm is in several pairs."""
    pairs = ["a still rises (1, 2); b still rises", "a still rises (1, 2); the gain of a over c still changes"]
    assert each_once(["a still rises (1, 2)", *pairs]) == [
        "a still rises (1, 2)",
        "b still rises",
        "the gain of a over c still changes",
    ]


def test_the_answers_of_several_tasks_stand_first(tmp_path: Path) -> None:
    out = write_run(tmp_path / "run", seeds=(0,))
    page = build(out).read_text()
    headings = re.findall(r'<article id="answer-\d">\s*<h3>(.+?) <small>', page)
    listed = re.findall(r'<li><a href="#answer-\d">(.+?)</a>: ', page)
    assert len(headings) > 1 and listed == headings
    metrics = json.loads((out / "metrics.json").read_text())
    assert ">License</th>" in page
    for ranking in metrics["rankings"]:
        for row in ranking["rows"]:
            row["cost"]["licence"] = ""
    write_json(out / "metrics.json", metrics)
    answer = build(out).read_text().partition('id="findings"')[0]
    assert ">Parameters</th>" in answer and ">License</th>" not in answer, "no column for what nobody knows"
    one = metrics | {"rankings": [r for r in metrics["rankings"] if r["task"] == metrics["rankings"][0]["task"]]}
    write_json(out / "metrics.json", one)
    assert 'class="answers"' not in build(out).read_text(), "one answer needs no list"


def test_only_settings_that_differ_are_listed(tmp_path: Path) -> None:
    out = write_comparison(tmp_path / "run")
    run = RunDir.open(out)
    for k in range(2):
        weights = {"identity": {"kind": "file", "digest": str(k), "preprocessing": {"mean": [0.5, k / 8]}}}
        settings = {"seed": k, "task": "detect", "recipe": {"lr": 0.005, "updates": 300}, "weights": weights}
        folder = out / "store" / f"transfer-00000000000000b{k}"
        folder.mkdir(parents=True)
        write_json(folder / "job.json", {"kind": "transfer", "settings": settings})
    trials = [
        trial | {"transfer_keys": [f"transfer-00000000000000b{('imagenet', 'dino').index(trial['weights'])}"]}
        for trial in run.metrics["trials"]
        if trial["weights"] in ("imagenet", "dino")
    ]
    weights = [
        {"name": "imagenet", "lineage": ["ImageNet-1k labels"], "licence": "MIT"},
        {"name": "dino", "lineage": ["LVD images"], "licence": "MIT"},
    ]
    found = differs.of_task(replace(run, metrics=run.metrics | {"trials": trials, "weights": weights}), "detect")
    assert found and found["weights"] == ["imagenet", "dino"]
    assert found["rows"] == [
        ("Learned from", ["ImageNet-1k labels", "LVD images"]),
        ("Kind of supervision", ["labels", "–"]),
        ("Mean of the input", ["0.5, 0", "0.5, 0.125"]),
    ]
    assert found["same"] == 4, "task, rate, updates and kind of weights"
    made = {"kind": "transfer", "settings": {"seed": 1, "task": "detect", "recipe": {"lr": 0.005, "updates": 300}}}
    write_json(out / "store" / "transfer-00000000000000b1" / "job.json", made)
    found = differs.of_task(replace(run, metrics=run.metrics | {"trials": trials, "weights": weights}), "detect")
    assert found and [what for what, _ in found["rows"]] == ["Learned from", "Kind of supervision"]
    assert found["same"] == 3, "what is known of one's weights and not of the other's does not differ"
    write_json(out / "store" / "transfer-00000000000000b1" / "job.json", made | {"settings": settings})
    alone = replace(run, metrics=run.metrics | {"trials": trials[:1], "weights": weights[:1]})
    assert differs.of_task(alone, "detect") is None
    assert "What differs between the candidates" not in build(out).read_text(), "its candidates are alike"
    write_json(out / "metrics.json", run.metrics | {"trials": trials, "weights": weights})
    page = build(out).read_text()
    assert "What differs between the candidates" in page and "LVD images" in page and "4 settings" in page
