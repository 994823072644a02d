"""Names of metrics: byte for byte those of finished runs, and read back to the same parts."""

import ast
import re
from pathlib import Path

import pytest

import headstart
from headstart.names import COCO_RANGE, Metric, metric, parse, validation
from headstart.tasks.table import TASKS

NAMES = {
    "det/voc-area/map@0.5": Metric("det", "map", "voc-area", "0.5"),
    "det/voc07-11pt/map@0.7": Metric("det", "map", "voc07-11pt", "0.7"),
    "det/coco/map@0.5:0.95": Metric("det", "map", "coco", "0.5:0.95"),
    "det/coco/map@0.5:0.95/area-small": Metric("det", "map", "coco", "0.5:0.95", "area-small"),
    "det/coco/ar@0.5:0.95/max100": Metric("det", "ar", "coco", "0.5:0.95", "max100"),
    "det/coco/ap@0.5/traffic light": Metric("det", "ap", "coco", "0.5", "traffic light"),
    "det/coco/ap@0.5/a/b@c\nd": Metric("det", "ap", "coco", "0.5", "a/b@c\nd"),
    "det/coco/ap@0.5/": Metric("det", "ap", "coco", "0.5", ""),
    "seg/miou": Metric("seg", "miou"),
    "seg/iou/road": Metric("seg", "iou", of="road"),
    "seg/iou/map@0.5/road": Metric("seg", "iou", of="map@0.5/road"),
    "cls/top1": Metric("cls", "top1"),
    "cls/log_loss": Metric("cls", "log_loss"),
    "probe/logistic/top1": Metric("probe", "top1", "logistic"),
    "count/exact": Metric("count", "exact"),
    "val/det/voc-area/map@0.5": Metric("det", "map", "voc-area", "0.5", is_validation=True),
    "val-1of3/det/voc-area/map@0.5": Metric("det", "map", "voc-area", "0.5", is_validation=True, thirds=1),
    "val-2of3/seg/miou": Metric("seg", "miou", is_validation=True, thirds=2),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_read_into_its_parts_and_made_of_them_again(name):
    assert parse(name) == NAMES[name] and str(NAMES[name]) == name


def test_names_are_built_from_numbers_and_words():
    assert metric("det", "map", by="coco", iou=0.5) == "det/coco/map@0.5"
    assert metric("det", "map", by="coco", iou=0.55) == "det/coco/map@0.55"
    assert metric("det", "map", by="coco", iou=COCO_RANGE) == "det/coco/map@0.5:0.95"
    assert metric("seg", "iou", of="road") == "seg/iou/road" and metric("seg", "iou", of="") == "seg/iou/"
    assert validation(metric("cls", "top1")) == "val/cls/top1"
    assert validation(metric("cls", "top1"), 2) == "val-2of3/cls/top1"


def test_the_short_name_has_no_family():
    assert Metric("det", "ap", "coco", "0.5", "cat").short == "coco/ap@0.5/cat"
    assert Metric("seg", "miou").short == "miou"


def test_losses_are_better_when_lower_and_in_nats():
    loss, share = Metric("probe", "log_loss", "logistic"), Metric("cls", "top1")
    assert (loss.higher_is_better, loss.unit) == (False, "nats")
    assert (share.higher_is_better, share.unit) == (True, "points")


def test_what_has_no_parts_is_no_name():
    assert parse("images") is None and parse("val/") is None


def test_no_other_file_spells_a_name_out():
    source = Path(headstart.__file__).parent
    spelled = re.compile(rf"(val/)?({'|'.join(task.family for task in TASKS.values())})/\S*")
    faults = []
    for path in sorted(source.rglob("*.py")):
        strings = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)]
        faults += [
            f"{path.relative_to(source)}:{node.lineno}: {node.value!r}"
            for node in strings
            if isinstance(node.value, str) and spelled.fullmatch(node.value)
        ]
    assert faults == [], "build it with `headstart.names.metric`"
