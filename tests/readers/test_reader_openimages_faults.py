"""Open Images: what is wrong with its files is told by file and line, and left out on demand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.readers.formats import open_dataset
from headstart.readers.openimages import csv_files as openimages_csv
from support.miniatures_openimages import BOXES, HEADER, LABELS_HEADER, TEST, TRAIN, TRAIN2, boxes_csv, write

CAT, DOG, TREE_CLASS = 1, 2, 4
GOOD = BOXES["train"][0]
FAULTY = [
    (
        GOOD.replace("/m/01yrx", "/m/zzz"),
        "label-unknown",
        "line 3 names the class '/m/zzz', which class-desc",
    ),
    (GOOD.replace("0.195312", "nan"), "box-not-finite", "line 3 has nan for XMax, which is no position"),
    (GOOD.replace("0.195312", ""), "line-malformed", "line 3 has '' for XMax, which is not a number"),
    (GOOD.replace("0.195312", "0.19x"), "line-malformed", "line 3 has '0.19x' for XMax, which is not a number"),
    (GOOD.replace("0.195312", "1e"), "line-malformed", "line 3 has '1e' for XMax"),
    (GOOD.replace("0.195312", "0,195312"), "line-malformed", "line 3 has 14 columns, the header 13"),
    (
        GOOD.replace("0.195312", "0.0125"),
        "box-without-extent",
        "line 3 (image 000002b66c9c498e, class /m/01yrx) has",
    ),
    (GOOD.replace("0.195312", "0.01"), "box-without-extent", "has xmax 0.01 <= xmin 0.0125"),
    (GOOD.replace("0.587500", "-0.001").replace("0.148438", "-0.002"), "box-outside", "lies outside its image"),
    (GOOD[:-1] + "2", "line-malformed", "line 3 has '2' for IsInside, which is not 0, 1 or -1"),
    (GOOD[:-2], "line-malformed", "line 3 has 12 columns, the header 13"),
    (GOOD[:40], "line-malformed", "line 3 has 5 columns, the header 13"),
    (GOOD[16:], "line-malformed", "line 3 has no image id that could name a file ('')"),
    (GOOD.replace("0.195312", "125"), "box-not-relative", "has (0.0125, 0.148438, 125, 0.5875), and fractions of the"),
    (GOOD.replace("000002b66c9c498e", "../x"), "line-malformed", "has no image id that could name a file ('../x')"),
    (GOOD.replace("xclick", '"xcl'), "line-malformed", "line 3 is not quoted as CSV is (unexpected end of data)"),
    (GOOD.replace("xclick", "\udcff"), "line-malformed", "line 3 is no UTF-8 text"),
    ("\udcff" + GOOD, "line-malformed", "line 3 is no UTF-8 text"),
]


class TestFaults:
    @pytest.mark.parametrize(("line", "rule", "message"), FAULTY, ids=[f"{k}-{f[1]}" for k, f in enumerate(FAULTY)])
    def test_each_by_line_and_left_out_on_demand(self, line: str, rule: str, message: str, tmp_path: Path) -> None:
        boxes_csv(tmp_path)
        path = tmp_path / "train-annotations-bbox.csv"
        text = "\n".join([HEADER, BOXES["train"][2], line, " \r", "", BOXES["train"][1], "", ""])
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(DataError) as caught:
            open_dataset(tmp_path)
        assert str(caught.value).startswith(f"{path}: line 3") and message in str(caught.value)
        assert "Correct" in str(caught.value) or "Divide pixels" in str(caught.value)
        table = open_dataset(tmp_path, on_bad_box="skip", on_bad_record="skip")
        assert [fault.rule for fault in table.left_out] == [rule] and table.left_out[0].path == str(path)
        assert list(table.image_ids) == [TRAIN2, TRAIN] and table.box_labels.tolist() == [DOG, TREE_CLASS]

    @pytest.mark.parametrize("ending", ["", "-"])
    def test_an_empty_flag_takes_no_other_line_with_it(self, ending: str, tmp_path: Path) -> None:
        """Neither the line after it nor, at the end of the file, what lies in memory after that."""
        boxes_csv(tmp_path, BOXES["train"][2], GOOD[:-1] + ending, BOXES["train"][1])
        table = open_dataset(tmp_path, on_bad_record="skip")
        assert [fault.rule for fault in table.left_out] == ["line-malformed"]
        assert list(table.image_ids) == [TRAIN2, TRAIN] and table.box_labels.tolist() == [DOG, TREE_CLASS]
        path = tmp_path / "train-annotations-bbox.csv"
        path.write_text("\n".join([HEADER, BOXES["train"][2], GOOD[:-1] + ending]))
        with pytest.raises(DataError, match="line 3 has"):
            open_dataset(tmp_path)

    def test_an_image_whose_rows_are_all_bad_is_not_empty(self, tmp_path: Path) -> None:
        bad = BOXES["train"][2].replace("/m/0bt9lr", "/m/zzz")
        boxes_csv(tmp_path, GOOD, bad)
        assert list(open_dataset(tmp_path, on_bad_record="skip").image_ids) == [TRAIN]
        write(tmp_path / "train-annotations-human-imagelabels-boxable.csv", LABELS_HEADER, f"{TRAIN2},v,/m/01yrx,0")
        table = open_dataset(tmp_path, on_bad_record="skip")
        assert dict(zip(table.image_ids, table.boxes_known.tolist(), strict=True)) == {TRAIN: True, TRAIN2: False}

    @pytest.mark.parametrize(
        ("header", "message"),
        [
            (HEADER.replace("XMax", "xmax"), "line 1 names no column 'XMax'. Found: ImageID, Source"),
            (HEADER.replace("Source", "XMax"), "line 1 names the column 'XMax' twice"),
            ("\udcff", "line 1 is no UTF-8 text"),
        ],
    )
    def test_headers(self, header: str, message: str, tmp_path: Path) -> None:
        boxes_csv(tmp_path)
        path = tmp_path / "train-annotations-bbox.csv"
        path.write_bytes(f"{header}\n{GOOD}\n".encode("utf-8", "surrogateescape"))
        with pytest.raises(DataError) as caught:
            open_dataset(tmp_path, on_bad_record="skip")
        assert str(caught.value).startswith(f"{path}: ") and message in str(caught.value)

    def test_empty_files_and_endless_lines(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        boxes_csv(tmp_path)
        (tmp_path / "train-annotations-bbox.csv").write_text("")
        with pytest.raises(DataError, match=r"bbox\.csv: line 1 is no header"):
            open_dataset(tmp_path)
        monkeypatch.setattr(openimages_csv, "CHUNK", 1000)
        boxes_csv(tmp_path, GOOD + "," * 2000)
        with pytest.raises(DataError, match=r"bbox\.csv: line 2 is longer than 1000 bytes"):
            open_dataset(tmp_path)

    @pytest.mark.parametrize(("value", "what"), [("0.7", "'0.7'"), ("2", "'2'"), ("", "''")])
    def test_labels_are_present_or_absent(self, value: str, what: str, tmp_path: Path) -> None:
        boxes_csv(tmp_path, GOOD)
        path = tmp_path / "train-annotations-human-imagelabels-boxable.csv"
        write(path, LABELS_HEADER, f"{TRAIN},v,/m/01yrx,1.0", f"{TRAIN},v,/m/0jbk,{value}")
        with pytest.raises(DataError) as caught:
            open_dataset(tmp_path)
        assert f"{path}: line 3 has {what} for Confidence, which is not 0 or 1" in str(caught.value)
        table = open_dataset(tmp_path, on_bad_record="skip")
        assert [k.tolist() for k in table.verified(0)] == [[CAT], [], []]

    def test_an_image_of_two_splits(self, tmp_path: Path) -> None:
        boxes_csv(tmp_path, GOOD)
        boxes_csv(tmp_path, GOOD, BOXES["test"][0], split="test")
        message = rf"test-annotations-bbox\.csv: image {TRAIN} is in train-annotations-bbox\.csv, too\. Take it out"
        with pytest.raises(DataError, match=message):
            open_dataset(tmp_path)
        table = open_dataset(tmp_path, on_bad_record="skip")
        assert list(table.image_ids) == [TRAIN, TEST] and np.diff(table.box_offsets).tolist() == [1, 1]
        boxes_csv(tmp_path, BOXES["test"][0], split="test")
        write(tmp_path / "test-annotations-human-imagelabels-boxable.csv", LABELS_HEADER, f"{TRAIN},v,/m/01yrx,1")
        with pytest.raises(DataError, match=rf"image {TRAIN} has its boxes in 'train' and its labels in 'test'"):
            open_dataset(tmp_path)


def test_long_numbers_of_a_line_without_image_are_forgotten(tmp_path: Path) -> None:
    """Such a number is filled in by its row, and this line makes none."""
    header = "LabelName,XMin,XMax,YMin,YMax,ImageID"
    lines = ["/m/01yrx,0.123456789012345678,0.2,0.3,0.4,a/b", f"/m/01yrx,0.01,0.2,0.3,0.4,{TRAIN}"]
    table = open_dataset(boxes_csv(tmp_path, *lines, header=header), on_bad_record="skip")
    assert table.boxes_source.tolist() == [[0.01, 0.3, 0.2, 0.4]] and len(table.left_out) == 1
