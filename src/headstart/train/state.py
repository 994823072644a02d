"""Training state as data: safetensors and JSON, never a pickle. A state carries its digest and its job's key."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from headstart.errors import StoreError, TrainingError
from headstart.store import arrays

STATE = "state.safetensors"
EARLIER = "state-*.safetensors"
"""Earlier states, by step, where more than the last one is kept."""

log = logging.getLogger(__name__)


def save_tensors(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any] | None = None) -> None:
    """Write tensors atomically; `facts` travel in the file's metadata as JSON."""
    arrays.save_tensors(path, tensors, {"facts": json.dumps(facts or {})})


def read_facts(path: Path) -> dict[str, Any]:
    """The JSON facts in the header of a file written by `save_tensors`."""
    with safe_open(path, "pt") as file:
        return json.loads((file.metadata() or {}).get("facts", "{}"))


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers, each once even where two modules share it."""
    names = set(model.state_dict())
    named = dict(model.named_parameters()) | dict(model.named_buffers())
    return {name: tensor for name, tensor in named.items() if name in names}


@dataclass(frozen=True)
class History:
    """Losses so far: their names and one tensor (len(names),) an update."""

    names: tuple[str, ...]
    losses: list[Tensor]


class WeightAverage:
    """Exponential moving average of a model's floating-point tensors; the decay rises to its value at first."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.tensors = {k: v.detach().clone() for k, v in model_tensors(model).items() if v.is_floating_point()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the model's present values."""
        self.updates += 1
        decay = min(self.decay, self.updates / (10 + self.updates))
        tensors = model_tensors(model)
        for name, mean in self.tensors.items():
            mean.lerp_(tensors[name].to(mean), 1 - decay)

    @torch.no_grad()
    def copy_to(self, model: nn.Module) -> None:
        """Put the averages in place of the model's values."""
        tensors = model_tensors(model)
        for name, mean in self.tensors.items():
            tensors[name].copy_(mean)


@contextmanager
def averaged(model: nn.Module, average: WeightAverage | None) -> Iterator[None]:
    """The model with its averages in place of its values, for as long as it is looked at."""
    if average is None:
        yield
        return
    values = {name: tensor.detach().clone() for name, tensor in model_tensors(model).items()}
    average.copy_to(model)
    try:
        yield
    finally:
        with torch.no_grad():
            for name, tensor in model_tensors(model).items():
                tensor.copy_(values[name])


def save_state(
    folder: Path,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    history: History,
    average: WeightAverage | None = None,
    last: int = 1,
    key: str = "",
) -> None:
    """Everything that the loop needs to go on at `step` bit for bit; so many of the `last` states are kept.

    key: of the settings of the job; a job of other settings does not go on from it. Raises TrainingError when it cannot
    be written, such as on a full disk; the state before is then still there.
    """
    tensors = {f"model/{k}": v for k, v in model_tensors(model).items()}
    for i, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{i}/{k}": torch.as_tensor(v) for k, v in values.items()}
    tensors["losses"] = torch.stack(history.losses)
    tensors["rng"] = torch.get_rng_state()
    if average:
        tensors |= {f"average/{name}": tensor for name, tensor in average.tensors.items()}
    folder.mkdir(parents=True, exist_ok=True)
    if last > 1 and (folder / STATE).exists():
        try:
            before = int(read_facts(folder / STATE)["step"])
            (folder / STATE).replace(folder / EARLIER.replace("*", f"{before:09d}"))
        except (SafetensorError, KeyError, ValueError):  # not a state that one could go on from
            (folder / STATE).unlink()
    facts = {"step": step, "names": list(history.names), "key": key}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_tensors(folder / STATE, tensors, {**facts, "digest": _digest(facts, tensors)})
    except (OSError, StoreError) as error:
        raise TrainingError(
            f"{folder}: the state of update {step} could not be written ({error}). Make room on the disk; the same "
            "command then goes on from the state before."
        ) from error
    for path in sorted(folder.glob(EARLIER))[: -(last - 1) or None]:
        path.unlink()


def load_state(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None = None,
    *,
    key: str = "",
) -> tuple[int, History]:
    """Step to go on at and the losses so far; (0, nothing) where there is no usable state.

    A state that is damaged, or was saved under another key, is named in a warning and not gone on from.
    """
    for path in (folder / STATE, *sorted(folder.glob(EARLIER), reverse=True)):
        if path.is_file():
            try:
                facts, tensors = read_state(path, key)
            except StoreError as fault:
                log.warning("%s: the training does not go on from it", fault)
            else:
                return _restored(facts, tensors, model, optimizer, average=average)
    return 0, History((), [])


def read_state(path: Path, key: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Facts and tensors of a state. Raises StoreError when it is damaged or of other settings."""
    try:
        facts, tensors = read_facts(path), load_file(path)
        written = facts.pop("digest", "")
    except (OSError, SafetensorError, ValueError, AttributeError) as error:
        raise StoreError(f"{path}: unreadable ({error})") from error
    if written != _digest(facts, tensors):
        raise StoreError(f"{path}: it has changed since it was written")
    if facts["key"] != key:
        raise StoreError(f"{path}: it is of other settings")
    return facts, tensors


def _digest(facts: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """SHA-256 of facts, and of names, types, shapes and bytes of the tensors, which are on the CPU."""
    total = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        total.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def _restored(
    facts: dict[str, Any],
    tensors: dict[str, Tensor],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    average: WeightAverage | None,
) -> tuple[int, History]:
    with torch.no_grad():
        for name, tensor in model_tensors(model).items():
            tensor.copy_(tensors[f"model/{name}"])
        for name, mean in average.tensors.items() if average else ():
            mean.copy_(tensors[f"average/{name}"])
    if average:
        average.updates = int(facts["step"])
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer/"):
            _, index, key = name.split("/")
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(tensors["rng"])
    return int(facts["step"]), History(tuple(facts["names"]), list(tensors["losses"]))
