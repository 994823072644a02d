"""What a load filled, what it did not, and what the file held besides: numbers by stage, and words for a refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from headstart.models.backbones.building import source_key
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.models.backbones.stages import fresh_prefixes
from headstart.weights.cards import WeightsSpec
from headstart.weights.checks.consistency import SIDE, Consistency, consistency
from headstart.weights.proof import ColorOrder, Fingerprint, Norms, batch_norms, color_order, fingerprint, input_side


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
    warnings: tuple[str, ...] = ()
    """What the user should look at before believing a result."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why groups of tensors were left over, as the file's layout says."""
    initialized: tuple[str, ...] = ()
    """What has fresh random values, and why."""
    norms: Norms | None = None
    fingerprint: Fingerprint | None = None
    color: ColorOrder | None = None
    consistency: Consistency | None = None

    def to_json(self) -> dict[str, Any]:
        """Counts and missing names; of the tensors left over only the counts, with why they were left over."""
        stages = {name: [load.matched, load.missing, load.left_over] for name, load in self.by_stage.items()}
        why = {name: self.why(name) for name, load in self.by_stage.items() if load.left_over}
        taken = {stage: [float(f"{n:.6g}") for n in numbers] for stage, numbers in (self.fingerprint or {}).items()}
        return {
            "source": self.source,
            "coverage": self.coverage,
            "stages": stages,
            "missing": list(self.missing),
            "left_over": why,
            "initialized": list(self.initialized),
            "notes": list(self.notes),
            "warnings": list(self.warnings),
            "norms": asdict(self.norms) if self.norms else None,
            "fingerprint": taken or None,
            "color_order": self.color.to_json() if self.color else None,
            "consistency": self.consistency.to_json() if self.consistency else None,
        }

    def why(self, group: str) -> str:
        """Why a group of tensors was left over."""
        return self.reasons.get(group) or reason(group)

    def summary(self) -> str:
        """One line, and one more for each warning."""
        color = f"; color order {self.color}" if self.color else ""
        line = f"{self.weights}: {self.source}; {self.coverage:.1%} of the backbone's tensors filled{color}"
        return "\n".join([line, *(f"WARNING: {self.weights}: {words}" for words in self.warnings)])

    def text(self) -> str:
        """A small table for people."""
        lines = [f"{self.weights}: {self.source}; {self.coverage:.1%} of the backbone's tensors filled"]
        width = max(map(len, ["stage", *self.by_stage]))
        lines.append(f"  {'stage':{width}}  matched  missing  left over")
        for name, load in self.by_stage.items():
            why = f"  ({self.why(name)})" if load.left_over else ""
            lines.append(f"  {name:{width}}  {load.matched:7}  {load.missing:7}  {load.left_over:9}{why}")
        lines += [f"  missing: {name}" for name in self.missing]
        lines += [f"  initialized afresh: {words}" for words in self.initialized]
        lines += [f"  {note}" for note in self.notes]
        return "\n".join([*lines, *self._proof(), *(f"  WARNING: {words}" for words in self.warnings)])

    def _proof(self) -> list[str]:
        lines = []
        if self.norms and self.norms.count:
            smallest, zero = self.norms.smallest_variance or 0.0, self.norms.zero_variance
            lines.append(
                f"  batch norms: {self.norms.count}, all variances finite; smallest above 0 {smallest:.2g}, "
                f"{zero} channels at 0"
            )
        if self.consistency:
            lines.append(f"  statistics of the norms: {self.consistency}")
        if self.color:
            lines.append(f"  color order: {self.color}")
        if self.fingerprint:
            stages = "; ".join(f"{k} {v[0]:.4g} {v[1]:.4g} {v[2]:.4g}" for k, v in self.fingerprint.items())
            lines.append(f"  fingerprint: {stages}")
        return lines


_REASONS = (
    ("head of a classifier", ("fc", "head", "classifier", "linear", "logits", "aux_classifier", "head_dist")),
    ("neck", ("fpn", "neck", "backbone.fpn", "pyramid")),
    (
        "head of a detector",
        (
            "rpn",
            "roi_heads",
            "rpn_head",
            "roi_head",
            "bbox_head",
            "proposal_generator",
            "mask_head",
            "ssh1",
            "ssh2",
            "ssh3",
            "ClassHead",
            "BboxHead",
            "LandmarkHead",
            "anchor_generator",
        ),
    ),
    (
        "of self-supervised training only",
        (
            "module.encoder_k",
            "module.queue",
            "module.momentum_encoder",
            "queue",
            "module.projection_head",
            "module.prototypes",
            "module.predictor",
        ),
    ),
)


def reason(group: str) -> str:
    """Why tensors of this group were left over; by its name, as far as that tells."""
    bare = group.removeprefix("module.")
    known = (words for words, names in _REASONS if group in names or bare in names)
    return next(known, "no part of the backbone")


def proved(
    report: LoadReport, backbone: nn.Module, preprocessing: Preprocessing, test_colors: bool, *, own: bool = False
) -> LoadReport:
    """The report with what the loaded backbone itself shows. Random weights, and those of drawn images, have no colors
    of photographs to compare.

    own: of a native checkpoint, whose values a digest vouches for, and which may have learned from images unlike any
    photograph: what its norms say is told, and is no warning.
    """
    warnings, color, notes, side = report.warnings, None, report.notes, input_side(backbone)
    checked = None
    if test_colors:
        color = color_order(backbone, preprocessing)
        if color.verdict == "contradicts":
            warnings += (
                f"declared color order {color}. Unless these weights were trained on images that are bluer "
                "than photographs, correct channel_order in a weights card.",
            )
        if color.verdict == "impossible":
            warnings += (f"declared color order {color}. Correct scale, mean and std in a weights card.",)
        try:
            checked = consistency(backbone, preprocessing, side or SIDE)
            warnings += () if own else _inconsistent(checked)
        except (RuntimeError, ValueError, AssertionError, TypeError) as error:  # a backbone of the user's own
            notes += (f"statistics of the norms not compared: {(str(error).splitlines() or ['?'])[0][:200]}",)
    fresh = fresh_words(backbone)
    taken = None
    try:
        taken = fingerprint(backbone, preprocessing)
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:  # a backbone of the user's own may be choosy
        first = (str(error).splitlines() or [type(error).__name__])[0][:200]
        notes += (f"no fingerprint: the backbone does not take 224x224 pixels ({first})",)
    return replace(
        report,
        warnings=warnings,
        notes=notes,
        norms=batch_norms(backbone),
        fingerprint=taken,
        color=color,
        consistency=checked,
        initialized=report.initialized + fresh,
    )


def _inconsistent(checked: Consistency) -> tuple[str, ...]:
    """The warning for a network that does not fit its own statistics."""
    if checked.verdict != "contradicts":
        return ()
    return (
        f"statistics of the norms: {checked}. Channels in another order, other pooling or strides, or an input in "
        "another scale have the same names and shapes: correct the backbone (file:PATH@BACKBONE) or the preprocessing "
        "(a weights card). Networks trained on images unlike photographs may differ so, too.",
    )


def fresh_words(backbone: nn.Module) -> tuple[str, ...]:
    """What of the backbone no weights have, such as the pyramid over a plain transformer."""
    keys = list(backbone.state_dict())
    counts = {prefix: sum(key.startswith(prefix) for key in keys) for prefix in fresh_prefixes(backbone)}
    return tuple(
        f"{prefix.rstrip('.')} ({count} tensors), which no weights have: it belongs to the heads"
        for prefix, count in counts.items()
        if count
    )


def counted(keys: Iterable[str]) -> list[str]:
    return [key for key in keys if not key.endswith("num_batches_tracked")]


def _stage_of(key: str) -> str:
    """`layer1` of `layer1.0.conv1.weight`; the stem has no block numbers; `stages.0` where all stages share a name."""
    parts = key.split(".")
    if parts[0] in ("stages", "blocks", "layers", "features") and len(parts) > 2 and parts[1].isdigit():
        return ".".join(parts[:2])
    return "stem" if parts[0] in ("conv1", "bn1", "stem", "conv_stem", "patch_embed") else parts[0]


@dataclass(frozen=True)
class Fit:
    """Tensors of the backbone and of a file, both by the backbone's names."""

    wanted: dict[str, Tensor]
    tensors: dict[str, Tensor]

    @cached_property
    def filled(self) -> set[str]:
        """Names of the file's tensors that have their place in the backbone, in their shape."""
        wanted = self.wanted
        return {key for key, value in self.tensors.items() if key in wanted and wanted[key].shape == value.shape}


def load_report(
    spec: WeightsSpec,
    source: str,
    fit: Fit,
    left_over: list[str],
    *,
    told: Callable[[str], tuple[str, str] | None] = lambda _: None,
) -> LoadReport:
    """told: (group, why it is left over) of a name in the file, where the file's layout says so."""
    wanted, tensors = fit.wanted, fit.tensors
    reasons = dict(filter(None, map(told, left_over)))
    counts: dict[str, list[int]] = {}
    for key in counted(wanted):
        counts.setdefault(_stage_of(key), [0, 0, 0])[0 if key in fit.filled else 1] += 1
    for key in counted(left_over):
        known, parts = told(key), key.split(".")
        group = known[0] if known else ".".join(parts[:2]) if parts[0] == "module" else parts[0]
        counts.setdefault(group, [0, 0, 0])[2] += 1
    missing = tuple(
        f"{key} (shape {tuple(tensors[key].shape)} in the file, {tuple(wanted[key].shape)} in the backbone)"
        if key in tensors
        else key
        for key in counted(wanted)
        if key not in fit.filled
    )
    total = len(counted(wanted))
    fresh = tuple(f"{key.partition(' ')[0]}, not in the file: random values from the seed" for key in missing)
    stages = {name: StageLoad(*numbers) for name, numbers in counts.items()}
    coverage = (total - len(missing)) / total
    return LoadReport(
        spec.name,
        source,
        stages,
        coverage,
        missing=missing,
        left_over=tuple(counted(left_over)),
        initialized=fresh,
        reasons=reasons,
    )


def random_report(spec: WeightsSpec, backbone: nn.Module, seed: int) -> LoadReport:
    counts: dict[str, int] = {}
    loadable = (key for key in backbone.state_dict() if not key.startswith(fresh_prefixes(backbone)))
    for key in counted(source_key(backbone, key) for key in loadable):
        counts[_stage_of(key)] = counts.get(_stage_of(key), 0) + 1
    stages = {name: StageLoad(missing=count) for name, count in counts.items()}
    fresh = (f"the whole backbone, from seed {seed}",)
    return LoadReport(spec.name, f"random, seed {seed}", stages, 0.0, initialized=fresh)


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


def misfit(spec: WeightsSpec, where: str, fit: Fit, keys: list[str]) -> str:
    """Why too few tensors are filled, and what to do. keys: all names of the file."""
    names, filled = counted(fit.wanted), len(counted(fit.filled))
    reshaped = [k for k in names if k in fit.tensors and k not in fit.filled]
    absent = [k for k in names if k not in fit.tensors]
    backbone = spec.backbone.rpartition("/")[2]
    lines = [
        f"{where} fills {filled} of the {len(names)} tensors of backbone {backbone} "
        f"({filled / len(names):.1%}; every one is needed)."
    ]
    few = 8 if filled >= 0.9 * len(names) else 4
    if absent:
        lines.append(
            f"  missing: {', '.join(absent[:few])}" + (f" and {len(absent) - few} more" if len(absent) > few else "")
        )
    shown = [f"{k} {tuple(fit.tensors[k].shape)}, backbone {tuple(fit.wanted[k].shape)}" for k in reshaped[:4]]
    if reshaped:
        more = f" and {len(reshaped) - 4} more" if len(reshaped) > 4 else ""
        lines.append(f"  of another shape: {'; '.join(shown)}{more}")
    if filled >= 0.9 * len(names):
        lines.append("The file is not whole, or of another network: get a whole one, or name its backbone.")
    elif absent:
        prefix = f" (prefix {spec.key_prefix!r} is taken off)" if spec.key_prefix else ""
        lines.append(f"  the file has: {', '.join(keys[:4])}{' ..' if len(keys) > 4 else ''}{prefix}")
        lines.append(
            "Name the backbone that the file was made with, or give the prefix of its keys as `key_prefix` in "
            "a weights card."
        )
    else:
        lines.append("The names fit and the shapes do not: the file is of another width or depth. Name its backbone.")
    return "\n".join(lines)
