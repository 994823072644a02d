"""What a checkpoint file holds, before anything is a tensor: arrays by name and place, plain data, inert stand-ins.

Imports no torch, so that a file can be recognized where a study is planned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

DTYPES: dict[str, int] = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}
"""Bytes of one value of the types that can be read."""

MAX_DIMENSIONS = 64
"""As in NumPy and torch."""
MAX_EXPANDED = 1 << 24
"""Most values that an array may show through strides of 0 beyond those that are stored."""
MAX_TIMES, MAX_BEYOND = 4, 1 << 26
"""All arrays of a file take at most so many times its bytes, and so many bytes more."""


@dataclass(eq=False)
class Storage:
    """Values in one run. `fetch` reads their bytes when asked."""

    dtype: str
    numel: int
    fetch: Callable[[], bytes | memoryview]


@dataclass(eq=False)
class StoredArray:
    """A tensor or array of the file: its shape now, its values when asked for."""

    storage: Storage
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None = None
    """In values, as torch counts them; None for C order."""
    offset: int = 0
    """Of the first value in the storage."""

    @property
    def dtype(self) -> str:
        return self.storage.dtype

    def check(self) -> None:
        """Raise ValueError where the shape reaches beyond the stored values."""
        require_extents(self.shape)
        strides = self.strides if self.strides is not None else c_strides(self.shape)
        if not all(type(number) is int for number in (*strides, self.offset)):
            raise ValueError(f"shape {self.shape} with strides {strides!s:.200} from {self.offset!s:.80}")
        numel = math.prod(self.shape)
        if len(strides) != len(self.shape) or min((*self.shape, *strides, self.offset)) < 0:
            raise ValueError(f"shape {self.shape} with strides {strides} from {self.offset}")
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, strides, strict=True))
        if numel and (last >= self.storage.numel or numel > max(self.storage.numel, MAX_EXPANDED)):
            raise ValueError(
                f"shape {self.shape} with strides {strides} needs more than the {self.storage.numel} "
                "values that are stored"
            )

    def array(self) -> np.ndarray:
        """The values; bfloat16 comes as float32."""
        raw = self.storage.fetch()
        if len(raw) < self.storage.numel * DTYPES[self.dtype]:
            raise EOFError(f"{self.storage.numel} values of {self.dtype} need more than {len(raw)} bytes")
        values = np.frombuffer(raw, "uint16" if self.dtype == "bfloat16" else self.dtype, self.storage.numel)
        if self.dtype == "bfloat16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        strides = [s * values.itemsize for s in self.strides or c_strides(self.shape)]
        return np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, strides).copy()

    def tensor(self) -> Tensor:
        import torch

        values = torch.from_numpy(self.array())
        return values.bfloat16() if self.dtype == "bfloat16" else values


def require_extents(shape: tuple[Any, ...]) -> None:
    """Raise ValueError for a shape that is none. Before anything is multiplied: the product of a text and numbers is a
    longer text, and one of thousands of numbers has thousands of digits."""
    if len(shape) > MAX_DIMENSIONS or not all(type(n) is int and 0 <= n < 1 << 63 for n in shape):
        raise ValueError(f"shape {shape!s:.200}")


def c_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of a C-ordered array, in values."""
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * shape[i + 1]
    return tuple(strides)


@dataclass(eq=False)
class Stub:
    """Stands for an object of a class that is not loaded: what the file says of it, and no behavior."""

    name: str
    args: tuple[Any, ...] = ()
    state: dict[str, Any] = field(default_factory=dict)
    items: dict[Any, Any] = field(default_factory=dict)
    """Entries of classes that are dictionaries."""
    values: list[Any] = field(default_factory=list)
    """Entries of classes that are lists."""


class Budget:
    """How many entries a file may come to, where parts of it are named again and again.

    A pickle of 300 bytes can hold lists of lists that would be 2^40 entries when written out. What is honest has at
    most an entry a byte.
    """

    def __init__(self, size: int) -> None:
        self.left = 1_000_000 + size

    def spend(self, count: int = 1) -> None:
        """Raises ValueError where more is wanted than the file can honestly hold."""
        self.left -= count
        if self.left < 0:
            raise ValueError("it names its own parts so often that they come to millions of entries")


def plain(value: Any, budget: Budget, depth: int = 0) -> Any:
    """The tree as dictionaries and lists: stand-ins of dictionaries, lists and modules become what they hold.

    A module becomes its state dict. Other stand-ins stay. Raises ValueError for what is nested too deep or in itself,
    and for more entries than the budget has.
    """
    if depth > 100:
        raise ValueError("objects are nested more than 100 deep")
    if isinstance(value, Stub):
        if "_modules" in value.state and "_parameters" in value.state:
            return dict(module_state(value, budget))
        if value.items or value.values:
            value = value.items or value.values
        elif value.name.rpartition(".")[2].endswith("Dict"):
            value = value.state
    if isinstance(value, dict | list | tuple):
        budget.spend(1 + len(value))
    if isinstance(value, dict):
        return {str(key): plain(entry, budget, depth + 1) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry, budget, depth + 1) for entry in value]
    return value


def module_state(module: Stub, budget: Budget, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, StoredArray]]:
    """(dotted name, array) of the parameters and buffers of a pickled `torch.nn.Module`."""
    if depth > 100:
        raise ValueError("modules are nested more than 100 deep")
    for group in ("_parameters", "_buffers"):
        for name, value in _entries(module.state.get(group)):
            budget.spend()
            if isinstance(value, StoredArray):
                yield f"{prefix}{name}", value
    for name, child in _entries(module.state.get("_modules")):
        budget.spend()
        if isinstance(child, Stub):
            yield from module_state(child, budget, f"{prefix}{name}.", depth + 1)


def _entries(value: Any) -> list[tuple[str, Any]]:
    return [(str(key), entry) for key, entry in value.items()] if isinstance(value, dict) else []


def require_room(tree: Any, size: int) -> None:
    """Raise ValueError where the arrays of a file of `size` bytes would take many times that in memory: views of the
    same values over and over, or values that strides of 0 repeat. Tied weights are few."""
    arrays: dict[int, int] = {}

    def look(value: Any) -> None:
        if isinstance(value, StoredArray):
            arrays[id(value)] = math.prod(value.shape) * DTYPES[value.dtype]
        elif isinstance(value, dict | list):
            for entry in value.values() if isinstance(value, dict) else value:
                look(entry)

    look(tree)
    if (total := sum(arrays.values())) > MAX_TIMES * size + MAX_BEYOND:
        raise ValueError(f"its {len(arrays):,} arrays would take {total:,} bytes: they show the same values many times")
