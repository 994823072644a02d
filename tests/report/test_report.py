"""The report of a run: what it says, what it leaves out, what it survives."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from headstart.errors import StoreError, StudyError
from headstart.report.answer import sentence
from headstart.report.build import build
from headstart.report.composition import bin_names
from headstart.report.findings import ordered
from headstart.report.run_dir import RunDir
from headstart.report.words import metric_words
from headstart.study.executors.warned import keep_warnings
from support.reports.fake_run import CLASSES, HOSTILE, write_comparison, write_run

QUOTED = 'a "quoted" & <b>bold</b> class'
ALL = ["answer", "findings", "results", "precision", "neighbors", "activations", "composition", "provenance"]
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Structure(HTMLParser):
    """Collects elements; fails on tags that do not nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sections: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self.sections.append(dict(attrs)["id"] or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> does not close what is open"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words += data


def read(path: Path) -> tuple[str, Structure]:
    page = path.read_text(encoding="utf-8")
    structure = Structure()
    structure.feed(page)
    assert structure.open == []
    structure.words = re.sub(r"\s+", " ", structure.words)
    return page, structure


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Structure]:
    return read(build(write_run(tmp_path_factory.mktemp("full") / "run")))


def test_all_sections_stand_in_order(full):
    page, structure = full
    assert structure.sections == ALL
    assert len(page.encode()) < 3_000_000


def test_contradiction_is_said_before_the_answer(full):
    _, structure = full
    words = structure.words
    assert "This study contradicts the paper" in words
    assert words.index("This study contradicts the paper") < words.index("Where to start from")
    assert "One of 8 findings tested comes out against" in words


def test_findings_stand_by_verdict(tmp_path):
    run = RunDir.open(write_run(tmp_path / "run"))
    verdicts = [f["verdict"] for f in ordered(run)]
    assert verdicts[:2] == ["contradicted", "depends on the measure"]
    assert verdicts[-1] == "not tested"


def test_finding_says_effect_interval_detectable_and_scope(full):
    words = full[1].words
    assert "−0.094 [−0.140, −0.048]" in words
    assert "Effects within ±0.065 nats per instance were too small for this study to see reliably" in words
    assert "The paper predicts an effect below zero." in words
    assert "4 other measures of F4a" in words
    assert "In 80 % of such studies the first of 3 tests of F4 finds an effect of ±0.065 nats per instance." in words
    assert "Half of it would take 9 seeds." in words
    assert "Scope: for these kinds of pre-training (3 independent pre-trainings each)." in words


def test_answer_is_one_sentence(full):
    words = full[1].words
    assert (
        "For detection on the drawn world (novel classes), start from boxes; labels is distinguishably behind; nothing "
        "is said of random, which has not converged. Cheapest adequate choice: also boxes." in words
    )
    assert "By mAP at IoU 0.7 (voc-area), start from boxes" in words
    assert "within 1.0 points of the best" in words
    assert "The score of boxes is expected to be 0.4 points too good: the best is also the luckiest." in words
    assert "At the edge of the search: random." in words
    assert "702 k" in words and "Apache-2.0" in words and "1.23" in words
    assert "ms an image: 96 x 96 pixels in batches of 8 on the CPU, 1 thread; median of 7." in words


def test_sentence_names_ties_and_the_cheapest():
    rows = [{"weights": w} for w in "abcd"]
    usual = {"ranked": True, "margin": 0.01, "unit": "points", "cheapest_not_worse": "b", "best": "a"}
    ranking = usual | {"best_set": ["a", "b", "c"], "cheapest_adequate": "c", "rows": rows}
    strong = {w: f"<strong>{w}</strong>" for w in "abcd"}
    assert sentence(ranking, "x") == (
        f"For x, start from {strong['a']}; {strong['b']} and {strong['c']} are not distinguishable from it. "
        f"Cheapest adequate choice: {strong['c']}."
    )
    apart = ranking | {"best_set": ["a"], "cheapest_adequate": None}
    none = f"None is shown to be within 1.0 points of the best; the cheapest not shown to be worse is {strong['b']}."
    assert sentence(apart, "x") == f"For x, start from {strong['a']}; all others are distinguishably behind. {none}"
    moving = apart | {"rows": [{"weights": w, "not_converged": w in "bc"} for w in "abc"]}
    assert sentence(moving, "x") == (
        f"For x, start from {strong['a']}; nothing is said of {strong['b']} and {strong['c']}, "
        f"which have not converged. {none}"
    )
    two = usual | {"best_set": ["a", "b"], "cheapest_adequate": None, "rows": rows[:2]}
    assert sentence(two, "x").startswith("For x, this study cannot tell its candidates apart: <strong>a</strong> has")
    assert sentence(two, "x").endswith(
        "None is shown to be within 1.0 points of the best; the cheapest not shown to be worse is <strong>b</strong>."
    )
    low = two | {"at_floor": True, "rows": [{"weights": "a", "mean": 0.003}, {"weights": "b", "mean": 0.001}]}
    assert sentence(low, "x") == (
        "For x, nothing was learned to speak of: a has 0.3 points, so this says nothing about the weights. Train "
        "longer, label more images, or leave out rare classes."
    )
    one = usual | {"best_set": ["a"], "cheapest_adequate": "a", "rows": rows[:1]}
    assert sentence(one, "x") == "For x, start from <strong>a</strong>: nothing else was tried."


def test_trials_are_marked_and_listed_by_seed(full):
    words = full[1].words
    assert "not converged (seeds 0, 2)" in words
    assert "Seed\u00a00" in full[0].replace("&nbsp;", "\u00a0")
    assert "Training loss of the transfers that were scored" in words


def test_gain_against_training_length_is_drawn(full):
    """Boxes over labels, the default: .28, .29, .30 at 166 2/3, 333 1/3 and 500 updates."""
    page = full[0]
    assert "Gain against training length" in page
    said = "gain over labels by updates: boxes 28.0, 29.0, 30.0; labels 0.0, 0.0, 0.0; random -25.0, -21.0, -13.0"
    assert said in page.replace("\N{MINUS SIGN}", "-")
    assert "random still rises on held-out images (5.0, 12.0, 22.0 at a third, two thirds and the end)" in page
    assert page.count("Not converged: Detection on the drawn world (novel classes): mAP at IoU 0.5") == 1
    assert "Not converged: random still rises on held-out images. With more updates the rank may change" in page


def test_provenance_says_what_was_run(full):
    words = full[1].words
    for said in (
        "1,000 resamples",
        "shapes-resnet",
        "2.14.0",
        "images 160 to 1659",
        "0.0003, 0.001, 0.003, searched",
        "novel-train, 160 images of each",
        "100.0 % of the backbone’s tensors",
        "headstart run study.toml",
    ):
        assert said in words, said


def test_accessible(full):
    page, structure = full
    assert page.startswith("<!doctype html>") and '<html lang="en">' in page
    images = [a for tag, a in structure.tags if tag == "img"]
    assert images and all(a.get("alt") and a.get("width") and a.get("height") for a in images)
    drawings = page.split("<svg")[1:]
    labelled = [d for d in drawings if 'role="img"' in d.partition(">")[0]]
    assert labelled and all(d.partition(">")[2].startswith("<title>") for d in labelled)
    levels = [int(tag[1]) for tag, _ in structure.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    ids = [a["id"] for _, a in structure.tags if "id" in a]
    assert len(ids) == len(set(ids))
    targets = {a["href"] for tag, a in structure.tags if tag == "a" and str(a.get("href", "")).startswith("#")}
    assert targets and targets <= {f"#{i}" for i in ids}
    assert all(a.get("scope") for tag, a in structure.tags if tag == "th")


def test_nothing_comes_from_the_network(full):
    page, structure = full
    assert not any(tag in ("script", "iframe", "object", "embed", "base", "form") for tag, _ in structure.tags)
    sources = [a.get("src") or a.get("href") or "" for tag, a in structure.tags if tag in ("img", "image", "link")]
    assert sources and all(s.startswith("data:") for s in sources)
    assert "url(" not in page and "@import" not in page


def test_text_from_data_is_escaped(tmp_path):
    run = write_run(tmp_path / "run", seeds=(0,), classes=(HOSTILE, QUOTED, "it's", *CLASSES[3:]))
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["title"] = f"</title>{HOSTILE}"
    for key in ("trials", "rankings", "weights", "findings"):
        metrics[key] = json.loads(json.dumps(metrics[key]).replace('"random', f'"{json.dumps(HOSTILE)[1:-1]}'))
    (run / "metrics.json").write_text(json.dumps(metrics))
    study = json.loads((run / "study.json").read_text())
    study["sets"]["hostile"] = {"path": f'../{HOSTILE}"><img onerror=alert(1)>', "role": "test", "size_hw": [8, 8]}
    (run / "study.json").write_text(json.dumps(study))
    keep_warnings(run, [f"{HOSTILE}: 3 of 9 images are gray"])
    page, structure = read(build(run))
    assert f"What the run warned of, in its jobs, too, each once. {HOSTILE}: 3 of 9 images are gray" in structure.words
    assert "<script" not in page and "onerror=alert(1)>" not in page and "<b>bold" not in page
    assert HOSTILE in structure.words and QUOTED in structure.words and "it's" in structure.words
    assert not any(name.startswith("on") for _, attrs in structure.tags for name in attrs)


def test_comparison_has_no_empty_sections(tmp_path):
    _, structure = read(build(write_comparison(tmp_path / "run", name=HOSTILE)))
    assert structure.sections == ["answer", "results", "precision", "provenance"]
    words = structure.words
    assert "contradicts" not in words and "findings" not in words and "Learning curves" not in words
    assert "one seed ranks nothing: coco-detector has the highest score, of these trained models only" in words
    assert "not distinguishable" not in words and "behind" in words
    assert "At the edge of the search: random." in words and "rate at the edge" in words
    assert "every statement is about these trained models only" in words
    assert "0.005 / 0.005 / 0.0017" in words
    assert "best rate at the edge of the search" in words
    assert "transfer-00000000000000aa/curve.npz is not in the store" in words


def test_missing_and_damaged_files_leave_their_section_out(tmp_path):
    run = write_run(tmp_path / "run")
    for folder in (run / "store").glob("neighbors-*"):
        shutil.rmtree(folder)
    for folder in (run / "store").glob("activations-*"):
        (folder / "examples.npz").write_bytes(b"PK\x03\x04 not a zip")
    for folder in (run / "store").glob("composition-*"):
        np.savez(folder / "examples.npz", other=np.zeros(3))
    (run / "env.json").unlink()
    (run / "study.json").write_text("{")
    _, structure = read(build(run))
    assert structure.sections == ["answer", "findings", "results", "precision", "provenance"]
    assert "env.json is missing or unreadable." in structure.words
    assert "study.json is missing or unreadable." in structure.words
    assert "examples.npz cannot be read" in structure.words


def test_pickled_examples_are_refused(tmp_path):
    run = write_run(tmp_path / "run")
    for folder in (run / "store").glob("activations-*"):
        np.savez(folder / "examples.npz", images=np.array([{}], dtype=object))
    _, structure = read(build(run))
    assert "activations" not in structure.sections


def test_directories_outside_the_store_are_not_read(tmp_path):
    run = write_run(tmp_path / "run")
    secret = tmp_path / "neighbors-00"
    shutil.copytree(next((run / "store").glob("neighbors-*")), secret)
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["explain"] = [{"kind": "neighbors", "seed": 0, "dir": "../../neighbors-00"}]
    (run / "metrics.json").write_text(json.dumps(metrics))
    assert "neighbors" not in read(build(run))[1].sections


def test_run_without_results_is_refused(tmp_path):
    with pytest.raises(StudyError, match=r"no metrics\.json.*headstart run") as caught:
        build(tmp_path)
    assert str(tmp_path) in str(caught.value)
    (tmp_path / "metrics.json").write_text("[]")
    with pytest.raises(StoreError, match=r"metrics\.json.*run the study again"):
        build(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_old_report_stays_when_the_new_one_fails(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run")
    build(run)
    before = (run / "report.html").read_bytes()
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(StoreError, match="disk full"):
        build(run)
    assert (run / "report.html").read_bytes() == before


def test_same_run_gives_same_bytes(tmp_path):
    run = write_run(tmp_path / "run")
    assert build(run).read_bytes() == build(run).read_bytes()


def test_nulls_are_gaps_and_dashes(tmp_path):
    run = write_run(tmp_path / "run")
    metrics = json.loads((run / "metrics.json").read_text())
    for trial in metrics["trials"]:
        if trial["seed"] == 1:
            trial["metrics"] = dict.fromkeys(trial["metrics"])
    for row in metrics["rankings"][0]["rows"]:
        row.update(mean=None, lo=None, hi=None, per_seed=[None, None, None])
        for key in ("to_best", "to_default"):
            if row[key]:
                row[key].update(effect=None, lo=None, hi=None, p=None, p_adjusted=None)
    metrics["findings"][0]["primary"].update(effect=None, lo=None, hi=None, p=None, p_holm=None, detectable=None)
    (run / "metrics.json").write_text(json.dumps(metrics))
    _, structure = read(build(run))
    assert structure.sections == ALL
    assert "no value" in structure.words and "nan" not in structure.words and "None" not in structure.words


def test_names_of_metrics_and_bins():
    assert metric_words("det/voc07-11pt/map@0.7") == "mAP at IoU 0.7 (voc07-11pt)"
    assert metric_words("det/coco/map@0.5:0.95") == "mAP at IoU 0.5 to 0.95 (coco)"
    assert metric_words("seg/miou") == "mean IoU"
    assert metric_words("probe/logistic/top1") == "logistic probe, top-1 accuracy"
    assert metric_words("something/else") == "something/else"
    assert bin_names([1, 2, 3, 5, float("inf")], "count") == ["1", "2", "3–4", "5+"]
    assert bin_names([0, 1 / 128, 0.5, float("inf")], "area") == ["<1/128", "≥1/128", "≥1/2"]
