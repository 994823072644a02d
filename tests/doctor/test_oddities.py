"""What can be read and is hardly meant is found; what was lost in reading is told, and nothing is called clean then."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from headstart.cli.main import app
from headstart.data.summaries import tell
from headstart.doctor.checkup import Checkup, check
from headstart.doctor.masks import edge_values
from headstart.doctor.rules import RULES, Finding
from headstart.readers.place import DataPlace
from headstart.study.progress import ProgressDisplay
from support.miniatures import image, make_class_folders, make_index_masks, make_voc, text, voc_object, voc_xml
from support.miniatures_coco import an_annotation, an_image, coco_json, make_lvis, photo, write


def found(checkup: Checkup) -> dict[str, Finding]:
    return {finding.rule: finding for finding in checkup.findings}


def a_coco(root: Path, *boxes: Any, more: dict[str, Any] | None = None) -> Path:
    photo(root / "a.jpg")
    entries = [an_annotation(k, 0, box, 1 + 2 * (k % 2), **(more or {})) for k, box in enumerate(boxes, 1)]
    coco_json(root / "all.json", [an_image(0, "a.jpg")], entries)
    return root


class TestBoxes:
    @pytest.mark.parametrize(("more", "what"), [({"iscrowd": 1}, "crowds"), ({"difficult": 1}, "difficult objects")])
    def test_that_are_never_scored(self, tmp_path: Path, more: dict[str, Any], what: str) -> None:
        root = a_coco(tmp_path, [1, 2, 3, 4], [5, 2, 3, 4], more=more)
        finding = found(check(root))["boxes-never-scored"]
        assert str(finding.faults[0]) == (
            f"{root}: the images of no list has 2 boxes, and all are {what}. "
            "Take the flag from the boxes of single objects."
        )

    def test_in_fractions(self, tmp_path: Path) -> None:
        rules = found(check(a_coco(tmp_path, [0.1, 0.1, 0.4, 0.4], [0, 0, 1, 1])))
        assert rules.keys() == {"boxes-fractions"} and "(0.1, 0.1, 0.4, 0.4)" in rules["boxes-fractions"].faults[0].why
        voc = tmp_path / "voc"
        image(voc / "a.jpg")
        voc_xml(voc / "a.xml", voc_object("cat", 0.1, 0.2, 0.5, 0.6))
        assert found(check(voc)).keys() == {"boxes-fractions"}, "and not off by one"

    def test_below_a_pixel(self, tmp_path: Path) -> None:
        rules = found(check(a_coco(tmp_path, [1, 2, 0.5, 4], [5, 2, 3, 4])))
        assert rules["box-below-pixel"].count == 1 and "is 0.5 x 4 pixels" in rules["box-below-pixel"].faults[0].why

    @pytest.mark.parametrize(
        ("area", "fits"), [(1e6, False), (0, False), (0.05, False), (20, True), (30, True), (12, True)]
    )
    def test_of_another_area(self, tmp_path: Path, area: float, fits: bool) -> None:
        root = a_coco(tmp_path, [1, 2, 4, 5], [9, 2, 4, 5], more={"area": area})
        assert ("area-differs" not in found(check(root))) == fits, "(4 + 1) (5 + 1) = 30 counts both ends"


class TestClasses:
    @pytest.mark.parametrize(
        ("names", "alike"),
        [(("Cat", "cat"), True), (("stop sign", "stop_sign"), True), (("cat", "cats"), False), (("+", "-"), False)],
    )
    def test_named_alike(self, tmp_path: Path, names: tuple[str, str], alike: bool) -> None:
        for k in range(len(names)):
            image(tmp_path / "images" / f"{k}.jpg", k)
            text(tmp_path / "labels" / f"{k}.txt", f"{k} 0.5 0.5 0.2 0.2")
        text(tmp_path / "classes.txt", *names)
        assert ("classes-alike" in found(check(tmp_path))) == alike

    def test_present_and_absent(self, tmp_path: Path) -> None:
        make_lvis(tmp_path)
        assert "label-contradicts" not in found(check(tmp_path))
        kinds = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
        images = [an_image(1, "a.jpg", neg_category_ids=[1, 2], not_exhaustive_category_ids=[])]
        photo(tmp_path / "b/a.jpg")
        content = {"images": images, "annotations": [an_annotation(1, 1, [1, 2, 3, 4], 1)], "categories": kinds}
        write(tmp_path / "b/annotations/lvis_v1_train.json", content)
        fault = found(check(tmp_path / "b"))["label-contradicts"].faults[0]
        assert fault.record == "class 'cat'" and fault.path.endswith("a.jpg")


class TestPixels:
    def masks(self, root: Path, *palettes: list[int]) -> Path:
        for k, palette in enumerate(palettes):
            image(root / f"images/{k}.png", k)
            picture = Image.fromarray(np.repeat(np.arange(30, dtype=np.uint8)[:, None] // 15, 40, axis=1), "P")
            picture.putpalette(palette)
            (root / "masks").mkdir(exist_ok=True)
            picture.save(root / f"masks/{k}.png")
        text(root / "classes.txt", "sky", "road")
        return root

    def test_palettes_that_differ(self, tmp_path: Path) -> None:
        black, red, blue = [0, 0, 0], [255, 0, 0], [0, 0, 255]
        assert "mask-palette-differs" not in found(
            check(self.masks(tmp_path / "a", black + red, black + red), images=True)
        )
        root = self.masks(tmp_path / "b", black + red, black + blue)
        fault = found(check(root, images=True))["mask-palette-differs"].faults[0]
        assert fault.path == str(root / "masks/1.png") and fault.record == "value 1" and "(0, 0, 255)" in fault.why

    def test_smoothed_edges(self, tmp_path: Path) -> None:
        big = Image.fromarray((np.indices((300, 400)).sum(0) < 300).astype(np.uint8) * 255)
        image(tmp_path / "images/a.png")
        (tmp_path / "masks").mkdir()
        big.resize((40, 30), Image.Resampling.BILINEAR).save(tmp_path / "masks/a.png")
        rules = found(check(tmp_path, images=True))
        assert "are drawn at edges alone" in rules["mask-anti-aliased"].faults[0].why
        assert edge_values(np.asarray(big.resize((40, 30), Image.Resampling.NEAREST))) == []
        noise = np.random.default_rng(0).integers(0, 256, (30, 40), dtype=np.uint8)
        assert edge_values(noise) == [], "noise has no edges"

    @pytest.mark.parametrize(("largest", "dark"), [(4095, True), (65535, False)])
    def test_twelve_bits_in_sixteen(self, tmp_path: Path, largest: int, dark: bool) -> None:
        make_class_folders(tmp_path)
        pixels = np.linspace(0, largest, 1200).astype(np.uint16).reshape(30, 40)
        Image.fromarray(pixels).save(tmp_path / "train/Iris/1.png")
        rules = found(check(tmp_path, images=True))
        assert ("image-dark" in rules) == dark
        assert not dark or "its 16 bits hold values up to 4095 (12 bits)" in rules["image-dark"].faults[0].why


@pytest.mark.parametrize("kind", ["link", "loop", "pipe", "device"])
@pytest.mark.parametrize("layout", ["voc", "class-folders", "coco", "yolo"])
def test_what_is_no_file_is_missing(tmp_path: Path, kind: str, layout: str) -> None:
    if layout == "voc":
        make_voc(tmp_path)
        path = tmp_path / "JPEGImages/a.jpg"
    elif layout == "class-folders":
        make_class_folders(tmp_path)
        path = tmp_path / "train/tulip/1.jpg"
    elif layout == "coco":
        coco_json(tmp_path / "a.json", [an_image(k, f"{k}.jpg") for k in (0, 1)], [an_annotation(1, 0, [1, 2, 3, 4])])
        path = photo(tmp_path / "0.jpg")
        photo(tmp_path / "1.jpg")
    else:
        for k in (0, 1):
            image(tmp_path / "images" / f"{k}.jpg", k)
            text(tmp_path / "labels" / f"{k}.txt", "0 0.5 0.5 0.2 0.2")
        text(tmp_path / "classes.txt", "cat", "dog")
        path = tmp_path / "images/0.jpg"
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to({"link": "gone.jpg", "loop": path.name, "device": "/dev/zero"}[kind])
    fault = found(check(tmp_path, images=True))["image-missing"].faults[0]
    what = {"pipe": "a pipe", "device": "a device"}.get(kind, "a link whose target is not there")
    assert fault.path == str(path) and fault.why == f"it is {what}, not a file"


class TestTerminal:
    def run(self, root: Path) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["check", str(root), "--out", str(root.parent / "out")])
        return done.exit_code, done.output

    def test_notes_are_shown_and_said_beside_clean(self, tmp_path: Path) -> None:
        for k, stem in enumerate("ab"):
            image(tmp_path / f"set/{stem}.jpg", k)
        text(tmp_path / "set/list.csv", "path,label", "a.jpg,x", "b.jpg,y")
        text(tmp_path / "set/other.csv", "no,list")
        code, out = self.run(tmp_path / "set")
        assert code == 0 and "note: " in out and "other.csv is no list of images and was left aside" in out
        assert "nothing wrong was found; how it was read: 1 note above" in out

    def test_a_loss_is_a_finding(self, tmp_path: Path) -> None:
        make_class_folders(tmp_path / "set")
        code, out = self.run(tmp_path / "set")
        assert code == 1 and "nothing wrong" not in out
        assert "warning  file-left-aside: Files and folders left aside: 1" in out

    def test_formats_are_listed(self) -> None:
        done = CliRunner().invoke(app, ["check", "--formats"])
        assert done.exit_code == 0 and "coco  " in done.output and "class-folders  " in done.output

    def test_other_commands_tell_once(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        make_index_masks(tmp_path)
        (tmp_path / "classes.txt").unlink()
        for _ in range(2):
            DataPlace(str(tmp_path)).open()
        assert sum("so each of the 3 mask values" in record.message for record in caplog.records) == 1
        tell(iter(["one", "one"]))
        assert [record.message for record in caplog.records][-1] == "one"

    @pytest.mark.parametrize("quiet", [False, True])
    def test_a_quiet_run_tells_losses_and_no_notes(self, quiet: bool) -> None:
        stream = io.StringIO()
        with ProgressDisplay(1, quiet, stream):
            tell([f"note: how it was read, quiet {quiet}", f"left out: a.jpg: no box, quiet {quiet}"])
        assert stream.getvalue().splitlines() == [
            *([] if quiet else [f"note: how it was read, quiet {quiet}"]),
            f"left out: a.jpg: no box, quiet {quiet}",
        ]


def test_rules_of_losses_are_known() -> None:
    losses = {"file-left-aside", "outline-not-read", "keypoints-not-read", "val-is-train", "element-misplaced"}
    assert losses <= RULES.keys()
