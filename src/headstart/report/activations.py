"""Where the features of both networks fire, over the image."""

from __future__ import annotations

import numpy as np

from headstart.page.pictures import heat_key, heat_overlay, outlined
from headstart.report.arms import arm_words
from headstart.report.examples import examples_section
from headstart.report.run_dir import RunDir
from headstart.report.section import Section

SHOWN = 8
"""Images shown at most."""
NEEDED = ("images", "map_boxes", "map_labels", "boxes_xyxy", "labels")


def section(run: RunDir) -> Section | None:
    """Examples of the first seed that has any; None without examples."""
    title = "Where the features fire"
    return examples_section(
        run, "activations", title, NEEDED, most=SHOWN, example=_example, key=heat_key("lowest", "highest of the map")
    )


def _example(run: RunDir, arrays: dict[str, np.ndarray], index: int) -> dict[str, object]:
    image, label = arrays["images"][index], str(arrays["labels"][index])
    box = np.atleast_2d(arrays["boxes_xyxy"][index]).astype(float)
    boxes = [tuple(map(float, row)) for row in box if np.isfinite(row).all()]
    panels = [(outlined(image, boxes, f"image of class {label} with its box"), label)]
    for role in ("boxes", "labels"):
        overlay = heat_overlay(image, arrays[f"map_{role}"][index])
        words = arm_words(run, role)
        panels.append((outlined(overlay, boxes, f"activation map of the network {words}, class {label}"), words))
    return {"label": label, "panels": panels}
