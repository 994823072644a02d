"""What checkpoints of a pre-training are validated on: the images of a split, their boxes by the right names."""

import json
from pathlib import Path

import numpy as np
import pytest

from headstart.pretraining.images import Images, chosen_images
from headstart.progress import silent
from headstart.readers.formats import open_dataset
from headstart.tasks.whole_images import score_images
from support.drawn_layouts import Drawn, as_coco, classes_of, drawn_images

COUNT = 16


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Drawn]:
    return drawn_images(tmp_path_factory.mktemp("drawn"), COUNT)


@pytest.fixture(scope="module")
def first_class(drawn: list[Drawn]) -> str:
    return classes_of(drawn[: COUNT * 3 // 4])[0]


@pytest.fixture(scope="module")
def chosen(drawn: list[Drawn], first_class: str, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """All training boxes of the first class are difficult, so that it is left out and the others move up by one."""
    root = as_coco(drawn, tmp_path_factory.mktemp("coco"))
    path = root / "annotations" / "instances_train2017.json"
    records = json.loads(path.read_text())
    for record in records["annotations"]:
        record["difficult"] = int(record["category_id"] == 1)
    path.write_text(json.dumps(records))
    return chosen_images(open_dataset(root), "boxes", (), None, on_empty_class="skip", progress=silent)


def test_boxes_keep_their_names_when_a_class_is_left_out(chosen: Images, drawn: list[Drawn], first_class: str) -> None:
    held = chosen.validation
    assert held is not None and first_class not in chosen.classes and held.box_classes == chosen.classes
    by_name = {image.file.name: image for image in drawn}
    seen = set()
    for i in range(len(held)):
        names = [held.box_classes[k] for k in held.boxes_of(i).labels]
        assert names == [n for n in by_name[Path(held.image_name(i)).name].names if n in chosen.classes]
        seen |= {*names}
    assert len(held) == COUNT // 4 and len(seen) > 2


def test_the_best_checkpoint_is_the_one_that_tells_the_classes_apart(chosen: Images, drawn: list[Drawn]) -> None:
    held = chosen.validation
    assert held is not None
    by_name = {image.file.name: image for image in drawn}
    boxes, labels, index = [], [], []
    for i in range(len(held)):
        image = by_name[Path(held.image_name(i)).name]
        for box, name in zip(image.boxes, image.names, strict=True):
            if name in chosen.classes:
                boxes.append(box)
                labels.append(chosen.classes.index(name))
                index.append(i)
    found = {
        "image_index": np.array(index),
        "boxes_xyxy": np.array(boxes),
        "labels": np.array(labels),
        "scores": np.linspace(0.9, 0.1, len(labels)),
    }
    swapped = found | {"labels": (found["labels"] + 1) % len(chosen.classes)}
    blind = found | {"labels": np.zeros_like(found["labels"])}
    best, *others = (score_images(held, f, "voc-area")["det/voc-area/map@0.5"] for f in (found, swapped, blind))
    assert best == 1.0 and max(others) < 0.5
