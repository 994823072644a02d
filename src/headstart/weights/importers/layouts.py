"""The layouts that are known, and which of them a file is in. Imports no torch: names and shapes are looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from headstart.errors import WeightsError
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.weights import containers
from headstart.weights.importers import (
    caffe2_detectron,
    classifiers,
    densecl,
    detectron2,
    dino,
    hugging_face,
    moco,
    openmmlab,
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
        )
    }
)
"""What finds a backbone in a file of each layout: None where the file is of another one."""

OUTER = ("module.", "model.", "net.", "_orig_mod.", "model.module.", "encoder.", "backbone.", "student.")
"""What trainers (Lightning, DataParallel, torch.compile) put before all names of a model."""


def recognize(contents: containers.Contents) -> Imported:
    """The backbone that the file holds. Raises WeightsError where no layout fits, or more than one."""
    file = CheckpointView(contents.path, contents.kind, contents.tree, contents.classes)
    if (facts := contents.exported()) is not None:
        return _exported(file, facts)
    backbones = _fitting(file)
    for prefix in OUTER if not backbones else ():
        backbones = [_put_back(one, prefix, file.under) for one in _fitting(_inside(file, prefix))]
        if backbones:
            break
    if len(backbones) == 1:
        return backbones[0]
    if backbones:
        told = "; ".join(f"{one.layout} ({one.evidence})" for one in backbones)
        raise WeightsError(
            f"{contents.path} could be of {len(backbones)} layouts: {told}. Say which backbone is meant: "
            "file:PATH@BACKBONE, or a weights card with key_prefix."
        )
    raise WeightsError(unknown(file))


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


def again(layout: str, contents: containers.Contents) -> Imported:
    """As `recognize`, and it must be this layout: for a file that was looked at before."""
    imported = recognize(contents)
    if imported.layout != layout:
        raise WeightsError(f"{contents.path} is of layout {imported.layout}, not {layout}. Correct the layout.")
    return imported


def _fitting(file: CheckpointView) -> list[Imported]:
    return [one for find in LAYOUTS.values() if (one := find(file)) is not None]


def _inside(file: CheckpointView, prefix: str) -> CheckpointView:
    """The file with only the names that begin with the prefix, and without it."""
    inner = {name.removeprefix(prefix): value for name, value in file.tensors.items() if name.startswith(prefix)}
    return replace(file, tree={"state_dict": inner})


def _put_back(one: Imported, prefix: str, under: tuple[str, ...]) -> Imported:
    return replace(
        one,
        under=under,
        names={name: f"{prefix}{source}" for name, source in one.names.items()},
        evidence=f"{one.evidence}, all under {prefix!r}",
        reasons=tuple((f"{prefix}{start}", why) for start, why in one.reasons),
    )


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
    )


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
