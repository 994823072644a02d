"""Detectors of torchvision, Detectron2 and MMDetection: which layers of a file are which of ours.

Names: torchvision/models/detection (which the tests build); facebookresearch/detectron2
modeling/{backbone/fpn,proposal_generator/rpn,roi_heads/box_head,roi_heads/fast_rcnn,meta_arch/retinanet}.py;
open-mmlab/mmdetection mmdet/models/{necks/fpn,dense_heads/{rpn,retina,fcos}_head,roi_heads/bbox_heads}.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from headstart.errors import WeightsError
from headstart.weights.detectors.given import Layout

INSTEAD = 'Use start = "backbone".'


def layout_of(names: Iterable[str], path: Path) -> Layout | None:
    """The layout that a file's names are of; None for what is no detector with a pyramid of a known layout.

    Raises WeightsError for a detector that no recipe here builds.
    """
    have = frozenset(names)
    if any(name.startswith("backbone.fpn.inner_blocks.") for name in have):
        return _torchvision(have, path)
    if "backbone.fpn_lateral5.weight" in have:
        return _detectron2(have, path)
    if "neck.lateral_convs.0.conv.weight" in have:
        return _mmdetection(have, path)
    return None


def _count(have: frozenset[str], pattern: str) -> int:
    """How many numbers from 0 on have a weight under `pattern`."""
    return next(k for k in range(len(have) + 1) if f"{pattern.format(k)}.weight" not in have)


def _pyramid(laterals: list[str], outputs: list[str], coarser: list[str]) -> dict[str, str]:
    layers = {f"neck.laterals.{k}": name for k, name in enumerate(laterals)}
    layers |= {f"neck.smooth.{k}": name for k, name in enumerate(outputs)}
    return layers | {f"neck.coarser.{k}": name for k, name in enumerate(coarser)}


def _torchvision(have: frozenset[str], path: Path) -> Layout:
    fpn, nested = "backbone.fpn", ".0" if "backbone.fpn.inner_blocks.0.0.weight" in have else ""  # since 0.13
    if f"{fpn}.inner_blocks.0.1.weight" in have:
        raise _unbuilt(path, "its pyramid has norms (torchvision's second Faster R-CNN)")
    count = range(_count(have, f"{fpn}.inner_blocks.{{}}{nested}"))
    layers = _pyramid(
        [f"{fpn}.inner_blocks.{k}{nested}" for k in count],
        [f"{fpn}.layer_blocks.{k}{nested}" for k in count],
        [f"{fpn}.extra_blocks.p6", f"{fpn}.extra_blocks.p7"],
    )
    classes, boxes = "head.classification_head", "head.regression_head"
    if f"{boxes}.bbox_ctrness.weight" in have:
        depth = sum(f"{boxes}.conv.{3 * k}.weight" in have for k in range(len(have)))
        for k in range(3 * depth):
            layers |= {f"tower.{k}": f"{classes}.conv.{k}", f"box_tower.{k}": f"{boxes}.conv.{k}"}
        layers |= {"classes": f"{classes}.cls_logits", "sides": f"{boxes}.bbox_reg"}
        layers |= {"centerness": f"{boxes}.bbox_ctrness"}
        return Layout("torchvision", "fcos", layers, tower=depth, at_corner=True)
    if f"{classes}.cls_logits.weight" in have:
        if f"{classes}.conv.0.1.weight" in have:
            raise _unbuilt(path, "its towers have norms (torchvision's second RetinaNet)")
        inner, step = (".0", 1) if f"{classes}.conv.0.0.weight" in have else ("", 2)
        depth = sum(f"{classes}.conv.{step * k}{inner}.weight" in have for k in range(len(have)))
        for k in range(depth):
            layers[f"class_tower.{2 * k}"] = f"{classes}.conv.{step * k}{inner}"
            layers[f"box_tower.{2 * k}"] = f"{boxes}.conv.{step * k}{inner}"
        layers |= {"classes": f"{classes}.cls_logits", "codes": f"{boxes}.bbox_reg"}
        return Layout("torchvision", "retinanet", layers, tower=depth, by_ratio=True, at_corner=True)
    if "roi_heads.box_head.fc6.weight" not in have:
        raise _unbuilt(path, "it has no head of a Faster R-CNN, a RetinaNet or an FCOS")
    conv = "rpn.head.conv.0.0" if "rpn.head.conv.0.0.weight" in have else "rpn.head.conv"
    layers |= {"rpn.conv": conv, "rpn.objectness": "rpn.head.cls_logits", "rpn.codes": "rpn.head.bbox_pred"}
    layers |= {"layers.1": "roi_heads.box_head.fc6", "layers.3": "roi_heads.box_head.fc7"}
    predictor = "roi_heads.box_predictor"
    layers |= {"head.classes.classes": f"{predictor}.cls_score", "head.boxes": f"{predictor}.bbox_pred"}
    return Layout("torchvision", "faster-rcnn", layers, at_corner=True, background_first=True)


def _detectron2(have: frozenset[str], path: Path) -> Layout:
    levels = [k for k in range(2, 6) if f"backbone.fpn_lateral{k}.weight" in have]
    if any(f"backbone.fpn_lateral{k}.norm.weight" in have for k in levels):
        raise _unbuilt(path, "its pyramid has norms")
    layers = _pyramid(
        [f"backbone.fpn_lateral{k}" for k in levels],
        [f"backbone.fpn_output{k}" for k in levels],
        ["backbone.top_block.p6", "backbone.top_block.p7"],
    )
    if "head.cls_score.weight" in have:
        if "head.ctrness.weight" in have or "head.cls_subnet.1.weight" in have:
            raise _unbuilt(path, "its towers have norms, or it is an FCOS of Detectron2")
        depth = sum(f"head.cls_subnet.{2 * k}.weight" in have for k in range(len(have)))
        for k in range(0, 2 * depth, 2):
            layers |= {f"class_tower.{k}": f"head.cls_subnet.{k}", f"box_tower.{k}": f"head.bbox_subnet.{k}"}
        layers |= {"classes": "head.cls_score", "codes": "head.bbox_pred"}
        return Layout("Detectron2", "retinanet", layers, tower=depth, at_corner=True)
    if "roi_heads.box_head.fc1.weight" not in have:
        raise _unbuilt(path, "it has no head of a Faster R-CNN or a RetinaNet")
    rpn = "proposal_generator.rpn_head"
    layers |= {"rpn.conv": f"{rpn}.conv", "rpn.objectness": f"{rpn}.objectness_logits"}
    layers |= {"rpn.codes": f"{rpn}.anchor_deltas"}
    layers |= {"layers.1": "roi_heads.box_head.fc1", "layers.3": "roi_heads.box_head.fc2"}
    predictor = "roi_heads.box_predictor"
    layers |= {"head.classes.classes": f"{predictor}.cls_score", "head.boxes": f"{predictor}.bbox_pred"}
    return Layout("Detectron2", "faster-rcnn", layers, at_corner=True)


def _mmdetection(have: frozenset[str], path: Path) -> Layout:
    if any(name.startswith("neck.lateral_convs.0.bn") for name in have):
        raise _unbuilt(path, "its pyramid has norms")
    count, outputs = _count(have, "neck.lateral_convs.{}.conv"), _count(have, "neck.fpn_convs.{}.conv")
    layers = _pyramid(
        [f"neck.lateral_convs.{k}.conv" for k in range(count)],
        [f"neck.fpn_convs.{k}.conv" for k in range(count)],
        [f"neck.fpn_convs.{k}.conv" for k in range(count, outputs)],
    )
    depth = _count(have, "bbox_head.cls_convs.{}.conv")
    if "bbox_head.conv_centerness.weight" in have:
        for k in range(depth):
            for ours, theirs in (("tower", "cls_convs"), ("box_tower", "reg_convs")):
                layers[f"{ours}.{3 * k}"] = f"bbox_head.{theirs}.{k}.conv"
                layers[f"{ours}.{3 * k + 1}"] = f"bbox_head.{theirs}.{k}.gn"
        layers |= {"classes": "bbox_head.conv_cls", "centerness": "bbox_head.conv_centerness"}
        absent = {"sides.": "MMDetection's FCOS tells the sides of boxes in another way, with a scale a level"}
        return Layout("MMDetection", "fcos", layers, tower=depth, absent=absent)
    if "bbox_head.retina_cls.weight" in have:
        if "bbox_head.cls_convs.0.bn.weight" in have or "bbox_head.cls_convs.0.gn.weight" in have:
            raise _unbuilt(path, "its towers have norms")
        for k in range(depth):
            layers[f"class_tower.{2 * k}"] = f"bbox_head.cls_convs.{k}.conv"
            layers[f"box_tower.{2 * k}"] = f"bbox_head.reg_convs.{k}.conv"
        layers |= {"classes": "bbox_head.retina_cls", "codes": "bbox_head.retina_reg"}
        return Layout("MMDetection", "retinanet", layers, tower=depth, by_ratio=True, at_corner=True)
    if "roi_head.bbox_head.shared_fcs.1.weight" not in have:
        raise _unbuilt(path, "it has no head of a Faster R-CNN, a RetinaNet or an FCOS")
    layers |= {"rpn.conv": "rpn_head.rpn_conv", "rpn.objectness": "rpn_head.rpn_cls", "rpn.codes": "rpn_head.rpn_reg"}
    head = "roi_head.bbox_head"
    layers |= {"layers.1": f"{head}.shared_fcs.0", "layers.3": f"{head}.shared_fcs.1"}
    layers |= {"head.classes.classes": f"{head}.fc_cls", "head.boxes": f"{head}.fc_reg"}
    return Layout("MMDetection", "faster-rcnn", layers, at_corner=True)


def _unbuilt(path: Path, why: str) -> WeightsError:
    return WeightsError(f"{path.name}: {why}; no recipe here builds such a detector. {INSTEAD}")
