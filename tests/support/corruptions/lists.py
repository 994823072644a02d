"""Damages of file lists and of ImageNet's layouts, see `corruptions`."""

from __future__ import annotations

from collections.abc import Callable

from support.corruptions import damage as c

UNKNOWN_WNIDS = ("n99999999", "n0153057", "tench", "\u732b")


def numbers_in_columns(kit: c.Kit, files: str, separator: str, first: int, header: int = 0) -> None:
    """Four numbers x1, y1, x2, y2 that begin in column `first`."""
    for column in range(first, first + 4):
        kit.add(f"column {column} no number", files, True, c.set_field(separator, column, c.NOT_NUMBERS, header))
        kit.add(f"column {column} missing", files, True, c.drop_field(separator, column, header))
    for column in (first, first + 1):
        kit.add(f"column {column} huge", files, True, c.set_field(separator, column, c.HUGE, header))
        kit.add(
            f"column {column + 2} negative", files, True, c.set_field(separator, column + 2, ("-5", "-1e9"), header)
        )
        kit.add(
            f"columns {column}, {column + 2} swapped", files, True, c.swap_fields(separator, column, column + 2, header)
        )


def file_list() -> c.Kit:
    kit = c.Kit()
    lists = "t*.csv"
    c.plain_text(kit, lists)
    numbers_in_columns(kit, lists, ",", 4, header=1)
    for column in (1, 2):
        kit.add(
            f"column {column} no size", lists, True, c.set_field(",", column, (*c.NOT_NUMBERS, "0", "-4", "4e9"), 1)
        )
        kit.add(f"column {column} another size", lists, True, c.set_field(",", column, ("41", "29"), 1))
    kit.add("unknown image", lists, True, c.in_line(",", c.longer_name, 1), "names|CSV")
    kit.add(
        "leads out", lists, True, c.set_field(",", 0, ("../../gone.jpg", "/etc/passwd", "C:\\gone.jpg"), 1), "names"
    )
    kit.add("no class", "test.csv", True, c.set_field(",", 3, ("",), 1), "without a class")
    kit.add("a field more", lists, True, c.in_line(",", lambda fields, r: not fields.append("x"), 1), "fields")
    kit.add("an open quote", lists, True, lambda d, r: d + b'a.jpg,40,30,"dog,1,1,2,2,p\n', "CSV")
    kit.add("no column named for the image", lists, False, lambda d, r: d.replace(b"filename", b"folder"))
    kit.add("two columns for the image", lists, True, lambda d, r: d.replace(b"patient", b"Path"), "Rename")
    kit.add("columns in other words", lists, False, lambda d, r: d.replace(b"filename", b"File Name"))
    kit.add("quotes", lists, False, lambda d, r: d.replace(b"dog", b'"dog"').replace(b"cat", b'"cat"'))
    return kit


def imagenet_loc() -> c.Kit:
    kit = c.Kit()
    c.voc_objects(kit, "ILSVRC/Annotations/CLS-LOC/*_2.xml")
    kit.add("another class", "ILSVRC/Annotations/CLS-LOC/*.xml", True, c.in_tag("name", ("n02012849", "dog", "\u732b")))
    kit.add(
        "class of another image",
        "ILSVRC/Annotations/CLS-LOC/*_2.xml",
        True,
        c.in_tag("name", ("n01530575",)),
        "says that",
    )
    c.plain_text(kit, "LOC_synset_mapping.txt")
    kit.add("no wnid", "LOC_synset_mapping.txt", True, c.set_field(" ", 0, UNKNOWN_WNIDS[1:]))
    c.plain_text(kit, "LOC_val_solution.csv")
    kit.add(
        "no wnid",
        "LOC_val_solution.csv",
        True,
        lambda d, r: d.replace(b",n0", b"," + r.choice(UNKNOWN_WNIDS[1:]).encode()),
    )
    for name, wnid, says in (
        ("unknown class", b"n02012849", "n02012849"),
        ("swapped classes", b"n01530575", "says that"),
    ):
        kit.add(name, "LOC_val_solution.csv", True, lambda d, r, w=wnid: d.replace(b"n01440764", w), says)
    kit.add("a number missing", "LOC_val_solution.csv", True, lambda d, r: d.replace(b" 8 ", b" "))
    kit.add("no number", "LOC_val_solution.csv", True, lambda d, r: d.replace(b" 7 ", b" nan "))
    c.plain_text(kit, "ILSVRC/ImageSets/CLS-LOC/*.txt", None)
    kit.add("unknown image", "ILSVRC/ImageSets/CLS-LOC/*.txt", True, c.in_line(" ", c.longer_name), "names")
    kit.add("not used beside XML files", "LOC_train_solution.csv", False, c.junk)
    return kit


def imagenet_fall11() -> c.Kit:
    kit = c.Kit()
    c.voc_objects(kit, "Annotation/*_3.xml")
    kit.add("unknown class", "Annotation/*.xml", True, c.in_tag("name", UNKNOWN_WNIDS), "none of the 2 classes")
    c.plain_text(kit, "words.txt")
    kit.add("no wnid", "words.txt", True, c.set_field("\t", 0, UNKNOWN_WNIDS[1:]))
    return kit


def tiny_imagenet() -> c.Kit:
    kit = c.Kit()
    trained, val = "train/*_boxes.txt", "val/val_annotations.txt"
    for lines in (trained, val, "wnids.txt", "words.txt"):
        c.plain_text(kit, lines)
    numbers_in_columns(kit, trained, "\t", 1)
    numbers_in_columns(kit, val, "\t", 2)
    for lines in (trained, val):
        kit.add("unknown image", lines, True, c.in_line("\t", c.longer_name))
        kit.add("an image twice", lines, True, lambda d, r: d + d, "second time")
        kit.add("blanks for tabs", lines, False, lambda d, r: d.replace(b"\t", b" "))
    kit.add("unknown class", val, True, c.set_field("\t", 1, UNKNOWN_WNIDS))
    kit.add("no class", val, True, c.drop_field("\t", 1))
    kit.add("another class", "wnids.txt", True, c.set_field(" ", 0, UNKNOWN_WNIDS))
    kit.add("a class twice", "wnids.txt", True, lambda d, r: d + d, "twice")
    kit.add("another order", "wnids.txt", False, lambda d, r: b"\n".join(reversed(d.splitlines())))
    return kit


def imagenet() -> c.Kit:
    kit = c.Kit()
    truth, meaning = "ILSVRC2012_devkit_t12/data/*truth.txt", "ILSVRC2012_devkit_t12/data/map_clsloc.txt"
    for lines in (truth, meaning):
        c.plain_text(kit, lines)
    kit.add("no number", truth, True, c.set_field(" ", 0, ("0", "3", "x", "1.5", "9" * 30)))
    kit.add("a line missing", truth, True, lambda d, r: d.splitlines()[0], "1 lines for 2 images")
    kit.add("no number", meaning, True, c.set_field(" ", 1, ("x", "1.5", "9" * 30)))
    kit.add("no wnid", meaning, True, c.set_field(" ", 0, UNKNOWN_WNIDS[1:]))
    kit.add("unknown class", meaning, True, c.set_field(" ", 0, ("n99999999",)), "no folder")
    kit.add("a number twice", meaning, True, c.set_field(" ", 1, ("1", "2")))
    kit.add("no words", meaning, False, c.drop_field(" ", 2))
    return kit


def camvid() -> c.Kit:
    kit = c.Kit()
    lists = "t*.txt"
    c.plain_text(kit, lists)
    for column in (0, 1):
        names = ("/SegNet/CamVid/train/x.png", "..", "x" * 5000 + ".png", "a\0.png")
        kit.add(f"column {column} names nothing", lists, True, c.set_field(" ", column, names))
        kit.add(f"column {column} missing", lists, True, c.drop_field(" ", column), "an image and its mask")
    again = b"annot/0001TP_006690", b"annot/0001TP_006720"
    kit.add("a second mask", "train.txt", True, lambda d, r: d + d.replace(*again), "second mask")
    kit.add(
        "in two lists",
        "test.txt",
        True,
        lambda d, r: d.replace(b"test", b"train").replace(b"Seq05VD_f00000", b"0001TP_006690"),
        "one list",
    )
    kit.add("another folder before", lists, False, lambda d, r: d.replace(b"/SegNet/CamVid/", b"C:/data/of mine/"[:8]))
    kit.add("tabs", lists, False, lambda d, r: d.replace(b" ", b"\t"))
    return kit


def sun397() -> c.Kit:
    kit = c.Kit()
    classes, lists = "SUN397/ClassName.txt", "Partitions/T*_01.txt"
    for files in (classes, lists):
        c.plain_text(kit, files)
    kit.add("unknown class", classes, True, c.in_line(" ", c.longer_name))
    kit.add("no class", classes, True, c.set_field(" ", 0, ("abbey", "/a/../abbey", "/a", "/\u732b/\u732b")))
    kit.add("a class twice", classes, True, lambda d, r: d + d, "twice")
    kit.add("unknown image", lists, True, c.in_line(" ", c.longer_name), "names")
    kit.add("in both parts", "Partitions/Testing_01.txt", True, lambda d, r: d + b"/a/arch/sun_d.jpg\n", "train image")
    kit.add("of a partition that is not read", "Partitions/Testing_10.txt", False, c.junk)
    return kit


def flowers102() -> c.Kit:
    kit = c.Kit()
    for files in ("imagelabels.mat", "setid.mat"):
        kit.add("junk", files, True, c.junk)
        kit.add("empty", files, True, c.emptied)
        kit.add("cut", files, True, lambda d, r: d[: r.randrange(1, len(d) - 8)])
        kit.add("another name", files, True, lambda d, r: d.replace(b"labels", b"lapels").replace(b"valid", b"va1id"))
        kit.add("another comment", files, False, lambda d, r: b"MATLAB 5.0 \xff" + d[12:])
    return kit


KITS_OF_LISTS: dict[str, Callable[[], c.Kit]] = {
    "file-list": file_list,
    "imagenet-loc": imagenet_loc,
    "imagenet-fall11": imagenet_fall11,
    "tiny-imagenet": tiny_imagenet,
    "imagenet": imagenet,
    "sun397": sun397,
    "camvid": camvid,
    "flowers102": flowers102,
}
