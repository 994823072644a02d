"""What a load filled, what it did not, and what the file held besides: numbers by stage, and words for a refusal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from headstart.models.backbones import source_key
from headstart.weights.cards import WeightsSpec

MINIMUM_COVERAGE = 0.99
"""Fraction of the backbone's tensors that a file must fill."""


@dataclass(frozen=True)
class StageLoad:
    """Numbers of tensors of one stage: filled from the file, not filled, and in the file only."""

    matched: int = 0
    missing: int = 0
    left_over: int = 0


@dataclass(frozen=True)
class LoadReport:
    """What came from where. Counters of batches (`num_batches_tracked`) are no weights and are not counted."""

    weights: str
    source: str
    """How the values were had, in words, without paths."""
    by_stage: dict[str, StageLoad]
    """`stem`, `layer1`, ..: by the first part of the name; then what the file has besides the backbone."""
    coverage: float
    """Filled tensors of the backbone / all of them; 0 for random weights."""
    missing: tuple[str, ...] = ()
    left_over: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Counts and missing names; of the tensors left over only the counts."""
        stages = {name: [load.matched, load.missing, load.left_over] for name, load in self.by_stage.items()}
        return {"source": self.source, "coverage": self.coverage, "stages": stages,
                "missing": list(self.missing), "notes": list(self.notes)}  # fmt: skip

    def text(self) -> str:
        """A small table for people."""
        lines = [f"{self.weights}: {self.source}; {self.coverage:.1%} of the backbone's tensors filled"]
        width = max(map(len, ["stage", *self.by_stage]))
        lines.append(f"  {'stage':{width}}  matched  missing  left over")
        for name, load in self.by_stage.items():
            lines.append(f"  {name:{width}}  {load.matched:7}  {load.missing:7}  {load.left_over:9}")
        return "\n".join([*lines, *(f"  missing: {name}" for name in self.missing), *(f"  {n}" for n in self.notes)])


def counted(keys: Iterable[str]) -> list[str]:
    return [key for key in keys if not key.endswith("num_batches_tracked")]


def _stage_of(key: str) -> str:
    """`layer1` of `layer1.0.conv1.weight`; the stem has no block numbers; `stages.0` where all stages share a name."""
    parts = key.split(".")
    if parts[0] in ("stages", "blocks", "layers", "features") and len(parts) > 2 and parts[1].isdigit():
        return ".".join(parts[:2])
    return "stem" if parts[0] in ("conv1", "bn1", "stem", "conv_stem", "patch_embed") else parts[0]


def load_report(
    spec: WeightsSpec, source: str, wanted: dict[str, Tensor], found: dict[str, Tensor], filled: set[str],
    left_over: list[str],
) -> LoadReport:  # fmt: skip
    counts: dict[str, list[int]] = {}
    for key in counted(wanted):
        counts.setdefault(_stage_of(key), [0, 0, 0])[0 if key in filled else 1] += 1
    for key in counted(left_over):
        counts.setdefault(".".join(key.split(".")[:2]) if key.startswith("module.") else key.split(".")[0],
                          [0, 0, 0])[2] += 1  # fmt: skip
    missing = tuple(f"{key} (shape {tuple(found[key].shape)} in the file, {tuple(wanted[key].shape)} in the backbone)"
                    if key in found else key for key in counted(wanted) if key not in filled)  # fmt: skip
    total = len(counted(wanted))
    return LoadReport(spec.name, source, {name: StageLoad(*numbers) for name, numbers in counts.items()},
                      (total - len(missing)) / total, missing, tuple(counted(left_over)))  # fmt: skip


def random_report(spec: WeightsSpec, backbone: nn.Module, seed: int) -> LoadReport:
    counts: dict[str, int] = {}
    for key in counted(source_key(backbone, key) for key in backbone.state_dict()):
        counts[_stage_of(key)] = counts.get(_stage_of(key), 0) + 1
    return LoadReport(spec.name, f"random, seed {seed}", {k: StageLoad(missing=n) for k, n in counts.items()}, 0.0)


def surplus_blocks(wanted: Iterable[str], left_over: Iterable[str]) -> list[str]:
    """Names left over that differ from the backbone's by a block's number only, in a stage that the backbone has.

    All names of a ResNet-50, and all shapes, are also in a ResNet-101: full coverage, and another network.
    """
    patterns = {_block_free(key) for key in wanted}
    return [key for key in counted(left_over) if _block_free(key) in patterns]


def _block_free(key: str) -> str:
    stage = _stage_of(key)
    rest = key.removeprefix(f"{stage}.").split(".")
    return ".".join([stage, *("#" if part.isdigit() else part for part in rest)])


def misfit(
    spec: WeightsSpec, where: str, wanted: dict[str, Tensor], found: dict[str, Tensor], filled: set[str],
    keys: list[str],
) -> str:  # fmt: skip
    names = counted(wanted)
    reshaped = [k for k in names if k in found and k not in filled]
    absent = [k for k in names if k not in found]
    backbone = spec.backbone.rpartition("/")[2]
    lines = [f"{where} fills {len(counted(filled))} of the {len(names)} tensors of backbone {backbone} "
             f"({len(counted(filled)) / len(names):.1%}; at least {MINIMUM_COVERAGE:.0%} are needed)."]  # fmt: skip
    if absent:
        lines.append(
            f"  missing: {', '.join(absent[:4])}" + (f" and {len(absent) - 4} more" if len(absent) > 4 else "")
        )
    shown = [f"{k} {tuple(found[k].shape)}, backbone {tuple(wanted[k].shape)}" for k in reshaped[:4]]
    if reshaped:
        more = f" and {len(reshaped) - 4} more" if len(reshaped) > 4 else ""
        lines.append(f"  of another shape: {'; '.join(shown)}{more}")
    if absent:
        prefix = f" (prefix {spec.key_prefix!r} is taken off)" if spec.key_prefix else ""
        lines.append(f"  the file has: {', '.join(keys[:4])}{' ..' if len(keys) > 4 else ''}{prefix}")
        lines.append("Name the backbone that the file was made with, or give the prefix of its keys as `key_prefix` in "
                     "a weights card.")  # fmt: skip
    else:
        lines.append("The names fit and the shapes do not: the file is of another width or depth. Name its backbone.")
    return "\n".join(lines)
