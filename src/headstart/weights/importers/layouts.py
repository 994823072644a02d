"""The layouts that are known, and which of them a file is in. Imports no torch: names and shapes are looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from headstart.errors import WeightsError
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.weights import containers, wrappers
from headstart.weights.importers import (
    caffe2_detectron,
    classifiers,
    densecl,
    detectron2,
    dino,
    hugging_face,
    moco,
    open_clip,
    openmmlab,
    prefixes,
    smp,
    sniper,
    swav,
    torchvision_detection,
    torchvision_segmentation,
    ultralytics,
    vissl,
)
from headstart.weights.importers.imported import CheckpointView, Imported

LAYOUTS: Mapping[str, Callable[[CheckpointView], Imported | None]] = MappingProxyType(
    {
        layout.LAYOUT: layout.find
        for layout in (
            torchvision_detection,
            torchvision_segmentation,
            classifiers,
            hugging_face,
            detectron2,
            caffe2_detectron,
            openmmlab,
            moco,
            densecl,
            swav,
            dino,
            vissl,
            sniper,
            ultralytics,
            open_clip,
            smp,
        )
    }
)
"""What finds a backbone in a file of each layout: None where the file is of another one."""


def recognize(contents: containers.Contents, variant: wrappers.Variant = "") -> Imported:
    """The backbone that the file holds. Raises WeightsError where no layout fits, or more than one.

    variant: averaged weights or those as trained, where the file has both.
    """
    file = CheckpointView(contents.path, contents.kind, contents.tree, contents.classes, variant)
    try:
        return _recognized(file, contents)
    except WeightsError:
        raise
    except Exception as error:  # whatever shapes and values that no network has provoke in an importer
        raise WeightsError(
            f"{contents.path}: its names are those of a known layout, and its tensors are not "
            f"({type(error).__name__}: {str(error)[:200]}). Download or copy it again, or say which backbone is meant: "
            "file:PATH@BACKBONE."
        ) from error


def _recognized(file: CheckpointView, contents: containers.Contents) -> Imported:
    if (facts := contents.exported()) is not None:
        return _exported(file, facts)
    backbones = _fitting(file) or prefixes.below(file, _fitting)
    if len(backbones) == 1:
        return _with_said(backbones[0], file)
    if backbones:
        told = "; ".join(f"{one.layout} ({one.evidence})" for one in backbones)
        raise WeightsError(
            f"{contents.path} could be of {len(backbones)} layouts: {told}. Say which backbone is meant: "
            "file:PATH@BACKBONE, or a weights card with key_prefix."
        )
    raise WeightsError(unknown(file))


def _with_said(one: Imported, file: CheckpointView) -> Imported:
    """With a note where averaged weights and those as trained are both there."""
    found = wrappers.places(file.tree)
    notes = one.notes + wrappers.said(found, ".".join(one.under))
    if file.variant and len(found) < 2 and not any("were taken" in note for note in notes):
        wrappers.chosen(file.path, found or [wrappers.Place(one.under, {})], file.variant)
    return replace(one, notes=notes)


def _exported(file: CheckpointView, facts: dict[str, Any]) -> Imported:
    """A file that Headstart wrote: its names are those of the layout, its facts are in it."""
    if facts.get("to") in ("timm", "torchvision"):
        names = {name: name for name in file.tensors}
        one = Imported(classifiers.LAYOUT, "", names, "", source=classifiers.SOURCE, under=file.under)
    else:
        recognized = detectron2.find(file) or openmmlab.find(file)
        if recognized is None:
            raise WeightsError(
                f"{file.path} says that Headstart exported it, but its tensors are of no layout. "
                "The file is damaged; export it again."
            )
        one = recognized
    try:
        return replace(
            one,
            backbone=str(facts["backbone"]),
            lineage=tuple(map(str, facts["lineage"])),
            notes=(),
            preprocessing=Preprocessing.from_json(facts["preprocessing"]),
            norm_eps=None,
            licence=str(facts["licence"]),
            evidence="exported by Headstart, facts in the file",
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{file.path}: the facts that Headstart wrote are damaged ({error}). Export it again."
        ) from error


def again(layout: str, contents: containers.Contents, variant: wrappers.Variant = "") -> Imported:
    """As `recognize`, and it must be this layout: for a file that was looked at before."""
    imported = recognize(contents, variant)
    if imported.layout != layout:
        raise WeightsError(f"{contents.path} is of layout {imported.layout}, not {layout}. Correct the layout.")
    return imported


def _fitting(file: CheckpointView) -> list[Imported]:
    return [one for find in LAYOUTS.values() if (one := find(file)) is not None]


def unknown(file: CheckpointView) -> str:
    """Message for a file that no layout fits: what it holds, by groups of names."""
    path: Path = file.path
    if not file.tensors:
        keys = ", ".join(list(map(str, file.tree))[:8]) if isinstance(file.tree, dict) else type(file.tree).__name__
        return (
            f"{path} has no tensors where state dicts usually are; it has: {keys or 'nothing'}. Name the place by "
            "`checkpoint_key` in a weights card."
        )
    groups = key_groups(file.tensors)
    shown = "".join(f"\n  {name} ({count} tensors)" for name, count in list(groups.items())[:12])
    more = f"\n  and {len(groups) - 12} more groups" if len(groups) > 12 else ""
    return (
        f"{path} is of no known layout, or of a network that no layout knows. Its names:{shown}{more}\nLayouts: "
        f"{', '.join(LAYOUTS)}. Say which backbone it holds: file:PATH@BACKBONE, or a weights card."
        + next(filter(None, (small_stem(name, tuple(value.shape)) for name, value in file.tensors.items())), "")
    )


def small_stem(name: str, shape: tuple[int, ...]) -> str:
    """What to say where a ResNet begins with a 3x3 convolution, as those for CIFAR's images do; else ""."""
    if name.endswith("conv1.weight") and len(shape) == 4 and shape[2:] == (3, 3) and shape[1] == 3:
        return (
            f"\nIts first convolution is of 3x3 pixels ({name} {shape}): a ResNet with CIFAR's stem for small images, "
            "which computes with other strides. Write it as path/to/file.py:function and name it file:PATH@that."
        )
    return ""


def key_groups(names: Iterable[str]) -> dict[str, int]:
    """Numbers of names by their first two parts, or one where the second is a number: `layer1.*`, `backbone.body.*`."""
    groups: dict[str, int] = {}
    for name in names:
        parts = name.split(".")
        beginning = parts[:1] if len(parts) < 3 or parts[1].isdigit() else parts[:2]
        group = ".".join([*beginning, "*"]) if len(parts) > len(beginning) else name
        groups[group] = groups.get(group, 0) + 1
    return groups


def as_contents(path: Path, tree: Any) -> containers.Contents:
    """A tree of tensors that is in no file, for `recognize`."""
    return containers.Contents(path, "torch archive", tree)
