"""Pictures of pages for the documents: laptop, tablet and phone, light and dark.

    PYTHONPATH=tests python tests/support/reports/pictures.py docs/images report=runs/shapes/report.html

writes `report-1440-light.png` and so on; with `#why` after a page the window begins at the element of that id.
`make pictures` does so for `REPORTS`.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from support.reports.browser import Browser, browser

WINDOWS = ((1440, 900), (768, 1024), (360, 780))
COLORS = 256
"""Of a palette: text and charts need no more, and a picture is a third as large."""


def small(png: bytes) -> bytes:
    """The picture with a palette of its own."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    out = io.BytesIO()
    image.quantize(COLORS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def pictures(opened: Browser, page: Path, place: str = "") -> Iterator[tuple[str, bytes]]:
    """("1440-light", PNG) and so on, of the window. place: id of the element that it begins at; "": the top."""
    for width, height in WINDOWS:
        for dark in (False, True):
            opened.visit(page, width, height, dark)
            top = f"document.getElementById({place!r}).getBoundingClientRect().top" if place else "0"
            begin = int(opened.evaluate(top))
            out = opened.screenshot(page.with_name(f".{page.stem}-picture.png"), top=begin, height=height)
            yield f"{width}-{'dark' if dark else 'light'}", small(out.read_bytes())
            out.unlink()


def main() -> None:
    """Write them."""
    folder, *named = sys.argv[1:]
    if not named:
        sys.exit('name the pages: make pictures REPORTS="report=runs/shapes/report.html"')
    with browser() as opened:
        for one in named:
            name, _, page = one.partition("=")
            path, _, place = page.partition("#")
            for kind, png in pictures(opened, Path(path), place):
                (Path(folder) / f"{name}-{kind}.png").write_bytes(png)
                print(f"{folder}/{name}-{kind}.png: {len(png) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
