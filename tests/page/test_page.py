"""Charts, numbers and pictures of pages, against values worked by hand."""

from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from markupsafe import Markup
from PIL import Image

from headstart.page import numbers
from headstart.page.document import document
from headstart.page.intervals import Band, IntervalRow, interval_chart
from headstart.page.lines import Axes, Line, legend, line_chart
from headstart.page.pictures import colored, data_uri, heat_overlay, outlined
from headstart.page.scales import Scale, domain, log_ticks, tick_text, ticks

HOSTILE = '<script>alert("x")</script>'


def xml(markup: str) -> ET.Element:
    """Parses strictly: an unclosed element or an unescaped character fails."""
    return ET.fromstring(markup)


@pytest.mark.parametrize(
    ("value", "signed", "text"),
    [
        (0.6554, False, "65.5"),
        (-0.0943, False, "−9.4"),
        (0.0004, True, "0.0"),
        (-0.0004, True, "0.0"),
        (0.303, True, "+30.3"),
        (None, True, "–"),
        (float("nan"), False, "–"),
        (float("inf"), False, "–"),
    ],
)
def test_points(value, signed, text):
    assert numbers.measured(value, "points", signed) == text


def test_other_units_keep_three_decimals():
    assert numbers.measured(-0.0943, "nats") == "−0.094"
    assert numbers.bracket(-0.14, -0.048, "nats") == "[−0.140, −0.048]"
    assert numbers.bracket(None, 0.2) == ""


def test_words_for_numbers():
    assert numbers.p_value(0.0004) == "< 0.001"
    assert numbers.p_value(0.0314) == "0.031"
    assert numbers.p_value(None) == "–"
    assert numbers.significant(0.0015) == "0.0015"
    assert numbers.significant(12.3456) == "12.3"
    assert numbers.significant(-3e-7) == "−3e-7"
    assert numbers.significant(100.0) == "100"
    assert numbers.magnitude(25_557_032) == "25.6 M"
    assert numbers.magnitude(702_344) == "702 k"
    assert numbers.count(1500) == "1,500"
    assert [numbers.duration(s) for s in (3.21, 42, 401, 3601)] == ["3.2 s", "42 s", "6 min 41 s", "1 h 00 min"]
    assert [numbers.listed(w) for w in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
    assert numbers.mean([1.0, None, 2.0]) == 1.5
    assert numbers.mean([None, float("nan")]) is None


def test_ticks_are_round_and_inside():
    assert ticks(0.13, 0.71) == pytest.approx([0.2, 0.4, 0.6])
    assert ticks(-0.15, 0.06) == pytest.approx([-0.15, -0.1, -0.05, 0.0, 0.05])
    assert tick_text([-0.05, 0.0, 0.05]) == ["−0.05", "0.00", "0.05"]
    assert tick_text([20.0, 40.0]) == ["20", "40"]
    assert log_ticks(0.09, 3.0) == pytest.approx([0.1, 0.2, 0.5, 1, 2])
    assert domain([None, float("nan")]) == (0.0, 1.0)
    lo, hi = domain([2.0, 2.0])
    assert lo < 2 < hi


def test_scale_maps_ends_to_ends():
    linear, log = Scale(0, 10, 100, 200), Scale(1, 100, 0, 50, log=True)
    assert (linear(0), linear(5), linear(10)) == (100, 150, 200)
    assert (log(1), log(10), log(100), log(0)) == pytest.approx((0, 25, 50, 0))


def test_interval_chart_draws_and_says_each_row():
    rows = [
        IntervalRow("boxes", 0.655, 0.634, 0.676, (0.65, 0.66), series=0, strong=True, tags=("best",)),
        IntervalRow(HOSTILE, 0.35, 0.33, 0.37),
        IntervalRow("absent", None),
    ]
    chart = interval_chart(rows, "a title", bands=[Band(0.645, 0.655, "margin")], limits=(0.0, 1.0))
    root = xml(chart)
    assert root.attrib["aria-label"] == "a title"
    titles = [t.text for t in root.iter("title")]
    assert titles[0] == "boxes: 65.5 [63.4, 67.6]; seeds 65.0, 66.0"
    assert titles[1] == f"{HOSTILE}: 35.0 [33.0, 37.0]"
    dots = [c for c in root.iter("circle") if c.attrib["class"] == "dot"]
    assert [d.attrib["cx"] for d in dots] == ["65.03%", "35.45%"]  # 1.5 + 97 * 0.655, 1.5 + 97 * 0.35
    assert len([c for c in root.iter("circle") if c.attrib["class"] == "seed"]) == 2
    assert "no value" in chart
    assert "<script" not in chart


def test_interval_chart_of_differences_shows_zero_and_signs():
    chart = interval_chart([IntervalRow("d", -0.094, -0.14, -0.048)], "t", "nats", signed=True, zero=True)
    root = xml(chart)
    zero = next(line for line in root.iter("line") if line.attrib["class"] == "zero")
    assert 0 < float(zero.attrib["x1"].rstrip("%")) < 100
    assert "−0.094" in chart and "[−0.140, −0.048]" in chart


def test_line_chart_leaves_gaps():
    line = Line("boxes", [0, 1, 2, 3, 4], [1.0, 2.0, None, float("nan"), 3.0])
    root = xml(line_chart([line], "t", "d", Axes("x", "y")))
    path = next(p for p in root.iter("path") if p.attrib["class"] == "line s0")
    assert path.attrib["d"].count("M") == 1 and path.attrib["d"].count("L") == 1
    assert len([c for c in root.iter("circle") if c.attrib["class"] == "marker s0"]) == 3  # the lone last one too


def test_line_chart_without_markers_still_shows_a_lone_value():
    line = Line("boxes", [0, 1, 2], [None, 2.0, None], lo=[None, 1.0, None], hi=[None, 3.0, None])
    root = xml(line_chart([line], "t", "d", Axes("x", "y", markers=False)))
    assert not list(root.iter("path"))
    assert len(list(root.iter("circle"))) == 1


def test_line_chart_has_title_description_and_notes_and_escapes_them():
    axes = Axes("x", HOSTILE, x_ticks=[(0.0, "a"), (1.0, HOSTILE)], x_notes=["n 4", "5"])
    chart = line_chart([Line("l", [0, 1], [0.2, 0.3], lo=[0.1, 0.2], hi=[0.3, 0.4])], HOSTILE, "says & tells", axes)
    root = xml(chart)
    svg = root.find("svg")
    assert svg is not None and svg.attrib["role"] == "img"
    assert svg.findtext("title") == HOSTILE and svg.findtext("desc") == "says & tells"
    assert {t.text for t in root.iter("text")} >= {"a", HOSTILE, "n 4", "5"}
    assert any(p.attrib["class"] == "spread s0" and p.attrib["d"].endswith("Z") for p in root.iter("path"))
    assert "<script" not in legend([(HOSTILE, 1)])


def test_small_bins_keep_their_labels_apart():
    names = ["<1/128", "≥1/128", "≥1/64", "≥1/32", "≥1/16", "≥1/8", "≥1/4", "≥1/2"]
    axes = Axes("x", "y", x_ticks=[(float(i), n) for i, n in enumerate(names)])
    root = xml(line_chart([Line("l", list(range(8)), [1.0] * 8)], "t", "d", axes))
    shown = [t for t in root.iter("text") if t.text in names]
    sizes = {float(re.search(r"[\d.]+", t.attrib["style"])[0]) for t in shown}  # type: ignore[index]
    assert len(sizes) == 1 and 8 <= sizes.pop() < 11


def test_data_uri_holds_the_image():
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    kind, _, data = data_uri(image, lossless=True).partition(";base64,")
    assert kind == "data:image/png"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), image)


def test_data_uri_takes_the_smaller_file_and_shrinks():
    noise = np.random.default_rng(0).integers(0, 255, (100, 300, 3)).astype(np.uint8)
    uri = data_uri(noise, max_side=150)
    assert uri.startswith("data:image/jpeg;base64,")
    assert Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).size == (150, 50)
    assert data_uri(np.zeros((50, 50), np.uint8)).startswith("data:image/png;base64,")


def test_colors_run_from_dark_to_light():
    assert colored(np.array([0.0])).tolist() == [[0, 0, 4]]
    assert colored(np.array([1.0])).tolist() == [[252, 255, 164]]
    assert colored(np.linspace(0, 1, 9)).sum(axis=1).tolist() == sorted(colored(np.linspace(0, 1, 9)).sum(axis=1))


def test_heat_overlay_is_brightest_where_the_map_is():
    image = np.full((40, 40, 3), 90, np.uint8)
    heat = np.zeros((4, 4), np.float32)
    heat[0, 3] = 5.0
    out = heat_overlay(image, heat).astype(int).sum(axis=2)
    assert np.unravel_index(out.argmax(), out.shape)[0] < 10 and np.unravel_index(out.argmax(), out.shape)[1] >= 30
    assert np.array_equal(heat_overlay(image, np.full((4, 4), np.nan, np.float32)), image)
    assert np.isfinite(heat_overlay(image, np.ones((4, 4), np.float32))).all()


def test_outlined_draws_the_box_where_it_is():
    root = xml(outlined(np.zeros((60, 80, 3), np.uint8), [(10.0, 20.0, 50.0, 45.0)], HOSTILE))
    assert root.findtext("title") == HOSTILE
    box = next(r for r in root.iter("rect") if r.attrib["class"] == "box")
    assert [float(box.attrib[k]) for k in ("x", "y", "width", "height")] == [10, 20, 40, 25]


def test_document_escapes_its_title_and_forbids_the_network():
    page = document(HOSTILE, Markup("<p>body</p>"), 'a "description"')
    assert "<script" not in page
    assert "default-src &#39;none&#39;" in page
    assert "<p>body</p>" in page
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", page)
    assert "url(" not in page and "@import" not in page
