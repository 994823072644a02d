"""What stands in for the functions by which pickles rebuild tensors and arrays. First argument: the machine, unused."""

from __future__ import annotations

import pickle
from typing import Any, NamedTuple

import numpy as np

from headstart.weights.stored import DTYPES, Storage, StoredArray, Stub, require_extents


class Refused(Exception):
    """The pickle wants something that is not done for it. `name`: what it wanted."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}, {why}")
        self.name, self.why = name, why


class Global(NamedTuple):
    """A name that the pickle mentions. Never resolved."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class NumpyDtype:
    """A dtype being rebuilt: code and byte order."""

    def __init__(self, code: Any, order: str = "<") -> None:
        self.code, self.order = str(code), order

    def set_state(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and isinstance(state[1], str):
            self.order = state[1]

    def numpy(self) -> np.dtype[Any]:
        if self.code.lstrip("<>=|")[:1] not in tuple("fiub?"):
            raise Refused(f"numpy.dtype({self.code!r})", "an array of something else than numbers")
        return np.dtype(self.code).newbyteorder("<" if self.order == "<" else ">" if self.order == ">" else "=")


class NumpyArray(StoredArray):
    """An array being rebuilt; its state comes after it."""

    def __init__(self) -> None:
        super().__init__(Storage("float32", 0, lambda: b""), (0,))

    def set_state(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        made = from_bytes(raw, dtype, tuple(shape), bool(fortran))
        self.storage, self.shape, self.strides = made.storage, made.shape, made.strides


def from_bytes(raw: Any, dtype: Any, shape: tuple[int, ...], fortran: bool) -> StoredArray:
    if not isinstance(dtype, NumpyDtype):
        raise pickle.UnpicklingError("an array without a type")
    if isinstance(raw, list):
        raise Refused("numpy.dtype('O')", "an array of Python objects")
    data = raw.encode("latin1") if isinstance(raw, str) else bytes(raw)
    values = np.frombuffer(data, dtype.numpy())
    name = values.dtype.name
    if name not in DTYPES:
        raise Refused(f"numpy.dtype({name!r})", "a type of numbers that weights do not have")
    if not values.dtype.isnative:
        data = values.astype(values.dtype.newbyteorder("=")).tobytes()
    require_extents(shape)
    strides = None
    if fortran:
        steps = [1]
        for n in shape[:-1]:
            steps.append(steps[-1] * n)
        strides = tuple(steps[: len(shape)])
    array = StoredArray(Storage(name, values.size, lambda: data), shape, strides)
    array.check()
    return array


def tensor(_: Any, storage: Any, offset: int, size: Any, stride: Any, *rest: Any) -> StoredArray:
    if not isinstance(storage, Storage):
        raise pickle.UnpicklingError("a tensor without values")
    array = StoredArray(storage, tuple(size), tuple(stride), offset)
    array.check()
    return array


def tensor_v3(
    _: Any, storage: Any, offset: int, size: Any, stride: Any, grad: Any, hooks: Any, dtype: Any, *rest: Any
) -> StoredArray:
    if not isinstance(storage, Storage) or not isinstance(dtype, Global) or dtype.name not in DTYPES:
        raise Refused(str(dtype), "a type of numbers that cannot be read")
    typed = Storage(dtype.name, storage.numel // DTYPES[dtype.name], storage.fetch)
    return tensor(_, typed, offset, size, stride)


def scalar(_: Any, dtype: Any, raw: Any = b"") -> Any:
    data = raw.encode("latin1") if isinstance(raw, str) else raw
    return np.frombuffer(data, dtype.numpy())[0].item() if isinstance(dtype, NumpyDtype) else Stub("numpy.scalar")


def frombuffer(_: Any, raw: Any, dtype: Any, shape: Any, order: str = "C", *rest: Any) -> StoredArray:
    return from_bytes(raw, dtype, tuple(shape), order == "F")


def encode(_: Any, text: str, encoding: str = "utf-8", *rest: Any) -> bytes:
    if encoding not in ("latin1", "latin-1", "utf-8", "utf8", "ascii"):
        raise Refused(f"_codecs.encode to {encoding}", "not text")
    return text.encode(encoding)


_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "UntypedStorage": "uint8",
}


def storage_facts(pid: Any) -> tuple[str, str, int]:
    """(dtype, key, number of values) of a storage reference of torch.save."""
    if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or not isinstance(pid[1], Global):
        raise pickle.UnpicklingError("a reference that is no storage")
    dtype = _STORAGES.get(pid[1].name)
    if dtype is None:
        raise Refused(str(pid[1]), "a type of numbers that cannot be read")
    if not isinstance(pid[4], int) or pid[4] < 0:
        raise pickle.UnpicklingError("a storage without a length")
    return dtype, str(pid[2]), pid[4]
