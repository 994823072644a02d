"""Damages of COCO-like JSON files; see `corruptions`."""

from __future__ import annotations

from support.corruptions import damage as c

NO_IDS = (None, [1], {"a": 1}, 2.5, "nowhere", 987654321)
DEEP = b'{"images": ' + b"[" * 50_000


def any_json(kit: c.Kit, files: str) -> None:
    """What any of these files may suffer."""
    c.plain_text(kit, files)
    kit.add("cut", files, True, c.cut(b"}"))
    kit.add("nested too deeply", files, True, lambda d, r: DEEP, "nested")
    kit.add("a number without end", files, True, lambda d, r: d.replace(b'"width": 40', b'"width": ' + b"4" * 9999))
    kit.add("a key twice", files, True, lambda d, r: d.replace(b'{"id"', b'{"id": 1, "id"', 1), "twice")
    kit.add("no images", files, True, c.drop_table("images"))
    kit.add("no annotations", files, True, c.drop_table("annotations"))
    kit.add("a list alone", files, True, lambda d, r: b"[" + d + b"]", "is a list")
    kit.add("images in another order", files, False, c.shuffled("images"))
    kit.add("categories in another order", files, False, c.shuffled("categories"))
    kit.add("more keys", files, False, lambda d, r: b'{"info": {"year": "\xc3\xa9"}, "licenses": [],' + d[1:])
    for table in ("images", "categories"):
        kit.add(f"a record of {table} twice", files, True, c.repeat_record(table))
        kit.add(f"no id in {table}", files, True, c.drop_key(table, "id"))
        kit.add(f"id of another kind in {table}", files, True, c.set_key(table, "id", (None, [1], {}, 2.5)))
    kit.add("another category name", files, True, c.set_key("categories", "name", ("wolf", "\u732b", "", None, 3)))
    for side in ("width", "height"):
        kit.add(f"no {side}", files, True, c.drop_key("images", side))
        kit.add(f"{side} impossible", files, True, c.set_key("images", side, (0, -4, "40", 1e300, 10**30, [40], 3.5)))


def annotations(kit: c.Kit, files: str) -> None:
    """Instances, besides."""
    table = "annotations"
    kit.add("no bbox", files, True, c.drop_key(table, "bbox"), "bbox")
    wrong = (
        None,
        [],
        [1, 2, 3],
        [1, 2, 3, 4, 5],
        [1, 2, "3", 4],
        [1, 2, [3], 4],
        "1 2 3 4",
        {"x": 1},
        [1, 2, -3, 4],
        [1, 2, 3, 0],
        [1, 2, 1e400, 4],
        [1, 2, 10**400, 4],
        [1e6, 2, 3, 4],
        [1, -900, 3, 4],
    )
    kit.add("bbox impossible", files, True, c.set_key(table, "bbox", wrong))
    kit.add("bbox not finite", files, True, lambda d, r: d.replace(b'"bbox": [', b'"bbox": [NaN, '))
    for key in ("image_id", "category_id"):
        kit.add(f"no {key}", files, True, c.drop_key(table, key))
        kit.add(f"{key} unknown", files, True, c.set_key(table, key, NO_IDS))
    kit.add("an annotation twice", files, True, c.repeat_record(table), "id")
    kit.add("id of another kind", files, True, c.set_key(table, "id", (None, [1], 2.5, 2**80)))
    kit.add("iscrowd of no meaning", files, True, c.set_key(table, "iscrowd", (2, -1, "yes", [1])))
    kit.add("area impossible", files, True, c.set_key(table, "area", ("9", -1, [9], 1e400)))
    outlines = (
        [1, 2, 3, 4, 5, 6],
        [[1, 2, 3, 4, 5]],
        [["1", 2, 3, 4, 5, 6]],
        [[1, 2, 3, 4, 5, 1e9]],
        [None],
        "abc",
        7,
        {"counts": [3], "size": [30, 40]},
        {"counts": "0", "size": [30, 40]},
        {"counts": [1200]},
        {"counts": [1200.0], "size": [30, 40]},
        {"counts": [1200], "size": [40, 30]},
        {"counts": [-1, 1201], "size": [30, 40]},
        {"size": [30, 40]},
    )
    kit.add("outline unreadable", files, True, c.set_key(table, "segmentation", outlines))
    kit.add("no outline", files, False, c.drop_key(table, "segmentation"))
    kit.add("no area", files, False, c.drop_key(table, "area"))


def coco() -> c.Kit:
    kit = c.Kit()
    any_json(kit, "annotations/instances_train2017.json")
    annotations(kit, "annotations/instances_train2017.json")
    kit.add(
        "an image without name", "annotations/*.json", True, c.set_key("images", "file_name", (None, 3, "", "../x.jpg"))
    )
    return kit


def lvis() -> c.Kit:
    files, kit = "annotations/lvis_v1_val.json", c.Kit()
    any_json(kit, files)
    annotations(kit, files)
    for key in ("neg_category_ids", "not_exhaustive_category_ids"):
        kit.add(f"{key} unknown", files, True, c.set_key("images", key, ([77], 7, [None])), key)
    return kit


def objects365() -> c.Kit:
    kit = c.Kit()
    any_json(kit, "annotations/zhiyuan_objv2_train.json")
    annotations(kit, "annotations/zhiyuan_objv2_train.json")
    return kit


def panoptic() -> c.Kit:
    files, kit = "annotations/panoptic_train2017.json", c.Kit()
    any_json(kit, files)
    kit.add("no segments", files, True, c.drop_key("annotations", "segments_info"))
    kit.add("segments of another kind", files, True, c.set_key("annotations", "segments_info", (None, 3, [3], [{}])))
    kit.add("image unknown", files, True, c.set_key("annotations", "image_id", NO_IDS))
    kit.add("an annotation twice", files, True, c.repeat_record("annotations"))
    kit.add("no PNG name", files, True, c.set_key("annotations", "file_name", (None, 3, "", "../1.png")))
    changes = (
        (b'"category_id": 18', b'"category_id": 19'),
        (b'"id": 70000', b'"id": "x"'),
        (b'"id": 5', b'"id": 70000'),
        (b'"bbox": [0, 2, 10', b'"bbox": [0, 2, 0'),
        (b'"iscrowd": 1', b'"iscrowd": 5'),
    )
    for old, new in changes:
        kit.add(f"{new.decode()} in a segment", files, True, lambda d, r, old=old, new=new: d.replace(old, new, 1))
    return kit


COCO_KITS = {"coco": coco, "lvis": lvis, "objects365": objects365, "coco-panoptic": panoptic}
