"""Label files of YOLO: a line is a class number and a box, a polygon, or a box and the keypoints of a pose."""

from __future__ import annotations

from dataclasses import dataclass, field

from headstart.data.faults import Fault, Faults
from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.fields import number, whole
from headstart.readers.folders import read_text
from headstart.readers.yolo.yaml_layout import YoloConfig

BEYOND = 0.01
"""Fractions this far below 0 or above 1 are taken for pixels; Ultralytics' tolerance."""


@dataclass
class Labels:
    """Lines of all label files end to end: row k belongs to image `image[k]`."""

    image: list[int] = field(default_factory=list)
    where: list[tuple[DataPath, int]] = field(default_factory=list)
    """(file, line)"""
    labels: list[int] = field(default_factory=list)
    values: list[tuple[float, float, float, float]] = field(default_factory=list)
    rings: list[list[float] | None] = field(default_factory=list)
    posed: int = 0
    """Lines with keypoints, which are not read."""

    def record(self, k: int) -> tuple[str, str]:
        """What messages call row k."""
        path, line = self.where[k]
        return str(path), f"line {line}"


def read_labels(path: DataPath, config: YoloConfig, image: int, into: Labels, *, faults: Faults) -> bool:
    """Adds the lines of one file. False when it cannot be read and faults are skipped."""
    try:
        text = read_text(path)
    except DataError as error:
        why, fix = "cannot be read as UTF-8 text", f"Export the label file again. ({error.__cause__})"
        faults.record(Fault("annotation-unreadable", str(path), "", why, fix))
        return False
    for k, line in enumerate(text.splitlines(), 1):
        if line.split():
            _read_line(path, k, line, config, image=image, into=into, faults=faults)
    return True


def _read_line(
    path: DataPath, k: int, line: str, config: YoloConfig, *, image: int, into: Labels, faults: Faults
) -> None:
    fields, record = line.split(), f"line {k}"
    values, label = [number(f) for f in fields[1:]], whole(fields[0])
    numbers = [v for v in values if v is not None]
    if label is None or len(numbers) < len(values) or not _fits(len(values), config.keypoints):
        shown = line.strip() if len(line) < 80 else f"{line.strip()[:77]}..."
        wanted = "a polygon of three or more points"
        if config.keypoints:
            wanted = f"one with {config.keypoints} numbers of keypoints after it (kpt_shape of {config.path.name})"
        why = f"is {shown!r}; a class number and a box of four numbers, or {wanted}, are expected"
        faults.record(Fault("line-malformed", str(path), record, why, "Correct the line, or take it out."))
        return
    if label not in config.names:
        low, high = min(config.names), max(config.names)
        why = f"has class {label}; {config.path.name} names {len(config.names)} classes, {low} to {high}"
        fix = f"Correct the class number, or add its name to {config.path.name}."
        faults.record(Fault("label-unknown", str(path), record, why, fix))
        return
    if config.keypoints:
        into.posed += len(numbers) > 4
        del numbers[4:]
    wrong = next((v for v in numbers if not -BEYOND <= v <= 1 + BEYOND), None)
    if wrong is not None:
        why = f"has {wrong:g}, and fractions of the image go from 0 to 1"
        faults.box(Fault("box-not-relative", str(path), record, why, "Divide pixels by the image's width and height"))
        return
    box, ring = (numbers, None) if len(numbers) == 4 else (_around(numbers), numbers)
    into.image.append(image)
    into.where.append((path, k))
    into.labels.append(list(config.names).index(label))
    into.values.append((box[0], box[1], box[2], box[3]))
    into.rings.append(ring)


def _fits(count: int, keypoints: int) -> bool:
    """Whether a line may have so many numbers after its class."""
    if keypoints:
        return count in (4, 4 + keypoints)
    return count == 4 or (count >= 6 and count % 2 == 0)


def _around(ring: list[float]) -> list[float]:
    """Box (cx, cy, w, h) of a polygon x0 y0 x1 y1 ..."""
    x1, x2, y1, y2 = min(ring[::2]), max(ring[::2]), min(ring[1::2]), max(ring[1::2])
    return [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]
