"""Which start, as a product: all candidates in one table, kept apart from the question of pre-training."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from headstart.report.products.section import section
from headstart.report.run_dir import RunDir
from headstart.study.answer import ranking_lines
from headstart.study.planning.whole_candidates import PRODUCT

METRIC = "det/voc-area/map@0.5"


def ranking(task: str, means: dict[str, float], **more: Any) -> dict[str, Any]:
    rows = [
        {"weights": name, "mean": mean, "lo": mean - 0.02, "hi": mean + 0.02, "at_edge": False, "not_converged": False}
        | {"cost": {"parameters": 2e7, "gflops": 12.5, "licence": "apache-2.0"}}
        | {"to_best": {"effect": -0.1, "lo": -0.2, "hi": 0.0, "p_adjusted": 0.04}}
        for name, mean in means.items()
    ]
    best = max(means, key=means.__getitem__)
    said = {"task": task, "kind": "detect", "metric": METRIC, "rows": rows, "test_images": 50, "ranked": True}
    said |= {"best": best, "best_set": [best], "scope": "these weights", "not_ranked": {}, "margin": 0.01}
    return said | {"cheapest_adequate": best, "cheapest_not_worse": best, "overstated": None} | more


@pytest.fixture
def run(tmp_path: Path) -> Any:
    def made(*rankings: dict[str, Any]) -> RunDir:
        trials, names = [], {"rt": "rt_detr_v2@640", "de": "detr@800-1333", "res": "resnet50"}
        for of in rankings:
            for row in of["rows"]:
                key = f"transfer-{len(trials):016x}"
                folder = tmp_path / "store" / key
                folder.mkdir(parents=True)
                head = "whole" if "question" in of else "fcos"
                told = {"weights": {"identity": {"backbone": names[row["weights"]]}}}
                told |= {"recipe": {"updates": 300, "batch_size": 8, "lr": 1.0, "head": head}}
                (folder / "job.json").write_text(json.dumps({"kind": "transfer", "seconds": 83.0, "settings": told}))
                trials.append({"task": of["task"], "weights": row["weights"], "seed": 0, "transfer_keys": [key]})
        (tmp_path / "metrics.json").write_text(json.dumps({"trials": trials, "rankings": list(rankings)}))
        recipe = {"rates": [0.3, 1.0, 3.0]}
        tasks = [{"name": of["task"], "kind": "detect", "test": ["t"], "recipe": recipe} for of in rankings]
        (tmp_path / "study.json").write_text(json.dumps({"tasks": tasks, "sets": {"t": {"size_hw": [384, 512]}}}))
        return RunDir.open(tmp_path)

    return made


def text_of(body: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_all_candidates_stand_in_one_table(run):
    found = section(
        run(ranking("detect", {"res": 0.4}), ranking("detect-whole", {"rt": 0.5, "de": 0.3}, question=PRODUCT))
    )
    assert found and found.title == "Which start, as a product"
    text = text_of(found.body)
    rows = re.findall(r"<tr><th scope=\"row\">(\w+)", found.body)
    assert rows == ["rt", "res", "de"], "best first, whatever the task"
    assert "rt whole RT-DETRv2 50.0 [48.0, 52.0] 640 × 640 2,400 1 min 23 s 3 20.0 M 12.5 – apache-2.0" in text
    assert "res fcos on resnet50 40.0 [38.0, 42.0] 512 × 384" in text and "DETR 30.0 [28.0, 32.0] 800 to 1333" in text
    assert "and not which pre-training is better" in text and "nothing but the pre-training differs" in text


def test_a_study_without_whole_detectors_has_no_such_section(run):
    assert section(run(ranking("detect", {"res": 0.4}))) is None


def test_the_terminal_says_what_is_asked():
    told = " ".join(" ".join(ranking_lines(ranking("w", {"rt": 0.5, "de": 0.3}, question=PRODUCT))).split())
    assert "asks which start, as a product: network, input and the authors' recipe differ with the pre-training" in told
    assert "as a product" not in " ".join(ranking_lines(ranking("w", {"rt": 0.5, "de": 0.3})))
