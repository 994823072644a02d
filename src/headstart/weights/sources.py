"""Tensors for a backbone, by its own names, and where in a file they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from headstart.errors import WeightsError
from headstart.weights import containers, downloads, wrappers
from headstart.weights.cards import WeightsSpec
from headstart.weights.importers import layouts, prefixes
from headstart.weights.importers.imported import Imported


@dataclass(frozen=True)
class Source:
    """Tensors by the backbone's names, and where they come from."""

    tensors: dict[str, Tensor]
    left_over: list[str]
    names: list[str]
    """All names of the file."""
    how: str
    """How the tensors were had, in words."""
    prefix: str = ""
    """What all names of the network begin with in the file."""
    reason: Callable[[str], tuple[str, str] | None] = lambda _: None
    """(group of names, why it is left over) of a name."""
    notes: tuple[str, ...] = ()
    doubles: tuple[str, ...] = ()
    """Networks that the file could be of as well, see `Imported.doubles`."""


def source_of(spec: WeightsSpec, wanted: Mapping[str, Tensor], offline: bool, say: downloads.Say) -> Source:
    """Tensors for a backbone with these. Raises WeightsError."""
    return _imported(spec, wanted, offline, say) if spec.layout else _by_prefix(spec, wanted, offline, say)


def _imported(spec: WeightsSpec, wanted: Mapping[str, Tensor], offline: bool, say: downloads.Say) -> Source:
    """By the importer that recognized the file when the weights were resolved, or that the catalogue names."""
    path = downloads.url_file(spec, offline, say) if spec.kind == "url" else Path(spec.file or "")
    contents = containers.read(path, spec.trust_pickle)
    # What the catalogue names is known by its address: any layout with the right backbone will do, and it is that one.
    if spec.kind == "url":
        imported = replace(layouts.recognize(contents), doubles=())
    else:
        imported = layouts.again(spec.layout, contents, spec.variant)
    if imported.backbone != spec.backbone:
        raise WeightsError(
            f"{path} holds the backbone {imported.backbone}, not {spec.backbone}, which {spec.name} "
            "names. Give the file itself: file:PATH."
        )
    return _of_layout(imported, contents, wanted)


def _of_layout(imported: Imported, contents: containers.Contents, wanted: Mapping[str, Tensor]) -> Source:
    names = [
        name for name in wrappers.arrays(imported.state(contents.tree)) if not name.endswith("num_batches_tracked")
    ]
    tensors = imported.canonical(contents.tree, {key: value.shape for key, value in wanted.items()})
    return Source(
        tensors,
        [name for name in names if name not in imported.taken],
        names,
        f"file {contents.path.name}, layout {imported.layout}: {imported.evidence}",
        prefix=_common_prefix(imported.taken),
        reason=imported.reason,
        notes=imported.notes,
        doubles=imported.doubles,
    )


def _common_prefix(names: frozenset[str]) -> str:
    """What all names begin with, up to a dot."""
    first, last = min(names, default=""), max(names, default="")
    same = next((k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[: first[:same].rfind(".") + 1]


def _by_prefix(spec: WeightsSpec, wanted: Mapping[str, Tensor], offline: bool, say: downloads.Say) -> Source:
    """By looking for the backbone's own names, under a prefix."""
    tensors, how, notes = _tensors(spec, offline, say)
    known, left_over, prefix, said = _strip(tensors, list(wanted), spec, spec.file or spec.uri)
    if not known and spec.kind == "file" and (renamed := _renamed(spec, wanted)) is not None:
        return renamed
    how += f", prefix {prefix!r}" if prefix else ""
    return Source(known, left_over, list(tensors), how, prefix=prefix, notes=notes + said)


def _renamed(spec: WeightsSpec, wanted: Mapping[str, Tensor]) -> Source | None:
    """By a layout that renames the file's tensors to those of the backbone that the user named."""
    contents = containers.read(Path(spec.file or ""), spec.trust_pickle)
    try:
        imported = layouts.recognize(contents, spec.variant)
    except WeightsError:
        return None
    source = _of_layout(imported, contents, wanted)
    return source if len(source.tensors.keys() & wanted.keys()) > len(wanted) // 2 else None


def _tensors(spec: WeightsSpec, offline: bool, say: downloads.Say) -> tuple[dict[str, Tensor], str, tuple[str, ...]]:
    """(tensors by name, how they were had, notes)."""
    if spec.kind == "timm":
        import timm

        path = downloads.timm_file(spec, offline, say)
        try:
            # With `file` timm reads this file only, renames old layouts, and demands that every tensor is there.
            model = timm.create_model(spec.digest, pretrained=True, pretrained_cfg_overlay={"file": str(path)})
        except Exception as error:
            raise WeightsError(
                f"{path}: timm cannot load {spec.uri} from it: {type(error).__name__}: {str(error)[:500]}. "
                "Delete the file, so that it is fetched again."
            ) from error
        return model.state_dict(), spec.uri, ()
    path = downloads.torchvision_file(spec, offline, say) if spec.kind == "tv" else Path(spec.file or "")
    contents = containers.read(path, spec.trust_pickle)
    places = [] if spec.checkpoint_key else wrappers.places(contents.tree)
    tensors, taken_from = wrappers.state_dict(
        path,
        contents.tree,
        spec.checkpoint_key,
        contents.classes,
        variant=spec.variant if len(places) > 1 else "",
    )
    how = f"file {path.name}" + (f", under {taken_from!r}" if taken_from else "")
    return tensors, how, wrappers.said(places, taken_from)


def _strip(
    tensors: dict[str, Tensor], wanted: list[str], spec: WeightsSpec, where: str
) -> tuple[dict[str, Tensor], list[str], str, tuple[str, ...]]:
    """(tensors under the backbone's names, names of the others, prefix taken off, notes)."""
    prefix, notes = spec.key_prefix, tuple[str, ...]()
    if prefix is None:
        prefix, notes = _find_prefix(list(tensors), wanted, where, spec.variant)
    elif not prefix.startswith("module.") and all(key.startswith("module.") for key in tensors):
        prefix = f"module.{prefix}"  # written by DataParallel
    names = set(wanted)
    known = {
        key.removeprefix(prefix): value
        for key, value in tensors.items()
        if key.startswith(prefix) and key.removeprefix(prefix) in names
    }
    rest = [key for key in tensors if not (key.startswith(prefix) and key.removeprefix(prefix) in names)]
    return known, rest, prefix, notes


def _find_prefix(
    keys: list[str], wanted: list[str], where: str, variant: wrappers.Variant
) -> tuple[str, tuple[str, ...]]:
    """(prefix under which the file has most of the backbone's names, notes)."""
    first, have = wanted[0], set(keys)
    found = {key.removesuffix(first) for key in keys if key == first or key.endswith(f".{first}")}
    counts = {prefix: sum(prefix + name in have for name in wanted) for prefix in found}
    best = sorted(prefix for prefix, count in counts.items() if count == max(counts.values()))
    if len(best) < 2:
        return (best[0] if best else ""), ()
    return prefixes.choose(best, where, variant)
