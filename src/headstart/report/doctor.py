"""The doctor's page: what is wrong with a data set, and what is in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from headstart.data.faults import Fault
from headstart.data.summaries import lines
from headstart.doctor.checkup import Checkup
from headstart.doctor.statistics import Histogram, Statistics
from headstart.errors import DataError
from headstart.page.bars import histogram, ranked
from headstart.page.document import document
from headstart.page.numbers import count
from headstart.page.pictures import outlined
from headstart.places.images import read_rgb
from headstart.report.section import Section, render
from headstart.report.words import plural
from headstart.store.files import write_text

FAULTS_SHOWN = 20
CLASSES_SHOWN = 24
PICTURES = 8
PICTURE_SIDE = 320


def write_page(checkup: Checkup, out: Path) -> Path:
    """Write the page, whole or not at all, and return its path."""
    write_text(out, page(checkup))
    return out


def page(checkup: Checkup) -> str:
    """One HTML document that loads nothing."""
    table = checkup.table
    errors = sum(f.count for f in checkup.findings if f.severity == "error")
    warnings = sum(f.count for f in checkup.findings) - errors
    facts = [table.format, plural(len(table), "image")]
    facts += [plural(len(table.box_labels), "box", "boxes")] if table.box_classes else []
    facts += [plural(errors, "error"), plural(warnings, "warning")]
    sections = [_wrong(checkup), _inside(checkup), _read(checkup)]
    body = render("sections", kind="data check", title=table.root.name, sections=sections, facts=facts, lede="")
    return document(f"{table.root.name} – data check – Headstart", body, f"What is in {table.root.name}")


def _wrong(checkup: Checkup) -> Section:
    root = str(checkup.table.place.root).rstrip("/") + "/"
    shown = []
    for finding in checkup.findings:
        faults = [_row(fault, root) for fault in finding.faults[:FAULTS_SHOWN]]
        shown.append({"finding": finding, "faults": faults, "more": max(finding.count - FAULTS_SHOWN, 0)})
    body = render("doctor_findings", findings=shown, looked=checkup.looked_at_images, overlap=checkup.overlap)
    return Section("wrong", "What is wrong", body)


def _row(fault: Fault, root: str) -> dict[str, str]:
    return {
        "path": fault.path.removeprefix(root),
        "record": fault.record,
        "why": fault.why.replace(root, ""),
        "fix": fault.fix,
    }


def _inside(checkup: Checkup) -> Section:
    stats = checkup.statistics
    charts = [c for c in (_classes(stats), *_boxes(stats)) if c]
    resolved = sorted((c for c in stats.classes if c.resolves), key=lambda c: -(c.resolves or 0))
    pictures = _pictures(checkup)
    body = render("doctor_inside", stats=stats, charts=charts, pictures=pictures, resolves=resolved)
    return Section("inside", "What is in it", body)


def _classes(stats: Statistics) -> Markup | None:
    if not stats.classes:
        return None
    order = sorted(stats.classes, key=lambda c: (-c.total, c.name))
    shown = order if len(order) <= CLASSES_SHOWN else [*order[: CLASSES_SHOWN // 2], *order[-CLASSES_SHOWN // 2 :]]
    cut = "" if len(shown) == len(order) else f", the {CLASSES_SHOWN // 2} most and least frequent of {len(order)}"
    title = f"{stats.of.capitalize()} by class{cut}"
    return ranked([c.name for c in shown], [c.total for c in shown], title, f"Number of {stats.of} of each class")


def _boxes(stats: Statistics) -> list[Markup]:
    def drawn(
        values: Histogram | None, names: Sequence[str], title: str, x_label: str, *, what: str = "boxes"
    ) -> list[Markup]:
        if values is None or not sum(values.counts):
            return []
        return [histogram(names, values.counts, title, f"Distribution: {x_label}", x_label=x_label, y_label=what)]

    def edges(values: Histogram | None, text: str = "{:g}") -> list[str]:
        return [text.format(e) for e in values.edges] if values else []

    sides, shares, aspects, number = stats.box_sides, stats.box_shares, stats.aspects, stats.instances
    upto = ["0", "1", "2", "3", "4", "6", "11", "21", "51+"]
    ratios = [f"1:{2**-e:.3g}" if e < 0 else f"{2**e:.3g}:1" for e in (aspects.edges if aspects else ())]
    return [
        *drawn(sides, edges(sides), "Size of boxes", "square root of the area, pixels"),
        *drawn(shares, edges(shares), "Size of boxes in their images", "square root of box area over image area"),
        *drawn(number, upto, "Boxes an image", "boxes", what="images"),
        *drawn(aspects, ratios, "Shape of boxes", "width to height"),
    ]


def _pictures(checkup: Checkup) -> list[Markup]:
    """A few images, evenly through the set, with their boxes."""
    table = checkup.table
    rows = [i for i in range(0, len(table), max(1, len(table) // PICTURES)) if i < len(table)][:PICTURES]
    out = []
    for i in rows:
        try:
            image = read_rgb(table.image_path(i), None)
            boxes = table.boxes_of(i, (image.shape[0], image.shape[1])).xyxy.tolist()
        except DataError:
            continue
        drawn = outlined(image, boxes, table.image_name(i), PICTURE_SIDE)
        label = table.image_labels[i] if table.image_classes and not table.multi_label else -1
        words = f": {table.image_classes[label]}" if label >= 0 else ""
        if label < 0 and table.boxes_known[i]:
            words = f": {plural(len(boxes), 'box', 'boxes')}"
        out.append(Markup("<figure>{}<figcaption>{}{}</figcaption></figure>").format(drawn, table.image_name(i), words))
    return out


def _read(checkup: Checkup) -> Section:
    body = render("doctor_read", lines=lines(checkup.table), total=count(len(checkup.table)))
    return Section("read", "How it was read", body)
