"""Tables of chips compared, and their columns' types."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from headstart.batches.chips.scales import ChipTable

TYPES = {
    "images": np.int32,
    "scales": np.int8,
    "factors": np.float64,
    "origins_xy": np.float64,
    "sizes_hw": np.int32,
    "negative": np.bool_,
    "box_offsets": np.int64,
    "box_rows": np.int64,
}


def of_types(table: ChipTable) -> bool:
    """Whether every column is of its type, with a row for each chip."""
    assert {name: getattr(table, name).dtype for name in TYPES} == {n: np.dtype(t) for n, t in TYPES.items()}
    lengths = {name: len(getattr(table, name)) for name in TYPES}
    assert lengths.pop("box_rows") == table.box_offsets[-1] and lengths.pop("box_offsets") == len(table) + 1
    return set(lengths.values()) == {len(table)}


def equal(a: ChipTable, b: ChipTable) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(ChipTable))
