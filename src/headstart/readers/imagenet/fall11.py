"""ImageNet Fall 2011: `[images/|fall11_whole/]<wnid>/<wnid>_N.JPEG` with `Annotation/<wnid>/<wnid>_N.xml`.

R-FCN-3000 (arXiv 1712.01802, Sec. 4.1) trains on the images of 3,130 classes that have boxes: give the list of classes
as `classes`, and only images with an XML file are read unless a class has none. (Trees as in gluon's
`data/imagenet/...detection` loader, `Annotation/` beside `fall11_whole/`, and as the archives of one synset unpack:
`Annotation/n03820318/`, `images/n03820318/`.) Corners: `xmls.boxes_of_xmls`. There are no official splits.
"""

from __future__ import annotations

from headstart.data.annotations import Annotations
from headstart.data.faults import Faults
from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.folders import files_in, has_files
from headstart.readers.imagenet.wnids import (
    ClassImages,
    annotate_classes,
    read_class_list,
    read_words,
    synsets,
    wnid_folders,
)
from headstart.readers.imagenet.xmls import XML, boxes_of_xmls, read_xmls, report_orphans, xml_files
from headstart.readers.options import ReadOptions

XML_FOLDERS = ("Annotation", "Annotations", "annotation")
IMAGE_FOLDERS = ("fall11_whole", "images", "Images", "")


def looks_like(root: DataPath) -> str | None:
    """A sentence of evidence, or None."""
    xmls = _xml_folder(root)
    images = _image_folder(root)
    if xmls is None or images is None:
        return None
    return f"ImageNet Fall 2011: {xmls.name}/<wnid>/*.xml with images in {images.name}/<wnid>/"


def read(root: DataPath, options: ReadOptions) -> Annotations:
    """Boxes, and folders as image labels; class ids are WordNet ids in their sorted order.

    `classes`: a text file of WordNet ids; objects and folders of others are left aside, and counted.
    Raises DataError for XML files that cannot be read or have no image, and for classes that are not there.
    """
    xmls, images = _xml_folder(root), _image_folder(root)
    if xmls is None or images is None:
        raise DataError(f"{root}: there is no Annotation/<wnid>/*.xml, or no <wnid>/*.JPEG. Put both there.")
    faults = Faults(options.on_bad_box, options.on_bad_record, options.for_scoring)
    notes: list[str] = []
    chosen = read_class_list(options.classes) if options.classes else None
    folders = wnid_folders(images)
    lost = sorted((chosen or set()) - set(folders))
    if lost:
        notes.append(
            f"{images}: {len(lost)} of {len(chosen or ())} chosen classes have no folder of images; first: {lost[0]}"
        )
    classes = synsets(chosen or set(folders), read_words([root]))
    class_images = ClassImages()
    files: list[DataPath | None] = []
    aside = 0
    for wnid, folder in folders.items():
        if chosen is not None and wnid not in chosen:
            aside += 1
            continue
        xmls_of_class = xml_files(xmls / wnid)
        inside = files_in(folder)
        report_orphans(xmls_of_class, {image.stem for image in inside}, folder, faults)
        class_images.add(inside, "", wnid)
        files += [xmls_of_class.get(image.stem) for image in inside]
    if not class_images.paths:
        raise DataError(f"{images}: none of the {len(classes.wnids)} classes has an image. Check the list of classes.")
    if aside:
        notes.append(f"{images}: {aside} folders are of classes that were not chosen, and were left aside")
    read_files = read_xmls(files, faults)
    boxes, sizes = boxes_of_xmls(read_files, classes, chosen is not None, faults, notes=notes)
    without = sum(1 for file in read_files if file is None)
    if without:
        notes.append(
            f"{images}: {without} of {len(class_images.paths)} images have no boxes and take no part in detection"
        )
    return annotate_classes(
        root, "imagenet-fall11", class_images, classes, sizes_hw=sizes, boxes=boxes, notes=notes, faults=faults
    )


def _xml_folder(root: DataPath) -> DataPath | None:
    for name in XML_FOLDERS:
        inside = wnid_folders(root / name)
        if any(has_files(folder, XML) for folder in list(inside.values())[:3]):
            return root / name
    return None


def _image_folder(root: DataPath) -> DataPath | None:
    for name in IMAGE_FOLDERS:
        folder = root / name if name else root
        if any(has_files(sub) for sub in list(wnid_folders(folder).values())[:3]):
            return folder
    return None
