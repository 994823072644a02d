"""A COCO file as large as `instances_train2017.json` to a table: seconds and peak memory, beside `json.load` alone.

    python benchmarks/coco_json.py [--images 118287] [--annotations 860001] [--folder DIR]

The file is made: polygons of 20 corners on average with two decimals, every 86th annotation a crowd with uncompressed
run lengths, annotations of an image scattered over the file as in COCO's own. Every figure is a process of its own.
Masks of the first images are drawn too, beside pycocotools.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from headstart.places.cache import SETTLED_NS

HEIGHT, WIDTH, CATEGORIES, MASKED = 480, 640, 80, 300
FILE = "annotations/instances_train2017.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=118_287)
    parser.add_argument("--annotations", type=int, default=860_001)
    parser.add_argument("--folder", type=Path, help="where the file is made; by default a temporary folder")
    parser.add_argument("--measure", choices=sorted(MEASURES), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measured(given.measure, given.folder)
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
        root = Path(scratch, "coco")
        make(root, given.images, given.annotations)
        os.environ["HEADSTART_CACHE"] = f"{scratch}/cache"
        time.sleep(SETTLED_NS / 1e9 + 0.1)  # What changed within this time is not cached.
        size = (root / FILE).stat().st_size / 1e6
        print(f"{given.images:,} images, {given.annotations:,} annotations, {size:.0f} MB of JSON")
        print(f"{'':34}  CPU s   wall s  peak MB")
        for name in MEASURES:
            command = [sys.executable, __file__, "--measure", name, "--folder", str(root)]
            print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="", flush=True)


def make(root: Path, images: int, annotations: int) -> None:
    """The JSON file, and empty files for the images that the reader looks for."""
    draw = random.Random(0)
    (root / "train2017").mkdir(parents=True)
    (root / "annotations").mkdir()
    names = [f"{k:012d}.jpg" for k in range(images)]
    for name in {*names[:10], *names[:: max(1, images // 5)]}:
        (root / "train2017" / name).touch()
    with (root / FILE).open("w") as file:
        file.write('{"info": {}, "licenses": [], "images": [')
        file.write(
            ", ".join(
                f'{{"license": 3, "file_name": "{name}", "coco_url": "http://images.cocodataset.org/train2017/{name}", '
                f'"height": {HEIGHT}, "width": {WIDTH}, "date_captured": "2013-11-14 11:18:45", '
                f'"flickr_url": "http://farm9.staticflickr.com/8186/8119368305_4e622c8349_z.jpg", "id": {k}}}'
                for k, name in enumerate(names)
            )
        )
        file.write('], "annotations": [')
        for k in range(annotations):
            file.write(", " if k else "")
            file.write(json.dumps(annotation(k, images, draw)))
        kinds = [{"supercategory": "thing", "id": c, "name": f"class{c:02d}"} for c in range(1, CATEGORIES + 1)]
        file.write(f'], "categories": {json.dumps(kinds)}}}')


def annotation(k: int, images: int, draw: random.Random) -> dict[str, object]:
    x, y, width, height = (
        draw.randrange(low, high) / 100 for low, high in ((0, 30000), (0, 20000), (100, 30000), (100, 24000))
    )
    crowd = k % 86 == 0
    corners = min(400, max(6, int(draw.expovariate(1 / 20)) * 2))
    ring = [round(v, 2) for _ in range(corners // 2) for v in (x + draw.random() * width, y + draw.random() * height)]
    runs = {"counts": [1000, *[40, 440] * 200, HEIGHT * WIDTH - 1000 - 480 * 200], "size": [HEIGHT, WIDTH]}
    return {
        "segmentation": runs if crowd else [ring],
        "area": round(width * height * 0.6, 4),
        "iscrowd": int(crowd),
        "image_id": draw.randrange(images),
        "bbox": [x, y, width, height],
        "category_id": draw.randrange(1, CATEGORIES + 1),
        "id": k + 1,
    }


def measured(name: str, root: Path) -> None:
    cpu, wall = time.process_time(), time.perf_counter()
    more = MEASURES[name](root)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(f"{name:34} {cpu:6.2f} {wall:8.2f} {peak:8.0f}  {more}")


def plain(root: Path) -> str:
    with (root / FILE).open() as file:
        json.load(file)
    return ""


def pycocotools(root: Path) -> str:
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        COCO(str(root / FILE))
    return ""


def table(root: Path) -> str:
    from headstart.readers.formats import open_dataset

    found = open_dataset(root)
    assert found.file is not None, "the table is in the cache"
    return f"{len(found.box_labels):,} boxes, {found.file.stat().st_size / 1e6:.0f} MB in the cache"


def masks(root: Path) -> str:
    from headstart.data.masks import instance_masks
    from headstart.readers.formats import open_dataset

    found = open_dataset(root)
    instance_masks(found, 0)
    began = time.process_time()
    number = sum(len(instance_masks(found, i)) for i in range(MASKED))
    return f"{number / (time.process_time() - began):,.0f} masks a CPU s"


def masks_of_pycocotools(root: Path) -> str:
    from pycocotools import mask

    content = json.loads((root / FILE).read_text())
    by_image: dict[int, list[dict]] = {}
    for entry in content["annotations"]:
        by_image.setdefault(entry["image_id"], []).append(entry)
    began, number = time.process_time(), 0
    for i in range(MASKED):
        for entry in by_image.get(i, []):
            outline = mask.frPyObjects(entry["segmentation"], HEIGHT, WIDTH)
            mask.decode(mask.merge(outline) if isinstance(outline, list) else outline)
            number += 1
    return f"{number / (time.process_time() - began):,.0f} masks a CPU s"


MEASURES = {
    "json.load": plain,
    "pycocotools' index": pycocotools,
    "table, first time": table,
    "table, opened again": table,
    f"masks of {MASKED} images": masks,
    f"masks of {MASKED} images, pycocotools": masks_of_pycocotools,
}

if __name__ == "__main__":
    main()
