"""What a data set says about whole images, by one rule: a label each, or for every class present, absent or unknown.

Letters: n images, k of them, K classes. The rule, its first line that applies:

1. *one*: images have a label each, or boxes of one class in every image. Other images have none.
2. *boxes*: a class with a box, whatever its flags, is present. Where the source lists verified labels, too (Open
   Images, LVIS), what is verified as present is, what is verified as absent is not, and of all else nothing is known.
   Without them a list of boxes is complete (COCO, VOC): all other classes are absent, but for those above one that is
   present in a hierarchy; and of images whose boxes nobody listed nothing is known.
3. *lists*: several labels an image and no boxes. Where no class is ever listed as absent, an image's labels are
   complete unless it has none.

A class that is said to be both counts as present.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.data.annotations import Annotations
from headstart.data.hierarchy import related, unique_lists
from headstart.errors import DataError

LISTED: dict[Literal["present", "absent"], int] = {"absent": 0, "present": 1}
"""In this order, so that what is said to be both is present."""
NAMED = 10
"""So many classes are named in a message."""


@dataclass(frozen=True, eq=False)
class LabelSource:
    """Labels of a table's images; see the module for `rule`. Made by `label_source`."""

    table: Annotations
    rule: Literal["one", "boxes", "lists"]
    classes: tuple[str, ...]
    """(K,) names."""
    complete: bool
    """With several labels an image: whether a class that is not said to be present is absent."""
    single: NDArray[np.int32] | None = field(default=None, repr=False)
    """(n,) the label of each image, -1 where there is none; None where images have several."""
    of_box: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32), repr=False)
    """Class of the table's boxes -> class here, or -1; empty where boxes do not count."""
    of_label: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32), repr=False)
    """Class of the table's verified labels -> class here, or -1."""
    above: NDArray[np.bool_] | None = field(default=None, repr=False)
    """(K, K) whether class j is above class i, where that makes j unknown rather than absent."""

    @property
    def several(self) -> bool:
        """Whether an image may have several labels, so that every class is a question of its own."""
        return self.single is None

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """(n,) of which images anything is known."""
        if self.single is not None:
            return self.single >= 0
        if self.complete and self.rule == "boxes":
            return self.table.boxes_known
        known = np.zeros(len(self.table), bool)
        for offsets, values, to_class in self._lists("present", "absent"):
            before = np.concatenate([[0], np.cumsum(to_class[values] >= 0)])
            known |= np.diff(before[offsets]) > 0
        return known

    def labels(self, rows: ArrayLike) -> NDArray[np.int64]:
        """(k,) the label of each image, -1 where there is none or where images have several."""
        chosen = np.asarray(rows, np.int64)
        return np.full(len(chosen), -1) if self.single is None else self.single[chosen].astype(np.int64)

    def label_table(self, rows: ArrayLike) -> NDArray[np.int8]:
        """(k, K) of images that may have several labels: 1 present, 0 absent, -1 not known."""
        chosen = np.asarray(rows, np.int64)
        out = np.full((len(chosen), len(self.classes)), -1, np.int8)
        if self.complete:
            out[self.known[chosen]] = 0
        for name, value in LISTED.items():
            for offsets, values, to_class in self._lists(name):
                for line, row in zip(out, chosen, strict=True):
                    labels = to_class[values[offsets[row] : offsets[row + 1]]]
                    labels = labels[labels >= 0]
                    if value and self.above is not None:
                        line[self.above[labels].any(0)] = -1
                    line[labels] = value
        return out

    def examples(self, rows: ArrayLike, what: Literal["present", "absent"] = "present") -> NDArray[np.int64]:
        """(K,) in how many of the images each class is said to be present, or absent; without those that are absent
        because lists are complete."""
        chosen = np.zeros(len(self.table), bool)
        chosen[np.asarray(rows, np.int64)] = True
        if self.single is not None:
            labels = self.single[chosen & (self.single >= 0)]
            return np.bincount(labels[: len(labels) if what == "present" else 0], minlength=len(self.classes))
        images, classes = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
        for offsets, values, to_class in self._lists(what):
            images.append(np.repeat(np.arange(len(chosen)), np.diff(offsets)))
            classes.append(to_class[values])
        image, label = np.concatenate(images), np.concatenate(classes)
        kept = chosen[image] & (label >= 0)
        _, unique = unique_lists(image[kept], label[kept], len(chosen), len(self.classes))
        return np.bincount(unique, minlength=len(self.classes))

    def only(self, keep: ArrayLike) -> LabelSource:
        """The same with some of the classes, keep (K,) bool; images of others lose their label."""
        kept = np.asarray(keep, bool)
        new = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1).astype(np.int32)  # The last is for -1.
        return replace(
            self,
            classes=tuple(name for name, stays in zip(self.classes, kept, strict=True) if stays),
            single=None if self.single is None else new[self.single],
            of_box=new[self.of_box],
            of_label=new[self.of_label],
            above=None if self.above is None else self.above[np.ix_(kept, kept)],
        )

    def _lists(
        self, *names: Literal["present", "absent"]
    ) -> list[tuple[NDArray[np.int64], NDArray, NDArray[np.int32]]]:
        """What is said to be present, or absent, in each image: offsets (n + 1,), the table's classes, and the class
        here of each of those, or -1."""
        lists: list[tuple[NDArray[np.int64], NDArray, NDArray[np.int32]]] = []
        lists += [(*self.table.verified_lists(name), self.of_label) for name in names if len(self.of_label)]
        if "present" in names and len(self.of_box):
            lists.append((self.table.box_offsets, self.table.box_labels, self.of_box))
        return lists


def label_source(table: Annotations) -> LabelSource:
    """What the table says about whole images, by the module's rule.

    Raises DataError where it says nothing, or knows of one class only that every image has.
    """
    if len(table.image_classes) > 1 and not table.multi_label and (table.image_labels >= 0).any():
        return LabelSource(table, "one", table.image_classes, True, single=table.image_labels)
    if table.box_classes and table.boxes_known.any():
        return _of_boxes(table)
    if table.multi_label and len(table.verified_lists("present")[1]):
        complete = not len(table.verified_lists("absent")[1])
        return LabelSource(table, "lists", table.image_classes, complete, of_label=_same(len(table.image_classes)))
    if len(table.image_classes) == 1 and (table.image_labels >= 0).any():
        raise DataError(
            f"{table.root}: {table.image_classes[0]!r} is the only class of its images, so there is "
            "nothing to tell apart. Add images of other classes, or train with boxes."
        )
    raise DataError(
        f"{table.root}: read as {table.format}, it has no labels of images, and no boxes to take them "
        "from. Use a data set that has, or name another format."
    )


def _of_boxes(table: Annotations) -> LabelSource:
    classes, counts = table.box_classes, np.diff(table.box_offsets)
    if not table.multi_label and len(classes) > 1:
        first = table.box_labels[table.box_offsets[:-1][counts > 0]]
        alone = np.array_equal(np.repeat(first, counts[counts > 0]), table.box_labels)
        if alone and np.array_equal(counts > 0, table.boxes_known):
            labels = np.full(len(table), -1, np.int32)
            labels[counts > 0] = first
            return LabelSource(table, "one", classes, True, single=labels)
    place = {name: k for k, name in enumerate(classes)}
    return LabelSource(
        table,
        "boxes",
        classes,
        complete=not table.multi_label,
        of_box=_same(len(classes)),
        of_label=np.array([place.get(name, -1) for name in table.image_classes if table.multi_label], np.int32),
        above=related(table, classes) if table.hierarchy and not table.multi_label else None,
    )


def with_examples(
    source: LabelSource, rows: ArrayLike, without_examples: Literal["error", "leave_out"] = "error"
) -> LabelSource:
    """The source, if the images `rows` have something to teach: each has labels, each class is in one of them.

    Raises DataError else, naming the image or the classes and what to do; `leave_out` leaves classes without an
    example out instead. An image that only lacked such classes then has no label, and costs nothing.
    """
    chosen = np.asarray(rows, np.int64)
    root = source.table.root
    unlabeled = chosen[~source.known[chosen]]
    if len(unlabeled) or not len(chosen):
        if not len(chosen):
            raise DataError(f"{root}: there are no images to train on. Name a part of the data set that has some.")
        raise DataError(
            f"{source.table.image_path(int(unlabeled[0]))}: nothing is known of what image "
            f"{source.table.image_id(int(unlabeled[0]))!r} shows; so it is with {len(unlabeled)} of "
            f"{len(chosen)} training images. Leave them out (`LabelSource.known`)."
        )
    counts = source.examples(chosen)
    if not counts.all():
        lacking = np.flatnonzero(counts == 0)
        names = _named([source.classes[k] for k in lacking])
        if without_examples == "error" or len(lacking) == len(counts):
            raise DataError(
                f"{root}: {len(lacking)} of {len(counts)} classes have no example among the {len(chosen)} training "
                f"images: {names}. Add examples, or leave such classes out (--on-empty-class skip)."
            )
        source = source.only(counts > 0)
        counts = counts[counts > 0]
    if source.several and _nothing_absent(source, chosen, counts):
        raise DataError(
            f"{root}: no training image is known to lack a class ({_named(source.classes)}), so there is "
            "nothing to tell apart. Add images without it, or train with boxes."
        )
    if not source.several and len(counts) < 2:
        raise DataError(
            f"{root}: {source.classes[0]!r} is the only class of the training images, so there is nothing "
            "to tell apart. Add images of other classes."
        )
    return source


def _nothing_absent(source: LabelSource, rows: NDArray[np.int64], counts: NDArray[np.int64]) -> bool:
    if source.complete:
        return bool((counts == len(rows)).all())
    return not source.examples(rows, "absent").any()


def _named(classes: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in classes[:NAMED]) + (", .." if len(classes) > NAMED else "")


def _same(count: int) -> NDArray[np.int32]:
    return np.arange(count, dtype=np.int32)
