"""Ultralytics' YOLOv5 (v6) and YOLOv8: tensors of the pickled module, layers 0 to 9.

Names: ultralytics/yolov5 models/yolov5n.yaml and ultralytics/ultralytics cfg/models/v8/yolov8.yaml (layers),
nn/modules/block.py (names inside of them). The file is a whole pickled module: its classes are not loaded, its tensors
are taken. `ema` is the one that Ultralytics uses, where it is there, and `wrappers` takes.
"""

from __future__ import annotations

from headstart.models.backbones.csp_sizes import SIZES, widths_and_repeats
from headstart.weights.importers.imported import RGB_01, CheckpointView, Imported, shapes_by, without_prefix

LAYOUT = "ultralytics"
SOURCE = "ultralytics/yolov5 models/yolov5n.yaml; ultralytics/ultralytics ultralytics/cfg/models/v8/yolov8.yaml"
NOTE = "The weights are under AGPL-3.0. Training images were letter-boxed with gray (114)."


def find(file: CheckpointView) -> Imported | None:
    tensors, under = file.tensors, file.under
    inner = without_prefix(tensors, "model.")
    shapes = shapes_by(tensors, inner)
    if "0.conv.weight" not in shapes or "9.cv2.conv.weight" not in shapes:
        return None
    family = "v5" if "2.cv3.conv.weight" in shapes else "v8"
    for name in (size for size in SIZES if size.startswith(f"csp-{family}")):
        channels, repeats = widths_and_repeats(name)
        widths = [shapes.get(f"{layer}.conv.weight", (0,))[0] for layer in (0, 1, 3, 5, 7)]
        blocks = [sum(f"{layer}.m.{k}.cv1.conv.weight" in shapes for k in range(20)) for layer in (2, 4, 6, 8)]
        if (widths, blocks) == (channels, repeats):
            break
    else:
        return None
    names = {
        f"layers.{inside}": key
        for inside, key in inner.items()
        if inside.split(".")[0] in "0123456789" and not inside.endswith("num_batches_tracked")
    }
    return Imported(
        LAYOUT,
        name,
        names,
        f"layers of YOLO{family} in the size of {name}",
        source=SOURCE,
        preprocessing=RGB_01,
        under=under,
        reasons=(("model.", "neck and head"),),
        notes=(NOTE,),
    )
