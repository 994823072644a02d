"""What detections are scored against, and how images become detections: of a table, and of prepared sets."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.batches.chips.scales import Scale
from headstart.batches.image_sets import ImageSet, make_image_set
from headstart.data.annotations import Annotations
from headstart.data.flags import CROWD, DIFFICULT, OCCLUDED, TRUNCATED
from headstart.metrics.boxes import Truth
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.models.detection.fcos import FcosDetector
from headstart.readers.formats import open_dataset
from headstart.tasks.detect import TASK as DETECT
from headstart.tasks.inference import COLUMNS, detected, joined, picture, whole_images
from headstart.tasks.truth import truth_of, truth_of_sets
from headstart.tasks.whole_images import detect_images, score_images
from headstart.world.shapes import write_coco

MEAN = "det/voc-area/map@0.5"


def silent(fraction: float, message: str) -> None:
    pass


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Annotations:
    folder = tmp_path_factory.mktemp("drawn")
    write_coco("novel", 8, 0, 64, out=folder, progress=silent)
    return open_dataset(folder)


@pytest.fixture(scope="module")
def prepared(table: Annotations, tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """The same images, half as wide."""
    folder = tmp_path_factory.mktemp("prepared")
    make_image_set(
        table, np.arange(8), np.arange(8), "detect", size_hw=(64, 32), resize="stretch", out=folder, progress=silent
    )
    return ImageSet.open(folder)


@pytest.fixture(scope="module")
def model() -> FcosDetector:
    torch.manual_seed(0)
    return FcosDetector(build_backbone("shapes-resnet"), 3, ("C4", "C5"), 8, coarser=0, depth=1).eval()


def perfect(truth: Truth) -> dict[str, np.ndarray]:
    scores = np.linspace(0.9, 0.1, len(truth.labels)).astype(np.float32)
    return {
        "image_index": truth.image_index,
        "boxes_xyxy": truth.boxes_xyxy,
        "labels": truth.labels,
        "scores": scores,
    }


def test_a_table_and_its_prepared_set_are_scored_against_the_same_boxes(table: Annotations, prepared: ImageSet) -> None:
    a, b = truth_of(table), truth_of_sets([prepared])
    assert (a.num_images, a.num_classes) == (b.num_images, b.num_classes) == (8, len(table.box_classes))
    for name in ("image_index", "labels", "flags"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert np.allclose(a.boxes_xyxy, b.boxes_xyxy) and len(np.unique(a.labels)) > 1
    two = truth_of_sets([prepared, prepared])
    assert two.num_images == 16 and np.array_equal(two.image_index, [*a.image_index, *(a.image_index + 8)])
    some = truth_of(table, [5, 2])
    assert some.num_images == 2 and np.array_equal(some.labels[some.image_index == 0], a.labels[a.image_index == 5])


def test_flags_that_metrics_do_not_read_are_left_out(prepared: ImageSet) -> None:
    flags = prepared.box_flags.copy()
    flags[:3] = (DIFFICULT | TRUNCATED, CROWD, OCCLUDED)
    assert truth_of_sets([replace(prepared, box_flags=flags)]).flags[:4].tolist() == [DIFFICULT, CROWD, 0, 0]


def test_a_checkpoint_is_scored_by_the_classes_of_the_validation_boxes(table: Annotations) -> None:
    """Were the truth all of one class, detections of this class alone would make the best checkpoint."""
    truth = truth_of(table)
    right = perfect(truth)
    turned = right | {"labels": (truth.labels + 1) % truth.num_classes}
    first = right | {"labels": np.zeros_like(truth.labels)}
    cases = {"right": right, "turned": turned, "first": first}
    scores = {name: score_images(table, found, "voc-area")[MEAN] for name, found in cases.items()}
    assert scores["right"] == 1.0 and scores["turned"] == 0.0 and scores["first"] < 0.5


def test_a_trial_is_scored_by_the_classes_of_the_test_boxes(prepared: ImageSet) -> None:
    right = perfect(truth_of_sets([prepared]))
    turned = right | {"labels": (right["labels"] + 1) % len(prepared.box_classes)}
    assert DETECT.score([right], [prepared], None, "voc-area")[0][MEAN] == 1.0
    assert DETECT.score([turned], [prepared], None, "voc-area")[0][MEAN] == 0.0
    both, _ = DETECT.score([right, turned], [prepared, prepared], None, "voc-area")
    assert 0.0 < both[MEAN] < 1.0, "folds are told apart"


def test_what_a_grid_can_reach_is_scored_as_detections_are(model: FcosDetector, prepared: ImageSet) -> None:
    """Of boxes that lie apart all are found, in pixels of the original images; twins of a class hide each other."""
    best = DETECT.reachable(model, Preprocessing(), prepared)
    assert tuple(best) == COLUMNS and 0 < len(best["labels"]) <= len(prepared.box_labels)
    reached = DETECT.score([best], [prepared], None, "voc-area")[0][MEAN]
    assert 0.5 < reached <= 1.0
    first = int(prepared.box_offsets[1])
    assert first > 0, "the first image has a box"
    twins = {
        name: np.concatenate([getattr(prepared, name)[:1], getattr(prepared, name)])
        for name in ("boxes_xyxy", "boxes_source_xyxy", "box_labels", "box_flags")
    }
    offsets = np.concatenate([prepared.box_offsets[:1], prepared.box_offsets[1:] + 1])
    double = replace(prepared, **twins, box_offsets=offsets)
    assert len(DETECT.reachable(model, Preprocessing(), double)["labels"]) == len(best["labels"])


def test_detections_of_a_prepared_set_are_in_pixels_of_the_original_images(
    model: FcosDetector, prepared: ImageSet
) -> None:
    found = DETECT.predict(model, Preprocessing(), prepared, silent)
    assert tuple(found) == COLUMNS and len(found["labels"]) > 8
    pixels = torch.from_numpy(prepared.images[:].transpose(0, 3, 1, 2).copy())
    by_hand = model.detect(Preprocessing().apply(pixels))
    for i, of_image in enumerate(by_hand):
        mine = found["image_index"] == i
        wide = of_image.boxes_xyxy.double() * torch.tensor([2.0, 1.0, 2.0, 1.0])
        assert np.allclose(found["boxes_xyxy"][mine], wide.numpy(), atol=1e-3)
        assert found["labels"][mine].tolist() == of_image.labels.tolist()


def test_detections_of_a_letterbox_end_with_the_image(table: Annotations, tmp_path: Path, model: FcosDetector) -> None:
    """64 x 64 pixels in a picture of 64 x 96, a third of it gray: what lies there is no detection, of no size."""
    make_image_set(
        table, np.arange(8), np.arange(8), "detect", size_hw=(64, 96), resize="letterbox", out=tmp_path, progress=silent
    )
    letterbox = ImageSet.open(tmp_path)
    found = DETECT.predict(model, Preprocessing(), letterbox, silent)
    boxes = found["boxes_xyxy"]
    everywhere = joined(next(iter(detected(model, Preprocessing(), [picture(np.asarray(letterbox.images[0]))]))))
    assert (everywhere["boxes_xyxy"][:, 2] > 64).any(), "the network does find something in the gray"
    assert len(boxes) and boxes.max() <= 64 and (boxes[:, :2] < boxes[:, 2:]).all()
    assert len({len(found[name]) for name in COLUMNS}) == 1


def test_whole_images_pass_alone_and_come_back_in_order(
    model: FcosDetector, table: Annotations, tmp_path: Path
) -> None:
    scales = (Scale("factor", 1.0, 0),)
    found = detect_images(model, Preprocessing(), table, scales, most=20)
    assert (np.diff(found["image_index"]) >= 0).all() and set(found["image_index"].tolist()) == set(range(8))
    parts = detected(model, Preprocessing(), whole_images(table, range(8)), scales, most=20)
    again = joined(of_image for part in parts for of_image in part)
    assert all(np.array_equal(found[name], again[name]) for name in COLUMNS)


def test_no_image_and_no_detection_are_no_fault(model: FcosDetector) -> None:
    none = joined([])
    assert {name: (len(column), column.dtype.kind) for name, column in none.items()} == {
        "image_index": (0, "i"),
        "boxes_xyxy": (0, "f"),
        "labels": (0, "i"),
        "scores": (0, "f"),
    }
    [[(numbers, boxes, _, _)]] = detected(model, Preprocessing(), [picture(np.zeros((64, 64, 3), np.uint8), 7)])
    assert set(numbers.tolist()) <= {7} and boxes.shape[1:] == (4,)
