"""Small random cases of federated annotation as LVIS has it, and the lvis package's numbers for them.

    python tests/support/references/federated_cases.py OUT.json     (needs pycocotools, lvis and NumPy 1)

writes the numbers of `CASES` cases. The lvis package needs OpenCV and a NumPy before 2, so it is no requirement of the
tests: its numbers are kept in `tests/metrics/lvis_values.json`, made by lvis 0.5.3 with pycocotools 2.0.11.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

CASES = 100
FREQUENCIES = ("r", "c", "f")


def case(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A data set and detections. Some images have more than 300 detections, some scores are equal, some boxes large."""
    rng = np.random.default_rng(seed)
    num_images, num_classes = int(rng.integers(1, 6)), int(rng.integers(1, 6))
    num_true, num_found = int(rng.integers(1, 25)), int(rng.choice([1, 20, 60, 700], p=[0.1, 0.4, 0.4, 0.1]))
    true = np.hstack([rng.uniform(0, 100, (num_true, 2)), np.exp(rng.uniform(2, 5.2, (num_true, 2)))]).round(1)
    images, labels = rng.integers(num_images, size=num_true), rng.integers(num_classes, size=num_true)
    source = rng.integers(num_true, size=num_found)
    found = np.abs(true[source] * (1 + rng.normal(0, 0.1, (num_found, 4)) * rng.choice([0, 1], (num_found, 1)))).round(
        1
    )
    near = rng.random(num_found) < 0.8
    found_labels = np.where(near, labels[source], rng.integers(num_classes, size=num_found))
    found_images = np.where(near, images[source], rng.integers(num_images, size=num_found))
    scores = rng.random(num_found).round(int(rng.choice([1, 9])))
    listed = [
        {
            "id": i + 1,
            "width": 640,
            "height": 480,
            "neg_category_ids": (np.flatnonzero(rng.random(num_classes) < 0.4) + 1).tolist(),
            "not_exhaustive_category_ids": (np.flatnonzero(rng.random(num_classes) < 0.3) + 1).tolist(),
        }
        for i in range(num_images)
    ]
    kinds = rng.integers(3, size=num_classes)
    dataset = {
        "images": listed,
        "categories": [
            {"id": k + 1, "name": f"class{k}", "frequency": FREQUENCIES[kinds[k]]} for k in range(num_classes)
        ],
        "annotations": [
            {
                "id": j + 1,
                "image_id": int(images[j]) + 1,
                "category_id": int(labels[j]) + 1,
                "bbox": true[j].tolist(),
                "area": float(true[j, 2] * true[j, 3] * rng.choice([1.0, 0.6])),
                "segmentation": [[0, 0, 1, 0, 1, 1]],
            }
            for j in range(num_true)
        ],
    }
    results = [
        {
            "image_id": int(found_images[j]) + 1,
            "category_id": int(found_labels[j]) + 1,
            "bbox": found[j].tolist(),
            "score": float(scores[j]),
        }
        for j in range(num_found)
    ]
    return dataset, results


def lvis_numbers(dataset: dict[str, Any], results: list[dict[str, Any]], folder: Path) -> dict[str, float]:
    """What the lvis package says; -1 where it has no value."""
    from lvis import LVIS, LVISEval, LVISResults

    np.float = float  # The package's name of it, which NumPy took away.
    (folder / "truth.json").write_text(json.dumps(dataset))
    truth = LVIS(str(folder / "truth.json"))
    evaluation = LVISEval(truth, LVISResults(truth, results), "bbox")
    evaluation.run()
    return {name: float(value) for name, value in evaluation.get_results().items()}


def main() -> None:
    out = Path(sys.argv[1])
    numbers = [lvis_numbers(*case(seed), out.parent) for seed in range(CASES)]
    (out.parent / "truth.json").unlink()
    out.write_text("[\n" + ",\n".join(map(json.dumps, numbers)) + "\n]\n")


if __name__ == "__main__":
    main()
