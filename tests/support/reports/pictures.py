"""Pictures of pages for the documents: laptop, tablet and phone, light and dark.

    PYTHONPATH=tests python tests/support/reports/pictures.py docs/images report=runs/shapes/report.html

writes `report-1440-light.png` and so on; with `#why` after a page the window begins at the element of that id, with
`#.explorer` at the first of that class. `first-answer=PAGE#answer@1100x900` writes one window of that size, light,
`first-answer.png`. `make pictures` does so for `REPORTS`. Of each page that has an answer it also writes
`report-numbered.png`: the first answer at the width of a laptop, with numbers beside what `docs/report.md` explains.
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
NUMBERED = (".answer", ".scope", ".forest-row.strong", ".forest .key", "table", "h4", "h4 ~ h4")
"""Of the first answer, in the order of `docs/report.md`; each the first that there is."""
PUT_NUMBERS = """
(chosen => {
  const article = document.querySelector('#answer article'), found = chosen.map(one => article.querySelector(one));
  const last = found.at(-1).nextElementSibling.getBoundingClientRect().bottom + scrollY;
  found.forEach((element, k) => {
    const mark = document.createElement('b'), place = element.getBoundingClientRect();
    mark.textContent = k + 1;
    Object.assign(mark.style, {position: 'absolute', left: `${place.left - 46}px`, top: `${place.top + scrollY}px`,
      width: '30px', height: '30px', borderRadius: '15px', background: '#b5500c', color: '#fff', textAlign: 'center',
      font: '600 17px/30px sans-serif'});
    document.body.append(mark);
  });
  const {left, top, right} = article.getBoundingClientRect();
  return [top + scrollY - 20, last + 20, left - 60, right + 14];
})
"""


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
            yield f"{width}-{'dark' if dark else 'light'}", window(opened, page, place, height)


def window(opened: Browser, page: Path, place: str, height: int) -> bytes:
    """PNG of the open page from `place` on."""
    selector = place if place.startswith(".") else f"#{place}"
    top = f"document.querySelector({selector!r}).getBoundingClientRect().top" if place else "0"
    begin = int(opened.evaluate(top))
    out = opened.screenshot(page.with_name(f".{page.stem}-picture.png"), top=begin, height=height)
    picture = small(out.read_bytes())
    out.unlink()
    return picture


def numbered(opened: Browser, page: Path) -> bytes | None:
    """PNG of the first answer with numbers; None of a page without one."""
    opened.visit(page, *WINDOWS[0])
    if not opened.evaluate("document.querySelector('#answer article') !== null"):
        return None
    top, bottom, left, right = opened.evaluate(f"{PUT_NUMBERS}({list(NUMBERED)})")
    out = opened.screenshot(page.with_name(f".{page.stem}-picture.png"), top=int(top), height=int(bottom - top))
    picture, cut = Image.open(out), io.BytesIO()
    picture.crop((int(left), 0, int(right), picture.height)).save(cut, "PNG")
    out.unlink()
    return small(cut.getvalue())


def main() -> None:
    """Write them."""
    folder, *named = sys.argv[1:]
    if not named:
        sys.exit('name the pages: make pictures REPORTS="report=runs/shapes/report.html"')
    with browser() as opened:
        for one in named:
            name, _, page = one.partition("=")
            path, _, place = page.partition("#")
            place, _, size = place.partition("@")
            if size:
                width, height = map(int, size.split("x"))
                opened.visit(Path(path), width, height)
                made = {"": window(opened, Path(path), place, height)}
            else:
                made = {f"-{kind}": png for kind, png in pictures(opened, Path(path), place)}
            if not place and not size and (marked := numbered(opened, Path(path))):
                made["-numbered"] = marked
            for kind, png in made.items():
                out = Path(folder) / f"{name}{kind}.png"
                out.parent.mkdir(parents=True, exist_ok=True)
                out.write_bytes(png)
                print(f"{out}: {len(png) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
