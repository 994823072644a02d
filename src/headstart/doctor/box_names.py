"""What messages call a box of a table, and which image it is in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headstart.data.annotations import Annotations


def box_name(table: Annotations, row: int) -> str:
    """What messages call a box: by the source's own id where it has one."""
    ids = table.box_ids
    image = int(np.searchsorted(table.box_offsets, row, side="right")) - 1
    name = f"annotation {ids[row]}" if ids is not None else f"box {row - table.box_offsets[image]}"
    return f"{name} ({table.box_classes[table.box_labels[row]]!r})"


def images_of_boxes(table: Annotations) -> NDArray[np.int64]:
    """(m,) row of the image that each box is in."""
    return np.repeat(np.arange(len(table)), np.diff(table.box_offsets))
