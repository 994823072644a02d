"""The page of `headstart pretrain --show-chips`: what chips a recipe lays on a data set, in numbers and pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from headstart.page.bars import histogram
from headstart.page.document import document
from headstart.page.numbers import fixed, listed
from headstart.page.regions import Outline, Region, alone, over_shared, shared_image, swatch
from headstart.report.section import Section, render
from headstart.report.words import plural
from headstart.store.files import write_text

if TYPE_CHECKING:
    from headstart.batches.chips.scales import Scale
    from headstart.pretraining.shown_chips import ShownChip, ShownChips, ShownImage

PICTURE_SIDE = 512
"""Pixels, longer side of an image in the page, and that of a chip by itself."""
CUT_SIDE = 224
CLASSES_NAMED = 5
BARS = 16
TIMES = "×"


def write_page(shown: ShownChips, out: Path) -> Path:
    """Write the page, whole or not at all, and return its path. The folder of `out` must exist."""
    write_text(out, page(shown))
    return out


def page(shown: ShownChips) -> str:
    """One HTML document that loads nothing."""
    recipe = shown.recipe
    facts = [
        f"recipe {recipe.name}, version {recipe.version}",
        f"seed {shown.seed}",
        f"first of {recipe.epochs:g} epochs" if recipe.epochs > 1 else "first epoch",
        plural(len(shown.counts), "image"),
        f"{plural(shown.boxes, 'box', 'boxes')} to train on",
    ]
    number = len(shown.pictures)
    sections = [
        Section("scales", "What it comes to", _scales(shown)),
        Section("images", f"{plural(number, 'image')} and {'its' if number == 1 else 'their'} chips", _images(shown)),
    ]
    title = f"Chips of {shown.data}"
    body = render(
        "sections", kind="what a pre-training sees", title=title, sections=sections, facts=facts, lede=_lede(shown)
    )
    return document(f"{title} – Headstart", body, f"Chips that recipe {recipe.name} lays on {shown.data}")


def _lede(shown: ShownChips) -> str:
    chips, pixels, pyramid = (sum(getattr(f, name) for f in shown.scales) for name in ("chips", "pixels", "pyramid"))
    images = len(shown.counts)
    side, share = f"{shown.side} {TIMES} {shown.side}", _percent(pixels, pyramid)
    held, whole = _mega(pixels, pyramid), _mega(pyramid, pyramid)
    return (
        f"{plural(images, 'image')} become{'s' if images == 1 else ''} {plural(chips, 'chip')} of {side} pixels, "
        f"{chips / images:.2f} an image. They hold {held} megapixels, {share} of the {whole} that whole "
        f"images would have at {_so_many_scales(len(shown.scales))}."
    )


def _so_many_scales(count: int) -> str:
    return "the same scale" if count == 1 else f"all {count} scales"


def _scales(shown: ShownChips) -> Markup:
    sums = {
        name: sum(getattr(f, name) for f in shown.scales)
        for name in ("chips", "negatives", "targets", "pixels", "pyramid")
    }
    rows = [
        _row(shown, sums["pyramid"], scale_words(f.scale), boxes_words(f.scale), boxes=f.admitted, counts=vars(f))
        for f in shown.scales
    ]
    if len(rows) > 1:
        rows.append(_row(shown, sums["pyramid"], "All scales", "", boxes=shown.boxes - shown.left_over, counts=sums))
    return render(
        "chips_scales",
        rows=rows,
        shown=shown,
        chart=_histogram(shown),
        negatives=sums["negatives"],
        without=int((shown.counts == 0).sum()),
        images=len(shown.counts),
        plural=plural,
        several=len(rows) > 1,
        padded=_mega(sums["chips"] * shown.side**2, sums["pyramid"]),
    )


def _row(
    shown: ShownChips, largest: int, name: str, takes: str, *, boxes: int, counts: Mapping[str, int]
) -> dict[str, object]:
    return {
        "scale": name,
        "takes": takes,
        "chips": counts["chips"],
        "negatives": counts["negatives"],
        "each": counts["chips"] / len(shown.counts),
        "boxes": boxes,
        "targets": counts["targets"],
        "pixels": _mega(counts["pixels"], largest),
        "pyramid": _mega(counts["pyramid"], largest),
        "share": _percent(counts["pixels"], counts["pyramid"]),
    }


def scale_words(scale: Scale) -> str:
    """A scale as its recipe says it."""
    if scale.kind == "factor":
        return f"Image {TIMES} {scale.value:g}"
    if scale.kind == "longest":
        return f"Longer side {scale.value:g} px"
    bound = f", longer at most {scale.limit:g} px" if scale.limit else ""
    return f"Shorter side {scale.value:g} px{bound}"


def boxes_words(scale: Scale) -> str:
    """The boxes that a scale takes: square roots of areas, in pixels of the image."""
    if np.isinf(scale.hi):
        return f"from {scale.lo:g} px" if scale.lo else "of any size"
    return f"{scale.lo:g} to {scale.hi:g} px" if scale.lo else f"below {scale.hi:g} px"


def _mega(pixels: int, largest: int) -> str:
    """In megapixels, with as many decimals as suit the largest number beside it."""
    return fixed(pixels / 1e6, 1 if largest >= 1e7 else 2)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "–"


def _histogram(shown: ShownChips) -> Markup:
    most = int(shown.counts.max(initial=1))
    width = -(-(most + 1) // BARS)
    edges = np.arange(0, most + 1 + width, width)
    counts = np.histogram(shown.counts, edges)[0].tolist()
    return histogram(
        [str(e) for e in edges],
        counts,
        "Chips an image",
        "Distribution of the number of chips",
        x_label="chips",
        y_label="images",
    )


def _images(shown: ShownChips) -> Markup:
    legend = [(swatch("region"), "a chip; dark is what no chip of the scale looks at")]
    if any(facts.negatives for facts in shown.scales):
        legend.append((swatch("apart"), "a negative chip, around proposals that no other chip of the scale holds"))
    legend.append((swatch("box"), "a target: a box of the scale"))
    legend.append((swatch("dashed"), "ignored: a box of other scales, cut by a chip, or around several objects"))
    pictures = [_picture(shown, image, k) for k, image in enumerate(shown.pictures)]
    mirrored = shown.recipe.training.flip
    return render(
        "chips_images",
        legend=legend,
        pictures=pictures,
        side=shown.side,
        several=len(shown.scales) > 1,
        mirrored=mirrored,
    )


def _picture(shown: ShownChips, image: ShownImage, k: int) -> dict[str, object]:
    height, width = image.pixels.shape[:2]
    boxes = [b for b in image.boxes if not b.several]
    names = Counter(box.name for box in boxes).most_common()
    said, more = [f"{name} {count}" for name, count in names[:CLASSES_NAMED]], len(names) - CLASSES_NAMED
    said += [plural(more, "more class", "more classes")] if more > 0 else []
    left_over = sum(not box.scales for box in boxes)
    facts = [
        f"{width} {TIMES} {height} pixels",
        f"{plural(len(boxes), 'box', 'boxes')}: {listed(said)}" if said else "no box",
        plural(len(image.chips), "chip"),
    ]
    facts += [f"{plural(left_over, 'box', 'boxes')} left to no scale"] if left_over else []
    panels = [_panel(shown, image, k, s) for s in range(len(shown.scales))]
    cuts = [_cut(image, chip, index) for index, chip in enumerate(image.chips) if chip.cut]
    return {
        "name": image.name,
        "facts": facts,
        "image": shared_image(f"image-{k}", image.pixels, PICTURE_SIDE),
        "panels": panels,
        "cuts": cuts,
        "hidden": len(image.chips) - len(cuts),
    }


def _panel(shown: ShownChips, image: ShownImage, k: int, s: int) -> dict[str, object]:
    height, width = image.pixels.shape[:2]
    chips = [(index, chip) for index, chip in enumerate(image.chips) if chip.scale == s]
    outlines = [
        Outline(b.xyxy, f"{b.name}: {'target' if s in b.scales else 'ignored'}", s not in b.scales) for b in image.boxes
    ]
    targets = sum(not outline.dashed for outline in outlines)
    positive = sum(not chip.negative for _, chip in chips)
    words = [plural(positive, "chip")] if chips else [f"no chip: no box {_of(shown.scales[s].scale)}"]
    words += [plural(len(chips) - positive, "negative chip")] if len(chips) > positive else []
    words += [plural(targets, "target")] if targets else []
    words += [f"{len(outlines) - targets} ignored"] if len(outlines) > targets else []
    title = scale_words(shown.scales[s].scale)
    factor = "" if shown.scales[s].scale.kind == "factor" else f"here {TIMES} {image.factors[s]:.4g}"
    alt = f"{image.name}, {title}: {', '.join(words)}"
    drawn = over_shared(
        f"image-{k}",
        (height, width),
        [_region(chip, index) for index, chip in chips],
        outlines,
        place=f"veil-{k}-{s}",
        alt=alt,
    )
    return {
        "title": title,
        "takes": f"boxes {_of(shown.scales[s].scale)}",
        "factor": factor,
        "drawn": drawn,
        "words": ", ".join(words),
    }


def _of(scale: Scale) -> str:
    words = boxes_words(scale)
    return f"of {words}" if scale.lo and not np.isinf(scale.hi) else words


def _region(chip: ShownChip, index: int) -> Region:
    kind = "negative chip" if chip.negative else "chip"
    return Region(
        chip.xyxy,
        chip.name,
        f"{kind} {chip.name}: {plural(chip.num_targets, 'target')}",
        None if chip.negative else index,
    )


def _cut(image: ShownImage, chip: ShownChip, index: int) -> dict[str, object]:
    assert chip.cut is not None
    outlines = [
        Outline(tuple(box), what, what == "ignored")
        for what, boxes in (("target", chip.cut.targets), ("ignored", chip.cut.ignored))
        for box in boxes.tolist()
    ]
    region = _region(chip, index)
    words = [plural(len(chip.cut.targets), "target")] if not chip.negative else ["negative"]
    words += [f"{len(chip.cut.ignored)} ignored"] if len(chip.cut.ignored) else []
    drawn = alone(chip.cut.pixels, outlines, region, f"{image.name}, {region.title}", max_side=CUT_SIDE)
    return {"drawn": drawn, "factor": f"{TIMES} {chip.factor:.4g}", "words": ", ".join(words)}
