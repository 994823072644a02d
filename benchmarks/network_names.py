"""Write `src/headstart/weights/public/networks.txt`: digests of the names and shapes of all networks of timm and
torchvision, by which a file is recognized without a hint. Run after an upgrade of either.

    python benchmarks/network_names.py            some minutes on one core; nothing is downloaded
"""

from __future__ import annotations

import hashlib
import sys
from typing import Any

import timm
import torch
import torchvision
from torch import nn

from headstart.models.backbones.plain_transformers import is_plain
from headstart.models.backbones.timm_networks import TimmBackbone
from headstart.store.files import write_text
from headstart.weights.importers.signatures import FILE, HEADS, POSITIONS, signature

IDLE = (
    *("training", "inplace", "p", "drop_prob", "drop_rate", "num_classes", "momentum", "attn_drop", "fused_attn"),
    *("img_size", "grid_size", "num_patches", "input_resolution", "feat_size", "strict_img_size", "global_pool"),
    *("flatten", "dynamic_img_size", "dynamic_img_pad", "patch_drop_rate", "grad_checkpointing", "in_chans"),
    "output_fmt",
)
"""Settings that change nothing in evaluation."""
PLAIN = (bool, int, float, str, tuple, type(None))


def function(model: nn.Module) -> str:
    """Digest of the layers, in order, and their settings, without the head."""
    lines = []
    for name, part in model.named_modules():
        if (
            name.partition(".")[0] in HEADS
            or isinstance(part, nn.Dropout | nn.Identity)
            or "Drop" in type(part).__name__
        ):
            continue
        kept = {
            key: value
            for key, value in vars(part).items()
            if not key.startswith("_") and key not in IDLE and isinstance(value, PLAIN) and name
        }
        lines.append(f"{name} {type(part).__name__} {sorted(kept.items())}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:8]


def shapes(state: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


def of_timm(name: str) -> str:
    with torch.device("meta"):
        model: Any = timm.create_model(name)
        full = shapes(model.state_dict())
        signatures = [signature(full)]
        if not is_plain(model):
            try:
                body = TimmBackbone(timm.create_model(name, features_only=True), frozenset(full))
                names = {body.source_key(key): shape for key, shape in shapes(body.state_dict()).items()}
                signatures.append(signature(names))
            except (RuntimeError, ValueError, AttributeError, TypeError, AssertionError, KeyError) as error:
                print(f"{name}: no stages ({str(error)[:80]})", file=sys.stderr)
    positions = full[POSITIONS][1] if POSITIONS in full and len(full[POSITIONS]) == 3 else 0
    return " ".join([name, function(model), str(positions), *dict.fromkeys(signatures)])


def of_torchvision(name: str) -> str:
    from torchvision import models

    more = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("cpu" if name.startswith("regnet") else "meta"):  # RegNet computes its widths with tensors
        model = models.get_model(name, weights=None, **more)
    return " ".join([f"tv-{name}", function(model), "0", signature(shapes(model.state_dict()))])


def main() -> None:
    from torchvision import models

    lines = [
        f"# Networks of timm {timm.__version__} and torchvision {torchvision.__version__}; name, function, positions,"
    ]
    lines[0] += " signatures. Written by benchmarks/network_names.py."
    for name in timm.list_models():
        if name.startswith("test_"):
            continue
        try:
            lines.append(of_timm(name))
        except Exception as error:  # a network that the library itself cannot build here
            print(f"{name}: {type(error).__name__}: {str(error)[:80]}", file=sys.stderr)
    known = {word for line in lines for word in line.split()[3:]}
    for name in models.list_models(module=models):
        line = of_torchvision(name)
        if line.split()[-1] not in known:  # else timm has the same network, under the same names
            lines.append(line)
    write_text(FILE, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
