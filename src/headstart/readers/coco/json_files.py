"""One JSON file in COCO's form, to columns.

COCO's own training file is 448 MB with 860,001 annotations. The lists are read entry by entry: each annotation becomes
numbers at the end of a few arrays as soon as it is parsed, so no Python object of it is left when the next one is read.
What is an annotation is told by its place, as pycocotools does, and not by its keys: whatever else the file holds, in
it or below its entries, is ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.coco.annotation_rows import Rows
from headstart.readers.coco.words import short

IMAGE_KEYS = (
    "id",
    "file_name",
    "coco_url",
    "width",
    "height",
    "neg_category_ids",
    "not_exhaustive_category_ids",
    "label",
)
"""What is kept of an image's record."""
BLANKS = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True)
class CocoFile:
    """A parsed file."""

    path: DataPath
    images: list[dict[str, Any]]
    categories: list[dict[str, Any]]
    rows: Rows
    strays: list[tuple[int, Any]]
    """(position, entry) of what is in the list of annotations and names neither image nor category."""
    panoptic: list[dict[str, Any]]
    """Panoptic annotations: image_id, file_name of the PNG, and the number of segments, which are rows."""


class _Json:
    """The top level of one JSON text, key by key; the lists of COCO entry by entry."""

    def __init__(self, path: DataPath, text: str) -> None:
        self.path, self.text, self.at = path, text, 0
        self._decode = json.JSONDecoder(object_pairs_hook=self._object).raw_decode

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entry = dict(pairs)
        if len(entry) < len(pairs):
            names = [name for name, _ in pairs]
            self.twice(next(name for name in names if names.count(name) > 1), entry)
        return entry

    def twice(self, name: str, entry: Any) -> None:
        raise DataError(
            f"{self.path}: the key {name!r} stands twice in one object, and which is meant cannot be "
            f"known ({short(entry)}). Take one of them out."
        )

    def value(self) -> Any:
        """The next value, whole."""
        self.at = self._past_blanks(self.at)
        found, self.at = self._decode(self.text, self.at)
        return found

    def entries(self) -> Iterator[Any]:
        """The entries of the list that is next. Written out for speed: of COCO there are 860,001."""
        decode, text = self._decode, self.text
        self.at += 1
        if self.next() == "]":
            self.at += 1
            return
        while True:
            entry, at = decode(text, self.at)
            yield entry
            if text.startswith(", {", at):
                self.at = at + 2
                continue
            self.at = at
            letter = self._after_member("]")
            if letter == "]":
                return
            self.next()

    def members(self) -> Iterator[str]:
        """The keys of the object that is next; who takes one takes its value, too, before the next key."""
        seen: set[str] = set()
        for _ in self._members("}"):
            key = self.value()
            if not isinstance(key, str) or self.next() != ":":
                raise json.JSONDecodeError("Expecting a key and ':'", self.text, self.at)
            if key in seen:
                self.twice(key, sorted(seen))
            seen.add(key)
            self.at += 1
            yield key

    def next(self) -> str:
        """The next letter that is no blank; '' at the end."""
        self.at = self._past_blanks(self.at)
        return self.text[self.at : self.at + 1]

    def _past_blanks(self, at: int) -> int:
        found = BLANKS.match(self.text, at)
        return found.end() if found else at

    def _members(self, end: str) -> Iterator[None]:
        """Once for each member of the list or object whose bracket is next."""
        self.at += 1
        if self.next() == end:
            self.at += 1
            return
        while True:
            yield
            if self._after_member(end) == end:
                return

    def _after_member(self, end: str) -> str:
        """The comma or the bracket that is next, which is passed."""
        letter = self.next()
        if letter not in (",", end) or not letter:
            raise json.JSONDecodeError(f"Expecting ',' or '{end}'", self.text, self.at)
        self.at += 1
        return letter


def parse(path: DataPath) -> CocoFile:
    """The file. Raises DataError when it cannot be read as JSON or has not COCO's lists."""
    try:
        source = _Json(path, path.read_bytes().decode("utf-8-sig"))
        if source.next() != "{":
            value = source.value()
            if value is None:
                raise DataError(
                    f"{path}: says null, and nothing else, as an early client of RF100-VL wrote it. Fetch it again."
                )
            _require_object(path, value)
        return _file(source)
    except RecursionError as error:
        raise DataError(
            f"{path}: its lists and objects are nested too deeply to be annotation. Export the file again."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text ({error}). Save it again as UTF-8.") from error
    except ValueError as error:
        raise DataError(f"{path}: cannot be read as JSON ({error}). Fetch or export the file again.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}). Put the file back, or check who may read it.") from error


def _file(source: _Json) -> CocoFile:
    path = source.path
    found: dict[str, Any] = {}
    rows, strays, panoptic = Rows(), list[tuple[int, Any]](), list[dict[str, Any]]()
    for key in source.members():
        if key == "annotations" and source.next() == "[":
            for position, entry in enumerate(source.entries()):
                _add(path, position, entry, rows, strays=strays, panoptic=panoptic)
            found[key] = []
        elif key == "images" and source.next() == "[":
            found[key] = [_kept(entry) for entry in source.entries()]
        elif key in ("images", "annotations", "categories"):
            found[key] = source.value()
        else:
            source.value()
    if source.next():
        raise json.JSONDecodeError("Extra data", source.text, source.at)
    images, categories = (_listed(path, found, key) for key in ("images", "categories"))
    if images is None:
        raise DataError(f"{path}: has no list `images`. Name the file that lists the images of the data set.")
    if not isinstance(found.get("annotations"), list):
        raise DataError(
            f"{path}: `annotations` is {short(found.get('annotations'))}, not a list. Export the file again, or take "
            "it away if its images are not annotated."
        )
    return CocoFile(path, images, categories or [], rows, strays=strays, panoptic=panoptic)


def _kept(entry: Any) -> Any:
    return {key: entry[key] for key in IMAGE_KEYS if key in entry} if isinstance(entry, dict) else entry


def _add(
    path: DataPath,
    position: int,
    entry: Any,
    rows: Rows,
    *,
    strays: list[tuple[int, Any]],
    panoptic: list[dict[str, Any]],
) -> None:
    """One entry of the list of annotations."""
    if isinstance(entry, dict) and "segments_info" in entry:
        panoptic.append(_segmented(path, entry, rows))
    elif isinstance(entry, dict) and ("image_id" in entry or "category_id" in entry):
        rows.add(entry)
    else:
        strays.append((position, entry))


def _segmented(path: DataPath, entry: dict[str, Any], rows: Rows) -> dict[str, Any]:
    """A panoptic annotation: its segments become rows."""
    segments = entry["segments_info"]
    if not isinstance(segments, list) or not all(isinstance(s, dict) and "category_id" in s for s in segments):
        raise DataError(
            f"{path}: the annotation of image {short(entry.get('image_id'))} has segments_info "
            "that are no list of objects with a category_id each. Export the file again."
        )
    for segment in segments:
        rows.add({**segment, "image_id": entry.get("image_id")})
    return {"image_id": entry.get("image_id"), "file_name": entry.get("file_name"), "segments_info": len(segments)}


def _require_object(path: DataPath, whole: Any) -> None:
    if isinstance(whole, list):
        raise DataError(
            f"{path}: is a list, as files of detections are; a data set is an object with the lists "
            "`images`, `annotations` and `categories`. Name the file of the annotation."
        )
    raise DataError(
        f"{path}: is {short(whole)}, not an object with `images`, `annotations` and `categories`. "
        "Name the file of the annotation."
    )


def _listed(path: DataPath, whole: dict[str, Any], key: str) -> list[dict[str, Any]] | None:
    value = whole.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise DataError(f"{path}: `{key}` is not a list of objects ({short(value)}). Export the file again.")
    return value
