"""Pascal VOC: one XML file per image.

Layouts: `Annotations/` with `JPEGImages/` or `images/` (lists of names in `ImageSets/Main/*.txt` make the splits where
they exist); the years of a `VOCdevkit/` together, `VOC2007/` and `VOC2012/`, whose names then go before the ids; XML
files beside the images, in the folder itself or in `train/`, `valid/`, `test/`. Without such a layout XML files
are looked for in folders of any name (`voc.places`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.boxes import Convention
from headstart.data.faults import Fault, Faults, nothing_left
from headstart.errors import DataError
from headstart.places.images import header_sizes_hw
from headstart.places.paths import DataPath
from headstart.readers.file_names import composed
from headstart.readers.folders import files_in, relative
from headstart.readers.options import ReadOptions
from headstart.readers.voc.lists import lists_of, splits_of
from headstart.readers.voc.places import XML, VocPlace, found_places, places, roots
from headstart.readers.voc.xml import VocFile, place_boxes, read_voc_xml


def looks_like(root: DataPath) -> str | None:
    """A sentence of evidence, or None."""
    return _evidence(root, places(root))


def found_in(root: DataPath) -> str | None:
    """The same of XML files in folders of any name."""
    return _evidence(root, found_places(root)) if not root.is_file() else None


def _evidence(root: DataPath, found: Sequence[VocPlace]) -> str | None:
    where = ", ".join(f"{relative(p.xml, root)}/*.xml with images in {relative(p.images, root)}/" for p in found)
    return f"Pascal VOC: {where}" if found else None


def read(root: DataPath, options: ReadOptions) -> Annotations:
    """Boxes with their flags; image ids are the XML files' stems; classes sorted.

    Raises DataError for XML that cannot be read, for files that do not belong together and for bad boxes
    (`headstart.data.faults.Faults.settle_boxes`).
    """
    ids: list[str] = []
    images: list[DataPath] = []
    files: list[VocFile | None] = []
    splits: list[str] = []
    notes: list[str] = []
    faults = Faults(options.on_bad_box, options.on_bad_record, options.for_scoring)
    for place in places(root) or found_places(root):
        pairs = _pair(place, notes, faults)
        ids += [f"{place.prefix}{stem}" for stem in pairs]
        images += [image for image, _ in pairs.values()]
        files += [file for _, file in pairs.values()]
        splits += [place.split] * len(pairs)
    settled = [_size_hw(file, image, faults) for file, image in zip(files, images, strict=True)]
    good = [k for k, size in enumerate(settled) if size is not None]
    ids, images, files, splits = ([column[k] for k in good] for column in (ids, images, files, splits))  # type: ignore[assignment]
    sizes = [size for size in settled if size is not None]
    classes = tuple(sorted({item.name for file in files if file for item in file.objects}))
    if not classes:
        told = f"none of the {len(files)} XML files holds an object. Check that this is the annotated folder."
        raise nothing_left(root, faults.found, told)
    convention: Convention = "edges" if options.zero_based else "voc"
    boxes, odd = place_boxes(files, sizes, classes, faults, convention=convention)
    listed = _listed(root, ids, faults)
    return annotate(
        root,
        "voc",
        ids,
        [image.relative for image in images],
        sizes_hw=sizes,
        splits=[listed.get(i, "") for i in ids] if listed else splits,
        boxes=boxes,
        notes=[*notes, *odd],
        left_out=faults.found,
    )


def _pair(place: VocPlace, notes: list[str], faults: Faults) -> dict[str, tuple[DataPath, VocFile | None]]:
    """Stem -> (image, its file). The stem decides, as in VOC's own lists; <filename> only breaks ties."""
    by_stem: dict[str, list[DataPath]] = {}
    for image in files_in(place.images):
        by_stem.setdefault(composed(image.stem), []).append(image)
    pairs: dict[str, tuple[DataPath, VocFile | None]] = {}
    used: set[DataPath] = set()
    others = []
    for xml in files_in(place.xml, XML):
        file = read_voc_xml(xml, faults)
        stem = composed(xml.stem)
        if file is None:
            used |= set(by_stem.get(stem, []))
            continue
        said = PurePosixPath(file.filename.replace("\\", "/")).name
        named = by_stem.get(stem) or [p for p in by_stem.get(composed(PurePosixPath(said).stem), []) if said]
        if len(named) > 1:
            named = [p for p in named if composed(p.name) == composed(said)]
        if len(named) != 1:
            what = "no image" if stem not in by_stem else "more than one image"
            why = f"{what} in {place.images} is named {xml.stem!r}{f' or {said!r}' if said else ''}"
            faults.record(
                Fault("annotation-without-image", str(xml), "", why, "Put the one image there, or remove the XML file.")
            )
            used |= set(named)
            continue
        if said and composed(named[0].stem) != composed(PurePosixPath(said).stem):
            others.append(f"{xml.name} ({said})")
        pairs[xml.stem] = (named[0], file)
        used.add(named[0])
    if others:
        notes.append(
            f"{place.xml}: {len(others)} files name another image than their own name does, which was used; "
            f"first: {others[0]}"
        )
    without = [p for same in by_stem.values() for p in same if p not in used]
    if without:
        notes.append(
            f"{place.images}: {len(without)} images have no XML file and take no part in detection; "
            f"first: {without[0].name}"
        )
        pairs |= {p.stem if p.stem not in pairs else p.name: (p, None) for p in without}
    return dict(sorted(pairs.items()))


def _size_hw(file: VocFile | None, image: DataPath, faults: Faults) -> tuple[int, int] | None:
    """The size that the image bears out, before or after EXIF turning; (0, 0) when nothing tells; None: left out."""
    try:
        shown, stored = header_sizes_hw(image)
    except DataError:
        # A damaged image is reported, or skipped and listed, when it is decoded.
        return (file.size_hw if file else None) or (0, 0)
    if file is None or file.size_hw is None:
        return shown
    if file.size_hw not in (shown, stored):
        why = (
            f"<size> says {file.size_hw[1]} x {file.size_hw[0]}, the image {image.name} is {shown[1]} x {shown[0]}: "
            "the boxes may be for another resolution"
        )
        fix = "Put back the image that was annotated; if the boxes do fit, correct or remove <size>."
        faults.record(Fault("size-differs", str(file.path), "", why, fix))
        return None
    return file.size_hw


def _listed(root: DataPath, ids: list[str], faults: Faults) -> dict[str, str]:
    """Image id -> split, from ImageSets/Main. Empty where there are no such lists."""
    left_out = {PurePosixPath(fault.path).stem for fault in faults.found}
    split_of_id: dict[str, str] = {}
    for base, prefix in roots(root):
        stems = {name.removeprefix(prefix) for name in ids if name.startswith(prefix)}
        splits = splits_of(lists_of(base, "Main"), stems, left_out, faults)
        split_of_id |= {f"{prefix}{name}": split for name, split in splits.items()}
    return split_of_id
