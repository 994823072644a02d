"""Whether norms tell where a bottleneck has its stride: both placements of networks whose statistics were set on images
(see `weights_consistency.py`), each declared rightly and wrongly. No really trained ResNet of bottlenecks is at hand.

    python benchmarks/weights_strides.py         some minutes on one core
"""

from __future__ import annotations

import numpy as np
from weights_consistency import calibrated, moved_into

from headstart.models.backbones.preprocessing import IMAGENET
from headstart.weights.checks.scenes import scenes
from headstart.weights.checks.strides import BETTER, stride_placement
from headstart.weights.photographs import photographs

NAMES = ("resnet26", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "resnet101")
SIDE = 224


def main() -> None:
    calibrations = {"drawn scenes": scenes(18, SIDE)[6:], "Gaussian fields": photographs(12, SIDE)}
    ratios: dict[str, list[float]] = {"right": [], "wrong": []}
    for images_are, images in calibrations.items():
        for name in NAMES:
            for stride in ("", "[stride_in=conv1]"):
                net = calibrated(name + stride, IMAGENET, images)
                for declared in ("", "[stride_in=conv1]"):
                    found = stride_placement(moved_into(net.state_dict(), name + declared), IMAGENET)
                    assert found
                    kind = "right" if declared == stride else "wrong"
                    ratios[kind].append(found.otherwise / found.as_declared)
                    numbers = f"{found.as_declared:.3f} {found.otherwise:.3f}"
                    print(f"{name}{stride} ({images_are}), declared {kind}: {numbers} {found.verdict}", flush=True)
    for kind, values in ratios.items():
        low, high = np.min(values), np.max(values)
        print(f"{kind}: the other placement is {low:.2f} to {high:.2f} times as far ({len(values)} networks)")
    print(f"limit: {BETTER}")


if __name__ == "__main__":
    main()
