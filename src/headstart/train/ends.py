"""The end of a training, kept so that a longer one can go on from it.

Beside the model's own files it needs what the optimizer remembers. That is kept in bfloat16: half a model's bytes for
each moment, and a training that goes on has a rate of its own anyway (`headstart.train.schedule.resumed`). Random
numbers begin at the seed, as at every start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from headstart.train.state import History, WeightAverage, model_tensors, read_facts, save_tensors

FILE = "end.safetensors"


@dataclass(frozen=True)
class End:
    """Where another training ended: after `step` updates, with these values of the model (or of its average) by name,
    with the other tensors of its file, and with the losses so far."""

    step: int
    values: Mapping[str, Tensor]
    kept: Mapping[str, Tensor]
    history: History

    @torch.no_grad()
    def into(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, average: WeightAverage | None
    ) -> tuple[int, History]:
        """Put it into a model that was built in the same way; returns the step to go on at and the losses so far."""
        for name, tensor in model_tensors(model).items():
            tensor.copy_(self.kept.get(f"model/{name}", self.values[name]))
        if average:
            average.updates = self.step
            for name, mean in average.tensors.items():
                mean.copy_(self.values[name])
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in self.kept.items():
            if name.startswith("optimizer/"):
                _, index, key = name.split("/")
                state.setdefault(int(index), {})[key] = tensor.float()
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        return self.step, History(self.history.names, list(self.history.losses))


def save_end(
    folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, *, average: WeightAverage | None
) -> None:
    """Write `end.safetensors`; the model's values only where an average takes their place in the model's own files."""
    tensors = {f"model/{name}": tensor for name, tensor in model_tensors(model).items()} if average else {}
    for i, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            tensor = torch.as_tensor(value)
            tensors[f"optimizer/{i}/{key}"] = tensor.to(torch.bfloat16) if tensor.ndim else tensor
    save_tensors(folder / FILE, {k: t.detach().cpu().contiguous() for k, t in tensors.items()}, {"step": step})


def read_end(folder: Path, values: Mapping[str, Tensor], history: History) -> End:
    """What `save_end` wrote there. values: of the model's own files."""
    return End(int(read_facts(folder / FILE)["step"]), values, load_file(folder / FILE), history)
