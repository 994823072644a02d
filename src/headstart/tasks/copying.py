"""What a transfer copies beside the backbone, into a model that is otherwise fresh, and the proof of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from headstart.errors import WeightsError
from headstart.models.detection.parts import PARTS, ClassRows, Part, part_of
from headstart.weights.detectors.given import Given
from headstart.weights.starts import CopyProof, CopySettings, StartKind

Told = Callable[[CopyProof], None]
LEAST = 0.5
"""Part of a neck's or a head's tensors that has to be copied for a start to be called so."""


@dataclass(frozen=True)
class Copying:
    """filled: names of the backbone's tensors that the weights gave; given: the detector, where more is copied."""

    filled: frozenset[str] = frozenset()
    given: Given | None = None
    settings: CopySettings = field(default_factory=CopySettings)


BACKBONE_ONLY = Copying()


def copy_into(model: nn.Module, copying: Copying, classes: Sequence[str]) -> CopyProof:
    """Copy into a fresh model what `copying` says; `classes` are the model's.

    Raises WeightsError where less than half of a part fits, and for class rows that cannot be told apart by name.
    """
    given = copying.given
    start: StartKind = copying.settings.start if copying.filled else "random"
    rows: tuple[ClassRows, ...] = getattr(model, "class_rows", ())
    names = [name for name in model.state_dict() if not name.endswith("num_batches_tracked")]
    counts = {part: [0, 0, 0] for part in PARTS}
    wanted: set[Part] = {"neck"} if start == "backbone+neck" else {"neck", "head"} if start == "detector" else set()
    reasons: dict[str, list[str]] = {}
    state = model.state_dict()
    for name in names:
        part = part_of(name, rows)
        why = _copied(name, state[name], given) if given and part in wanted else "not asked for"
        if part == "backbone":
            why = "" if name.removeprefix("backbone.") in copying.filled else "not in the weights"
        counts[part][2 if why else 0] += 1
        if why and part in wanted:
            reasons.setdefault(why, []).append(name)
    resized: tuple[str, ...] = ()
    if given and start == "detector" and copying.settings.class_rows == "by-name":
        resized = _by_name(state, rows, given, classes)
        moved = sum(part_of(name, rows) == "classes" and name in given.tensors for name in names)
        counts["classes"] = [0, moved, counts["classes"][2] - moved]
    _require_enough(model, copying, {part: counts[part] for part in wanted}, reasons)
    return CopyProof(
        start,
        {part: (row[0], row[1], row[2]) for part, row in counts.items() if sum(row)},
        len(names),
        given.source if given else "",
        resized=resized,
        fresh=tuple(f"{_listed(of)}: {why}" for why, of in reasons.items()),
        notes=given.notes if given else (),
    )


def _copied(name: str, target: Tensor, given: Given) -> str:
    """Copy one tensor; why not, where it cannot be."""
    value = given.tensors.get(name)
    if value is None:
        return next((why for start, why in given.absent.items() if name.startswith(start)), "not in the weights")
    if value.shape != target.shape:
        return f"of shape {_shape(value)} in the weights, {_shape(target)} here"
    with torch.no_grad():
        target.copy_(value)
    return ""


def _by_name(
    state: Mapping[str, Tensor], rows: Sequence[ClassRows], given: Given, classes: Sequence[str]
) -> tuple[str, ...]:
    """Copy the rows of the classes that the weights have under the same names; says which."""
    theirs = {_plain(name): k for k, name in enumerate(given.facts.classes)}
    pairs = [(k, theirs[_plain(name)]) for k, name in enumerate(classes) if _plain(name) in theirs]
    if not pairs:
        known = ", ".join(given.facts.classes[:8]) or "not named in the weights"
        raise WeightsError(
            f'class_rows = "by-name": no class of these data ({", ".join(classes[:8])}) is one of the weights\' '
            f"({known}). Leave class_rows out."
        )
    ours, sources = (torch.tensor(column) for column in zip(*pairs, strict=True))
    for layer in rows:
        for name in (n for n in state if n.startswith(layer.prefix) and n in given.tensors):
            target, value = layer.by_class(state[name]), layer.by_class(given.tensors[name].to(state[name]))
            with torch.no_grad():
                target[:, ours] = value[:, sources]
                if layer.background:
                    target[:, -1] = value[:, -1]
    copied = ", ".join(classes[k] for k in ours.tolist())
    return (f"class layer: the rows of {copied}; {len(classes) - len(pairs)} of {len(classes)} classes are fresh",)


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").split())


def _require_enough(
    model: nn.Module, copying: Copying, counts: Mapping[str, Sequence[int]], reasons: Mapping[str, Sequence[str]]
) -> None:
    for part, (copied, _, fresh) in counts.items():
        if copied + fresh and copied < LEAST * (copied + fresh):
            told = "; ".join(f"{_listed(of)}: {why}" for why, of in list(reasons.items())[:4])
            source = copying.given.source if copying.given else "the weights"
            raise WeightsError(
                f"start {copying.settings.start}: {source} gives {copied} of the {copied + fresh} tensors of the "
                f"{part} of {type(model).__name__}. {told}. Make the recipe's head that of the weights, or start from "
                "the backbone."
            )


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))
