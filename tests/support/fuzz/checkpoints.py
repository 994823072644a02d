"""How checkpoints are read, and tensors to put into them."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from support.fuzz.target import Read

HOW_OFTEN = 0.03
"""Share of what is recognized that is loaded into its network, which takes a tenth of a second."""


def shown(name: str, backbone: str = "", *, small: bool = True, often: float = HOW_OFTEN) -> Read:
    """As `weights show` does: recognized, now and then loaded. small: its tensors are read in any case."""

    def read(folder: Path, draw: Random) -> None:
        from headstart import api
        from headstart.errors import WeightsError
        from headstart.weights import containers
        from headstart.weights.cards import resolve

        file = folder / name
        if small:
            containers.read(file)
        uri = f"file:{file}"
        if backbone and draw.random() < 0.5:
            uri += f"@{backbone}"
        try:
            resolve(uri, folder, offline=True)
        except WeightsError:
            if not small:
                raise
            return
        if draw.random() < often:
            api.describe_weights(uri).text()

    return read


def state() -> dict[str, Any]:
    """A few tensors of several types."""
    import torch

    values = {
        "conv1.weight": torch.arange(54, dtype=torch.float32).view(2, 3, 3, 3),
        "bn1.weight": torch.ones(2, dtype=torch.float16),
        "bn1.running_mean": torch.zeros(2, dtype=torch.bfloat16),
        "bn1.num_batches_tracked": torch.tensor(3),
        "fc.weight": torch.arange(6, dtype=torch.float64).view(2, 3).t(),
    }
    return {"state_dict": values, "epoch": 3, "arch": "resnet18", "best": 0.5, "args": {"lr": 1e-3, "sizes": [1, 2]}}
