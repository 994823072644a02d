"""What a user may ask of a reader. Each option is for the formats that `formats.READERS` names beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypedDict, cast

from headstart.data.boxes import CONVENTIONS, Convention
from headstart.data.faults import OnBad
from headstart.errors import UsageError


@dataclass(frozen=True)
class ReadOptions:
    """Flat, with defaults that suit official layouts; enters the key of the cached table."""

    on_bad_box: OnBad = "error"
    """`error`: the first box that cannot be raises. `skip`: such boxes are left out, counted and listed."""
    on_bad_record: OnBad = "error"
    """The same for anything else that is wrong with one image's annotation: that image, or that record, is left out."""
    for_scoring: bool = False
    """Only detections are scored against the boxes: images, their names and sizes need not be there (COCO's form), and
    a box that begins and ends in one pixel counts, as in the VOC devkit."""
    images: str | None = None
    """Folder, archive or URL that holds the images, where it is not the data set's own. Paths are relative to it."""
    zero_based: bool = False
    """VOC: corners are continuous edges already and nothing is subtracted."""
    sbd: bool = False
    """VOC segmentation: train on the images of `train_aug.txt`, with masks of `SegmentationClassAug/`."""
    labels: str | None = None
    """YOLO: the folder of label files beside `images`, where it is not `labels`."""
    missing_labels: Literal["unknown", "empty"] = "unknown"
    """YOLO: what an image without a label file shows. `unknown`: it takes part in nothing. `empty`: no object."""
    box_convention: Convention = ""
    """File lists: what the four numbers of a box are (a key of `headstart.data.boxes.CONVENTIONS`); '' is told by the
    names of the columns, and noted."""
    classes: str | None = None
    """ImageNet: a text file of WordNet ids, one on each line, or such ids themselves; other classes are left aside."""
    partition: int = 1
    """SUN-397: which of the ten official partitions makes the splits; 0 for none."""
    shots: int = 0
    """COCO's form, where subsets of few examples lie beside (`fewshot_train_shot10_seed3.json`): train on the one of so
    many examples a class; 0: on all."""
    shot_seed: int = 3
    """Which of those subsets."""
    expand_hierarchy: bool = False
    """Open Images: every box and label counts for the classes above its own, too, as in the official evaluation."""

    def __post_init__(self) -> None:
        """Raises UsageError for a value that a field does not know."""
        choices = {"missing_labels": ("unknown", "empty"), "box_convention": tuple(CONVENTIONS)}
        for name, known in choices.items():
            if (value := getattr(self, name)) not in known:
                raise UsageError(f"option {name!r} is {value!r}; known: {', '.join(filter(None, known))}.")
        if self.partition not in range(11):
            raise UsageError(f"option 'partition' is {self.partition!r}; there are partitions 1 to 10, and 0 for none.")


class ReadKeywords(TypedDict, total=False):
    """The fields of `ReadOptions` as keyword arguments, for type checkers."""

    on_bad_box: OnBad
    on_bad_record: OnBad
    for_scoring: bool
    images: str | None
    zero_based: bool
    sbd: bool
    labels: str | None
    missing_labels: Literal["unknown", "empty"]
    box_convention: Convention
    classes: str | None
    partition: int
    shots: int
    shot_seed: int
    expand_hierarchy: bool


def assigned(words: Sequence[str]) -> ReadKeywords:
    """Options from words such as "zero_based=true" or "partition=3". Raises UsageError."""
    defaults = {f.name: f.default for f in fields(ReadOptions)}
    values: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or name not in defaults:
            raise UsageError(f"--read {word}: give NAME=VALUE with one of {', '.join(defaults)}.")
        if isinstance(defaults[name], bool):
            if text.lower() not in ("true", "false"):
                raise UsageError(f"--read {word}: {name} is either true or false.")
            values[name] = text.lower() == "true"
        elif isinstance(defaults[name], int):
            if not text.isdecimal():
                raise UsageError(f"--read {word}: {name} is a whole number.")
            values[name] = int(text)
        else:
            values[name] = text
    return cast(ReadKeywords, values)
