"""Small inputs that failed (`../shared/cases`, where it lies beside the checkout), each with its right value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.doctor.checkup import check
from headstart.errors import DataError
from headstart.readers.formats import open_dataset

CASES = Path(__file__).parents[3] / "shared" / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")

BOXES = [[5, 6, 20, 15], [6, 6, 20, 15], [7, 6, 20, 15], [8, 6, 20, 15]]
ONE = [0.5, 0.5, 0.2, 0.2]
SMALL = [0.5, 0.5, 0.1, 0.1]
VOC_THREE = [[5, 5, 15, 20], [20, 5, 30, 20], [40, 5, 50, 20]]

READ = {
    "01_float_ids/all_float": ("coco", ("cat", "dog"), BOXES),
    "01_float_ids/img_float": ("coco", ("cat", "dog"), BOXES),
    "05_labelstudio_coco/nix_dotdot": ("coco", ("cat", "dog"), BOXES),
    "05_labelstudio_coco/win_dotdot": ("coco", ("cat", "dog"), BOXES),
    "06_roboflow_root/std": ("coco", ("cat", "dog"), BOXES * 3),
    "07_cvat/attr_category_id": ("coco", ("cat", "dog"), BOXES),
    "07_cvat/attr_image_id": ("coco", ("cat", "dog"), BOXES),
    "07_cvat/image_extra": ("coco", ("cat", "dog"), BOXES),
    "10_unicode/nfc_json_nfd_disk": ("coco", ("cat", "dog"), BOXES),
    "20_yolo_lines/savetxt": ("yolo", ("cat", "dog"), [[0.5, 0.5, 0.2, 0.4], ONE, ONE]),
    "21_yolo_pose/dim2": ("yolo", ("cat", "dog"), [ONE] * 3),
    "21_yolo_pose/dim2_far": ("yolo", ("cat", "dog"), [[0.3, 0.3, 0.2, 0.2]] * 3),
    "22_yolo_yaml/abs_split": ("yolo", ("cat", "dog"), [ONE, SMALL, ONE]),
    "22_yolo_yaml/test_null": ("yolo", ("cat", "dog"), [ONE, SMALL, ONE]),
    "22_yolo_yaml/test_tilde": ("yolo", ("cat", "dog"), [ONE, SMALL, ONE]),
    "30_voc_boxes/multi_bndbox": ("voc", ("car",), VOC_THREE * 3),
    "32_voc_files/enc_gbk": ("voc", ("\u732b",), [[5, 6, 25, 20]] * 3),
    "32_voc_files/enc_utf8_bad_name": ("voc", ("\u732b",), [[5, 6, 25, 20]] * 3),
    "43_yolo_exports/cvat11": ("yolo", ("cat", "dog"), [ONE] * 3),
    "43_yolo_exports/label_studio": ("yolo", ("cat", "dog"), [ONE] * 3),
    "44_foreign_json/voc_notes": ("voc", ("cat",), [[5, 6, 25, 20]]),
    "44_foreign_json/yaml_notes": ("yolo", ("cat", "dog"), [ONE, SMALL]),
    "44_foreign_json/yaml_other": ("yolo", ("cat", "dog"), [ONE, SMALL]),
    "51_lists/retinanet_headerless": ("file-list", ("cat", "dog"), [[5, 6, 25, 20]] * 2),
    "51_lists/via": ("file-list", ("cat",), [[5, 6, 20, 14]]),
    "51_lists/wheat": ("file-list", ("object",), [[5, 6, 20, 14]] * 2),
}
LABELS = {
    "40_class_folders/half_nested": ("class-folders", [0] * 6 + [1] * 6),
    "51_lists/image_id_label": ("file-list", [0, 1, 1]),
    "51_lists/kaggle_ids": ("file-list", [0, 1, 1]),
    "51_lists/onehot": ("file-list", [0, 1, 1]),
}
FOUND = {
    "03_segmentation/empty_str": ("outline-unreadable", "annotation 1 has a segmentation ''"),
    "03_segmentation/flat": ("outline-unreadable", "a polygon is a list of numbers, inside the list of polygons"),
    "03_segmentation/pairs": ("outline-unreadable", "none of its polygons has three corners"),
    "04_bbox/fractions": ("boxes-fractions", "4 boxes, all within 0 to 1, such as (0.1, 0.1, 0.4, 0.4)"),
    "12_crowd/all": ("boxes-never-scored", "has 4 boxes, and all are crowds"),
    "61_more/area_huge": ("area-differs", "has the area 1e+06, its box of 20 x 15 has 300"),
}


def test_every_case_is_here() -> None:
    kinds = [kind for kind in CASES.iterdir() if kind.is_dir() and kind.name != "suites"]
    cases = {f"{kind.name}/{case.name}" for kind in kinds for case in kind.iterdir() if case.is_dir()}
    assert cases == {*READ, *LABELS, *FOUND, "32_voc_files/size_swapped"}


@pytest.mark.parametrize("case", READ)
def test_boxes(case: str) -> None:
    table = open_dataset(CASES / case)
    format, classes, boxes = READ[case]
    assert (table.format, table.box_classes) == (format, classes)
    assert table.boxes_source == pytest.approx(np.array(boxes))


@pytest.mark.parametrize("case", LABELS)
def test_labels(case: str) -> None:
    table = open_dataset(CASES / case)
    assert (table.format, table.image_labels.tolist(), table.image_classes) == (*LABELS[case], ("cat", "dog"))


@pytest.mark.parametrize("case", FOUND)
def test_findings(case: str) -> None:
    checkup = check(CASES / case)
    rule, why = FOUND[case]
    assert [f.rule for f in checkup.findings] == [rule] and why in str(checkup.findings[0].faults[0])
    assert len(checkup.table.box_labels) == 4, "its boxes stay"


def test_a_fault_that_every_file_has() -> None:
    with pytest.raises(DataError, match=r"because of 3 faults: .*a\.xml: <size> says 48 x 64.*\(3 times\)"):
        check(CASES / "32_voc_files/size_swapped")
