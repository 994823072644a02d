"""Running a study in miniature: what is said of it, and its data, which are drawn once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from headstart.config.study import Study
from headstart.study.miniature.smaller import differences, miniature
from headstart.study.planning.given_data import named, with_data
from headstart.world.official.pictures import SIDE
from headstart.world.official.writers import IMAGES, require_miniatures, write_miniatures


def in_small(study: Study, folder: Path, told: Callable[[str], None], *, write: bool) -> Study:
    """The miniature of a study, with its data in `folder`, where they are written if they are not there.

    told: hears how it differs. write: whether data are drawn. Raises as `miniature` and
    `write_miniatures` do.
    """
    small = miniature(study)
    needed = {name: source.model_copy(update={"optional": False}) for name, source in small.data.items()}
    small = small.model_copy(update={"data": needed})
    wanted = named(small)
    require_miniatures(wanted)
    images = ", ".join(f"{name} {IMAGES[name]}" for name in wanted if name in IMAGES)
    told(f"{small.name} is {study.name} but for sizes and steps:")
    told(f"  data: drawn images of {SIDE} x {SIDE} pixels in the official layouts: {images}")
    for line in differences(study, small):
        told(f"  {line}")
    places = write_miniatures(wanted, folder, told) if write else {}
    return with_data(small, places, folder, all_needed=write).model_copy(update={"data": {}})
