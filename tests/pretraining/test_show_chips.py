"""The page of `headstart pretrain --show-chips`: its numbers and rectangles are those of the chip table."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart import api
from headstart.batches.chips.scales import ChipTable, positive_chips, scales_of
from headstart.cli.main import main
from headstart.data.annotations import Annotations
from headstart.errors import DataError, UsageError
from headstart.page.regions import Outline, Region, alone, over_shared
from headstart.pretraining.proposals import write_proposals
from headstart.progress import silent
from headstart.readers.formats import open_dataset
from headstart.recipes.pretraining import PretrainingOptions, load_recipe
from headstart.world.shapes import write_coco
from support.drawn_layouts import as_coco, drawn_images
from support.miniatures import make_class_folders

SIZE, IMAGES = 192, 15
HOSTILE = "<script>alert(1)</script>"
OPTIONS = PretrainingOptions(on_empty_class="skip")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn images; the first has a box of several objects, too, and one that is too long for every scale. What is
    below the boxes of some is cut away, so that not all are square."""
    out = tmp_path_factory.mktemp("drawn")
    write_coco("base", IMAGES, 0, SIZE, out=out, progress=silent)
    file = out / "annotations" / "instances.json"
    record = json.loads(file.read_text())
    common = {"image_id": 1, "category_id": 1, "area": 1}
    # 3 x 150: a square root of the area of 21, but 150 x 1.667 are more pixels than a chip of 160 takes in any place.
    record["annotations"] += [
        {**common, "id": 900, "bbox": [10, 20, 150, 3], "iscrowd": 0},
        {**common, "id": 901, "bbox": [5, 5, 60, 60], "iscrowd": 1},
    ]
    record["categories"][0]["name"] = HOSTILE
    for image in record["images"][::2]:
        low = max(a["bbox"][1] + a["bbox"][3] for a in record["annotations"] if a["image_id"] == image["id"])
        image["height"] = min(SIZE, int(low) + 2)
        for box in record["annotations"]:
            box.pop("segmentation", None)
        path = out / "images" / image["file_name"]
        Image.open(path).crop((0, 0, SIZE, image["height"])).save(path)
    file.write_text(json.dumps(record))
    return out


@pytest.fixture(scope="module")
def page(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("page") / "chips.html"
    assert api.show_chips(drawn, "shapes-chips", out, OPTIONS) == out
    return out.read_text(encoding="utf-8")


class _Rows(HTMLParser):
    """Cells of the first table's body."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._inside = False
        self.feed(page[: page.index("</table>")])

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.rows[-1][-1] += data.replace("\xad", "").strip()


def laid(drawn: Path) -> tuple[Annotations, ChipTable]:
    """The same chips from the data set's own boxes; the crowd box is the last of its image, and left out."""
    table = open_dataset(drawn)
    kept = table.box_flags == 0
    image = np.repeat(np.arange(len(table)), np.diff(table.box_offsets))[kept]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(image, minlength=len(table)))])
    boxes = np.clip(table.boxes_xyxy[kept], 0, SIZE)
    scales = scales_of(load_recipe("shapes-chips").sampling.scales)
    return table, positive_chips(boxes, offsets, table.sizes_hw, scales, seed=0, epoch=0, chip=160)


def test_the_numbers_are_those_of_the_chip_table(drawn: Path, page: str) -> None:
    table, chips = laid(drawn)
    head, *rows = _Rows(page).rows
    assert head == [
        "Scale",
        "Takes boxes",
        "Chips",
        "Chips an image",
        "Boxes",
        "Targets",
        "Megapixels",
        "Whole images",
        "Share",
    ]
    assert [row[:2] for row in rows] == [
        ["Image × 3", "below 24 px"],
        ["Image × 1.667", "9.6 to 45 px"],
        ["Longer side 160 px", "from 36 px"],
        ["All scales", ""],
    ]
    sizes = table.sizes_hw
    scaled = [sizes * 3, np.floor(sizes * 1.667), np.floor(sizes * (160 / sizes.max(1))[:, None])]
    whole = np.array([s.prod(1).sum() for s in scaled])
    targets = np.diff(chips.box_offsets)
    for s, row in enumerate(rows):
        own = chips.scales == s if s < 3 else np.ones(len(chips), bool)
        held = np.concatenate([chips.rows_of(int(c)) for c in np.flatnonzero(own)])
        pixels, all_of_them = chips.sizes_hw[own].astype(int).prod(1).sum(), whole[s] if s < 3 else whole.sum()
        assert row[2:6] == [
            str(own.sum()),
            f"{own.sum() / IMAGES:.2f}",
            str(len(set(held.tolist()))),
            str(targets[own].sum()),
        ]
        assert row[6:] == [f"{pixels / 1e6:.2f}", f"{all_of_them / 1e6:.2f}", f"{100 * pixels / all_of_them:.0f} %"]
    assert f"{IMAGES} images become {len(chips)} chips of 160 × 160 pixels" in page
    boxes = int((table.box_flags == 0).sum())
    assert f"1 box of {boxes} is left to no scale" in page and f"{boxes} boxes to train on" in page


def test_rectangles_are_the_chips_in_pixels_of_the_image(drawn: Path, page: str) -> None:
    table, chips = laid(drawn)
    articles = page.split('<article class="chips">')[1:]
    assert 12 <= len(articles) <= 13
    names = {table.image_name(i): i for i in range(IMAGES)}
    seen = []
    for article in articles:
        i = names[re.search("<h3>(.+?)</h3>", article)[1]]  # type: ignore[index]
        masks = re.findall('<mask id="veil-.+?</mask>', article)
        assert len(masks) == 3
        for s, mask in enumerate(masks):
            own = np.flatnonzero((chips.images == i) & (chips.scales == s))
            rects = re.findall('<rect x="(.+?)" y="(.+?)" width="(.+?)" height="(.+?)"/>', mask)
            found = [[float(v) for v in numbers] for numbers in rects]
            factor = chips.factors[own][:, None]
            origins = np.where(factor > 1, chips.origins_xy[own], np.floor(chips.origins_xy[own]))
            expected = np.hstack([origins, chips.sizes_hw[own][:, ::-1]]) / factor
            assert np.allclose(np.array(found).reshape(-1, 4), expected, rtol=0, atol=0.006)
        own_chips = int((chips.images == i).sum())
        assert article.count('<g class="region k') == own_chips
        assert article.count('<div class="regions">') == 3 + min(own_chips, 6)
        seen.append(own_chips)
    counts = np.bincount(chips.images, minlength=IMAGES)
    assert seen == sorted(seen, reverse=True) and (seen[0], seen[-1]) == (counts.max(), counts[counts > 0].min())
    first = next(a for a in articles if f"<h3>{table.image_name(0)}</h3>" in a)  # it has the box that is left over
    shown = [names[re.search("<h3>(.+?)</h3>", a)[1]] for a in articles]  # type: ignore[index]
    assert any(height < 0.9 * width for height, width in table.sizes_hw[shown])
    assert "1 box left to no scale" in first and "several objects: ignored" in first


def test_a_class_called_like_a_script_stays_text(page: str) -> None:
    assert "<script" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "http-equiv" in page and not re.search(r'(?:src|href)="(?!data:|#)', page)


def test_the_same_page_again_and_no_training(drawn, page, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["pretrain", str(drawn), "--recipe", "shapes-chips", "--on-empty-class", "skip", "--show-chips", "a.html"]
    for more, told in (([], "page: a.html\n"), (["--json"], '{"page": "a.html"}\n')):
        monkeypatch.setattr(sys, "argv", ["headstart", *words, *more])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code and capsys.readouterr().out == told
        assert Path("a.html").read_text(encoding="utf-8") == page
        assert [p.name for p in tmp_path.iterdir()] == ["a.html"]


@pytest.mark.parametrize("quiet", [False, True])
def test_notes_of_the_data_are_told_unless_quiet(
    tmp_path: Path, command: Any, caplog: pytest.LogCaptureFixture, quiet: bool
) -> None:
    as_coco(drawn_images(tmp_path / "drawn", 4), tmp_path / "coco")
    for file in (tmp_path / "coco").rglob("instances*.json"):
        content = json.loads(file.read_text())
        content["categories"].append({"id": 0, "name": "root", "supercategory": "none"})
        file.write_text(json.dumps(content))
    words = ["pretrain", tmp_path / "coco", "--recipe", "shapes-chips", "--on-empty-class", "skip"]
    _, out, _ = command(*words, "--show-chips", tmp_path / "a.html", *["-q"] * quiet)
    assert out == f"page: {tmp_path / 'a.html'}\n"
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("note: ")]
    assert any("is the root of the others and has no box; it is no class" in note for note in told) is not quiet


@pytest.mark.slow
def test_negative_chips_come_from_proposals_and_stand_apart(drawn: Path, tmp_path: Path) -> None:
    table = open_dataset(drawn)
    dice = np.random.default_rng(0)
    centers = dice.uniform(0, SIZE, (IMAGES * 200, 2))
    half = dice.uniform(3, 40, (len(centers), 1))
    found = {
        "boxes_xyxy": np.hstack([centers - half, centers + half]),
        "scores": np.ones(len(centers)),
        "image_index": np.repeat(np.arange(IMAGES), 200),
    }
    write_proposals(tmp_path / "proposals.parquet", table, found)
    recipe = ("sniper-coco", tmp_path / "a.html")
    api.show_chips(drawn, *recipe, OPTIONS, changes=("sampling.size=160",))
    assert "at most 2 negative chips an image" in (tmp_path / "a.html").read_text(encoding="utf-8")
    options = PretrainingOptions(on_empty_class="skip", proposals=tmp_path / "proposals.parquet")
    page = api.show_chips(drawn, *recipe, options, changes=("sampling.size=160",)).read_text(encoding="utf-8")
    assert "at most 2 negative chips" not in page
    head, *rows = _Rows(page).rows
    negatives = int(rows[-1][head.index("Negative")])
    assert 0 < negatives == sum(int(row[3]) for row in rows[:-1]) <= 2 * IMAGES
    shown = page.count('<g class="region apart"><title>negative chip N')
    assert 0 < shown <= negatives and '<span class="tab apart"' in page


@pytest.mark.parametrize(
    ("recipe", "supervision", "says"),
    [
        (
            "shapes-boxes",
            None,
            "trains on images brought to one size: it has no chips to show. Recipes that have: shapes-chips, ",
        ),
        ("shapes-labels", None, "trains on images brought to one size: it has no chips to show"),
        ("shapes-chips", "labels", "trains by labels, on random parts of images: it has no chips to show"),
    ],
)
def test_recipes_without_chips(drawn, tmp_path, recipe, supervision, says) -> None:
    with pytest.raises(UsageError, match=f"recipe {recipe} {says}"):
        api.show_chips(drawn, recipe, tmp_path / "a.html", OPTIONS, supervision=supervision)
    assert not (tmp_path / "a.html").exists()


def test_data_without_boxes_and_scales_that_take_none(drawn: Path, tmp_path: Path) -> None:
    make_class_folders(tmp_path / "flowers")
    with pytest.raises(DataError, match=r"flowers: read as .+ it has no boxes.+headstart check .+flowers`"):
        api.show_chips(tmp_path / "flowers", "shapes-chips", tmp_path / "a.html")
    far = ('sampling.scales=[{kind="factor", value=1.0, lo=900.0}]',)
    with pytest.raises(DataError, match=r"none of \d+ boxes .+ Choose a recipe whose scales suit these images"):
        api.show_chips(drawn, "shapes-chips", tmp_path / "a.html", OPTIONS, changes=far)


@pytest.mark.parametrize("name", ["", "a.png", "nowhere/a.html"])
def test_a_page_that_cannot_be_written(drawn: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"name the HTML file to write|there is no folder .+ Make it first"):
        api.show_chips(drawn, "shapes-chips", tmp_path / name, OPTIONS)


def test_lines_that_would_cover_each_other_lie_side_by_side_and_numbers_beside_each_other() -> None:
    def drawn(*corners: tuple[float, float]) -> tuple[list[float], list[tuple[float, float]]]:
        regions = [Region((x, y, x + 100.0, y + 100.0), str(k + 1), "", k) for k, (x, y) in enumerate(corners)]
        text = str(over_shared("i", (230, 230), regions, (), place="v", alt="regions"))
        lines = [float(v) for v in re.findall(r'class="line" x="([\d.]+)"', text)]
        tabs = re.findall(r'class="tab k\d" style="left:([\d.]+)%;top:([\d.]+)%"', text)
        return lines, [(float(a), float(b)) for a, b in tabs]

    apart, _ = drawn((0, 0), (60, 50))
    assert apart[1] - apart[0] == pytest.approx(60)  # lines that cross stand where their regions end
    beside, tabs = drawn((0, 0), (0, 50), (0, 0))
    stroke = 230 / 115
    assert np.diff(sorted(beside)).min() >= 1.2 * stroke
    assert len(set(tabs)) == 3 and tabs[0] == (0, 0)


def test_a_region_by_itself_shows_targets_above_what_is_ignored() -> None:
    boxes = [Outline((1, 1, 9, 9), "target", False), Outline((2, 2, 5, 5), "ignored", True)]
    text = str(
        alone(np.zeros((20, 20, 3), np.uint8), boxes, Region((0, 0, 9, 9), "N1", "", None), "a <b>", max_side=20)
    )
    assert text.index("<title>ignored") < text.index("<title>target") and text.count("stroke-dasharray") == 2
    assert '<span class="tab apart"' in text and "<title>a &lt;b&gt;</title>" in text
