"""Average precision from arrays beside pycocotools, faster-coco-eval, hotcoco and torchmetrics: CPU seconds, memory.

    python benchmarks/average_precision.py [--case voc|coco|all] [--images N] [--repeats N] [--tools NAME ...]

Two synthetic test sets: VOC-sized (4,952 images, 20 classes, 15k true boxes, 400k detections; IoU 0.5 and 0.7, then ten
IoUs; one area range, 100 detections an image and class) and COCO-sized (5,000 images, 80 classes, 37k true boxes, 500k
detections; ten IoUs, four area ranges, 1, 10 and 100 detections). Every tool runs alone in a fresh process. Columns:

- start: CPU seconds to import the tool and to evaluate three images; ours reads its compiled code from disk here
  (the seconds to compile it, once after installation, are printed in the first line);
- load: CPU seconds from arrays to the objects that the tool evaluates;
- CPU s: the fastest of the repeated evaluations, all threads together, without start and load. torchmetrics has no
  such split: its `compute` builds its COCO objects each time;
- MB: highest memory of the first whole evaluation above what the process held after loading (Linux);
- ratio: CPU s over that of Headstart; difference: greatest difference from pycocotools over all average precisions and
  recalls (torchmetrics: of the mean, which it gives in float32).

Goals (docs/benchmarks.md): at most hotcoco's CPU seconds at both sizes; ten IoUs for less than 1.5 times the cost of
two; at most 250 MB above the inputs; equal to pycocotools to 1e-9.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

TEN = tuple(0.5 + 0.05 * k for k in range(10))
AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
SIZES = {"voc": (4952, 20, 3.0, 400_000), "coco": (5000, 80, 7.36, 500_000)}
"""Images, classes, true boxes an image, detections."""
WAYS = {
    "voc, 2 IoUs": ("voc", (0.5, 0.7), ("all",), (100,)),
    "voc, 10 IoUs": ("voc", TEN, ("all",), (100,)),
    "coco, 2 IoUs": ("coco", (0.5, 0.75), tuple(AREAS), (1, 10, 100)),
    "coco, full": ("coco", TEN, tuple(AREAS), (1, 10, 100)),
}
"""Case, IoU thresholds, area ranges, limits on the detections of an image and class."""


def made(size: str, num_images: int | None) -> dict[str, np.ndarray]:
    """A test set drawn with seed 0: boxes x, y, width, height in float64, half of the detections near a true box."""
    images, classes, per_image, detections = SIZES[size]
    count = num_images or images
    found, rng = round(detections * count / images), np.random.default_rng(0)
    crowding = rng.gamma(1.5, size=count)
    true_images = np.sort(rng.choice(count, p=crowding / crowding.sum(), size=round(per_image * count)))
    true_labels = rng.choice(classes, p=_skewed(rng, classes), size=len(true_images))
    true = _boxes(rng, len(true_images))
    source = rng.integers(len(true), size=found // 2)
    near = true[source] + rng.normal(0, 0.15, (len(source), 4)) * np.tile(true[source, 2:], 2)
    near[:, 2:] = np.maximum(near[:, 2:], 1.0)
    far = found - len(source)
    boxes = np.vstack([near, _boxes(rng, far)])
    confused = np.where(rng.random(len(source)) < 0.2, rng.integers(classes, size=len(source)), true_labels[source])
    image_index = np.concatenate([true_images[source], rng.integers(count, size=far)])
    labels = np.concatenate([confused, rng.choice(classes, p=_skewed(rng, classes), size=far)])
    scores = np.concatenate([rng.beta(2, 3, len(source)), rng.beta(1, 8, far)]).astype(np.float32)
    order = np.argsort(image_index, kind="stable")  # as detectors write them: image after image
    return {
        "num_images": np.array(count),
        "num_classes": np.array(classes),
        "true_images": true_images,
        "true_boxes": true,
        "true_labels": true_labels,
        "true_areas": true[:, 2] * true[:, 3] * rng.uniform(0.4, 0.9, len(true)),
        "true_crowd": rng.random(len(true)) < (0.01 if size == "coco" else 0.0),
        "images": image_index[order],
        "boxes": boxes[order],
        "labels": labels[order],
        "scores": scores[order].astype(np.float64),
    }


def _skewed(rng: np.random.Generator, count: int) -> np.ndarray:
    weights = rng.pareto(1.5, count) + 0.2
    return weights / weights.sum()


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """x, y, width, height in a 640 x 480 image, sides log-uniform from 8 to 400 pixels."""
    sides = np.exp(rng.uniform(np.log(8), np.log(400), (count, 2)))
    return np.hstack([rng.uniform(0, 1, (count, 2)) * np.maximum([640, 480] - sides, 1), sides]).round(2)


# ---- the tools: each takes the arrays, returns what evaluates once and gives precision-based numbers

Evaluate = Callable[[], dict[str, Any]]


def headstart(case: dict[str, np.ndarray], ious: tuple, areas: tuple, limits: tuple) -> Evaluate:
    from headstart.metrics.average_precision import CROWD, Detections, Truth, average_precision
    from headstart.metrics.coco import coco_metrics

    truth = Truth.from_xywh(
        case["true_images"],
        case["true_boxes"],
        case["true_labels"],
        case["true_crowd"] * np.uint8(CROWD),
        num_images=int(case["num_images"]),
        num_classes=int(case["num_classes"]),
        areas=case["true_areas"],
    )
    detections = Detections.from_xywh(case["images"], case["boxes"], case["labels"], case["scores"])

    def evaluate() -> dict[str, Any]:
        if len(areas) > 1:
            result = coco_metrics(truth, detections, ious)
            return {"ap": result.ap, "recall": result.recall}
        return {"ap": average_precision(truth, detections, "coco", ious).ap[:, :, None, None]}

    return evaluate


def _coco_like(module: Any, silent: bool) -> Callable[..., Evaluate]:
    def tool(case: dict[str, np.ndarray], ious: tuple, areas: tuple, limits: tuple) -> Evaluate:
        coco_class, eval_class, evaluation_arguments = module()
        truth = coco_class(_dataset(case)) if silent else coco_class()
        if not silent:
            truth.dataset = _dataset(case)
            truth.createIndex()
        results = np.column_stack([case["images"] + 1, case["boxes"], case["scores"], case["labels"] + 1])
        found = truth.loadRes(results)

        def evaluate() -> dict[str, Any]:
            evaluation = eval_class(truth, found, "bbox", **evaluation_arguments)
            params = evaluation.params
            params.iouThrs = np.array(ious) if not silent else list(ious)
            params.areaRng, params.areaRngLbl = [list(AREAS[a]) for a in areas], list(areas)
            params.maxDets = list(limits)
            if silent:
                evaluation.params = params
            evaluation.evaluate()
            evaluation.accumulate()
            return {"eval": evaluation.eval}

        return evaluate

    return tool


def _pycocotools() -> tuple:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    return COCO, COCOeval, {}


def _faster_coco_eval() -> tuple:
    from faster_coco_eval import COCO, COCOeval_faster

    return COCO, COCOeval_faster, {"separate_eval": False}


def _hotcoco() -> tuple:
    from hotcoco import COCO, COCOeval

    return COCO, COCOeval, {}


def torchmetrics(case: dict[str, np.ndarray], ious: tuple, areas: tuple, limits: tuple) -> Evaluate:
    import torch
    from torchmetrics.detection import MeanAveragePrecision

    torch.set_num_threads(1)
    three = list(limits) if len(limits) == 3 else [1, 10, 100]  # it takes three limits, and all area ranges, always
    metric = MeanAveragePrecision("xywh", "bbox", list(ious), max_detection_thresholds=three, backend="pycocotools")

    def per_image(names: dict[str, str], images: np.ndarray) -> list[dict[str, Any]]:
        order = np.argsort(images, kind="stable")
        cuts = np.searchsorted(images[order], np.arange(int(case["num_images"]) + 1))
        columns = {ours: torch.from_numpy(np.ascontiguousarray(case[theirs][order])) for ours, theirs in names.items()}
        return [{k: v[a:b] for k, v in columns.items()} for a, b in itertools.pairwise(cuts)]

    case["crowd"] = case["true_crowd"].astype(np.int64)
    truth = {"boxes": "true_boxes", "labels": "true_labels", "iscrowd": "crowd", "area": "true_areas"}
    metric.update(
        per_image({"boxes": "boxes", "labels": "labels", "scores": "scores"}, case["images"]),
        per_image(truth, case["true_images"]),
    )

    def evaluate() -> dict[str, Any]:
        metric._computed = None  # it keeps its answer
        return {"map": {k: float(v) for k, v in metric.compute().items() if v.ndim == 0}}

    return evaluate


TOOLS: dict[str, tuple[str, Callable[..., Evaluate]]] = {
    "headstart": ("headstart", headstart),
    "hotcoco": ("hotcoco", _coco_like(_hotcoco, True)),
    "faster-coco-eval": ("faster_coco_eval", _coco_like(_faster_coco_eval, False)),
    "pycocotools": ("pycocotools", _coco_like(_pycocotools, False)),
    "torchmetrics": ("torchmetrics", torchmetrics),
}


def _dataset(case: dict[str, np.ndarray]) -> dict[str, Any]:
    columns = [case[f"true_{c}"].tolist() for c in ("images", "labels", "boxes", "areas", "crowd")]
    return {
        "info": {},
        "images": [{"id": i + 1, "width": 640, "height": 480} for i in range(int(case["num_images"]))],
        "categories": [{"id": k + 1, "name": str(k)} for k in range(int(case["num_classes"]))],
        "annotations": [
            {"id": j + 1, "image_id": i + 1, "category_id": k + 1, "bbox": box, "area": area, "iscrowd": int(crowd)}
            for j, (i, k, box, area, crowd) in enumerate(zip(*columns, strict=True))
        ],
    }


# ---- one tool in a process of its own


def measured(tool: str, way: str, path: str, repeats: int) -> dict[str, Any]:
    """CPU seconds and memory of one tool on one case; its numbers."""
    size, ious, areas, limits = WAYS[way]
    with np.load(path) as file:
        case = dict(file)
    warnings.simplefilter("ignore")
    out: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        began = time.process_time()
        TOOLS[tool][1](made(size, 3), ious, areas, limits)()
        out["start"] = time.process_time() - began
        began = time.process_time()
        evaluate = TOOLS[tool][1](case, ious, areas, limits)
        out["load"] = time.process_time() - began
        held, times = _peak_reset(), []
        for _ in range(repeats):
            began = time.process_time()
            result = evaluate()
            times.append(time.process_time() - began)
            out.setdefault("mb", None if held is None else (_status("VmHWM") - held) / 1e6)
    out["cpu"] = min(times)
    ap, recall = _numbers(result, ious, areas, limits)
    out["map"] = float(np.nanmean(ap[..., 0, -1])) if ap.ndim > 1 else float(ap[0])
    out["ap"], out["recall"] = np.nan_to_num(ap, nan=-1.0).ravel().tolist(), np.nan_to_num(recall, nan=-1.0).tolist()
    return out


def _numbers(result: dict[str, Any], ious: tuple, areas: tuple, limits: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Average precision and recall of every threshold, class, range and limit; or the summary of torchmetrics."""
    if "map" in result:
        return np.array([result["map"]["map"]]), np.empty(0)
    if "ap" in result:
        return result["ap"], np.asarray(result.get("recall", np.empty(0))).ravel()
    shape = [len(ious), -1, len(areas), len(limits)]
    precision = np.asarray(result["eval"]["precision"]).reshape(len(ious), 101, *shape[1:])
    ap = np.where((precision > -1).all(1), precision.mean(1), np.nan)
    recall = np.asarray(result["eval"]["recall"], dtype=float).ravel()
    return ap, np.where(recall > -1, recall, np.nan) if len(areas) > 1 else np.empty(0)


def _peak_reset() -> float | None:
    """Bytes held now, after setting the process's highest memory back to them; None where the system cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")
    except OSError:
        return None


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024.0 for line in lines if line.startswith(name))


# ---- the table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=[*SIZES, "all"], default="all")
    parser.add_argument("--images", type=int, help="fewer images, and detections in proportion")
    parser.add_argument("--repeats", type=int, default=5, help="evaluations; of slow tools at most two")
    parser.add_argument("--tools", nargs="*", choices=list(TOOLS), default=list(TOOLS))
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measured(*arguments.measure, arguments.repeats)))
        return
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES if arguments.case == "all" else [arguments.case]:
            path = str(Path(folder) / f"{size}.npz")
            case = made(size, arguments.images)
            np.savez(path, **case)
            if "headstart" in arguments.tools:
                empty = {**os.environ, "NUMBA_CACHE_DIR": str(Path(folder) / "cache" / size)}
                fresh = run("headstart", next(way for way in WAYS if WAYS[way][0] == size), path, 1, empty)
                print(f"start of Headstart with an empty cache of compiled code: {fresh['start']:.1f} CPU s")
            print(
                f"{size}: {int(case['num_images'])} images, {int(case['num_classes'])} classes, "
                f"{len(case['true_labels'])} true boxes, {len(case['labels'])} detections"
            )
            for way in [way for way in WAYS if WAYS[way][0] == size]:
                table(way, path, arguments.tools, arguments.repeats)


def run(tool: str, way: str, path: str, repeats: int, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """`measured` in a new process."""
    command = [sys.executable, __file__, "--repeats", str(repeats), "--measure", tool, way, path]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def table(way: str, path: str, tools: list[str], repeats: int) -> None:
    print(f"\n{way:<18}{'start':>8}{'load':>8}{'CPU s':>8}{'MB':>8}{'ratio':>8}  difference", flush=True)
    rows: dict[str, dict[str, Any]] = {}
    for tool in tools:
        if importlib.util.find_spec(TOOLS[tool][0]) is None:
            print(f"{tool:<18}not installed, skipped")
            continue
        rows[tool] = run(tool, way, path, repeats if tool in ("headstart", "hotcoco") else min(repeats, 2))
    reference, ours = rows.get("pycocotools"), rows.get("headstart")
    for tool, row in rows.items():
        memory = "" if row["mb"] is None else f"{row['mb']:.0f}"
        ratio = f"{row['cpu'] / ours['cpu']:.2f}" if ours else ""
        print(
            f"{tool:<18}{row['start']:>8.2f}{row['load']:>8.2f}{row['cpu']:>8.3f}{memory:>8}{ratio:>8}"
            f"  {difference(row, reference)}",
            flush=True,
        )


def difference(row: dict[str, Any], reference: dict[str, Any] | None) -> str:
    if reference is None or row is reference:
        return ""
    if len(row["ap"]) != len(reference["ap"]):
        return f"{abs(row['map'] - reference['map']):.1e} (mean)"
    return f"{max(np.abs(np.subtract(row[k], reference[k])).max(initial=0.0) for k in ('ap', 'recall')):.1e}"


if __name__ == "__main__":
    main()
