"""COCO-like data sets of a few tiny images in the official layouts, for tests of readers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 40, 30
CATEGORIES = [{"id": 3, "name": "dog", "supercategory": "animal"}, {"id": 1, "name": "cat", "supercategory": "animal"}]


def photo(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def an_image(number: int, name: str, **more: Any) -> dict[str, Any]:
    return {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT, **more}


def an_annotation(number: int, image_id: int, bbox: Any, category_id: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": number, "image_id": image_id, "category_id": category_id, "bbox": bbox, "iscrowd": 0, **more}


def coco_json(path: Path, images: list[Any], annotations: list[Any], categories: list[Any] | None = None) -> Path:
    return write(path, {"images": images, "annotations": annotations, "categories": categories or CATEGORIES})


def square(x: float, y: float, side: float) -> list[list[float]]:
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def make_coco(root: Path) -> None:
    """Polygons, compressed and uncompressed run lengths, a crowd, an image without annotations."""
    for k in (11, 12):
        photo(root / f"train2017/{k}.jpg", k)
    photo(root / "val2017/7.jpg", 7)
    whole = HEIGHT * WIDTH
    coco_json(
        root / "annotations/instances_train2017.json",
        [an_image(12, "12.jpg"), an_image(11, "11.jpg")],
        [
            an_annotation(500, 11, [1.25, 2, 3, 4.5], 3, area=9.75, segmentation=square(1, 2, 3)),
            an_annotation(
                490,
                11,
                [0, 0, 40, 30],
                1,
                area=3.0,
                iscrowd=1,
                segmentation={"size": [HEIGHT, WIDTH], "counts": [2, 3, whole - 5]},
            ),
            an_annotation(510, 11, [0, 0, 1, 5], 1, area=5, segmentation={"size": [HEIGHT, WIDTH], "counts": "05[U1"}),
        ],
    )
    coco_json(
        root / "annotations/instances_val2017.json",
        [an_image(7, "7.jpg")],
        [an_annotation(3, 7, [5, 5, 10, 10], 3, area=100, segmentation=square(5, 5, 10))],
    )


def make_lvis(root: Path) -> None:
    """Images named by the address of COCO's; the validation images are COCO's training images in part."""
    address = "http://images.cocodataset.org/{}"
    for k, name in enumerate(("train2017/1.jpg", "train2017/2.jpg", "val2017/3.jpg")):
        photo(root / name, k)
    kinds = [
        {"id": 2, "name": "dog", "frequency": "r"},
        {"id": 1, "name": "cat", "frequency": "f"},
        {"id": 9, "name": "eel", "frequency": "c"},
    ]

    def listed(number: int, name: str, absent: list[int], partial: list[int]) -> dict[str, Any]:
        image = an_image(
            number, "", coco_url=address.format(name), neg_category_ids=absent, not_exhaustive_category_ids=partial
        )
        del image["file_name"]
        return image

    boxes = [
        {"id": 5, "image_id": 2, "category_id": 2, "bbox": [1, 1, 5, 5], "area": 25, "segmentation": square(1, 1, 5)}
    ]
    coco_json(root / "annotations/lvis_v1_train.json", [listed(2, "train2017/2.jpg", [9], [2])], boxes, kinds)
    coco_json(
        root / "annotations/lvis_v1_val.json",
        [listed(1, "train2017/1.jpg", [], []), listed(3, "val2017/3.jpg", [1, 2], [9])],
        [{**boxes[0], "image_id": 1, "id": 1, "category_id": 1}, {**boxes[0], "image_id": 1, "id": 2}],
        kinds,
    )


def make_objects365(root: Path) -> None:
    kinds = [{"id": 1, "name": "Person"}, {"id": 2, "name": "Sneakers"}]
    for split, patch in (("train", "patch0"), ("val", "patch3")):
        images = [an_image(k, f"images/v1/{patch}/objects365_v1_{k:08d}.jpg", license=5) for k in (1, 2)]
        for k, entry in enumerate(images):
            photo(root / split / patch / Path(entry["file_name"]).name, k + len(split))
        boxes = [an_annotation(k, 1, [k, 2.5, 7.25, 9.125], k, isfake=0, isreflected=0, area=66.16) for k in (1, 2)]
        coco_json(root / f"annotations/zhiyuan_objv2_{split}.json", images, boxes, kinds)


def segments_png(path: Path, ids: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = np.asarray(ids)
    Image.fromarray(np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], -1).astype(np.uint8)).save(path)
    return path


def make_coco_panoptic(root: Path) -> None:
    """Left: a dog (id 70000), right: sky (id 5), and two rows without a segment."""
    ids = np.full((HEIGHT, WIDTH), 5)
    ids[:, :10], ids[:2] = 70000, 0
    kinds = [{"id": 200, "name": "sky", "isthing": 0}, {"id": 18, "name": "dog", "isthing": 1}]
    for split, numbers in (("train", (1, 2)), ("val", (3,))):
        panoptic = []
        for k in numbers:
            photo(root / f"{split}2017/{k}.jpg", k)
            segments_png(root / f"annotations/panoptic_{split}2017/{k}.png", ids)
            sky = {"id": 5, "category_id": 200, "iscrowd": 0, "bbox": [10, 2, 30, 28], "area": 840}
            dog = {"id": 70000, "category_id": 18, "iscrowd": 1, "bbox": [0, 2, 10, 28], "area": 280}
            panoptic.append({"image_id": k, "file_name": f"{k}.png", "segments_info": [sky, dog]})
        images = [an_image(k, f"{k}.jpg") for k in numbers]
        coco_json(root / f"annotations/panoptic_{split}2017.json", images, panoptic, kinds)


COCO_MAKERS = {
    "coco": make_coco,
    "lvis": make_lvis,
    "objects365": make_objects365,
    "coco-panoptic": make_coco_panoptic,
}
