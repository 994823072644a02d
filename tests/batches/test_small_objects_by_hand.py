"""Small-object augmentation against what is worked by hand: which boxes are small, what is planned, refusals."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.batches.chips import small_objects
from headstart.batches.chips.pasting import places
from headstart.batches.chips.small_objects import CopyPaste, Pastes, SmallObjects, _hull, images_of, small_rows
from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.columns import BoxColumns
from headstart.data.flags import CROWD, DIFFICULT, GROUP_OF, OCCLUDED, TRUNCATED
from headstart.errors import DataError, UsageError
from headstart.readers.formats import open_dataset

INF = float("inf")

# Settings


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"below": 0}, "below = 0: a size in pixels, above 0"),
        ({"below": -1.5}, "below = -1.5: a size in pixels, above 0"),
        ({"repeats": 0}, "repeats = 0: 1 (as often as other images) or more"),
        ({"copies": -1}, "copies = -1: 0 (none) or more"),
        ({"share": 0}, "share = 0: above 0, at most 1"),
        ({"share": 1.01}, "share = 1.01: above 0, at most 1"),
        ({"scale": (0, 1)}, "scale = (0, 1): two factors above 0, the smaller one first"),
        ({"scale": (1.1, 1.0)}, "scale = (1.1, 1.0): two factors above 0, the smaller one first"),
        ({"scale": (1, INF)}, "scale = (1, inf): two factors above 0, the smaller one first"),
        ({"turn": -0.1}, "turn = -0.1: 0 to 180 degrees"),
        ({"turn": 180.1}, "turn = 180.1: 0 to 180 degrees"),
        ({"at_most": 0}, "at_most = 0: 1 or more"),
    ],
)
def test_settings_that_mean_nothing_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as fault:
        SmallObjects(**values)
    assert str(fault.value) == f"small objects: {said} is needed."


def test_the_least_and_the_most_that_settings_may_be() -> None:
    SmallObjects(below=0.1, repeats=1, copies=0, share=0.001, scale=(0.1, 0.1), turn=0, at_most=1)
    SmallObjects(below=0.5, share=1, scale=(0.5, 0.5), turn=180)
    given = SmallObjects()
    assert (given.below, given.repeats, given.copies, given.share) == (32.0, 1, 0, 0.5)
    assert (given.scale, given.turn, given.at_most) == ((0.8, 1.2), 15.0, 30)


@pytest.mark.parametrize(
    ("repeats", "chips", "places"),
    [
        (1, [0, 1, 2, 3, 4], [0, 0, 1, 2, 2]),
        (2, [0, 1, 2, 3, 4, 0, 1, 3, 4], [0, 0, 1, 2, 2, 3, 3, 5, 5]),
        (3, [0, 1, 2, 3, 4, 0, 1, 3, 4, 0, 1, 3, 4], [0, 0, 1, 2, 2, 3, 3, 5, 5, 6, 6, 8, 8]),
    ],
)
def test_repetitions(repeats: int, chips: list[int], places: list[int]) -> None:
    images, small = np.array([0, 0, 1, 2, 2], np.int32), np.array([True, False, True])
    found, where = SmallObjects(repeats=repeats).repeated(images, small)
    assert found.tolist() == chips and where.tolist() == places
    assert found.dtype == np.int32 and where.dtype == np.int64
    none, _ = SmallObjects(repeats=repeats).repeated(images, np.zeros(3, bool))
    assert none.tolist() == [0, 1, 2, 3, 4]


# Which boxes are small


def table(boxes: list[list[tuple[float, ...]]], flags: list[int]) -> Annotations:
    """Images of 50 x 40 pixels (w x h) that are nowhere."""
    columns = BoxColumns(
        offsets=np.cumsum([0, *map(len, boxes)]),
        source=np.array([box for own in boxes for box in own], float).reshape(-1, 4),
        labels=np.zeros(len(flags), np.int32),
        flags=np.array(flags, np.uint8),
        known=np.ones(len(boxes), bool),
        classes=("a",),
        convention="edges",
    )
    names = [str(k) for k in range(len(boxes))]
    return annotate(
        Path("nowhere"), "made", names, names, sizes_hw=[(40, 50)] * len(names), splits=[""] * len(names), boxes=columns
    )


def test_small_boxes_by_hand() -> None:
    """Below 10: sides of 9; of 20 with 4; of 30 of which 5 are inside. Not: of 10, of none, difficult, of several."""
    boxes = [
        [(0, 0, 9, 9), (0, 0, 10, 10), (5, 5, 5, 30)],
        [(0, 0, 20, 4), (45, 0, 75, 15), (-20, 30, 3, 60), (0, 0, 3, 3), (0, 0, 3, 3), (0, 0, 3, 3)],
        [],
        [(1, 1, 2, 2), (1, 1, 2, 2), (60, 0, 61, 1)],
    ]
    flags = [0, 0, 0, 0, 0, 0, DIFFICULT, CROWD, GROUP_OF, OCCLUDED, TRUNCATED, 0]
    found = small_rows(table(boxes, flags), 10.0)  # type: ignore[arg-type]
    assert found.tolist() == [0, 3, 4, 5, 9, 10]
    assert images_of(table(boxes, flags), found).tolist() == [0, 1, 1, 1, 3, 3]  # type: ignore[arg-type]
    assert images_of(table(boxes, flags), np.arange(12)).tolist() == [0] * 3 + [1] * 6 + [3] * 3  # type: ignore[arg-type]


def test_where_nothing_is_small_the_smallest_is_told() -> None:
    with pytest.raises(DataError) as fault:
        small_rows(table([[(0, 0, 9, 16), (0, 0, 30, 30), (0, 0, 1, 1)]], [0, 0, CROWD]), 12.0)
    assert str(fault.value) == (
        "nowhere: no box is small, below 12 pixels (square root of the area); the smallest is 12. Set `below` to suit "
        "these images, or leave small-object augmentation out."
    )
    with pytest.raises(DataError) as fault:
        small_rows(table([[(0, 0, 1, 1), (3, 3, 3, 3)]], [DIFFICULT, 0]), 32.5)
    assert str(fault.value) == (
        "nowhere: no box is small, below 32.5 pixels (square root of the area); there is none at all. Set `below` to "
        "suit these images, or leave small-object augmentation out."
    )


# What is planned and drawn


def outlined(out: Path, *, occluded: int = -1, truncated: int = -1) -> Annotations:
    """Two images of 100 x 80 pixels: three squares of 8, 10 and 12 pixels, the second without an outline; one of 6."""
    (out / "images").mkdir(parents=True)
    (out / "annotations").mkdir()
    squares = [(1, 10, 10, 8), (1, 40, 10, 10), (1, 60, 40, 12), (2, 5, 6, 6)]
    annotations = []
    for k, (image, x, y, side) in enumerate(squares):
        ring = [x, y, x + side, y, x + side, y + side, x, y + side]
        annotations.append(
            {
                "id": 20 + k,
                "image_id": image,
                "category_id": 1 + k % 2,
                "bbox": [x, y, side, side],
                "area": side * side,
                "iscrowd": 0,
                "occluded": int(k == occluded),
                "truncated": int(k == truncated),
                **({} if k == 1 else {"segmentation": [ring]}),
            }
        )
    noise = np.random.default_rng(0).integers(0, 256, (2, 80, 100, 3), dtype=np.uint8)
    for k in (1, 2):
        Image.fromarray(noise[k - 1]).save(out / "images" / f"{k}.png")
    record = {
        "images": [{"id": k, "file_name": f"{k}.png", "width": 100, "height": 80} for k in (1, 2)],
        "categories": [{"id": 1, "name": "thing"}, {"id": 2, "name": "thong"}],
        "annotations": annotations,
    }
    (out / "annotations" / "instances.json").write_text(json.dumps(record))
    return open_dataset(out)


def corners(x: float, y: float, side: float) -> set[tuple[float, float]]:
    return {(x, y), (x + side, y), (x + side, y + side), (x, y + side)}


def test_hulls_of_outlines_by_hand(tmp_path: Path) -> None:
    source = outlined(tmp_path)
    assert set(map(tuple, _hull(source, 0, 0).tolist())) == corners(10, 10, 8)
    assert set(map(tuple, _hull(source, 1, 3).tolist())) == corners(5, 6, 6)
    assert _hull(source, 0, 1).shape == (0, 2) and _hull(source, 0, 1).dtype == np.float64


def test_objects_that_can_be_copied_by_hand(tmp_path: Path) -> None:
    source = outlined(tmp_path)
    planner = CopyPaste(source, np.arange(4), SmallObjects(copies=1), 9)
    assert planner.rows.tolist() == [0, 2, 3] and planner.offsets.tolist() == [0, 2, 3]
    assert planner.hull_offsets.tolist() == [0, 4, 8, 12] and planner.hulls.shape == (12, 2)
    assert set(map(tuple, planner.hulls[4:8].tolist())) == corners(60, 40, 12)
    assert planner.seed == 9 and planner.settings.copies == 1 and planner.annotations is source
    few = CopyPaste(source, np.array([2, 3]), SmallObjects(copies=1), 9)
    assert few.rows.tolist() == [2, 3] and few.offsets.tolist() == [0, 1, 2]


@pytest.mark.parametrize("flag", ["occluded", "truncated"])
def test_objects_that_are_cut_are_not_copied(tmp_path: Path, flag: str) -> None:
    marked = outlined(tmp_path, **{flag: 2})
    assert marked.box_flags.tolist() == [0, 0, OCCLUDED if flag == "occluded" else TRUNCATED, 0]
    assert CopyPaste(marked, np.arange(4), SmallObjects(copies=1), 0).rows.tolist() == [0, 3]


@pytest.mark.parametrize("rows", [[1], [1, 2]])
def test_without_an_outline_nothing_can_be_copied(tmp_path: Path, rows: list[int]) -> None:
    marked = outlined(tmp_path, occluded=2)
    with pytest.raises(DataError) as fault:
        CopyPaste(marked, np.array(rows), SmallObjects(below=24.5, copies=1), 0)
    assert str(fault.value) == (
        f"{tmp_path}: none of {len(rows)} objects below 24.5 pixels has an outline in one piece, so none can be "
        "copied. Use a data set with an outline for each object, such as COCO or LVIS, or set `copies` to 0."
    )


def test_a_plan_is_made_from_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = outlined(tmp_path)
    settings = SmallObjects(copies=2, share=1, scale=(1, 2), turn=90, at_most=3)
    planner = CopyPaste(source, np.arange(4), settings, 9)
    asked: list[tuple[Any, ...]] = []

    def recorded(*given: Any) -> Any:
        asked.append(given)
        return places(*given)

    monkeypatch.setattr(small_objects, "places", recorded)
    plan = planner.plan(5)
    (offsets, hulls, hull_offsets), boxes, box_offsets, sizes, state, chances = asked[0]
    assert offsets is planner.offsets and hulls is planner.hulls and hull_offsets is planner.hull_offsets
    assert boxes.tolist() == source.boxes_xyxy.tolist() and boxes.flags.c_contiguous
    assert box_offsets.tolist() == [0, 3, 4] and box_offsets.dtype == np.int64
    assert sizes.tolist() == [[80, 100]] * 2 and sizes.dtype == np.float64
    assert state == np.random.SeedSequence([9, 6, 5]).generate_state(1, np.uint64)[0] and state.dtype == np.uint64
    wanted = {"copies": 2, "at_most": 3, "share": 1.0, "low": 1.0, "high": 2.0, "turn": math.pi / 2}
    assert chances._asdict() == wanted
    objects, affines, xyxy, counts = places(*asked[0])
    assert plan.rows.tolist() == [[0, 2, 3][k] for k in objects] and counts.tolist() == [3, 2]
    assert plan.offsets.tolist() == [0, 3, 5] and plan.offsets.dtype == np.int64
    assert plan.labels.tolist() == [row % 2 for row in plan.rows] and plan.labels.dtype == np.int64
    assert np.array_equal(plan.affines, affines) and np.array_equal(plan.xyxy, xyxy)
    assert affines.shape == (5, 6) and xyxy.shape == (5, 4)


def moved(row: int, x: float, y: float, by: tuple[float, float], side: float) -> tuple[list[float], list[float]]:
    return [1, 0, by[0], 0, 1, by[1]], [x + by[0], y + by[1], x + by[0] + side, y + by[1] + side]


def test_pastes_are_drawn_by_hand(tmp_path: Path) -> None:
    """In the second image the object of 6 pixels, 40 to the right and 30 down; in the first nothing."""
    source = outlined(tmp_path)
    planner = CopyPaste(source, np.arange(4), SmallObjects(copies=1), 0)
    affine, box = moved(3, 5, 6, (40, 30), 6)
    pastes = Pastes(np.array([0, 0, 1]), np.array([3]), np.array([1]), np.array([affine]), np.array([box]))
    image = np.random.default_rng(1).integers(0, 256, (80, 100, 3), dtype=np.uint8)
    before = image.copy()
    assert planner.drawn(image, 0, pastes) is image
    shown = planner.drawn(image, 1, pastes)
    wanted = before.copy()
    wanted[36:42, 45:51] = before[6:12, 5:11]
    assert np.array_equal(shown, wanted) and np.array_equal(image, before)


def test_each_image_has_its_own_pastes(tmp_path: Path) -> None:
    source = outlined(tmp_path)
    planner = CopyPaste(source, np.arange(4), SmallObjects(copies=1), 0)
    kinds = [(0, 10, 10, (20, 50), 8), (2, 60, 40, (-40, 5), 12), (3, 5, 6, (50, 50), 6)]
    both = [moved(*kind) for kind in kinds]
    pastes = Pastes(
        np.array([0, 2, 3]),
        np.array([0, 2, 3]),
        np.array([0, 0, 1]),
        np.array([affine for affine, _ in both]),
        np.array([box for _, box in both]),
    )
    image = np.random.default_rng(1).integers(0, 256, (80, 100, 3), dtype=np.uint8)
    for i, own in ((0, kinds[:2]), (1, kinds[2:])):
        wanted = image.copy()
        for _, x, y, (across, down), side in own:
            wanted[y + down : y + down + side, x + across : x + across + side] = image[y : y + side, x : x + side]
        assert np.array_equal(planner.drawn(image, i, pastes), wanted)
