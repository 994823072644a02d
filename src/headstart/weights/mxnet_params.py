"""MXNet's `.params` files without MXNet.

After `NDArray::Save` and `NDArray::Load` of apache/mxnet, src/ndarray/ndarray.cc. All little-endian: u64 0x112,
u64 0, u64 number of arrays, the arrays, u64 number of names, the names (u64 length, bytes). An array begins with a tag:
V2 and V3 (0xF993FAC9, 0xF993FACA) with a storage type, V1 (0xF993FAC8) with the shape, and without a tag the first
number is the number of dimensions and the extents have 32 bits.
"""

from __future__ import annotations

import math
import struct

from headstart.weights.rebuilding import Refused
from headstart.weights.stored import DTYPES, Storage, StoredArray

MAGIC = (0x112).to_bytes(8, "little")
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_DTYPES = {
    0: "float32",
    1: "float64",
    2: "float16",
    3: "uint8",
    4: "int32",
    5: "int8",
    6: "int64",
    7: "bool",
    12: "bfloat16",
}
_SPARSE = {1: ("row-sparse", 1), 2: ("sparse (CSR)", 2)}
"""Layout and number of index arrays."""


class _Reader:
    def __init__(self, data: memoryview) -> None:
        self.data, self.at = data, 0

    def bytes(self, count: int) -> memoryview:
        if count < 0 or count > len(self.data) - self.at:
            raise EOFError(f"{count:,} bytes are announced and {len(self.data) - self.at:,} are left")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form: str) -> int:
        (value,) = struct.unpack(f"<{form}", self.bytes(struct.calcsize(form)))
        return int(value)


def read_params(data: memoryview) -> dict[str, StoredArray]:
    """Arrays by name (`arg:..` weights, `aux:..` running statistics; arrays without names get their number).

    Raises Refused for sparse arrays and unknown types, EOFError for a file that is cut short, ValueError for others.
    """
    source = _Reader(data)
    if source.bytes(8) != MAGIC:
        raise ValueError("the file does not begin with 0x112")
    source.number("Q")
    count = source.number("Q")
    if count > len(data):
        raise ValueError(f"{count:,} arrays are announced in {len(data):,} bytes")
    arrays = [_array(source) for _ in range(count)]
    named = source.number("Q")
    if named not in (0, count):
        raise ValueError(f"{named} names for {count} arrays")
    names = [str(source.bytes(source.number("Q")), "utf-8") for _ in range(named)]
    if source.at != len(data):
        raise ValueError(f"{len(data) - source.at:,} bytes follow the last name")
    by_name = {}
    for name, array in zip(names or map(str, range(count)), arrays, strict=True):
        if isinstance(array, str):
            raise Refused(f"the array {name!r}", f"which is {array}; only dense arrays can be read")
        if array is not None:
            by_name[name] = array
    return by_name


def _array(source: _Reader) -> StoredArray | str | None:
    """The next array; the name of its layout for a sparse one, which is passed over; None for one never filled."""
    tag, sparse = source.number("I"), 0
    if tag in (_V2, _V3):
        sparse = source.number("i")
        if sparse not in (0, *_SPARSE):
            raise ValueError(f"an array has the storage type {sparse}")
        stored_shape = _shape(source, source.number("i"), "q") if sparse else ()
        ndim, form = source.number("i"), "q"
    else:
        ndim, form = (source.number("I"), "q") if tag == _V1 else (tag, "I")
    shape = _shape(source, ndim, form)
    if ndim < 0 or (ndim == 0 and tag != _V3):  # since V3 no dimensions mean one value
        return None
    source.bytes(8)  # the device that it was on
    dtype = _dtype(source)
    if sparse:
        layout, indices = _SPARSE[sparse]
        sizes = [math.prod(stored_shape) * DTYPES[dtype]]
        for _ in range(indices):
            sizes.append(DTYPES[_dtype(source)] * math.prod(_shape(source, source.number("i"), "q")))
        source.bytes(sum(sizes))
        return layout
    size = math.prod(shape)
    raw = source.bytes(size * DTYPES[dtype])
    return StoredArray(Storage(dtype, size, lambda: raw), shape)


def _shape(source: _Reader, ndim: int, form: str) -> tuple[int, ...]:
    if ndim > 32:
        raise ValueError(f"an array has {ndim} dimensions")
    shape = tuple(source.number(form) for _ in range(ndim))
    if min(shape, default=0) < 0:
        raise ValueError(f"an array has the shape {shape}")
    return shape


def _dtype(source: _Reader) -> str:
    code = source.number("i")
    if code not in _DTYPES:
        raise ValueError(f"an array has the unknown type number {code}")
    return _DTYPES[code]
