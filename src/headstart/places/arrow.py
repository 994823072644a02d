"""Arrow columns as numpy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def plain(array: pa.Array) -> NDArray[Any]:
    """A numpy view of a primitive Arrow array without nulls; a copy for booleans, which Arrow packs.

    Not by `to_numpy`, which imports pandas where that is installed: half a second, and 60 MB in every process. Nor by
    `cast`, which imports Arrow's functions: a twentieth.
    """
    if pa.types.is_boolean(array.type):
        bits = np.frombuffer(array.buffers()[1] or b"", np.uint8)
        end = array.offset + len(array)
        return np.unpackbits(bits, count=end, bitorder="little")[array.offset :].view(np.bool_)
    return np.from_dlpack(array)
