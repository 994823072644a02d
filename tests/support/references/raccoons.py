"""Eight photographs of raccoons, which detectors learn by heart where they are staged beside the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.batches.image_sets import ImageSet, make_image_set
from headstart.progress import silent
from headstart.readers.formats import open_dataset

RACCOONS = Path(__file__).parents[4] / "shared" / "data" / "voc_raccoon"


def eight_raccoons(out: Path, side: int) -> ImageSet:
    """The first eight, stretched to squares."""
    if not RACCOONS.is_dir():
        pytest.skip(f"{RACCOONS} is not there")
    data, size_hw = open_dataset(RACCOONS), (side, side)
    make_image_set(data, range(8), range(8), "detect", size_hw=size_hw, resize="stretch", out=out, progress=silent)
    return ImageSet.open(out)
