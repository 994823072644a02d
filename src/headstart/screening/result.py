"""What weights looked like, side by side. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

METRICS = "screen/"
"""What the names of a job's metrics begin with."""
FAULT = "fault.json"
"""Why a job has no scores but those that need no image."""
MEASURED = ("knn", "logme", "nleep", "h_score", "gbc")
STATIC = ("parameters", "gflops", "default")
COUNTS = ("images", "samples", "classes")
CHOSEN_BY = "knn"
"""What weights are kept by: nothing beat it over 42,000 runs (arXiv 2503.18528)."""


@dataclass(frozen=True)
class Screened:
    """One of the weights. scores: by name, higher is more promising; static ones need no image. fault: why it has no
    others."""

    name: str
    uri: str
    scores: dict[str, float]
    fault: str = ""


@dataclass(frozen=True)
class Screen:
    """Weights by the k-NN score, best first. samples: images, or objects of detection."""

    task: str
    images: int
    samples: int
    classes: int
    size_hw: tuple[int, int]
    rows: tuple[Screened, ...]

    def kept(self, count: int) -> list[str]:
        """URIs of the most promising."""
        return [row.uri for row in self.rows if not row.fault][:count]

    def to_json(self) -> dict[str, Any]:
        """Everything, as `screen.json` has it."""
        return asdict(self)

    def lines(self) -> list[str]:
        """As the terminal shows it."""
        what = "objects" if self.task == "detect" else "images"
        names = [n for n in (*MEASURED, "tlogme", *STATIC) if any(n in row.scores for row in self.rows)]
        width = max(len(row.name) for row in self.rows)
        out = [
            f"screen: {self.samples:,} {what} of {self.classes} classes in {self.images:,} training images, "
            f"{self.size_hw[1]} x {self.size_hw[0]} pixels; nothing was fine-tuned",
            f"{'':<{width}}" + "".join(f"{name:>11}" for name in names),
        ]
        for row in self.rows:
            shown = "".join(f"{row.scores.get(name, np.nan):>11.4g}" for name in names)
            out.append(
                f"{row.name:<{width}}{shown}" if not row.fault else f"{row.name:<{width}}  left out: {row.fault}"
            )
        return [
            *out,
            f"best first by knn, the share of {what} whose nearest others are of their class. In published comparisons",
            "the order of such scores is hardly better than that of sizes: docs/screening.md.",
        ]


def screen_of(found: Mapping[str, Any]) -> Screen:
    """From what the jobs of a study found: its task, size_hw, and rows, which are name, uri, metrics, fault of each of
    the weights."""
    seen: list[Screened] = []
    counts = dict.fromkeys(COUNTS, 0)
    for row in found["rows"]:
        values = {str(name).removeprefix(METRICS): value for name, value in row["metrics"].items()}
        counts |= {name: int(values[name]) for name in COUNTS if name in values}
        scores = {name: float(v) for name, v in values.items() if name not in COUNTS and v is not None}
        seen.append(Screened(row["name"], row["uri"], scores, row["fault"]))
    order = sorted(seen, key=lambda row: (bool(row.fault), -row.scores.get(CHOSEN_BY, 0.0)))
    height, width = found["size_hw"]
    images, samples, classes = (counts[name] for name in COUNTS)
    return Screen(found["task"], images, samples, classes, (height, width), tuple(order))
