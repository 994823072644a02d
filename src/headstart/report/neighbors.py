"""Nearest images side by side in both feature spaces."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from headstart.page.pictures import picture
from headstart.report.arms import arm_words
from headstart.report.examples import examples_section
from headstart.report.run_dir import RunDir
from headstart.report.section import Section

SHOWN = 6
"""Queries shown at most."""
NEAREST = 5
NEEDED = (
    "query",
    "near_boxes",
    "near_labels",
    "query_labels",
    "near_boxes_labels",
    "near_labels_labels",
)


def section(run: RunDir) -> Section | None:
    """Examples of the first seed that has any; None without examples."""
    title = "Nearest images in both feature spaces"
    return examples_section(run, "neighbors", title, NEEDED, most=SHOWN, example=_query)


def _query(run: RunDir, arrays: dict[str, np.ndarray], index: int) -> dict[str, object]:
    label = str(arrays["query_labels"][index])
    return {
        "label": label,
        "image": picture(arrays["query"][index], f"query image, class {label}"),
        "spaces": [_space(run, arrays, index, role, label=label) for role in ("boxes", "labels")],
    }


def _space(run: RunDir, arrays: dict[str, np.ndarray], index: int, role: str, *, label: str) -> dict[str, object]:
    names = [str(name) for name in arrays[f"near_{role}_labels"][index][:NEAREST]]
    images = arrays[f"near_{role}"][index][:NEAREST]
    near: list[tuple[Markup, str, bool]] = [
        (picture(image, f"neighbor {rank}, class {name}", 160), name, name == label)
        for rank, (image, name) in enumerate(zip(images, names, strict=True), 1)
    ]
    return {"title": arm_words(run, role), "near": near, "same": sum(name == label for name in names)}
