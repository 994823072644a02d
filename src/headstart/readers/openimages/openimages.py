"""Open Images V4 and later, and its challenges, in the official layout: CSV files of boxes and of verified labels.

Boxes are fractions of the image, kept as the decimals that they are; sizes of images are not in the files. Only ids are
stored, since an image is `<folder of its split>/<id>.jpg`. Files and folders: see `openimages_layout`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.columns import BoxColumns, Lists, arrow, strings
from headstart.data.faults import Fault, Faults
from headstart.data.flags import SPLITS
from headstart.data.hierarchy import expand, unique_lists
from headstart.places.arrow import plain
from headstart.places.opening import open_place
from headstart.places.paths import DataPath
from headstart.readers.folders import relative
from headstart.readers.openimages.layout import (
    Classes,
    box_files,
    image_folders,
    layout,
    read_classes,
    read_hierarchy,
    split_of_file,
)
from headstart.readers.options import ReadOptions

if TYPE_CHECKING:
    from headstart.readers.openimages.csv_files import Rows

LOOKED_AT = 20
"""Images of each split that are looked for to find its folder."""


def looks_like(root: DataPath) -> str | None:
    """A sentence of evidence, or None."""
    files = box_files(root)
    return f"Open Images: boxes in {', '.join(relative(path, root) or path.name for path in files)}" if files else None


def read(root: DataPath, options: ReadOptions) -> Annotations:
    """Boxes with their flags, verified labels, the hierarchy; classes in the order of the descriptions, ids the MIDs.

    An image that only the labels name has no boxes if all its labels are absent; else its boxes are not known.
    With `expand_hierarchy` labels are carried over the hierarchy (`headstart.data.hierarchy.expand`).
    Raises DataError for files that are lacking or cannot be read, and for bad rows as the options say.
    """
    files = layout(root)
    classes = read_classes(files.descriptions)
    hierarchy = read_hierarchy(files.hierarchy, classes) if files.hierarchy else {}
    faults, rows = _rows(files.boxes, classes, options, with_boxes=True)
    boxes = _Images.of(rows, faults)
    label_classes, more_notes = classes, list(rows.notes)
    ids, file_of, columns = boxes.ids, boxes.split, boxes.columns(rows, classes)
    present = absent = None
    if files.labels:
        boxable = all("-boxable" in path.name.lower() for path in files.labels) or not files.all_descriptions
        label_classes = classes if boxable or not files.all_descriptions else read_classes(files.all_descriptions)
        label_faults, label_rows = _rows(files.labels, label_classes, options, with_boxes=False)
        faults.found += label_faults.found
        more_notes += label_rows.notes
        labeled = _Images.of(label_rows, faults)
        ids, file_of, place = _joined(boxes, labeled, files.labels[0].parent, faults)
        present, absent, note = labeled.lists(label_rows, place, len(ids), len(label_classes.ids))
        columns = _with_label_images(
            columns, boxes, ids, file_of, present=present, boxed={split_of_file(p) for p in files.boxes}
        )
        more_notes += note
    else:
        more_notes.append(
            f"{files.boxes[0].parent}: no verified image labels (*-human-imagelabels-boxable.csv); "
            "scoring takes every class as verified in every image"
        )
    keep = _kept(columns, present, absent)
    base = root.parent if root.is_file() else root
    folders, notes = _folders(open_place(options.images) if options.images else base, ids, file_of)
    table = annotate(
        root,
        "openimages",
        ids,
        None,
        sizes_hw=np.zeros((len(ids), 2), np.int32),
        splits=pa.DictionaryArray.from_arrays(arrow(file_of), strings(SPLITS)),
        boxes=columns,
        present=present,
        absent=absent,
        image_classes=label_classes.names if files.labels else (),
        image_class_ids=label_classes.ids if files.labels else (),
        path_pattern="{split}/{id}.jpg",
        split_folders=folders,
        hierarchy=hierarchy,
        notes=[*more_notes, *notes],
        left_out=faults.found,
        unique_ids=True,
    )
    table = table if keep.all() else table.select(np.flatnonzero(keep))
    return expand(table) if options.expand_hierarchy else table


def _rows(paths: tuple[DataPath, ...], classes: Classes, options: ReadOptions, with_boxes: bool) -> tuple[Faults, Rows]:
    """Numba is imported here, when there is something to read."""
    from headstart.readers.openimages.csv_files import Rows, TooFine, read_csv

    for in_floats in (False, True):
        faults = Faults(options.on_bad_box, options.on_bad_record, options.for_scoring)
        rows = Rows(faults, classes.ids, classes.file, with_boxes, in_floats)
        try:
            read_csv(paths, rows)
            break
        except TooFine:
            continue
    return faults, rows


@dataclass(frozen=True, eq=False)
class _Images:
    """Images of the rows of one kind of file, in order of their first row; R runs of rows, n images."""

    ids: pa.Array
    """(n,) string."""
    split: NDArray[np.int8]
    """(n,) index into SPLITS."""
    of_run: NDArray[np.int64]
    """(R,) which image; -1 for runs that are left out."""
    run_rows: NDArray[np.int64]
    """(R + 1,)"""

    @classmethod
    def of(cls, rows: Rows, faults: Faults) -> _Images:
        """An image in files of two splits is reported, and stays in the first."""
        if rows.all_runs_differ():
            ids, of_run = rows.image_ids().cast(pa.string()), np.arange(rows.num_runs)
        else:
            encoded = rows.image_ids().dictionary_encode()
            ids, of_run = encoded.dictionary.cast(pa.string()), plain(encoded.indices).astype(np.int64)
        starts = np.array([first for _, first in rows.files])
        file_of_run = np.searchsorted(starts, np.arange(rows.num_runs), side="right") - 1
        first_run = np.zeros(len(ids), np.int64)
        first_run[of_run[::-1]] = np.arange(rows.num_runs)[::-1]  # The last that is written stays: the first run.
        file_of = file_of_run[first_run]
        again = np.flatnonzero(file_of_run != file_of[of_run])
        for image in np.unique(of_run[again]).tolist():
            one, other = (
                rows.files[file_of[image]][0],
                rows.files[int(file_of_run[again][of_run[again] == image][0])][0],
            )
            faults.record(
                Fault(
                    "split-same-image",
                    str(other),
                    f"image {ids[image].as_py()}",
                    f"is in {one.name}, too",
                    "Take it out of one of the two",
                )
            )
        of_run[again] = -1
        splits = np.array([SPLITS.index(split_of_file(path)) for path, _ in rows.files], np.int8)
        return cls(ids, splits[file_of], of_run, rows.run_rows[: rows.num_runs + 1])

    def row_images(self) -> NDArray[np.int64]:
        """(rows,) the image of each row."""
        return np.repeat(self.of_run, np.diff(self.run_rows))

    def columns(self, rows: Rows, classes: Classes) -> BoxColumns:
        """Boxes by image; without a copy where every image's rows follow one another and none is left out."""
        from headstart.readers.openimages.fields import UNIT

        n, m = len(self.ids), len(rows)
        source, labels, flags, offsets = rows.boxes[:m], rows.labels[:m], rows.flags[:m], self.run_rows
        if rows.left_out or len(self.of_run) > n:
            images = self.row_images()
            order = np.argsort(images, kind="stable")
            order = order[(images[order] >= 0) & (labels[order] >= 0)]
            source, labels, flags = source[order], labels[order], flags[order]
            offsets = np.concatenate([[0], np.cumsum(np.bincount(images[order], minlength=n))])
        return BoxColumns(
            offsets=offsets,
            source=source,
            labels=labels,
            flags=flags,
            known=np.diff(offsets) > 0,
            classes=classes.names,
            convention="relative",
            scale=1 if rows.in_floats else UNIT,
            class_ids=classes.ids,
        )

    def lists(
        self, rows: Rows, place: NDArray[np.int64], num_images: int, num_classes: int
    ) -> tuple[Lists, Lists, list[str]]:
        """Classes present and absent in every image, and a note where one is said to be both."""
        images, labels, said = self.row_images(), rows.labels[: len(rows)], rows.flags[: len(rows)]
        good = (images >= 0) & (labels >= 0)
        images, labels, said = place[images[good]], labels[good], said[good]
        present, absent = (
            unique_lists(images[said == value], labels[said == value], num_images, num_classes) for value in (1, 0)
        )
        both = len(present[1]) + len(absent[1]) - unique_lists(images, labels, num_images, num_classes)[0][-1]
        note = f"{both} verified labels are both present and absent in their image" if both else ""
        return present, absent, [note] if note else []


def _joined(
    boxes: _Images, labeled: _Images, folder: DataPath, faults: Faults
) -> tuple[pa.Array, NDArray[np.int8], NDArray[np.int64]]:
    """All ids (those of boxes first), their splits, and where each labeled image is among them."""
    import pyarrow.compute as pc  # Which takes long to load, and other formats do not need it.

    place = plain(pc.index_in(labeled.ids, value_set=boxes.ids).fill_null(-1)).astype(np.int64)
    new = np.flatnonzero(place < 0)
    for k in np.flatnonzero((place >= 0) & (boxes.split[place] != labeled.split)).tolist():
        why = f"has its boxes in {SPLITS[boxes.split[place[k]]]!r} and its labels in {SPLITS[labeled.split[k]]!r}"
        faults.record(
            Fault(
                "split-same-image", str(folder), f"image {labeled.ids[k].as_py()}", why, "Take it out of one of the two"
            )
        )
    ids = pa.concat_arrays([boxes.ids, labeled.ids.take(arrow(new))])
    place[new] = len(boxes.ids) + np.arange(len(new))
    return ids, np.concatenate([boxes.split, labeled.split[new]]), place


def _with_label_images(
    columns: BoxColumns, boxes: _Images, ids: pa.Array, file_of: NDArray[np.int8], *, present: Lists, boxed: set[str]
) -> BoxColumns:
    """Columns for images that only labels name, too, at the end."""
    more = len(ids) - len(boxes.ids)
    nothing_there = np.diff(present[0])[len(boxes.ids) :] == 0
    of_boxed_split = np.isin(file_of[len(boxes.ids) :], [SPLITS.index(split) for split in boxed])
    changes = {
        "offsets": np.concatenate([columns.offsets, np.full(more, columns.offsets[-1])]),
        "known": np.concatenate([columns.known, nothing_there & of_boxed_split]),
    }
    return BoxColumns(**{**columns.__dict__, **changes})


def _kept(columns: BoxColumns, present: Lists | None, absent: Lists | None) -> NDArray[np.bool_]:
    """Images that something is known of; the others had only rows that were left out."""
    known = columns.known.copy()
    for lists in (present, absent):
        if lists is not None:
            known |= np.diff(lists[0]) > 0
    return known


def _folders(base: DataPath, ids: pa.Array, splits: NDArray[np.int8]) -> tuple[dict[str, str], list[str]]:
    some = {}
    for k in np.unique(splits).tolist():
        rows = np.flatnonzero(splits == k)
        some[SPLITS[k]] = ids.take(arrow(rows[np.linspace(0, len(rows) - 1, LOOKED_AT).astype(int)])).to_pylist()
    folders, lost = image_folders(base, some)
    notes = [
        f"{base}: no image of {split or 'the data set'} was found, such as "
        f"{folders[split] or '.'}/{some[split][0]}.jpg; say where they are with `images`"
        for split in lost
    ]
    return folders, notes
