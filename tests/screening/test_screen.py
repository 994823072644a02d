"""Weights looked at: on images of one color a class, on drawn objects, and at the command line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from headstart import api
from headstart.api.options import DataRunOptions
from headstart.api.screening import shortlist
from headstart.config.study import Study
from headstart.errors import StudyError, UsageError
from headstart.progress import silent
from headstart.screening.screen import _cells
from headstart.world.shapes import write_coco

EIGHT = ["random:shapes-resnet"] * 7 + ["random:resnet18"]


@pytest.fixture(scope="module")
def colors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, red and blue noise: any network tells them apart."""
    root, rng = tmp_path_factory.mktemp("screen") / "colors", np.random.default_rng(0)
    for name, channel in (("red", 0), ("blue", 2)):
        (root / name).mkdir(parents=True)
        for k in range(20):
            pixels = rng.integers(0, 60, (40, 40, 3), dtype=np.uint8)
            pixels[..., channel] += 160
            Image.fromarray(pixels).save(root / name / f"{k}.png")
    return root


@pytest.mark.slow
def test_compare_keeps_the_most_promising_of_what_any_network_sees(colors: Path, tmp_path: Path) -> None:
    how = DataRunOptions(workers=1, device="cpu", quiet=True)
    kept = shortlist(colors, EIGHT, 2, images=20, size=(64, 96), out=tmp_path / "compare", how=how)
    run = tmp_path / "compare-screen"
    jobs = sorted((run / "store").iterdir())
    assert len(jobs) == 2, "alike weights are looked at once"
    made = [job.stat().st_mtime_ns for job in jobs]
    found = api.screen(colors, EIGHT, images=20, size=(64, 96), out=run, quiet=True)
    assert [job.stat().st_mtime_ns for job in sorted((run / "store").iterdir())] == made, "it was finished before"
    assert (found.task, found.images, found.samples, found.classes) == ("classify", 20, 20, 2)
    assert all(row.scores["knn"] == 1.0 and not row.fault for row in found.rows)
    assert {row.scores["parameters"] for row in found.rows} == {307_536.0, 11_176_512.0}
    assert json.loads((run / "screen.json").read_text())["rows"][0]["scores"]["knn"] == 1.0
    assert "20 images of 2 classes in 20 training images, 96 x 64 pixels" in found.lines()[0]
    page = api.build_report(run).read_text()
    assert "Looked at, not trained" in page and "20 images of 2 classes in 20 training images, 96 × 64 pixels" in page
    assert page.count('<tr><th scope="row">random-') >= 2 * len(EIGHT), "scores, and what was run"
    order = [row.uri for row in found.rows]
    assert kept[:2] == order[:2] and {*kept} == {*EIGHT}, "random values stay, whatever their place"


@pytest.mark.slow
def test_objects_are_looked_at_one_by_one_and_more_weights_go_on(tmp_path: Path) -> None:
    write_coco("base", 24, 0, 64, out=tmp_path / "drawn", progress=silent)
    run, events = tmp_path / "run", tmp_path / "events.jsonl"
    more = {"images": 20, "out": run, "workers": 1, "device": "cpu", "quiet": True, "events": events}
    found = api.screen(tmp_path / "drawn", EIGHT[:1] * 8, "detect", **more)
    assert found.samples > found.images and all("tlogme" in row.scores for row in found.rows)
    first = len(events.read_text().splitlines())
    both = api.screen(tmp_path / "drawn", [*EIGHT[:1] * 8, EIGHT[7]], "detect", **more)
    again = [json.loads(line) for line in events.read_text().splitlines()[first:]]
    assert [line["label"] for line in again if line["event"] == "finished"] == ["screen random-resnet18"]
    order = [row.scores["knn"] for row in both.rows]
    assert order == sorted(order, reverse=True) and both.kept(3) == [row.uri for row in both.rows[:3]]
    with pytest.raises(StudyError, match="holds a different study"):
        api.screen(tmp_path / "drawn", EIGHT[:1] * 8, "detect", **(more | {"images": 21}))


@pytest.mark.slow
def test_of_an_image_that_cannot_be_read_nothing_can_be_said(colors: Path, tmp_path: Path) -> None:
    shutil.copytree(colors, tmp_path / "colors")
    for name in ("red", "blue"):
        for k in range(20):
            (tmp_path / "colors" / name / f"{k}.png").write_bytes(b"no image")
    with pytest.raises(UsageError, match=r"nothing can be said of any of the weights: .*colors/(red|blue)/\d+\.png"):
        api.screen(tmp_path / "colors", EIGHT, images=20, out=tmp_path / "run", workers=1, device="cpu", quiet=True)


def test_cells_that_a_box_touches() -> None:
    """A grid of 4 x 4 over 64 pixels: 10 to 33 touches cells 0, 1 and 2; a speck in a corner touches one."""
    assert _cells(np.array([10.0, 16, 33, 32]), (4, 4), (64, 64)) == (slice(1, 2), slice(0, 3))
    assert _cells(np.array([63.9, 63.9, 64, 64]), (4, 4), (64, 64)) == (slice(3, 4), slice(3, 4))


def test_few_weights_and_data_without_classes_are_refused(colors: Path) -> None:
    with pytest.raises(UsageError, match="a screen needs 8 weights or more, and there are 7: with fewer"):
        api.screen(colors, EIGHT[:7], quiet=True)
    with pytest.raises(UsageError, match="cannot be used for 'detect'"):
        api.screen(colors, EIGHT, "detect", quiet=True)
    words = [sys.executable, "-m", "headstart", "compare", str(colors), "--screen", "2", "-w", EIGHT[0], "-w", EIGHT[7]]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2 and "a screen needs 8 weights or more, and there are 2: with fewer" in done.stderr


@pytest.mark.parametrize(
    ("screen", "words"),
    [
        ({"images": "none"}, "screen.images: no set named 'none'"),
        ({"images": "drawn"}, 'screen.images: give a set with `path`, `role = "trainval"`, and `task` "detect"'),
        ({"images": "test"}, 'screen.images: give a set with `path`, `role = "trainval"`, and `task` "detect"'),
        ({"images": "seen", "most": 3}, "greater than or equal to 20"),
    ],
)
def test_what_a_study_cannot_screen_is_said(screen: dict[str, object], words: str) -> None:
    folder = {"path": "x", "task": "classify", "size_hw": [64, 64]}
    sets = {
        "drawn": {"world": "base", "count": 8},
        "test": folder | {"role": "test"},
        "seen": folder | {"role": "trainval"},
    }
    one = {"name": "one", "uri": "random:shapes-resnet"}
    study = {"name": "s", "seeds": [0], "sets": sets, "weights": [one], "screen": {"images": "seen"}}
    assert Study.model_validate(study).screen
    with pytest.raises(ValidationError, match=re.escape(words)):
        Study.model_validate(study | {"screen": screen})
