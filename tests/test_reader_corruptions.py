"""Damaged annotation files: what can be noticed is, by path, record and advice; other damages change nothing."""

from __future__ import annotations

import fnmatch
import random
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import corruptions as c
from headstart.data.annotations import Annotations
from headstart.data.formats import READERS, open_dataset
from headstart.errors import DataError
from miniatures import MAKERS

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
        kit.add("unknown image", path, True, c.set_field(" ", 0, ("Bengal_77",)), "Bengal_77")
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


KITS = {"voc": voc, "oxford-pets": pets, "index-masks": index_masks}
"""Formats with annotation files; class folders have none."""
NONE = {"class-folders"}


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


VERBS = (
    "Add Bring Check Choose Compare Convert Correct Cut Delete Download Draw Export Fetch Give Join Keep List Make Move "
    "Name Open Pass Point Put Remove Rename Renumber Replace Save Say Set Split Start Take Use Write"
).split()  # noqa: SIM905


def advice(message: str) -> bool:
    """What to do stands in a sentence of its own that begins with a verb in the imperative."""
    return any(f". {verb} " in message or f"; {verb.lower()} " in message or message.startswith(verb) for verb in VERBS)
