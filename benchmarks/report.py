"""How large the report of a comparison with 2,000 images is, and how fast in Chromium: its first paint, its filters.
Then the filters of 30,000 rows: the same images again and again, with a picture of a few pixels.

python benchmarks/report.py --images 2000 --data ../shared/data/voc_bccd

Without --data the images are drawn. Photographs of a data set are repeated, shifted, until there are enough.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from headstart.batches.image_sets import read_image
from headstart.page.document import stylesheet
from headstart.page.embedded import script
from headstart.places.images import resize_rgb
from headstart.readers.formats import open_dataset
from headstart.report.build import build
from headstart.report.why.images import pictures
from headstart.world.shapes import draw
from support.reports.browser import Browser, browser
from support.reports.fake_pair import write_pair
from support.reports.fake_run import write_run

SIZE_HW = (256, 320)
FILTER = """
(() => {
  const control = document.querySelector('[data-control=%s]'), began = performance.now();
  control.value = %r;
  control.dispatchEvent(new Event('input'));
  document.body.offsetHeight;  // laid out, too
  return performance.now() - began;
})()
"""
FILTERS = [
    ("ahead", "a"),
    ("count", "2"),
    ("find", "7"),
    ("sort", "b"),
    ("ahead", ""),
    ("count", ""),
    ("find", ""),
    ("sort", "apart"),
]
BLOCK = r'(<script type="application/json" class="%s">)(.*?)(</script>)'
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


def photographs(data: Path | None, count: int) -> np.ndarray:
    """(count, 256, 320, 3)"""
    if data is None:
        own = [resize_rgb(draw("base", k, 192).image, SIZE_HW, "stretch") for k in range(100)]
    else:
        table = open_dataset(data, on_bad_box="skip")
        own = [resize_rgb(read_image(table, k), SIZE_HW, "stretch") for k in range(min(len(table), count))]
    rounds = range(-(-count // len(own)))
    return np.stack([np.roll(image, 8 * k, axis=1) for k in rounds for image in own][:count])


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = write_run(Path(folder) / "run")
        write_pair(
            run, ("boxes", "labels"), arguments.images, photographs=photographs(arguments.data, arguments.images)
        )
        began = time.process_time()
        page = build(run)
        print(f"built in {time.process_time() - began:.1f} CPU s, {page.stat().st_size / 1e6:.2f} MB")
        shell = len((script() + stylesheet() + stylesheet("explorer")).encode())
        print(f"shell (script and style sheets): {shell / 1e3:.0f} kB")
        with browser() as chromium:
            seen = chromium.visit(page, 1440, 900)
            print(f"first paint {chromium.evaluate(PAINT):.0f} ms; console {seen.console}, requests {seen.requests}")
            _filters(chromium, f"{arguments.images:,} images")
            many = page.with_name("many.html")
            many.write_text(with_rows(page.read_text(), arguments.rows))
            chromium.visit(many, 1440, 900)
            _filters(chromium, f"{arguments.rows:,} rows")


def with_rows(page: str, rows: int) -> str:
    """The page with so many images."""
    again: dict[str, object] = {}

    def of_images(block: dict) -> dict:
        again["of"] = of = [k % len(block["ids"]) for k in range(rows)]
        (picture,) = pictures(np.zeros((1, 8, 8, 3), np.uint8), 1e6)
        ids = [f"{block['ids'][k]}-{row}" for row, k in enumerate(of)]
        return block | {"ids": ids, "boxes": [block["boxes"][k] for k in of], "pictures": [picture] * rows}

    def of_pair(block: dict) -> dict:
        def longer(values: list) -> list:
            return [values[k] for k in again["of"]]  # type: ignore[attr-defined]

        return (
            block
            | {name: longer(block[name]) for name in ("counts", "areas", "labels")}
            | {name: [longer(of_arm) for of_arm in block[name]] for name in ("scores", "found")}
            | {"near": [[longer(part) for part in of_arm] for of_arm in block["near"]]}
            | {"maps": [None, None], "cams": [None, None]}
        )

    for kind, change in (("image-data", of_images), ("pair-data", of_pair)):
        pattern = re.compile(BLOCK % kind, re.DOTALL)
        block = json.dumps(change(json.loads(pattern.search(page)[2]))).replace("<", "\\u003c")  # type: ignore[index]
        page = pattern.sub(lambda found, text=block: found[1] + text + found[3], page)  # type: ignore[misc]
    return page


def _filters(chromium: Browser, said: str) -> None:
    times = [chromium.evaluate(FILTER % one) for one in FILTERS * 4]
    print(f"a filter of {said}: median {np.median(times):.1f} ms, slowest {max(times):.1f} ms of {len(times)}")


if __name__ == "__main__":
    main()
