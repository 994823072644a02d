"""Boxes that a data set marks as difficult, or as several objects in one, are no targets: whole images and chips."""

import json
from dataclasses import replace

import numpy as np
import pytest

from headstart.batches.chips.batches import ChipBatches, training_boxes
from headstart.batches.chips.epochs import ChipLayout
from headstart.batches.chips.scales import Scale
from headstart.batches.chips.small_objects import small_rows
from headstart.batches.image_batches import Batches
from headstart.batches.image_sets import ImageSet
from headstart.data.annotations import Annotations
from headstart.data.flags import CROWD, DIFFICULT, GROUP_OF, OCCLUDED, TRUNCATED
from headstart.errors import DataError
from headstart.pretraining.images import chosen_images
from headstart.progress import silent
from headstart.readers.formats import open_dataset
from headstart.world.shapes import draw_set, write_coco

CHIPS = ChipLayout("chips", (Scale("factor", 2.0, 0, 40), Scale("factor", 1.0, 20, 70)), chip=96)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    folder = tmp_path_factory.mktemp("prepared")
    draw_set("base", 10, 0, 64, out=folder, progress=silent)
    return ImageSet.open(folder)


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Annotations:
    """Every object of the first class is difficult, every one of the second occluded."""
    folder = tmp_path_factory.mktemp("marked")
    write_coco("base", 12, 0, 128, out=folder, progress=silent)
    path = folder / "annotations" / "instances.json"
    records = json.loads(path.read_text())
    first, second = (category["id"] for category in records["categories"][:2])
    for record in records["annotations"]:
        record |= {"difficult": int(record["category_id"] == first), "occluded": int(record["category_id"] == second)}
    path.write_text(json.dumps(records))
    table = open_dataset(folder)
    counts = np.bincount(table.box_labels, minlength=2)
    assert counts[0] and counts[1] and set(table.box_flags[table.box_labels == 0].tolist()) == {DIFFICULT}
    return table


@pytest.mark.parametrize(
    ("flag", "is_target"), [(DIFFICULT, False), (CROWD, False), (GROUP_OF, False), (OCCLUDED, True), (TRUNCATED, True)]
)
def test_a_box_of_a_whole_image_is_a_target_by_its_flag(prepared: ImageSet, flag: int, is_target: bool) -> None:
    flags = prepared.box_flags.copy()
    first = int(prepared.box_offsets[3])
    flags[first] = flag
    batches = Batches(replace(prepared, box_flags=flags), 10, seed=0, flip=False, quarter_turns=False)
    batch = batches.batch(0)
    place = batch.image_ids.index(str(prepared.image_ids[3]))
    boxes = prepared.boxes_of(3)
    expected = boxes.xyxy if is_target else boxes.xyxy[1:]
    assert np.array_equal(batch.boxes_xyxy[place].numpy(), expected)
    assert batch.box_labels[place].tolist() == boxes.labels[len(boxes.labels) - len(expected) :].tolist()
    assert sum(map(len, batch.boxes_xyxy)) == len(flags) - (not is_target)


def test_chips_hold_no_difficult_box_and_none_is_laid_for_one(marked: Annotations) -> None:
    kept = training_boxes(marked)
    assert len(kept.labels) == int((marked.box_labels != 0).sum()) and 0 not in kept.labels
    batches = ChipBatches(marked, CHIPS, batch_size=4, seed=3, flip=True, window=16)
    labels = {
        label for t in range(batches.per_epoch) for of_chip in batches.batch(t).box_labels for label in of_chip.tolist()
    }
    assert labels == {*np.unique(marked.box_labels).tolist()} - {0}


def test_no_difficult_object_is_copied_for_being_small(marked: Annotations) -> None:
    rows = small_rows(marked, below=1000)
    assert np.array_equal(rows, np.flatnonzero(marked.box_labels != 0))


def test_a_class_whose_boxes_are_all_difficult_has_nothing_to_train_on(marked: Annotations) -> None:
    name = marked.box_classes[0]
    with pytest.raises(DataError, match=rf"classes have no box to train on: {name}\b"):
        chosen_images(marked, "boxes", (), "", on_empty_class="error", progress=silent)
    images = chosen_images(marked, "boxes", (), "", on_empty_class="skip", progress=silent)
    assert name not in images.classes and len(images.classes) == len(np.unique(marked.box_labels)) - 1
