"""File lists: columns, where images are looked for, classes, splits, what boxes are taken for, and faults."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headstart.errors import DataError, UsageError
from headstart.places.opening import open_place
from headstart.readers.formats import open_dataset, recognize
from support.miniatures import image, text
from support.miniatures_lists import make_file_list


def write(root: Path, *lines: str, name: str = "list.csv") -> Path:
    for k, stem in enumerate(("a", "b", "c")):
        image(root / f"{stem}.jpg", k)
    text(root / name, *lines)
    return root


class TestLabels:
    @pytest.mark.parametrize(
        "header", ["path,label", "File Name;Class", "IMAGE\tcategory_name", '"img_path","target"', "\ufeffimage,label"]
    )
    def test_names_and_separators_of_columns(self, tmp_path: Path, header: str) -> None:
        mark = next(m for m in ";\t," if m in header)
        table = open_dataset(write(tmp_path, header, f"b.jpg{mark}cat", f"a.jpg{mark}dog", f"c.jpg{mark}cat"))
        assert table.image_ids.tolist() == ["b.jpg", "a.jpg", "c.jpg"] and table.tasks == ("classify",)
        assert table.image_classes == ("cat", "dog") and table.image_labels.tolist() == [0, 1, 0]

    def test_numbers_are_ordered_as_numbers_and_named_by_classes_txt(self, tmp_path: Path) -> None:
        write(tmp_path, "image,label", "a.jpg,10", "b.jpg,9", "c.jpg,")
        table = open_dataset(tmp_path)
        assert table.image_classes == ("9", "10") and table.image_class_ids == (9, 10)
        assert table.image_labels.tolist() == [1, 0, -1]
        text(tmp_path / "classes.txt", *(f"class {k}" for k in range(11)))
        named = open_dataset(tmp_path)
        assert named.image_labels.tolist() == [10, 9, -1] and named.image_classes[9] == "class 9"
        text(tmp_path / "classes.txt", *(f"class {k}" for k in range(10)))
        with pytest.raises(DataError, match=r"list\.csv: has classes 9 to 10, and classes\.txt 10 lines"):
            open_dataset(tmp_path)

    def test_plain_lines(self, tmp_path: Path) -> None:
        write(tmp_path, "a.jpg 1", "", "my b.jpg\t0", "c.jpg, 1", name="labels.txt")
        image(tmp_path / "my b.jpg")
        table = open_dataset(tmp_path)
        assert table.image_ids.tolist() == ["a.jpg", "my b.jpg", "c.jpg"] and table.image_labels.tolist() == [1, 0, 1]
        assert "b.jpg" in table.notes[0] and "1 images are in no list and were left aside" in table.notes[0]
        text(tmp_path / "labels.txt", "a.jpg 1", "b.jpg one", "c.jpg 12345678901234567890", "my b.jpg 0")
        with pytest.raises(
            DataError, match=r"labels\.txt: line 2 is 'b\.jpg one'; the name of an image and the number"
        ):
            open_dataset(tmp_path)
        assert len(open_dataset(tmp_path, on_bad_record="skip").left_out) == 2

    def test_splits_and_groups_by_column(self, tmp_path: Path) -> None:
        write(tmp_path, "path,label,Split,video_id", "a.jpg,x,training,v1", "b.jpg,y,Validation,v1", "c.jpg,x,,v2")
        table = open_dataset(tmp_path)
        assert table.splits.tolist() == ["train", "val", ""] and table.groups.tolist() == ["v1", "v1", "v2"]
        write(tmp_path, "path,label,split", "a.jpg,x,first")
        with pytest.raises(DataError, match=r"line 2 has the split 'first'\. Write train, val, test or trainval"):
            open_dataset(tmp_path)

    def test_where_images_are_looked_for(self, tmp_path: Path) -> None:
        write(tmp_path / "pictures", "id", name="x.txt")
        image(tmp_path / "data/images/d.png")
        names = "pictures/a.jpg", str(tmp_path / "pictures/b.jpg"), ".\\pictures\\c.jpg", "images/d"
        text(tmp_path / "data/all.csv", "image,label", *(f"{name},{k}" for k, name in enumerate(names)))
        table = open_dataset(tmp_path, format="file-list")
        assert table.paths.tolist() == ["pictures/a.jpg", "pictures/b.jpg", "pictures/c.jpg", "data/images/d.png"]
        text(tmp_path / "data/all.csv", "image,label", "a.jpg,1", "b.jpg,2")
        table = open_dataset(tmp_path / "data/all.csv", images=str(tmp_path / "pictures"))
        assert table.paths.tolist() == ["a.jpg", "b.jpg"] and table.image_path(0).is_file()

    def test_more_lists_than_one(self, tmp_path: Path) -> None:
        write(tmp_path, "path,label", "a.jpg,x", "b.jpg,y", name="first.csv")
        write(tmp_path, "path,label", "a.jpg,x", "c.jpg,y", name="second.csv")
        with pytest.raises(DataError, match=r"first\.csv and second\.csv are lists of images\. Name the one to read"):
            open_dataset(tmp_path)
        (tmp_path / "first.csv").rename(tmp_path / "my_train_list.csv")
        table = open_dataset(tmp_path)
        assert table.splits.tolist() == ["train", "train"]
        assert table.left_out[0].why.endswith("make the splits; second.csv was left aside")


class TestBoxes:
    def test_values_worked_by_hand(self, tmp_path: Path) -> None:
        make_file_list(tmp_path)
        table = open_dataset(tmp_path)
        assert table.image_ids.tolist() == [f"images/{n}" for n in ("d.jpg", "c.jpg", "a.jpg", "b.png")]
        assert table.boxes_xyxy.tolist() == [[1, 1, 4, 4], [4, 4, 6, 6], [0, 0, 40, 30], [2, 4, 10, 25]]
        assert table.box_labels.tolist() == [0, 1, 1, 0] and table.boxes_known.all()
        assert table.box_offsets.tolist() == [0, 1, 2, 4, 4] and table.groups.tolist() == ["p3", "", "p1", "p2"]

    @pytest.mark.parametrize(
        ("header", "row", "convention", "xyxy"),
        [
            ("x1,y1,x2,y2", "1,2,10,20", "edges", [1, 2, 10, 20]),
            ("left,top,right,bottom", "1,2,10,20", "edges", [1, 2, 10, 20]),
            ("xmin,ymin,xmax,ymax", "1,2,10,20", "voc", [0, 1, 10, 20]),
            ("xmin,ymin,xmax,ymax", "0,2,10,20", "edges", [0, 2, 10, 20]),
            ("x_min,y_min,x_max,y_max", "0.25,0.5,0.75,1", "relative", [10, 15, 30, 30]),
            ("bbox_x,bbox_y,bbox_width,bbox_height", "1,2,10,20", "coco", [1, 2, 11, 22]),
        ],
    )
    def test_what_is_taken_is_noted(
        self, tmp_path: Path, header: str, row: str, convention: str, xyxy: list[float]
    ) -> None:
        table = open_dataset(write(tmp_path, f"image,class,{header}", f"a.jpg,dog,{row}"))
        assert table.source_convention == convention and table.boxes_xyxy.tolist() == [xyxy]
        assert any("--read box_convention=edges, or another, says otherwise" in note for note in table.notes)

    def test_a_convention_that_is_said(self, tmp_path: Path) -> None:
        write(tmp_path, "image,class,x,y,w,h", "a.jpg,dog,0.5,0.5,0.5,0.5")
        with pytest.raises(DataError, match=r"x, y, w, h lie between 0 and 1\..*say --read box_convention=yolo"):
            open_dataset(tmp_path)
        table = open_dataset(tmp_path, box_convention="yolo")
        assert table.boxes_xyxy.tolist() == [[10, 7.5, 30, 22.5]]
        assert not any("box_convention" in note for note in table.notes)
        with pytest.raises(UsageError, match=r"option 'box_convention' is 'xywh'; known: edges, voc"):
            open_dataset(tmp_path, box_convention="xywh")

    def test_without_a_class_column(self, tmp_path: Path) -> None:
        table = open_dataset(write(tmp_path, "image,x1,y1,x2,y2", "a.jpg,1,2,3,4"))
        assert table.box_classes == ("object",) and any("every box is an 'object'" in n for n in table.notes)


class TestFaults:
    @pytest.mark.parametrize(
        ("row", "rule", "message"),
        [
            ("x.jpg,40,30,dog,1,1,2,2", "image-missing", "names 'x.jpg', which is not there (looked in "),
            ("../../../etc/passwd,40,30,dog,1,1,2,2", "image-missing", "names '../../../etc/passwd'"),
            (",40,30,dog,1,1,2,2", "image-missing", "names ''"),
            ("a\0.jpg,40,30,dog,1,1,2,2", "image-missing", "names 'a\\x00.jpg'"),
            ("a.jpg,40,30,dog,1,1,2", "line-malformed", "has 7 fields, the header has 8"),
            ("a.jpg,40,30,dog,1,1,2,2,2", "line-malformed", "has 9 fields, the header has 8"),
            ("a.jpg,40,30,dog,1,1,2,two", "line-malformed", "xmax '2', ymax 'two'; four numbers are expected"),
            ("a.jpg,40,30,dog,1,1,2,", "line-malformed", "four numbers are expected"),
            ("a.jpg,40,30,dog,,,,", "line-malformed", "empty all fields of the box and its class if there is none"),
            ("a.jpg,40,30,,1,1,2,2", "label-missing", "has a box without a class. Give the box its class"),
            ("a.jpg,0,30,dog,1,1,2,2", "line-malformed", "has the height '30' and the width '0'. Write pixels"),
            ("a.jpg,9999999999,30,dog,1,1,2,2", "line-malformed", "the width '9999999999'"),
            ("a.jpg,41,30,dog,1,1,2,2", "size-differs", "says that a.jpg is 41 x 30, and it is 40 x 30"),
            ("a.jpg,40,30,dog,5,1,5,2", "box-without-extent", "has xmax 5 <= xmin 5"),
            ("a.jpg,40,30,dog,41,1,50,2", "box-outside", "lies outside the image of 40 x 30"),
            ("a.jpg,40,30,dog,1,1,1e999,2", "box-not-finite", "which are no pixel positions"),
            ("a.jpg,40,30,dog,1,1,nan,2", "line-malformed", "xmax 'nan'"),
        ],
    )
    def test_rows(self, tmp_path: Path, row: str, rule: str, message: str) -> None:
        write(tmp_path, "filename,width,height,class,xmin,ymin,xmax,ymax", "b.jpg,40,30,cat,2,2,10,10", row)
        with pytest.raises(DataError, match=re.escape(message)) as caught:
            open_dataset(tmp_path)
        assert f"{tmp_path / 'list.csv'}: line 3 " in str(caught.value)
        table = open_dataset(tmp_path, on_bad_box="skip", on_bad_record="skip")
        assert [(f.rule, f.path, f.record) for f in table.left_out] == [(rule, str(tmp_path / "list.csv"), "line 3")]

    @pytest.mark.parametrize(
        ("rows", "rule", "message"),
        [
            (
                ("a.jpg,x,,", "a.jpg,y,,"),
                "line-contradicts",
                "line 3 has a.jpg as 'y', line 2 as 'x'. An image has one",
            ),
            (("a.jpg,x,train,", "a.jpg,x,test,"), "image-in-two-splits", "line 3 has a.jpg as a test image"),
            (("a.jpg,x,,g", "a.jpg,x,,h"), "line-contradicts", "line 3 has a.jpg in the group 'h', line 2 in 'g'"),
        ],
    )
    def test_rows_that_contradict(self, tmp_path: Path, rows: tuple[str, ...], rule: str, message: str) -> None:
        write(tmp_path, "path,label,split,group", *rows, "b.jpg,x,,")
        write(tmp_path, "path,label,split,group", *rows, "b.jpg,y,,")
        with pytest.raises(DataError, match=re.escape(message)):
            open_dataset(tmp_path)
        table = open_dataset(tmp_path, on_bad_record="skip")
        assert [f.rule for f in table.left_out] == [rule] and len(table) == 2

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"path,label\n", r"list\.csv: lists no image\. Export the list again"),
            (b'path,label\na.jpg,"x\nb.jpg,y\n', r"line 3 cannot be read as CSV .*Correct its quotes"),
            (b"path,filename,label\na.jpg,a.jpg,x\n", r"columns 'path' and 'filename' could both be the path\. Rename"),
            (b"path,label\n\xff\xfe,x\n", r"cannot be read as UTF-8 text"),
            (b"path,label\n" + b"a" * 200_000 + b",x\n", r"cannot be read as CSV \(field larger"),
            (b"name,value\nz.jpg,x\n", r"first line 'name,value' names no columns for the image"),
            (b"", r"first line '' names no columns"),
            (bytes(range(256)), r"cannot be read as UTF-8 text"),
        ],
    )
    def test_files(self, tmp_path: Path, content: bytes, message: str) -> None:
        write(tmp_path)
        (tmp_path / "list.csv").write_bytes(content)
        with pytest.raises(DataError, match=message) as caught:
            open_dataset(tmp_path / "list.csv", format="file-list")
        assert str(tmp_path / "list.csv") in str(caught.value)

    def test_no_list(self, tmp_path: Path) -> None:
        image(tmp_path / "a.jpg")
        text(tmp_path / "some.csv", "ImageID,LabelName,XMin", "1,2,3")
        assert recognize(open_place(tmp_path)) == {}
        with pytest.raises(DataError, match=r"there is no list of images in it: a CSV file with columns such as"):
            open_dataset(tmp_path, format="file-list")
