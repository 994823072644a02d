"""Damaged annotation files: what can be noticed is, by path, record and advice; other damages change nothing."""

from __future__ import annotations

import fnmatch
import random
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headstart.data.annotations import Annotations
from headstart.errors import DataError
from headstart.readers.formats import READERS, open_dataset
from support.corruptions import damage as c
from support.corruptions.coco import COCO_KITS
from support.corruptions.lists import KITS_OF_LISTS
from support.corruptions.openimages import openimages
from support.miniatures import MAKERS

EXAMPLES = 200


def voc() -> c.Kit:
    kit = c.Kit()
    c.voc_objects(kit, "Annotations/a.xml")
    c.plain_text(kit, "ImageSets/Main/train.txt", None)
    kit.add(
        "unknown name", "ImageSets/Main/train.txt", True, c.set_field(" ", 0, ("nowhere", "\u732b")), "nowhere|\u732b"
    )
    return kit


def pets() -> c.Kit:
    kit = c.Kit()
    c.voc_objects(kit, "annotations/xmls/Bengal_2.xml")
    for name in ("trainval", "test"):
        path = f"annotations/{name}.txt"
        c.plain_text(kit, path, None)
        kit.add("unknown image", path, True, c.in_line(" ", c.longer_name))
        for column in (1, 2, 3):
            kit.add(f"column {column} no number", path, True, c.set_field(" ", column, c.NOT_NUMBERS))
            kit.add(f"column {column} missing", path, True, c.drop_field(" ", column))
        kit.add("another class", path, True, c.set_field(" ", 1, ("17",)))
    return kit


def index_masks() -> c.Kit:
    kit = c.Kit()
    c.plain_text(kit, "classes.txt")
    kit.add("a name twice", "classes.txt", True, lambda d, r: d.replace(b"road", b"sky"), "twice")
    kit.add("too many names", "classes.txt", True, lambda d, r: b"\n".join(b"c%d" % k for k in range(300)), "300 names")
    return kit


def yolo() -> c.Kit:
    kit = c.Kit()
    labels = "labels/train/[ac].txt"
    c.plain_text(kit, labels, None)  # An empty label file says that there is nothing.
    for column in range(5):
        kit.add(f"column {column} no number", labels, True, c.set_field(" ", column, c.NOT_NUMBERS))
    kit.add("unknown class", labels, True, c.set_field(" ", 0, ("3", "-1", "1.5", "99999999999999999999")))
    for column in (1, 2, 3, 4):
        kit.add(f"column {column} huge", labels, True, c.set_field(" ", column, c.HUGE))
        kit.add(f"column {column} negative", labels, True, c.set_field(" ", column, ("-0.5", "-7")))
    kit.add("a field missing", "labels/train/c.txt", True, c.drop_field(" ", 4))
    kit.add("tabs between fields", labels, False, lambda d, r: d.replace(b" ", b"\t"))
    c.plain_text(kit, "data.yaml")
    kit.add("aliases that grow", "data.yaml", True, lambda d, r: d + YAML_BOMB, "too many references")
    kit.add("no names", "data.yaml", True, lambda d, r: d.replace(b"names:", b"nomes:"))
    kit.add("fewer names", "data.yaml", True, lambda d, r: d.replace(b", bird", b""))
    kit.add("a name twice", "data.yaml", True, lambda d, r: d.replace(b"bird", b"dog"))
    kit.add("not YAML", "data.yaml", True, lambda d, r: d + b"\n: [}")
    kit.add(
        "code, which is not run", "data.yaml", False, lambda d, r: d + b"\nx: !!python/object/apply:os.system [true]"
    )
    kit.add("a folder that is not there", "data.yaml", True, lambda d, r: d.replace(b"images/val", b"images/vol"))
    kit.add("a comment", "data.yaml", False, lambda d, r: b"# \xc3\xa9\n" + d)
    return kit


def voc_segmentation() -> c.Kit:
    kit, files = c.Kit(), "ImageSets/Segmentation/[tv]*.txt"
    c.plain_text(kit, files, None)  # An empty list is a split without images.
    kit.add("unknown name", files, True, c.in_line(" ", c.longer_name), "JPEGImages|no image|neither")
    return kit


YAML_BOMB = b"\na: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (k, k, b", ".join([b"*%c" % (k - 1)] * 9)) for k in range(ord("b"), ord("j"))
)
KITS = {
    **COCO_KITS,
    "voc": voc,
    "voc-segmentation": voc_segmentation,
    "oxford-pets": pets,
    "index-masks": index_masks,
    "yolo": yolo,
    **KITS_OF_LISTS,
    "openimages": openimages,
}
"""Formats with annotation files; class folders have none."""
NONE = {"class-folders", "caltech256"}


@cache
def sound(kind: str, root: Path) -> Annotations:
    return open_dataset(root, kind)


@pytest.fixture(scope="module", params=sorted(KITS))
def miniature(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    root = tmp_path_factory.mktemp("damaged") / "set"
    MAKERS[request.param](root)
    return request.param, root


def same(a: Annotations, b: Annotations) -> bool:
    """Equal in all that training and scoring see."""
    columns = ("image_ids", "splits", "image_labels", "box_labels", "box_flags", "boxes_known", "mask_paths")
    order_a, order_b = np.argsort(a.image_ids), np.argsort(b.image_ids)
    a, b = a.select(order_a), b.select(order_b)
    return (
        all(np.array_equal(getattr(a, name), getattr(b, name)) for name in columns)
        and np.array_equal(a.boxes_source, b.boxes_source)
        and (a.box_classes, a.image_classes, a.mask_classes) == (b.box_classes, b.image_classes, b.mask_classes)
    )


def test_every_format_has_a_kit() -> None:
    assert set(KITS) | NONE == set(READERS)


@settings(max_examples=EXAMPLES, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damage_is_noticed_or_changes_nothing(miniature: tuple[str, Path], data: st.DataObject) -> None:
    kind, root = miniature
    before = sound(kind, root)
    damage = data.draw(st.sampled_from(KITS[kind]().damages), label="damage")
    seed = data.draw(st.integers(0, 2**32 - 1), label="seed")
    names = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
    fitting = [n for n in names if fnmatch.fnmatch(n, damage.files)]
    assert fitting, f"{damage.files} names no file of the miniature"
    draw = random.Random(seed)
    path = root / draw.choice(fitting)
    original = path.read_bytes()
    changed = damage.apply(original, draw)
    if changed is None or changed == original:
        return
    try:
        path.write_bytes(changed)
        if not damage.noticed:
            assert same(before, open_dataset(root, kind)), damage.name
            return
        with pytest.raises(DataError) as caught:
            open_dataset(root, kind)
        message = str(caught.value)
        assert path.name in message or path.stem in message, message
        assert not damage.says or any(word in message for word in damage.says.split("|")), message
        assert advice(message), message
    finally:
        path.write_bytes(original)


ADVICE = re.compile(
    r"(?:^|[.;] )(?:add|bring|check|choose|compare|convert|correct|cut|delete|divide|download|draw|export|fetch|give|"
    r"join|keep|list|make|move|name|open|pass|point|put|remove|rename|renumber|replace|save|say|set|split|start|take|use|write)"
    r"\b",
    re.IGNORECASE,
)


def advice(message: str) -> bool:
    """What to do stands in a sentence of its own that begins with a verb in the imperative."""
    return ADVICE.search(message) is not None
