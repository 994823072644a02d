"""Which network of timm or torchvision a set of names and shapes is: by a digest of all of them, head left out.

`public/networks.txt` has the digests, one line a network: `benchmarks/network_names.py` writes it from the installed
libraries. A digest is of the sorted names and shapes; what differs between equal networks is left out of it: the head,
counters, tables that are computed, and the number of positions of a transformer. Imports no torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).parents[1] / "public" / "networks.txt"
HEADS = frozenset(
    (
        *("fc", "head", "heads", "classifier", "last_linear", "head_dist", "fc_norm", "attn_pool", "pre_logits"),
        *("aux", "aux1", "aux2", "AuxLogits", "last_conv", "attnpool", "proj_head", "contrastive_head"),
    )
)
"""First parts of the names of heads."""
COMPUTED = (
    "num_batches_tracked",
    "relative_position_index",
    "relative_coords_table",
    "attn_mask",
    "mask_token",
    "rope.periods",
    "rope.freqs",
)
"""Ends of names of what no training changes, or what only training used."""
POSITIONS = "pos_embed"


@dataclass(frozen=True)
class Network:
    """A line of the table."""

    name: str
    """In timm, or `tv-NAME`."""
    function: str
    """Digest of all layers and their settings: equal for networks that compute the same of the same tensors."""
    positions: int
    """Position embeddings, 0 without; of the images that the network is named after."""


def counted(shapes: Mapping[str, Iterable[int]]) -> dict[str, tuple[int, ...]]:
    """The names and shapes that a digest is of."""
    return {
        name: tuple(shape)
        for name, shape in shapes.items()
        if name.partition(".")[0] not in HEADS and not name.endswith(COMPUTED)
    }


def signature(shapes: Mapping[str, Iterable[int]]) -> str:
    """Digest of names and shapes: 12 hex digits."""
    digest = hashlib.sha256()
    for name, shape in sorted(counted(shapes).items()):
        told = ("*", shape[-1]) if name == POSITIONS else shape
        digest.update(f"{name} {told}\n".encode())
    return digest.hexdigest()[:12]


@cache
def table() -> Mapping[str, tuple[Network, ...]]:
    """Networks by signature."""
    found: dict[str, list[Network]] = {}
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        name, function, positions, *signatures = line.split()
        for one in signatures:
            found.setdefault(one, []).append(Network(name, function, int(positions)))
    return {key: tuple(networks) for key, networks in found.items()}
