"""Data sets of a few tiny images in the layouts of ImageNet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support.miniatures import image, text, voc_object, voc_xml

FISH, BIRD, CRANE, MACHINE = "n01440764", "n01530575", "n02012849", "n03126707"


def make_imagenet_loc(root: Path) -> None:
    data, xml = root / "ILSVRC/Data/CLS-LOC", root / "ILSVRC/Annotations/CLS-LOC"
    for k, name in enumerate(
        (
            f"train/{BIRD}/{BIRD}_7",
            f"train/{FISH}/{FISH}_10",
            f"train/{FISH}/{FISH}_2",
            "val/ILSVRC2012_val_00000001",
            "val/ILSVRC2012_val_00000002",
            "test/ILSVRC2012_test_00000001",
        )
    ):
        image(data / f"{name}.JPEG", k)
    voc_xml(xml / f"train/{FISH}/{FISH}_10.xml", voc_object(FISH, 0, 0, 39, 29), voc_object(FISH, 1, 2, 3, 4))
    voc_xml(xml / f"train/{FISH}/{FISH}_2.xml", voc_object(FISH, 5, 6, 7, 8))
    voc_xml(xml / f"train/{BIRD}/{BIRD}_7.xml", voc_object(BIRD, 5, 6, 7, 8))
    voc_xml(xml / "val/ILSVRC2012_val_00000001.xml", voc_object(BIRD, 0, 6, 7, 8))
    voc_xml(xml / "val/ILSVRC2012_val_00000002.xml", voc_object(FISH, 0, 6, 7, 8))
    text(
        root / "ILSVRC/ImageSets/CLS-LOC/train_cls.txt",
        f"{FISH}/{FISH}_10 1",
        f"{FISH}/{FISH}_2 2",
        f"{BIRD}/{BIRD}_7 3",
    )
    text(root / "ILSVRC/ImageSets/CLS-LOC/val.txt", "ILSVRC2012_val_00000001 1", "ILSVRC2012_val_00000002 2")
    text(root / "LOC_synset_mapping.txt", f"{FISH} tench, Tinca tinca", f"{BIRD} brambling, Fringilla montifringilla")
    text(
        root / "LOC_train_solution.csv",
        "ImageId,PredictionString",
        f"{FISH}_10,{FISH} 0 0 39 29 {FISH} 1 2 3 4 ",
        f"{FISH}_2,{FISH} 5 6 7 8 ",
        f"{BIRD}_7,{BIRD} 5 6 7 8 ",
    )
    text(
        root / "LOC_val_solution.csv",
        "ImageId,PredictionString",
        f"ILSVRC2012_val_00000002,{FISH} 0 6 7 8 ",
        f"ILSVRC2012_val_00000001,{BIRD} 0 6 7 8 ",
    )


def make_imagenet_fall11(root: Path) -> None:
    for k, name in enumerate((f"{MACHINE}/{MACHINE}_3", f"{CRANE}/{CRANE}_1", f"{CRANE}/{CRANE}_2")):
        image(root / f"{name}.JPEG", k)
        voc_xml(root / "Annotation" / f"{name}.xml", voc_object(name[:9], 0, 0, 39, 29))
    voc_xml(root / f"Annotation/{CRANE}/{CRANE}_1.xml", voc_object(CRANE, 2, 3, 9, 9), voc_object(MACHINE, 5, 5, 8, 8))
    text(root / "words.txt", f"{CRANE}\tcrane", f"{MACHINE}\tcrane", f"{FISH}\ttench, Tinca tinca")


def make_tiny_imagenet(root: Path) -> None:
    for k, wnid in enumerate((FISH, BIRD)):
        image(root / f"train/{wnid}/images/{wnid}_0.JPEG", k)
        text(root / f"train/{wnid}/{wnid}_boxes.txt", f"{wnid}_0.JPEG\t0\t{k}\t39\t29")
    image(root / "val/images/val_0.JPEG", 5)
    text(root / "val/val_annotations.txt", f"val_0.JPEG\t{BIRD}\t1\t2\t3\t4")
    image(root / "test/images/test_0.JPEG", 6)
    text(root / "wnids.txt", BIRD, FISH)
    text(root / "words.txt", f"{FISH}\ttench, Tinca tinca", f"{BIRD}\tbrambling", f"{CRANE}\tcrane")


def make_imagenet(root: Path) -> None:
    for k, name in enumerate(
        (
            f"train/{FISH}/{FISH}_10",
            f"train/{BIRD}/{BIRD}_7",
            "val/ILSVRC2012_val_00000001",
            "val/ILSVRC2012_val_00000002",
        )
    ):
        image(root / f"{name}.JPEG", k)
    text(root / "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", "1", "2")
    text(root / "ILSVRC2012_devkit_t12/data/map_clsloc.txt", f"{BIRD} 1 brambling", f"{FISH} 2 tench")


MAKERS_OF_IMAGENET: dict[str, Callable[[Path], None]] = {
    "imagenet-loc": make_imagenet_loc,
    "imagenet-fall11": make_imagenet_fall11,
    "tiny-imagenet": make_tiny_imagenet,
    "imagenet": make_imagenet,
}
