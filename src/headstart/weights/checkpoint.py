"""Loading weights into a backbone, with a report of what matched, and a refusal of what does not fit."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from headstart.errors import WeightsError
from headstart.models.backbones.building import build_backbone, source_key
from headstart.models.backbones.deformable import offset_names
from headstart.models.backbones.features import pooled_features
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.models.backbones.stages import fresh_prefixes
from headstart.places.network import to_stderr
from headstart.weights import cards, containers, downloads, wrappers
from headstart.weights.cards import WeightsSpec
from headstart.weights.catalogue import TRIED_LAYOUTS
from headstart.weights.importers import layouts
from headstart.weights.load_report import (
    MINIMUM_COVERAGE,
    Fit,
    LoadReport,
    StageLoad,
    load_report,
    misfit,
    proved,
    random_report,
    surplus_blocks,
)

__all__ = ["LoadReport", "Loaded", "StageLoad", "load"]


@dataclass(frozen=True, repr=False)
class Loaded:
    """A backbone in training mode on the CPU, with what its input must look like."""

    backbone: nn.Module
    preprocessing: Preprocessing
    report: LoadReport

    def __repr__(self) -> str:
        return f"<{self.report.weights}: {type(self.backbone).__name__}, {self.report.source}>"

    def features(self, images: NDArray[np.uint8], batch_size: int = 64) -> dict[str, NDArray[np.float32]]:
        """Every stage averaged over its cells: RGB images (n, H, W, 3) -> {"C2": (n, c), .., "C5": (n, c)}. Batch norm
        uses its statistics; the backbone is left as it was."""
        training = self.backbone.training
        try:
            return pooled_features(self.backbone.eval(), self.preprocessing, images, batch_size)
        finally:
            self.backbone.train(training)


def load(spec: WeightsSpec, seed: int, offline: bool = False, say: downloads.Say = to_stderr) -> Loaded:
    """The backbone of `spec` with its weights. Leaves torch's global random state as it was.

    seed: for random weights, and for the few tensors that a file may lack. offline: refuse to download, as do the
    environment variables HEADSTART_OFFLINE and HF_HUB_OFFLINE. say: told before anything is downloaded.
    Raises WeightsError: file changed since `spec` was resolved, not a checkpoint, fewer than 99 % of the backbone's
    tensors filled, blocks left over, values that are not finite, batch-norm variances that cannot be.
    """
    _unchanged(spec)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # not CUDA's: those are not put back
        backbone = build_backbone(spec.backbone)
        if spec.kind == "random":
            report = random_report(spec, backbone, seed)
            return Loaded(backbone, spec.preprocessing, proved(report, backbone, spec.preprocessing, test_colors=False))
        fresh = fresh_prefixes(backbone)
        wanted = {
            source_key(backbone, key): value
            for key, value in backbone.state_dict(keep_vars=True).items()
            if not key.startswith(fresh)
        }
        source = _imported(spec, wanted, offline, say) if spec.layout else _by_prefix(spec, wanted, offline, say)
    unlearned = _unlearned_offsets(backbone, source.tensors)
    wanted = {key: value for key, value in wanted.items() if key not in unlearned}
    where, fit, left_over = spec.file or spec.uri, Fit(wanted, source.tensors), source.left_over
    report = load_report(spec, source.how, fit, left_over, told=source.reason)
    if report.coverage < MINIMUM_COVERAGE:
        raise WeightsError(misfit(spec, where, fit, source.names))
    _require_offsets_wanted(spec, where, left_over)
    _require_same_norms(spec, where, wanted, left_over)
    deeper = surplus_blocks(wanted, [key.removeprefix(source.prefix) for key in left_over])
    if deeper and spec.kind != "timm" and not spec.layout:
        raise WeightsError(
            f"{where} has {len(deeper)} tensors of blocks that backbone {spec.backbone} lacks "
            f"({', '.join(deeper[:3])}, ..): it is of a deeper network. Name its backbone."
        )
    with torch.no_grad():
        for key in fit.filled:
            wanted[key].copy_(fit.tensors[key])
    notes = source.notes + _check_values(backbone, where, 1e-5 if spec.norm_eps is None else spec.norm_eps)
    if spec.norm_eps is not None:
        notes += _fold_eps(backbone, spec.norm_eps)
    untried = (
        ()
        if spec.layout in TRIED_LAYOUTS
        else (
            f"unverified: the layout {spec.layout} was never tried on a real "
            "file; compare the fingerprint with the source's own features",
        )
    )
    if unlearned:
        words = f"{len(unlearned)} tensors that learn offsets, which a plain network lacks: offsets 0, masks one half"
        report = replace(report, initialized=(*report.initialized, words))
    report = replace(report, notes=notes, warnings=untried)
    return Loaded(backbone, spec.preprocessing, proved(report, backbone, spec.preprocessing, test_colors=True))


def _unlearned_offsets(backbone: nn.Module, tensors: dict[str, Tensor]) -> frozenset[str]:
    """Names of the tensors that learn offsets, where the file has none of them: they are fresh, not missing."""
    names = frozenset(source_key(backbone, name) for name in offset_names(backbone))
    return frozenset() if names & tensors.keys() else names


def _require_same_norms(spec: WeightsSpec, where: str, wanted: dict[str, Tensor], left_over: list[str]) -> None:
    """Raise WeightsError for batch norms that would be taken for group norms: names and shapes of their scales fit."""
    ends = tuple(f".{key.removesuffix('.weight')}.running_mean" for key in wanted if key.endswith(".weight"))
    batch_norms = [key for key in left_over if f".{key}".endswith(ends)]
    if batch_norms and "norm=group" in spec.backbone:
        raise WeightsError(
            f"{where} holds {len(batch_norms)} batch norms ({batch_norms[0]}, ..), and backbone {spec.backbone} has "
            "group norms: it is another network. Leave norm=group out."
        )


_LEARNS_OFFSETS = re.compile(r"layer(\d)\.\d+\.conv2\.(?:conv_)?offset\.weight$")


def _require_offsets_wanted(spec: WeightsSpec, where: str, left_over: list[str]) -> None:
    """Raise WeightsError where a file's network is deformable and the backbone is not: it would compute other things
    than what was trained, with every tensor filled."""
    learners = [match for match in map(_LEARNS_OFFSETS.search, left_over) if match]
    if learners:
        stages = "+".join(sorted({f"C{int(match[1]) + 1}" for match in learners}))
        raise WeightsError(
            f"{where} holds {len(learners)} layers that learn offsets ({learners[0].string}, ..), which "
            f"backbone {spec.backbone} lacks: its network is deformable. Name the backbone with the "
            f"option deformable={stages}, and modulated=no for version 1."
        )


def _unchanged(spec: WeightsSpec) -> None:
    user = spec.backbone.rpartition(":")[0] if spec.backbone_digest else None
    for path, digest in ((spec.file, spec.digest), (user, spec.backbone_digest)):
        if path is None:
            continue
        if not Path(path).is_file():
            raise WeightsError(f"{path} is gone; {spec.name} was resolved from it. Put it back.")
        if cards.file_digest(Path(path)) != digest:
            raise WeightsError(
                f"{path} has changed since {spec.name} was resolved. Run the study again to use the new "
                "file: its results get keys of their own."
            )


@dataclass(frozen=True)
class _Source:
    """Tensors by the backbone's names, and where they come from."""

    tensors: dict[str, Tensor]
    left_over: list[str]
    names: list[str]
    """All names of the file."""
    how: str
    """How the tensors were had, in words."""
    prefix: str = ""
    reason: Callable[[str], tuple[str, str] | None] = lambda _: None
    """(group of names, why it is left over) of a name."""
    notes: tuple[str, ...] = ()


def _imported(spec: WeightsSpec, wanted: dict[str, Tensor], offline: bool, say: downloads.Say) -> _Source:
    """By the importer that recognized the file when the weights were resolved, or that the catalogue names."""
    path = downloads.url_file(spec, offline, say) if spec.kind == "url" else Path(spec.file or "")
    contents = containers.read(path, spec.trust_pickle)
    # What the catalogue names is known by its address: any layout with the right backbone will do.
    imported = layouts.recognize(contents) if spec.kind == "url" else layouts.again(spec.layout, contents)
    if imported.backbone != spec.backbone:
        raise WeightsError(
            f"{path} holds the backbone {imported.backbone}, not {spec.backbone}, which {spec.name} "
            "names. Give the file itself: file:PATH."
        )
    names = [
        name for name in wrappers.arrays(imported.state(contents.tree)) if not name.endswith("num_batches_tracked")
    ]
    taken = set(imported.names.values())
    tensors = imported.canonical(contents.tree, {key: value.shape for key, value in wanted.items()})
    return _Source(
        tensors,
        [name for name in names if name not in taken],
        names,
        f"file {path.name}, layout {imported.layout}: {imported.evidence}",
        reason=imported.reason,
        notes=imported.notes,
    )


def _by_prefix(spec: WeightsSpec, wanted: dict[str, Tensor], offline: bool, say: downloads.Say) -> _Source:
    """By looking for the backbone's own names, under a prefix."""
    tensors, how = _tensors(spec, offline, say)
    known, left_over, prefix = _strip(tensors, list(wanted), spec, spec.file or spec.uri)
    return _Source(known, left_over, list(tensors), how + (f", prefix {prefix!r}" if prefix else ""), prefix=prefix)


def _tensors(spec: WeightsSpec, offline: bool, say: downloads.Say) -> tuple[dict[str, Tensor], str]:
    """(tensors by name, how they were had)."""
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
        return model.state_dict(), spec.uri
    path = downloads.torchvision_file(spec, offline, say) if spec.kind == "tv" else Path(spec.file or "")
    contents = containers.read(path, spec.trust_pickle)
    tensors, taken_from = wrappers.state_dict(path, contents.tree, spec.checkpoint_key, contents.classes)
    return tensors, f"file {path.name}" + (f", under {taken_from!r}" if taken_from else "")


def _strip(
    tensors: dict[str, Tensor], wanted: list[str], spec: WeightsSpec, where: str
) -> tuple[dict[str, Tensor], list[str], str]:
    """(tensors under the backbone's names, names of the others, prefix taken off)."""
    prefix = spec.key_prefix
    if prefix is None:
        prefix = _find_prefix(list(tensors), wanted, where)
    elif not prefix.startswith("module.") and all(key.startswith("module.") for key in tensors):
        prefix = f"module.{prefix}"  # written by DataParallel
    names = set(wanted)
    known = {
        key.removeprefix(prefix): value
        for key, value in tensors.items()
        if key.startswith(prefix) and key.removeprefix(prefix) in names
    }
    return known, [key for key in tensors if not (key.startswith(prefix) and key.removeprefix(prefix) in names)], prefix


def _find_prefix(keys: list[str], wanted: list[str], where: str) -> str:
    """Prefix under which the file has most of the backbone's names."""
    first, have = wanted[0], set(keys)
    prefixes = {key.removesuffix(first) for key in keys if key == first or key.endswith(f".{first}")}
    counts = {prefix: sum(prefix + name in have for name in wanted) for prefix in prefixes}
    best = sorted(prefix for prefix, count in counts.items() if count == max(counts.values()))
    if len(best) > 1:
        raise WeightsError(
            f"{where} holds the backbone more than once, under {', '.join(map(repr, best))}. Write a "
            "weights card whose `key_prefix` says which one is meant."
        )
    return best[0] if best else ""


def _check_values(backbone: nn.Module, where: str, eps: float) -> tuple[str, ...]:
    """Raise WeightsError for values that no training gives; note channels whose variance is 0."""
    for key, value in backbone.state_dict().items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise WeightsError(
                f"{where}: {source_key(backbone, key)} holds NaN or infinite values. The file is "
                "damaged or its training diverged; use another."
            )
    notes = []
    for key, value in backbone.state_dict().items():
        if not key.endswith("running_var"):
            continue
        name, zeros = source_key(backbone, key), int((value == 0).sum())
        if bool((value < 0).any()) or (zeros and eps == 0) or 2 * zeros > value.numel():
            raise WeightsError(
                f"{where}: {name} must be above 0, but {int((value < 0).sum())} of {value.numel()} channels are "
                f"negative and {zeros} are 0. The file is damaged, or its batch norms were folded or never trained; "
                "use another file."
            )
        if zeros:
            notes.append(f"{name}: variance 0 in {zeros} of {value.numel()} channels (never active)")
    return tuple(notes)


def _fold_eps(backbone: nn.Module, eps: float) -> tuple[str, ...]:
    """Make norms with their own epsilon compute what they computed with `eps`, by scaling their weights.

    weight / sqrt(var + eps) = [weight * sqrt((var + own) / (var + eps))] / sqrt(var + own). Exact in evaluation mode,
    and nothing but the state dict has to be kept afterwards.
    """
    folded = 0
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d) and module.affine and module.running_var is not None:
            variance = module.running_var.double()
            with torch.no_grad():
                module.weight.mul_(torch.sqrt((variance + module.eps) / (variance + eps)))
            folded += 1
    return (f"{folded} batch norms trained with epsilon {eps:g}: folded into their weights, epsilon is the usual one",)
