"""What an importer is given, and what it gives. Imports no torch: names and shapes suffice to recognize a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import WeightsError
from headstart.models.backbones.preprocessing import IMAGENET, Preprocessing
from headstart.weights import wrappers
from headstart.weights.stored import StoredArray

BGR_255 = Preprocessing("bgr", 1.0, (103.53, 116.28, 123.675), (1.0, 1.0, 1.0))
"""Caffe's input: 255 x ImageNet's mean is taken off and nothing divided (Detectron2's and MMDetection's default)."""
RGB_01 = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
"""0..1 and nothing else."""
NOT_STATED = ("not stated in the file",)


@dataclass(frozen=True)
class CheckpointView:
    """A checkpoint as an importer sees it: of the file's tree, or of one of its branches."""

    path: Path
    kind: str
    """Container: "safetensors", "torch archive", "pickle", "MXNet parameters"."""
    tree: Any
    classes: tuple[str, ...] = ()
    variant: wrappers.Variant = ""
    """Which state dict is meant, where the file has averaged weights beside those as trained."""

    @cached_property
    def under(self) -> tuple[str, ...]:
        """Keys that lead to the state dict, where it is under one of the usual wrappers."""
        return self._usual[1]

    @cached_property
    def tensors(self) -> dict[str, Any]:
        """The state dict under the usual wrappers, {} where there is none."""
        return self._usual[0]

    @cached_property
    def _usual(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        try:
            both = len(wrappers.places(self.tree)) > 1  # else prefixes may tell the two apart
            tensors, taken = wrappers.state_dict(self.path, self.tree, variant=self.variant if both else "")
        except WeightsError:
            return {}, ()
        return tensors, tuple(taken.split(".")) if taken else ()

    def at(self, *keys: str) -> dict[str, Any]:
        """Tensors at another place of the file."""
        tree = self.tree
        for key in keys:
            tree = tree.get(key) if isinstance(tree, dict) else None
        return wrappers.arrays(tree)

    def fact(self, *keys: str) -> Any:
        """A plain value of the file, or None."""
        tree = self.tree
        for key in keys:
            tree = tree.get(key) if isinstance(tree, dict) else None
        return tree


Edit = Callable[[Any], Any]
"""From a torch tensor of the file to the backbone's."""


@dataclass(frozen=True)
class Imported:
    """A backbone found in a checkpoint."""

    layout: str
    """Name of the importer."""
    backbone: str
    """Canonical name, with options: `resnet50[stride_in=conv1]`."""
    names: Mapping[str, str]
    """From names of the backbone's tensors to names in the file."""
    evidence: str
    """What told the layout and the facts that no name shows."""
    source: str
    """Public file that the layout's names are taken from."""
    preprocessing: Preprocessing = IMAGENET
    norm_eps: float | None = None
    """Epsilon of the batch norms, where it is not the backbone's own."""
    under: tuple[str, ...] = ()
    """Keys that lead to the state dict in the file."""
    lineage: tuple[str, ...] = NOT_STATED
    licence: str = "not stated"
    joined: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Tensors that are several of the file one below the other, by the backbone's names."""
    edits: Mapping[str, Edit] = field(default_factory=dict)
    """How a tensor is changed on the way, by the backbone's names."""
    constants: Mapping[str, float] = field(default_factory=dict)
    """Tensors of the backbone that the layout does not keep because their values are fixed."""
    reasons: tuple[tuple[str, str], ...] = ()
    """(beginning of a name in the file, why it is left over)."""
    notes: tuple[str, ...] = ()
    """What else to know of these weights."""
    doubles: tuple[str, ...] = ()
    """Networks with the same names and shapes that compute other things: only batch norms can tell them apart."""

    def canonical(self, tree: Any, shapes: Mapping[str, Iterable[int]]) -> dict[str, Any]:
        """Tensors by the backbone's names. tree: with torch tensors; shapes: of the backbone, for constants."""
        import torch

        state, tensors = self.state(tree), {}
        for name, source in self.names.items():
            tensors[name] = torch.as_tensor(state[source])
        for name, sources in self.joined.items():
            tensors[name] = torch.cat([torch.as_tensor(state[source]) for source in sources])
        for name in self.edits.keys() & tensors.keys():
            tensors[name] = self.edits[name](tensors[name])
        for name, constant in self.constants.items():
            if name in shapes:
                tensors[name] = torch.full(tuple(shapes[name]), constant)
        return tensors

    @cached_property
    def taken(self) -> frozenset[str]:
        """Names in the file that become part of the backbone."""
        return frozenset(self.names.values()).union(*self.joined.values())

    def state(self, tree: Any) -> dict[str, Any]:
        """The state dict in the file's tree."""
        for key in self.under:
            tree = tree[key]
        return dict(tree)

    def reason(self, name: str) -> tuple[str, str] | None:
        """(beginning of the name, why such names are left over), or None where the layout does not say."""
        return next(((start.rstrip("._"), why) for start, why in self.reasons if name.startswith(start)), None)


def shapes_of(tensors: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in tensors.items()}


def shapes_by(tensors: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
    """Shapes under other names. names: {other name: name in `tensors`}."""
    return {name: tuple(tensors[source].shape) for name, source in names.items()}


def values_of(tensor: Any) -> np.ndarray:
    """Values of a stored array or a torch tensor, as numpy."""
    return tensor.array() if isinstance(tensor, StoredArray) else np.asarray(tensor.detach().float().cpu())


def without_prefix(tensors: Mapping[str, Any], prefix: str) -> dict[str, str]:
    """{name without the prefix: name} of the names that begin with it."""
    return {name.removeprefix(prefix): name for name in tensors if name.startswith(prefix)}


def takes_wide_input(first: Any, norm_weight: Any = None, norm_var: Any = None) -> bool:
    """Whether a first convolution was trained on values of 0..255 with std 1 rather than on normalized ones.

    The norm after it brings its output to about 1, so what a filter does to one unit of input (length of weight x gamma
    / sqrt(var), root mean square over filters) tells the input's scale. Two public MobileNets of one shape have 0.55
    (ImageNet classifier, normalized input) and 0.005 (face detector, 0..255); the line is drawn between them, at 0.05.
    """
    weight = values_of(first).astype(np.float64)
    scale = np.ones(weight.shape[0])
    if norm_weight is not None:
        scale = values_of(norm_weight).astype(np.float64)
    if norm_var is not None:
        scale = scale / np.sqrt(np.maximum(values_of(norm_var).astype(np.float64), 0) + 1e-5)
    return float(np.sqrt(np.mean(np.sum((weight * scale.reshape(-1, 1, 1, 1)) ** 2, axis=(1, 2, 3))))) < 0.05
