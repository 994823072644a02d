"""The doctor finds what was planted, and nothing in sound data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from headstart.cli.main import app
from headstart.data.annotate import annotate
from headstart.data.columns import BoxColumns
from headstart.data.flags import DIFFICULT, TRUNCATED
from headstart.data.masks import instance_masks
from headstart.doctor.checkup import Checkup, check
from headstart.doctor.clean import write_clean
from headstart.doctor.rules import RULES, Finding
from headstart.doctor.statistics import statistics
from headstart.errors import DataError, UsageError
from headstart.readers.formats import open_dataset
from headstart.report.doctor import page
from support.miniatures import (
    HEIGHT,
    WIDTH,
    image,
    make_class_folders,
    make_index_masks,
    make_voc,
    mask,
    text,
    voc_object,
    voc_xml,
)
from support.miniatures_coco import make_coco

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """A sound VOC set of four images in three splits and none."""
    root = tmp_path / "set"
    make_voc(root)
    for name in ("a", "b", "d"):  # As sound as it gets: both classes are trained.
        voc_xml(root / f"Annotations/{name}.xml", voc_object("dog", 2, 2, 9, 9), voc_object("cat", 11, 11, 20, 20))
    voc_xml(root / "Annotations/c.xml", voc_object("cat", 2, 2, 9, 9))
    return root


def found(checkup: Checkup) -> dict[str, Finding]:
    return {finding.rule: finding for finding in checkup.findings}


def test_sound_sets_are_clean(voc: Path, tmp_path: Path) -> None:
    assert check(voc, images=True).clean
    make_index_masks(tmp_path / "masks")
    assert found(check(tmp_path / "masks", images=True)).keys() == {"mask-value-unused"}  # car is in none of them
    make_class_folders(tmp_path / "folders")
    assert found(check(tmp_path / "folders", images=True)).keys() == {"file-left-aside"}  # a text among the tulips


def test_boxes_that_cannot_be_leave_or_repeat(voc: Path) -> None:
    objects = (
        voc_object("dog", 5, 5, 5, 9),
        voc_object("dog", 50, 5, 60, 9),
        voc_object("dog", 0, 0, 9, 9),
        voc_object("dog", 5, 5, WIDTH + 6, 9),
        voc_object("cat", 3, 3, 8, 8),
        voc_object("cat", 3, 3, 8, 8),
        voc_object("dog", 3, 3, 8, 8),
    )
    voc_xml(voc / "Annotations/a.xml", *objects)
    rules = found(check(voc))
    assert {rule: f.count for rule, f in rules.items()} == {
        "box-without-extent": 1,
        "box-outside": 1,
        "box-off-by-one": 1,
        "box-leaves-image": 1,
        "box-duplicated": 1,
        "box-two-labels": 1,
    }
    one = rules["box-off-by-one"].faults[0]
    assert one.path == str(voc / "JPEGImages/a.jpg") and one.record == "box 0 ('dog')" and "counted from 0?" in one.why
    assert f"leaves the image of {WIDTH} x {HEIGHT} by 6" in rules["box-leaves-image"].faults[0].why
    assert rules["box-duplicated"].faults[0].why == "is the same as box 2 ('cat')"
    assert rules["box-two-labels"].faults[0].record == "box 4 ('dog')"
    assert [f.severity for f in check(voc).findings][:2] == ["error", "error"]


def test_files_that_are_missing_surplus_broken_or_of_another_size(voc: Path) -> None:
    (voc / "Annotations/b.xml").write_text("<annotation><object>")
    (voc / "JPEGImages/c.jpg").unlink()
    image(voc / "JPEGImages/extra.jpg", 9)
    (voc / "JPEGImages/d.jpg").write_bytes((voc / "JPEGImages/d.jpg").read_bytes()[:300])
    wrong = "<size><width>400</width><height>300</height></size>"
    voc_xml(voc / "Annotations/a.xml", voc_object("dog", 2, 2, 9, 9), voc_object("cat", 9, 9, 12, 12), size=wrong)
    text(voc / "ImageSets/Main/train.txt", "a", "d")
    for name in ("val", "test", "trainval"):
        (voc / f"ImageSets/Main/{name}.txt").unlink()
    rules = found(check(voc, images=True))
    assert rules["annotation-unreadable"].faults[0].path == str(voc / "Annotations/b.xml")
    assert rules["annotation-without-image"].faults[0].path == str(voc / "Annotations/c.xml")
    assert rules["image-without-annotation"].faults[0].path == str(voc / "JPEGImages/extra.jpg")
    assert rules["image-unreadable"].faults[0].path == str(voc / "JPEGImages/d.jpg")
    assert rules["size-differs"].count == 1 and "400 x 300" in rules["size-differs"].faults[0].why
    assert "image-not-listed" not in rules


def test_a_turned_image_and_twins_in_two_splits(voc: Path) -> None:
    picture = Image.open(voc / "JPEGImages/a.jpg")
    turned = picture.getexif()
    turned[0x0112] = 6
    picture.save(voc / "JPEGImages/a.jpg", exif=turned, quality=95)
    shutil.copy(voc / "JPEGImages/b.jpg", voc / "JPEGImages/c.jpg")
    Image.open(voc / "JPEGImages/b.jpg").save(voc / "JPEGImages/d.jpg", quality=60)
    rules = found(check(voc, images=True))
    assert rules["exif-rotation"].faults[0].path == str(voc / "JPEGImages/a.jpg")
    twins = rules["split-near-duplicate"].faults
    assert len(twins) == 1 and "looks like JPEGImages/c.jpg (test), JPEGImages/d.jpg (in no list)" in twins[0].why
    (voc / "JPEGImages/d.jpg").unlink()
    image(voc / "JPEGImages/d.jpg", 8)
    same = found(check(voc, images=True))["split-same-image"].faults[0]
    assert same.why == "is the same file as JPEGImages/c.jpg (test)" and same.record == "(val)"


def test_masks(tmp_path: Path) -> None:
    make_index_masks(tmp_path)
    mask(tmp_path / "trainannot/x.png", (0, 1, 2, 77))
    (tmp_path / "trainannot/y.png").write_bytes(b"no mask")
    rules = found(check(tmp_path, images=True))
    assert rules["mask-value-unknown"].faults[0].record == "value 77"
    assert rules["mask-value-unknown"].faults[0].path == str(tmp_path / "trainannot/x.png")
    assert rules["mask-unreadable"].faults[0].path == str(tmp_path / "trainannot/y.png")


def test_classes_that_nothing_shows_or_trains() -> None:
    boxes = BoxColumns(
        np.array([0, 1, 2]),
        np.array([[0.0, 0, 4, 4], [1, 1, 5, 5]]),
        np.array([0, 2]),
        np.zeros(2, np.uint8),
        np.ones(2, bool),
        ("cat", "cow", "dog"),
        "edges",
    )
    table = annotate(
        Path("set"), "test", ["a", "b"], ["a", "b"], sizes_hw=[(9, 9)] * 2, splits=["train", "test"], boxes=boxes
    )
    from headstart.doctor.table import check_table

    faults = {(f.rule, f.record) for f in check_table(table)}
    assert faults == {("class-without-examples", "class 1 ('cow')"), ("class-not-in-training", "class 2 ('dog')")}
    stats = statistics(table)
    assert next((c.name, c.total, c.resolves) for c in stats.classes) == ("cat", 1, None)
    assert stats.classes[2].resolves == pytest.approx(0.98) and stats.images_by_split == {"train": 1, "test": 1}
    # A box of 4 px in an image of 9: at 320 px it has 142 px, and so on; none is small.
    assert stats.small_at["320"] == {"8": 0.0, "16": 0.0, "32": 0.0}


def test_the_page_escapes_what_comes_from_data(voc: Path) -> None:
    voc_xml(voc / "Annotations/a.xml", voc_object("&lt;script&gt;alert(1)&lt;/script&gt;", 3, 3, 8, 8))
    html = page(check(voc, images=True))
    assert "<script" not in html and "&lt;script&gt;alert(1)" in html and "What is wrong" in html


def test_the_command_ends_with_0_1_or_2(voc: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    done = run(app, ["check", str(voc), "--images", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0 and "nothing wrong was found" in done.output
    voc_xml(voc / "Annotations/a.xml", voc_object("dog", 5, 5, 5, 9))
    done = run(app, ["check", str(voc), "--json", "--out", str(tmp_path / "out")])
    facts = json.loads(done.stdout)
    assert done.exit_code == 1 and facts == json.loads((tmp_path / "out/findings.json").read_text())
    assert "box-without-extent" in {f["rule"] for f in facts["findings"]} and (tmp_path / "out/index.html").is_file()
    done = run(app, ["check", str(tmp_path / "nowhere")])
    assert isinstance(done.exception, DataError) and done.exception.exit_code == 2


def test_a_clean_copy_keeps_flags_and_outlines(voc: Path, tmp_path: Path) -> None:
    odd = "<truncated>1</truncated><difficult>1</difficult>"
    voc_xml(voc / "Annotations/a.xml", voc_object("dog", 2, 2, 9, 9, odd), voc_object("cat", 5, 5, 5, 9))
    write_clean(check(voc, images=True), tmp_path / "clean")
    before = open_dataset(voc, on_bad_box="skip")
    after = open_dataset(tmp_path / "clean/annotations/instances_train.json", images=str(voc))
    assert after.boxes_xyxy.tolist() == before.boxes_xyxy[:1].tolist() and list(after.paths) == ["JPEGImages/a.jpg"]
    assert after.box_flags.tolist() == before.box_flags[:1].tolist() == [TRUNCATED | DIFFICULT]

    make_coco(tmp_path / "coco")
    write_clean(check(tmp_path / "coco"), tmp_path / "again")
    before, after = open_dataset(tmp_path / "coco"), open_dataset(tmp_path / "again", images=str(tmp_path / "coco"))
    for i in range(len(before)):
        assert before.image_name(i) == after.image_name(i)
        assert np.array_equal(instance_masks(before, i), instance_masks(after, i))
    assert before.box_flags.tolist() == after.box_flags.tolist()


def test_every_rule_says_what_why_and_how() -> None:
    assert all(rule.what and rule.why.endswith(".") and rule.fix.endswith(".") for rule in RULES.values())


def test_the_two_odd_boxes_of_bccd() -> None:
    if not (SHARED / "voc_bccd").is_dir():
        pytest.skip("no voc_bccd beside the repository")
    rules = found(check(SHARED / "voc_bccd"))
    assert [Path(f.path).name for f in rules["box-without-extent"].faults] == [
        "BloodImage_00338.xml",
        "BloodImage_00343.xml",
    ]


def test_options_of_the_reader_are_words(voc: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    base = ["check", str(voc), "--out", str(tmp_path / "out"), "--format", "voc", "--read"]
    done = run(app, [*base, "zero_based=true"])
    assert done.exit_code in (0, 1) and "continuous edges" in done.output
    faults = {
        "zero_based=maybe": "either true or false",
        "nothing=1": "give NAME=VALUE with one of on_bad_box",
        "partition=x": "a whole number",
        "partition=2": "means nothing to a voc data set",
    }
    for word, says in faults.items():
        done = run(app, [*base, word])
        assert isinstance(done.exception, UsageError) and says in str(done.exception)


def test_a_clean_copy_opens_with_the_images_of_the_source(voc: Path, tmp_path: Path) -> None:
    hard = "<difficult>1</difficult><truncated>1</truncated>"
    objects = (
        voc_object("dog", 2, 2, 9, 9, hard),
        voc_object("dog", 5, 5, 5, 9),
        voc_object("cat", 11, 11, WIDTH + 9, 20),
        voc_object("cat", 3, 3, 8, 8),
        voc_object("cat", 3, 3, 8, 8),
    )
    voc_xml(voc / "Annotations/a.xml", *objects)
    (voc / "JPEGImages/d.jpg").write_bytes(b"no image")
    before = {p: p.read_bytes() for p in voc.rglob("*") if p.is_file()}
    checkup = check(voc, images=True)
    lines = write_clean(checkup, tmp_path / "clean")
    assert "images left out: 1 of 4" in lines and "copies of boxes removed: 1" in lines
    assert {p: p.read_bytes() for p in voc.rglob("*") if p.is_file()} == before
    again = check(tmp_path / "clean", images=True, read={"images": str(voc)})  # two meanings of one word
    assert "image-unreadable" not in found(again) and again.table.image_path(0).is_file()
    table = open_dataset(tmp_path / "clean", images=str(voc))
    assert table.image_path(0).is_file() and sorted(table.splits) == ["test", "train", "val"]
    a = int(np.flatnonzero([table.image_name(i).endswith("a.jpg") for i in range(len(table))])[0])
    boxes = table.boxes_of(a)
    assert boxes.xyxy.tolist() == [[1, 1, 9, 9], [10, 10, WIDTH, 20], [2, 2, 8, 8]]
    assert boxes.flags.tolist() == [DIFFICULT | TRUNCATED, 0, 0]
    with pytest.raises(UsageError, match="exists already"):
        write_clean(checkup, tmp_path / "clean")


def test_a_clean_copy_of_labels_is_a_list(tmp_path: Path) -> None:
    make_class_folders(tmp_path / "set")
    write_clean(check(tmp_path / "set", images=True), tmp_path / "clean")
    table, source = open_dataset(tmp_path / "clean", images=str(tmp_path / "set")), open_dataset(tmp_path / "set")
    assert table.image_classes == source.image_classes and sorted(table.splits) == sorted(source.splits)
    assert sorted(table.image_labels) == sorted(source.image_labels)


def test_images_of_another_set_are_found(voc: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make_voc(other)
    for k, name in enumerate("abcd"):
        image(other / f"JPEGImages/{name}.jpg", 20 + k)
    Image.open(voc / "JPEGImages/c.jpg").save(other / "JPEGImages/b.jpg", quality=60)
    checkup = check(voc, against=other)
    fault = found(checkup)["in-the-other-set"].faults[0]
    assert fault.path == str(voc / "JPEGImages/c.jpg") and fault.record == "(test)"
    assert fault.why == "looks like JPEGImages/b.jpg (val) of other"
    assert checkup.overlap[0].startswith("set: ") and "1 of 1 test" in checkup.overlap[0]
    assert "1 of 1 val" in checkup.overlap[1] and checkup.to_json()["overlap"] == list(checkup.overlap)
