"""Anyone's detections, matched by name to the images and classes of a data set.

Letters: n images that are scored, d detections, K classes. Files of detections and their formats:
`headstart.data.detection_files`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.annotations import Annotations
from headstart.data.boxes import RELATIVE, to_edges
from headstart.data.detection_files import NAMED, DetectionColumns, read_columns
from headstart.errors import DataError
from headstart.metrics.boxes import Detections

Keys = Sequence[str | int] | NDArray[np.int64]
DENSE = 1_000_000
"""Numbers that a table of ids may have in any case."""
UNKNOWN, OUTSIDE = -1, -2
"""In place of an image's index: not in the data set; in it, but not among the images that are scored."""


@dataclass(frozen=True, eq=False)
class DetectionSet:
    """Detections on the scored images.

    format: of the files. outlines: of the detections, as `DetectionColumns` has them; None where they have none.
    places: of the detections in their files, for messages. left_out: reason -> how many detections were left out, none
    unless it was allowed.
    images_without: scored images without any detection. classes_without: names of classes without any. notes: how
    class numbers were read, where that is a choice.
    """

    detections: Detections
    format: str
    left_out: dict[str, int] = field(default_factory=dict)
    images_without: int = 0
    classes_without: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    outlines: list[bytes] | None = None
    places: tuple[DetectionColumns, NDArray[np.int64]] | None = None

    def where(self, i: int) -> str:
        """Path and line or record of detection i."""
        if self.places is None:
            return f"detection {i}"
        columns, rows = self.places
        return columns.where(int(rows[i]))


def scored_rows(annotations: Annotations, split: str | None) -> NDArray[np.int64]:
    """Rows of the images whose boxes are known (of one split, where given), in the order in which ties are broken.

    That is the order of the image ids where all of them are whole numbers, as pycocotools has it; else the table's.
    Raises DataError where no image is left.
    """
    known = annotations.boxes_known
    if split is not None:
        known = known & np.isin(np.arange(len(annotations)), annotations.rows_of(split))
    rows = np.flatnonzero(known)
    if not len(rows):
        splits = sorted({str(s) for s in annotations.splits[annotations.boxes_known]} - {""})
        which = f"of its split {split!r} " if split is not None else ""
        has = f"Splits with boxes: {', '.join(splits)}. " if splits else ""
        raise DataError(
            f"{annotations.root}: no image {which}has its boxes annotated, so no detection can be scored. "
            f"{has}Name a data set, or a split, with boxes."
        )
    ids = annotations.image_ids[rows].tolist()
    if all(map(_is_whole, ids)):
        rows = rows[np.argsort(np.array([int(i) for i in ids]), kind="stable")]
    return rows


def _is_whole(word: str) -> bool:
    """Whether it is a whole number that an integer of 64 bits holds."""
    return word.isascii() and word.isdigit() and len(word) <= 18


def read_detections(
    path: Path, annotations: Annotations, rows: NDArray[np.int64], allow_unknown: bool = False
) -> DetectionSet:
    """The detections under `path` on the images `rows` of the data set; image k of the result is rows[k].

    Raises DataError, counting and naming the first few with path and line, for: files in no known format or without a
    detection; numbers that are not finite; boxes with x2 < x1 or y2 < y1; images and classes that the
    data set does not know, and images that are not scored. `allow_unknown` leaves the last three out and counts them.
    """
    columns = read_columns(path)
    images, image_advice = _images(columns, annotations, rows)
    labels, class_advice, notes = _classes(columns, annotations)
    boxes, areas = _edges(columns, annotations, rows, images)
    _require_sound(path, columns, boxes)

    where = f"the {len(rows)} images that are scored"
    kinds = {
        f"on images that {annotations.root.name} does not have": (images == UNKNOWN, columns.images, image_advice),
        f"on images outside {where}": (images == OUTSIDE, columns.images, "Choose the images with --split."),
        f"of classes that {annotations.root.name} does not have": (labels < 0, columns.classes, class_advice),
    }
    usable = (images >= 0) & (labels >= 0)
    if not allow_unknown:
        told = [
            _told(path, columns, bad, f"are {kind}", values=names, advice=advice)
            for kind, (bad, names, advice) in kinds.items()
        ]
        if any(told):
            told.append("Or pass --allow-unknown to leave them out; they are then counted.")
            raise DataError("\n".join(filter(None, told)))
    left_out = {kind: int(bad.sum()) for kind, (bad, _, _) in kinds.items() if bad.any()}
    if not usable.any():
        first = f"It names {_value(columns.images[0])}, {_value(columns.classes[0])}; the data set has"
        raise DataError(
            f"{path}: none of its {len(usable)} detections is on {where} and of a known class. {first} "
            f"{annotations.image_id(int(rows[0]))!r}, {annotations.box_classes[0]!r}. Check that the "
            "detections belong to this data set."
        )
    detections = Detections(images, boxes, labels, columns.scores, box_areas=areas)  # type: ignore[arg-type]
    if not usable.all():
        detections = detections.take(usable)
    without = np.flatnonzero(np.bincount(detections.labels, minlength=len(annotations.box_classes)) == 0)
    return DetectionSet(
        detections,
        columns.format,
        left_out,
        int((np.bincount(detections.image_index, minlength=len(rows)) == 0).sum()),
        classes_without=tuple(annotations.box_classes[k] for k in without),
        notes=notes,
        outlines=None if columns.outlines is None else [columns.outlines[i] for i in np.flatnonzero(usable).tolist()],
        places=(columns, np.flatnonzero(usable)),
    )


def _images(
    columns: DetectionColumns, annotations: Annotations, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], str]:
    """(d,) index among `rows`, UNKNOWN or OUTSIDE; and what to do about unknown ones."""
    names = {name: i for i, name in enumerate(annotations.image_ids.tolist())}
    if not {str(key) for key in _distinct(columns.images)} <= names.keys():
        names = _further_names(annotations) | names
    place = np.full(len(annotations), OUTSIDE, np.int64)
    place[rows] = np.arange(len(rows))

    def find(key: str | int) -> int:
        row = names.get(str(key), names.get(f"#{key}", -1) if isinstance(key, int) else -1)
        return int(place[row]) if row >= 0 else UNKNOWN

    ids = ", ".join(repr(annotations.image_id(int(i))) for i in rows[:2])
    advice = f"The data set calls its images {ids}, ...; write these ids, or file names."
    return _looked_up(columns.images, find), advice


def _distinct(keys: Keys) -> set[str | int]:
    return set(_values(keys)[0].tolist() if isinstance(keys, np.ndarray) else keys)


def _further_names(annotations: Annotations) -> dict[str, int]:
    """What else means one image and no other: its path, file name and stem; `#n` where id or stem is the number n."""
    names: dict[str, int] = {}
    for i in range(len(annotations)):
        path = PurePosixPath(annotations.image_name(i))
        words = {annotations.image_id(i), path.stem}
        numbers = {f"#{int(word)}" for word in words if _is_whole(word)}
        for name in {str(path), path.name, path.stem} | numbers:
            names[name] = i if names.get(name, i) == i else -1
    return {name: i for name, i in names.items() if i >= 0}


def _classes(columns: DetectionColumns, annotations: Annotations) -> tuple[NDArray[np.int64], str, tuple[str, ...]]:
    """(d,) 0..K-1 or UNKNOWN; what to do about unknown ones; how numbers were read."""
    names = annotations.box_classes
    known: dict[str | int, int] = {name: k for k, name in enumerate(names)}
    shown = f"The classes of the data set are {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}."
    if columns.format == "yolo":
        listed = columns.class_names or names
        origin = "the detections' own list of classes" if columns.class_names else "the data set's list of classes"
        known |= {number: known.get(name, UNKNOWN) for number, name in enumerate(listed)}
        note = f"class numbers are positions in {origin}: 0 is {listed[0]}"
        advice = f"{shown} Numbers were read as positions in {origin}; put a classes.txt beside the files."
        return _looked_up(columns.classes, lambda key: known.get(key, UNKNOWN)), advice, (note,)
    ids = annotations.box_class_ids
    known = {str(i): k for k, i in enumerate(ids)} | {i: k for k, i in enumerate(ids)} | known
    numbers = f"Its class numbers are {', '.join(map(str, ids[:6]))}{', ...' if len(ids) > 6 else ''}."
    advice = f"{shown} {numbers if ids else 'It numbers no classes: write their names.'}"
    return _looked_up(columns.classes, lambda key: known.get(key, UNKNOWN)), advice, ()


def _looked_up(keys: Keys, find: Callable[[str | int], int]) -> NDArray[np.int64]:
    if isinstance(keys, np.ndarray):
        return _numbers_looked_up(keys, find)
    value_of = {key: find(key) for key in set(keys)}
    return np.fromiter((value_of[key] for key in keys), np.int64, len(keys))


def _numbers_looked_up(keys: NDArray[np.int64], find: Callable[[str | int], int]) -> NDArray[np.int64]:
    """Each number is looked up once."""
    distinct, where = _values(keys)
    return np.fromiter(map(find, distinct.tolist()), np.int64, len(distinct))[where]


def _values(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct numbers, rising, and where in them each is: by a table of all between, where it is not long."""
    low, high = (int(keys.min()), int(keys.max())) if len(keys) else (0, 0)
    if high - low > 10 * len(keys) + DENSE:
        distinct, where = np.unique(keys, return_inverse=True)
        return distinct, where.reshape(-1)
    present = np.zeros(high - low + 1, bool)
    present[keys - low] = True
    return np.flatnonzero(present) + low, (np.cumsum(present) - 1)[keys - low]


def _edges(
    columns: DetectionColumns, annotations: Annotations, rows: NDArray[np.int64], images: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """xyxy (d, 4), and width x height (d,) where the source says width and height itself.

    Fractions of images that are not scored stay fractions: those detections are left out.
    """
    sizes = np.ones((len(images), 2) if columns.convention in RELATIVE else 2, np.int64)
    if columns.convention in RELATIVE:
        of_image = {k: _size_hw(annotations, int(rows[k])) for k in np.unique(images[images >= 0]).tolist()}
        for i in np.flatnonzero(images >= 0).tolist():
            sizes[i] = of_image[int(images[i])]
    with np.errstate(invalid="ignore", over="ignore"):
        boxes = to_edges(columns.numbers, columns.convention, sizes)
        if columns.convention != "coco":
            return boxes, None
        return boxes, columns.numbers[:, 2] * columns.numbers[:, 3]


def _size_hw(annotations: Annotations, row: int) -> tuple[int, int]:
    from headstart.places.images import header_sizes_hw  # Which loads what decodes images; few formats need it.

    size = annotations.size_hw(row)
    return size if all(size) else header_sizes_hw(annotations.image_path(row))[0]


def _require_sound(path: Path, columns: DetectionColumns, boxes: NDArray[np.float64]) -> None:
    numbers, scores = columns.numbers, columns.scores
    usual = columns.convention == "coco" and numbers[:, 2:].min(initial=0) >= 0
    if usual and all(np.isfinite(column).all() for column in (numbers, boxes, scores)):
        return  # Whole columns at once, since nearly all files are sound.
    finite = np.isfinite(boxes).all(1) & np.isfinite(numbers).all(1)
    if columns.convention in ("coco", "yolo"):
        turned, sides = finite & (numbers[:, 2:] < 0).any(1), "a width or height below 0"
    else:
        turned, sides = finite & (boxes[:, 2:] < boxes[:, :2]).any(1), "x2 < x1 or y2 < y1"
    told = [
        _told(
            path,
            columns,
            ~np.isfinite(scores),
            "have a score that is no number",
            values=scores,
            advice="A score is a finite number, higher when surer; logits will do.",
        ),
        _told(
            path,
            columns,
            ~finite,
            "have coordinates that are not finite",
            values=numbers,
            advice="Leave out boxes that the model could not compute.",
        ),
        _told(
            path,
            columns,
            turned,
            f"have {sides}",
            values=numbers,
            advice=f"Boxes are {_layout(columns.format)}; convert those that are something else.",
        ),
    ]
    if any(told):
        raise DataError("\n".join(filter(None, told)))


def _layout(format: str) -> str:
    return {
        "coco": "x, y, width, height",
        "yolo": "x, y, width, height as fractions of the image",
        "voc": "xmin, ymin, xmax, ymax",
    }.get(format, "x1, y1, x2, y2")


def _told(
    path: Path,
    columns: DetectionColumns,
    bad: NDArray[np.bool_] | np.bool_,
    what: str,
    *,
    values: Sequence[object] | NDArray[Any],
    advice: str,
) -> str:
    """A sentence that counts the detections `bad`, names the first few and says what to do; '' where there are none."""
    where = np.flatnonzero(bad).tolist()
    if not where:
        return ""
    named = "; ".join(f"{columns.where(i)}: {_value(values[i])}" for i in where[:NAMED])
    more = f"; and {len(where) - NAMED} more" if len(where) > NAMED else ""
    return f"{path}: {len(where)} of {len(values)} detections {what}: {named}{more}. {advice}"


def _value(value: object) -> str:
    if isinstance(value, np.ndarray):
        return "(" + ", ".join(f"{v:.6g}" for v in value) + ")"
    if isinstance(value, np.integer):
        return str(value)
    return f"{value:.6g}" if isinstance(value, float) else repr(value)
