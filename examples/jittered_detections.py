"""Detections to try `headstart evaluate` with: true boxes of a data set, jittered, some lost, some twice, some wrong.

    python examples/jittered_detections.py DATA OUT.json [--jitter 0.08] [--seed 0]

Writes COCO results. A detection is a true box whose edges moved by `jitter` of its sides; one in ten objects is lost,
one in four found twice, one in twelve takes the class of another, and every image gets a wrong detection or more.
Scores have two digits, as many files have, so that some are equal. The same data and seed give the same file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import headstart


def detections(data: str, jitter: float, seed: int) -> list[dict[str, Any]]:
    """COCO results: image_id, category_id, bbox (x, y, width, height), score."""
    table, rng = headstart.open_dataset(data), np.random.default_rng(seed)
    ids = table.box_class_ids or table.box_classes
    found: list[dict[str, Any]] = []

    def add(row: int, label: int, box: np.ndarray, score: float) -> None:
        name = table.image_id(row)
        x1, y1, x2, y2 = box.tolist()
        found.append(
            {
                "image_id": int(name) if name.isdigit() else name,
                "category_id": ids[label],
                "bbox": [round(x1, 2), round(y1, 2), round(max(x2 - x1, 1.0), 2), round(max(y2 - y1, 1.0), 2)],
                "score": round(score, 2),
            }
        )

    for row in np.flatnonzero(table.boxes_known).tolist():
        boxes = table.boxes_of(row)
        for box, label in zip(boxes.xyxy, boxes.labels.tolist(), strict=True):
            sides = np.tile(box[2:] - box[:2], 2)
            if rng.random() < 0.1:
                continue
            for _ in range(1 + int(rng.random() < 0.25)):
                said = int(rng.integers(len(ids))) if rng.random() < 1 / 12 else label
                add(row, said, box + rng.normal(0, jitter, 4) * sides, float(rng.beta(5, 2)))
        height, width = table.size_hw(row)
        for _ in range(1 + rng.poisson(1.0)):
            corner, side = rng.uniform(0, 0.7, 2), rng.uniform(0.1, 0.3, 2)
            box = np.concatenate([corner, corner + side]) * np.tile([width, height], 2)
            add(row, int(rng.integers(len(ids))), box, float(rng.beta(2, 4)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", help="a data set with boxes")
    parser.add_argument("out", type=Path, help="the .json file to write")
    parser.add_argument("--jitter", type=float, default=0.08, help="standard deviation of the edges, in sides")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    found = detections(given.data, given.jitter, given.seed)
    given.out.write_text(json.dumps(found))
    print(f"{given.out}: {len(found):,} detections")


if __name__ == "__main__":
    main()
