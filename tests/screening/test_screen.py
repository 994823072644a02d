"""Weights looked at: on images of one color a class, on drawn objects, and at the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart import api
from headstart.api.options import DataRunOptions
from headstart.api.screening import shortlist
from headstart.errors import UsageError
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


def test_what_any_network_sees_is_seen(colors: Path, tmp_path: Path) -> None:
    found = api.screen(colors, EIGHT, images=20, out=tmp_path, quiet=True)
    assert (found.task, found.images, found.samples, found.classes) == ("classify", 20, 20, 2)
    assert all(row.scores["knn"] == 1.0 for row in found.rows)
    assert {row.scores["parameters"] for row in found.rows} == {307_536.0, 11_176_512.0}
    assert json.loads((tmp_path / "screen.json").read_text())["rows"][0]["scores"]["knn"] == 1.0
    assert "20 images of 2 classes in 20 training images, 224 x 224 pixels" in found.lines()[0]


def test_objects_are_looked_at_one_by_one(tmp_path: Path) -> None:
    write_coco("base", 24, 0, 64, out=tmp_path / "drawn", progress=silent)
    found = api.screen(tmp_path / "drawn", EIGHT[:1] * 8, "detect", images=20, quiet=True)
    assert found.samples > found.images and all("tlogme" in row.scores for row in found.rows)
    order = [row.scores["knn"] for row in found.rows]
    assert order == sorted(order, reverse=True) and found.kept(3) == [row.uri for row in found.rows[:3]]


def test_cells_that_a_box_touches() -> None:
    """A grid of 4 x 4 over 64 pixels: 10 to 33 touches cells 0, 1 and 2; a speck in a corner touches one."""
    assert _cells(np.array([10.0, 16, 33, 32]), (4, 4), (64, 64)) == (slice(1, 2), slice(0, 3))
    assert _cells(np.array([63.9, 63.9, 64, 64]), (4, 4), (64, 64)) == (slice(3, 4), slice(3, 4))


def test_few_weights_and_data_without_classes_are_refused(colors: Path) -> None:
    with pytest.raises(UsageError, match="a screen needs 8 weights or more, and there are 7: with fewer"):
        api.screen(colors, EIGHT[:7], quiet=True)
    with pytest.raises(UsageError, match="cannot be used for 'detect'"):
        api.screen(colors, EIGHT, "detect", quiet=True)


def test_compare_keeps_the_most_promising_beside_what_they_are_compared_with(colors: Path) -> None:
    kept = shortlist(colors, EIGHT, 2, images=12, how=DataRunOptions(quiet=True))
    order = [row.uri for row in api.screen(colors, EIGHT, images=12, quiet=True).rows]
    assert kept[:2] == order[:2] and {*kept} == {*EIGHT}, "random values stay, whatever their place"
    words = [sys.executable, "-m", "headstart", "compare", str(colors), "--screen", "2", "-w", EIGHT[0], "-w", EIGHT[7]]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2 and "a screen needs 8 weights or more, and there are 2: with fewer" in done.stderr
