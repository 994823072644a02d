"""Loading weights into a backbone, with a report of what matched, and a refusal of what does not fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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
from headstart.terminal import tell
from headstart.weights import cards, downloads, native
from headstart.weights.cards import WeightsSpec
from headstart.weights.catalogue import TRIED_LAYOUTS
from headstart.weights.checks import accounts
from headstart.weights.checks.doubles import doubt, nearer
from headstart.weights.checks.first_convolution import for_three, other_channels, refusal
from headstart.weights.checks.strides import stride_placement
from headstart.weights.detectors.whole import fill, is_whole
from headstart.weights.load_report import Fit, LoadReport, StageLoad, load_report, proved, random_report
from headstart.weights.proof import batch_norms
from headstart.weights.sources import source_of

__all__ = ["LoadReport", "Loaded", "StageLoad", "load"]


@dataclass(frozen=True, repr=False)
class Loaded:
    """A backbone in training mode on the CPU, with what its input must look like."""

    backbone: nn.Module
    preprocessing: Preprocessing
    report: LoadReport
    filled: frozenset[str] = frozenset()
    """The backbone's own names of the tensors that the weights gave."""

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


def load(
    spec: WeightsSpec, seed: int, offline: bool = False, say: downloads.Say = tell, *, thorough: bool = False
) -> Loaded:
    """The backbone of `spec` with its weights. Leaves torch's global random state as it was.

    seed: for random weights, and for offsets that plain weights lack. offline: refuse to download, as do the
    environment variables HEADSTART_OFFLINE and HF_HUB_OFFLINE. say: told before anything is downloaded. thorough: also
    compare with other networks of the same names and shapes, and look where strides are, which takes seconds.
    Raises WeightsError: file changed since `spec` was resolved, not a checkpoint, a tensor of the backbone not filled,
    tensors of the network that the backbone lacks, values that are not finite, variances that cannot be.
    """
    _unchanged(spec)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # not CUDA's: those are not put back
        backbone = build_backbone(spec.backbone)
        if is_whole(spec.backbone):
            return _whole(spec, backbone, seed)
        if spec.kind == "random":
            report = random_report(spec, backbone, seed)
            return Loaded(backbone, spec.preprocessing, proved(report, backbone, spec.preprocessing, test_colors=False))
        fresh = fresh_prefixes(backbone)
        wanted = {
            source_key(backbone, key): value
            for key, value in backbone.state_dict(keep_vars=True).items()
            if not key.startswith(fresh)
        }
        source = source_of(spec, wanted, offline, say)
    unlearned = _unlearned_offsets(backbone, source.tensors)
    wanted = {key: value for key, value in wanted.items() if key not in unlearned}
    where = spec.file or spec.uri
    done = _for_three_channels(spec, where, wanted, source.tensors)
    fit = Fit(wanted, source.tensors)
    accounts.require_filled(spec, where, fit, source)
    accounts.require_known(spec, where, fit, source)
    with torch.no_grad():
        for key in fit.filled:
            wanted[key].copy_(fit.tensors[key])
    notes = source.notes + done + _check_values(backbone, where, 1e-5 if spec.norm_eps is None else spec.norm_eps)
    if spec.norm_eps is not None:
        notes += _fold_eps(backbone, spec.norm_eps)
    report = load_report(spec, source.how, fit, source.left_over, told=source.reason)
    if unlearned:
        words = f"{len(unlearned)} tensors that learn offsets, which a plain network lacks: offsets 0, masks one half"
        report = replace(report, initialized=(*report.initialized, words))
    report = replace(report, notes=notes, warnings=_untried(spec))
    own = spec.file is not None and native.find(Path(spec.file)) is not None
    report = proved(report, backbone, spec.preprocessing, test_colors=True, own=own)
    report = _told_apart(report, backbone, spec, source.doubles, thorough=thorough and not own)
    filled = frozenset(key for key in backbone.state_dict() if source_key(backbone, key) in fit.filled)
    return Loaded(backbone, spec.preprocessing, report, filled)


def _whole(spec: WeightsSpec, whole: Any, seed: int) -> Loaded:
    """A whole detector, every tensor of which the file gives."""
    if spec.kind == "random":
        return Loaded(whole, spec.preprocessing, random_report(spec, whole.network, seed))
    file = Path(spec.file or "")
    left_over = fill(whole, file)
    tensors = dict(whole.network.state_dict())
    classes = len(whole.config.id2label)
    how = f"file {file.name}, a whole {whole.family.words} of {classes} classes; licence {spec.licence}"
    report = replace(load_report(spec, how, Fit(tensors, tensors), left_over), norms=batch_norms(whole.network))
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise WeightsError(f"{file}: {name} holds NaN or infinite values. The file is damaged; use another.")
    return Loaded(whole, spec.preprocessing, report, frozenset(tensors))


def _told_apart(
    report: LoadReport, backbone: nn.Module, spec: WeightsSpec, doubles: tuple[str, ...], *, thorough: bool
) -> LoadReport:
    """With warnings where the weights may be of another network with the same names and shapes."""
    warnings = report.warnings + doubt(spec.backbone, doubles, report.consistency)
    if not thorough:
        return replace(report, warnings=warnings)
    warnings += nearer(backbone, spec.preprocessing, doubles, report.consistency)
    placed = stride_placement(backbone, spec.preprocessing)
    if placed is None:
        return replace(report, warnings=warnings)
    if placed.verdict == "contradicts":
        warnings += (f"stride of the blocks {placed}. Name the backbone with that: file:PATH@BACKBONE[stride_in=..].",)
    return replace(report, warnings=warnings, notes=(*report.notes, f"stride of the blocks: {placed}"))


def _untried(spec: WeightsSpec) -> tuple[str, ...]:
    if spec.layout in TRIED_LAYOUTS:
        return ()
    return (
        f"unverified: the layout {spec.layout} was never tried on a real "
        "file; compare the fingerprint with the source's own features",
    )


def _for_three_channels(
    spec: WeightsSpec, where: str, wanted: dict[str, Tensor], tensors: dict[str, Tensor]
) -> tuple[str, ...]:
    """Change the file's first convolution for RGB as the user chose, and say so. Raises WeightsError without choice."""
    name = other_channels(wanted, tensors)
    if name is None:
        return ()
    if not spec.first_convolution:
        raise WeightsError(refusal(where, spec.backbone, name, tuple(tensors[name].shape)))
    tensors[name], words = for_three(tensors[name], spec.first_convolution)
    return (words,)


def _unlearned_offsets(backbone: nn.Module, tensors: dict[str, Tensor]) -> frozenset[str]:
    """Names of the tensors that learn offsets, where the file has none of them: they are fresh, not missing."""
    names = frozenset(source_key(backbone, name) for name in offset_names(backbone))
    return frozenset() if names & tensors.keys() else names


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
