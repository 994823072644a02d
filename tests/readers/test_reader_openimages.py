"""Open Images: what the files say, worked by hand and beside pandas; layouts; every fault with file and line."""

from __future__ import annotations

import io
import itertools
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.annotations import Annotations
from headstart.data.faults import Faults
from headstart.data.flags import DEPICTION, GROUP_OF, INSIDE, OCCLUDED, TRUNCATED, UNKNOWN_FLAGS
from headstart.data.hierarchy import expand
from headstart.errors import DataError
from headstart.metrics.average_precision import Truth, Verified
from headstart.metrics.openimages import expanded
from headstart.places.opening import open_place
from headstart.readers.formats import open_dataset
from headstart.readers.openimages import csv_files as openimages_csv
from headstart.readers.openimages.csv_files import Rows, TooFine, read_csv
from support.miniatures import image
from support.miniatures_openimages import (
    BOXES,
    CLASSES,
    HEADER,
    LABELS_HEADER,
    TEST,
    TRAIN,
    TRAIN2,
    VALIDATION,
    boxes_csv,
    make_annotation,
    make_openimages,
    write,
)

ANIMAL, CAT, DOG, PET, TREE_CLASS = range(5)


class TestWhatItSays:
    @pytest.fixture
    def table(self, tmp_path: Path) -> Annotations:
        make_openimages(tmp_path)
        return open_dataset(tmp_path)

    def test_boxes_keep_every_decimal(self, table: Annotations) -> None:
        assert table.source_convention == "relative" and list(np.diff(table.box_offsets)) == [2, 1, 1, 1]
        assert table.boxes_source[0].tolist() == [0.0125, 0.148438, 0.195312, 0.5875]
        assert table.boxes_source[3].tolist() == [0.022673031, 0.07103825, 0.9642005, 0.80054647]
        assert table.boxes_of(0, (100, 200)).xyxy[1].tolist() == [50, 0, 200, 50]

    def test_labels_flags_and_ids(self, table: Annotations) -> None:
        assert table.box_classes == ("Animal", "Cat", "Dog", "Pet", "Tree") == table.image_classes
        assert table.box_class_ids == tuple(CLASSES) and table.box_labels.tolist() == [1, 4, 2, 0, 4]
        assert table.box_flags.tolist() == [TRUNCATED, UNKNOWN_FLAGS, OCCLUDED | GROUP_OF | DEPICTION | INSIDE, 0, 0]
        assert list(table.image_ids) == [TRAIN, TRAIN2, VALIDATION, TEST]
        assert table.image_name(2) == f"validation/{VALIDATION}.jpg" and "path" not in table.batch.schema.names

    def test_verified_labels_once_each(self, table: Annotations) -> None:
        present, absent, partial = table.verified(0)
        assert (present.tolist(), absent.tolist(), partial.tolist()) == ([CAT, TREE_CLASS], [ANIMAL], [])
        assert [k.tolist() for k in table.verified(2)] == [[ANIMAL], [DOG], []]

    def test_hierarchy_is_of_kinds_not_parts(self, table: Annotations) -> None:
        assert table.hierarchy == {"Cat": ("Animal", "Pet"), "Dog": ("Animal",)}

    def test_from_a_zip_file(self, table: Annotations, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(p for p in tmp_path.rglob("*") if p.suffix in (".csv", ".json", ".jpg")):
                archive.write(path, path.relative_to(tmp_path))
        assert open_dataset(tmp_path / "all.zip").fingerprint == table.fingerprint


class TestExpansion:
    def test_by_hand(self, tmp_path: Path) -> None:
        """A cat is an animal and a pet, a dog an animal; what is no animal is neither."""
        make_openimages(tmp_path)
        plain, table = open_dataset(tmp_path), open_dataset(tmp_path, expand_hierarchy=True)
        assert table.box_labels.tolist() == [ANIMAL, CAT, PET, TREE_CLASS, ANIMAL, DOG, ANIMAL, TREE_CLASS]
        assert table.box_offsets.tolist() == [0, 4, 6, 7, 8]
        assert np.array_equal(table.boxes_source, plain.boxes_source[[0, 0, 0, 1, 2, 2, 3, 4]])
        assert [k.tolist() for k in table.verified(0)] == [[ANIMAL, CAT, PET, TREE_CLASS], [ANIMAL, CAT, DOG], []]
        with pytest.raises(DataError, match="expanded already"):
            expand(table)

    def test_agrees_with_the_metric(self, tmp_path: Path) -> None:
        make_openimages(tmp_path)
        table = open_dataset(tmp_path)
        parents = {CAT: (ANIMAL, PET), DOG: (ANIMAL,)}
        wide, theirs = truth_of(expand(table)), expanded(truth_of(table), parents)
        assert theirs.verified and wide.verified
        assert sorted(zip(wide.image_index, wide.labels, strict=True)) == sorted(
            zip(theirs.image_index, theirs.labels, strict=True)
        )
        for what in ("present", "absent"):
            assert sets(wide.verified, what) == sets(theirs.verified, what)

    def test_without_hierarchy(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no hierarchy of classes is known\. Put bbox_labels_600_hierarchy\.json"):
            open_dataset(boxes_csv(tmp_path, *BOXES["train"]), expand_hierarchy=True)

    @pytest.mark.parametrize(
        ("tree", "what"),
        [
            ("[" * 100_000, "nested more than 64 deep"),
            (
                json.dumps({"LabelName": "/m/0bl9f", "Subcategory": [{"LabelName": "/m/none"}]}),
                "'/m/none' is not in class-descriptions-boxable.csv",
            ),
            (json.dumps({"LabelName": "a", "Subcategory": [{"LabelName": "a"}]}), "'a' lies above itself"),
            ("[]", "TypeError"),
            ('{"LabelName": ', "JSONDecodeError"),
        ],
    )
    def test_broken_hierarchies(self, tree: str, what: str, tmp_path: Path) -> None:
        make_annotation(tmp_path)
        (tmp_path / "bbox_labels_600_hierarchy.json").write_text(tree)
        with pytest.raises(
            DataError, match=r"hierarchy\.json: no hierarchy of classes .*Fetch the file again"
        ) as caught:
            open_dataset(tmp_path)
        assert what in str(caught.value)


def sets(verified: Verified, what: str) -> list[set[int]]:
    offsets, values = getattr(verified, f"{what}_offsets"), getattr(verified, what)
    return [set(values[a:b].tolist()) for a, b in itertools.pairwise(offsets)]


def truth_of(table: Annotations) -> Truth:
    present, absent = table.verified_lists("present"), table.verified_lists("absent")
    image_index = np.repeat(np.arange(len(table)), np.diff(table.box_offsets))
    return Truth(
        image_index,
        table.boxes_source * 100,
        table.box_labels,
        table.box_flags,
        num_images=len(table),
        num_classes=len(table.box_classes),
        verified=Verified(*present, *absent),
    )


class TestLayouts:
    def test_annotation_folder_and_images_elsewhere(self, tmp_path: Path) -> None:
        make_annotation(tmp_path / "data/annotations")
        table = open_dataset(tmp_path / "data")
        assert sum("no image of" in note for note in table.notes) == 3
        image(tmp_path / f"pictures/OpenImages/val/{VALIDATION}.jpg")
        image(tmp_path / f"pictures/{TEST}.jpg")
        table = open_dataset(tmp_path / "data", images=str(tmp_path / "pictures"))
        assert [table.image_name(i) for i in (2, 3)] == [f"OpenImages/val/{VALIDATION}.jpg", f"{TEST}.jpg"]
        notes = [note for note in table.notes if "no image of" in note]
        assert len(notes) == 1 and notes[0].startswith(f"{tmp_path / 'pictures'}: no image of train was found, such as")

    def test_one_file_with_its_companions(self, tmp_path: Path) -> None:
        make_openimages(tmp_path)
        write(tmp_path / "oidv6-train-annotations-bbox.csv", HEADER, *BOXES["train"][:1])
        with pytest.raises(DataError, match=r"oidv6-train-annotations-bbox\.csv and train-annotations-bbox\.csv serve"):
            open_dataset(tmp_path)
        table = open_dataset(tmp_path / "train-annotations-bbox.csv")
        assert list(table.image_ids) == [TRAIN, TRAIN2] and table.verified(0)[0].tolist() == [CAT, TREE_CLASS]

    def test_challenge(self, tmp_path: Path) -> None:
        header = "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf"
        write(tmp_path / "challenge-2019-train-detection-bbox.csv", header, f"{TRAIN},/m/01yrx,0.1,0.2,0.3,0.4,1")
        write(
            tmp_path / "challenge-2019-train-detection-human-imagelabels.csv",
            "ImageID,LabelName,Confidence",
            f"{TRAIN},/m/01yrx,1",
            f"{TRAIN},/m/0bt9lr,0",
        )
        write(
            tmp_path / "challenge-2019-classes-description-500.csv", "/m/01yrx,Cat", "/m/0bt9lr,Dog", "/m/0jbk,Animal"
        )
        cats = [{"LabelName": mid} for mid in ("/m/01yrx", "/m/0bt9lr")]
        tree = {"LabelName": "/m/0bl9f", "Subcategory": [{"LabelName": "/m/0jbk", "Subcategory": cats}]}
        (tmp_path / "challenge-2019-label500-hierarchy.json").write_text(json.dumps(tree))
        table = open_dataset(tmp_path)
        assert table.box_flags.tolist() == [GROUP_OF] and table.box_classes == ("Cat", "Dog", "Animal")
        assert any("no column IsOccluded, IsTruncated, IsDepiction, IsInside" in note for note in table.notes)
        assert table.verified(0)[1].tolist() == [1] and table.hierarchy == {"Cat": ("Animal",), "Dog": ("Animal",)}

    def test_descriptions(self, tmp_path: Path) -> None:
        """With a header (V7), in their own order, quoted, one name for two ids."""
        boxes_csv(tmp_path, f"{TRAIN},x,/m/2,1,0.1,0.2,0.3,0.4,0,0,0,0,0")
        described = tmp_path / "class-descriptions-boxable.csv"
        write(described, "LabelName,DisplayName", "/m/2,Zebra", '/m/1,"Oyster, raw"', "/m/3,Tree", "/m/4,Tree")
        assert open_dataset(tmp_path).box_classes == ("Zebra", "Oyster, raw", "Tree (/m/3)", "Tree (/m/4)")
        for lines, what in (
            (["/m/1,Cat", "/m/1,Dog"], "line 2 describes '/m/1' again"),
            ([""], "describes no class"),
            (["/m/1"], "line 1 has 1 field"),
            (["/m/1,"], "line 1 has 2 fields"),
        ):
            write(described, *lines)
            with pytest.raises(DataError, match=rf"class-descriptions-boxable\.csv: {what}"):
                open_dataset(tmp_path)
        described.unlink()
        with pytest.raises(DataError, match=r"no class descriptions beside train-annotations-bbox\.csv.*Put class"):
            open_dataset(tmp_path)

    def test_labels_of_all_classes(self, tmp_path: Path) -> None:
        boxes_csv(tmp_path, BOXES["train"][0])
        write(tmp_path / "train-annotations-human-imagelabels.csv", LABELS_HEADER, f"{TRAIN},verification,/m/9,1.0")
        with pytest.raises(DataError, match=r"line 2 names the class '/m/9'"):
            open_dataset(tmp_path)
        write(tmp_path / "oidv6-class-descriptions.csv", "LabelName,DisplayName", "/m/9,Fog", "/m/01yrx,Cat")
        table = open_dataset(tmp_path)
        assert table.image_classes == ("Fog", "Cat") and table.box_classes[1] == "Cat"
        assert table.verified(0)[0].tolist() == [0]

    def test_images_that_only_labels_name(self, tmp_path: Path) -> None:
        """Nothing present: no box to draw. Something present without a box: not boxed; so are splits without boxes."""
        boxes_csv(tmp_path, BOXES["train"][0])
        rows = [f"{TRAIN},v,/m/01yrx,1", "aa,v,/m/01yrx,0", "bb,v,/m/01yrx,1", "bb,v,/m/0jbk,0"]
        write(tmp_path / "train-annotations-human-imagelabels-boxable.csv", LABELS_HEADER, *rows)
        write(tmp_path / "test-annotations-human-imagelabels-boxable.csv", LABELS_HEADER, "cc,v,/m/01yrx,0")
        table = open_dataset(tmp_path)
        assert dict(zip(table.image_ids, table.boxes_known.tolist(), strict=True)) == {
            TRAIN: True,
            "aa": True,
            "bb": False,
            "cc": False,
        }
        assert list(table.splits) == ["train", "train", "train", "test"]

    def test_both_present_and_absent_is_said(self, tmp_path: Path) -> None:
        boxes_csv(tmp_path, BOXES["train"][0])
        rows = [f"{TRAIN},v,/m/01yrx,1", f"{TRAIN},v,/m/01yrx,0"]
        write(tmp_path / "train-annotations-human-imagelabels-boxable.csv", LABELS_HEADER, *rows)
        table = open_dataset(tmp_path)
        assert "1 verified labels are both present and absent in their image" in table.notes
        assert [k.tolist() for k in table.verified(0)] == [[CAT], [CAT], []]


DECIMALS = st.one_of(
    st.integers(0, 10**9).map(lambda v: f"{v / 10**9:.9f}"),
    st.integers(0, 10**6).map(lambda v: f"{v / 10**6:.6f}"),
    st.sampled_from(["0", "1", "0.5", ".5", "1.", "5e-06", "2.5E-1", "1e0", "-0.25", "0.1000000000000", "1.5", "-0.0"]),
)
LONG = ["0.30000000000000004", "1e-30", "0.123456789012345678901234567890", "12.5", "1e22"]
FINE = st.one_of(DECIMALS, st.floats(-1, 2, allow_subnormal=False).map(repr), st.sampled_from(LONG))


def rows_of(folder: Path, header: str, lines: list[str], in_floats: bool = False) -> Rows:
    (folder / "x.csv").write_text("\n".join([header, *lines, ""]))
    rows = Rows(Faults("skip", "error"), list(CLASSES), "classes.csv", with_boxes=True, in_floats=in_floats)
    read_csv([open_place(folder / "x.csv")], rows)
    return rows


@st.composite
def csv_rows(draw: st.DrawFn, numbers: st.SearchStrategy[str]) -> tuple[str, list[str]]:
    """Columns in any order among others, rows of a few images in any order, plain fields."""
    columns = draw(st.permutations([*HEADER.split(","), "XClick1X"]))
    lines = []
    for _ in range(draw(st.integers(1, 6))):
        values = {
            "ImageID": draw(st.sampled_from([TRAIN, TRAIN2, "a-b_c.d", "ä"])),
            "LabelName": draw(st.sampled_from(list(CLASSES))),
        }
        values |= {name: draw(st.sampled_from(["0", "1", "-1"])) for name in columns if name.startswith("Is")}
        values |= {name: draw(numbers) for name in ("XMin", "XMax", "YMin", "YMax")}
        lines.append(",".join(values.get(name, "x") for name in columns))
    return ",".join(columns), lines


class TestThePass:
    @pytest.mark.parametrize("in_floats", [False, True])
    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(data=st.data())
    def test_equals_pandas(
        self, in_floats: bool, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        header, lines = data.draw(csv_rows(FINE if in_floats else DECIMALS))
        rows = rows_of(tmp_path_factory.mktemp("x"), header, lines, in_floats)
        names = ["XMin", "YMin", "XMax", "YMax"]
        texts = dict.fromkeys(["ImageID", *names], str)
        frame = pd.read_csv(io.StringIO("\n".join([header, *lines])), dtype=texts)
        corners = np.array([[float(text) for text in row] for row in frame[names].to_numpy()])
        good = (corners[:, 0] < corners[:, 2]) & (corners[:, 1] < corners[:, 3])
        good &= (corners[:, :2] < 1).all(1) & (corners[:, 2:] > 0).all(1)
        good &= (corners >= -0.01).all(1) & (corners <= 1.01).all(1)
        m = len(rows)
        assert m == len(lines) and (rows.labels[:m] >= 0).tolist() == good.tolist()
        assert np.array_equal(rows.boxes[:m] / (1 if in_floats else 10**9), corners)
        assert [list(CLASSES)[k] for k in rows.labels[:m][good]] == frame["LabelName"][good].tolist()
        bits = {
            "IsOccluded": OCCLUDED,
            "IsTruncated": TRUNCATED,
            "IsGroupOf": GROUP_OF,
            "IsDepiction": DEPICTION,
            "IsInside": INSIDE,
        }
        flags = sum((frame[name] == 1) * bit for name, bit in bits.items())
        flags += (frame[list(bits)] == -1).any(axis=1) * UNKNOWN_FLAGS
        assert rows.flags[:m].tolist() == flags.tolist()
        runs = np.repeat(rows.image_ids().to_pylist(), np.diff(rows.run_rows[: rows.num_runs + 1]))
        assert runs.tolist() == frame["ImageID"].tolist()
        assert (np.flatnonzero(~good) + 2).tolist() == sorted(int(f.record.split()[1]) for f in rows.faults.found)

    def test_ten_decimals_need_floats(self, tmp_path: Path) -> None:
        line = f"{TRAIN},x,/m/01yrx,1,0.1234567891,0.2,0.3,0.4,0,0,0,0,0"
        with pytest.raises(TooFine):
            rows_of(tmp_path, HEADER, [line])
        table = open_dataset(boxes_csv(tmp_path / "set", line))
        assert table.boxes_source[0].tolist() == [0.1234567891, 0.3, 0.2, 0.4] and table.facts.box_scale == 1

    def test_rows_of_an_image_apart(self, tmp_path: Path) -> None:
        lines = [BOXES["train"][k] for k in (0, 2, 1)]
        mixed, together = (
            open_dataset(boxes_csv(tmp_path / name, *rows))
            for name, rows in (("mixed", lines), ("together", BOXES["train"]))
        )
        assert mixed.batch.equals(together.batch)

    @pytest.mark.parametrize("chunk", [120, 200, 333])
    def test_chunks_of_any_size(self, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        lines = [f"{k // 3:016x},s,/m/01yrx,1,0.1,0.{k + 200},0.3,0.4,0,0,0,0,0" for k in range(40)]
        lines[20] = lines[20].replace("yrx", "yry")
        whole = rows_of(tmp_path, HEADER, lines[:20])
        monkeypatch.setattr(openimages_csv, "CHUNK", chunk)
        monkeypatch.setattr(openimages_csv, "USUAL_ROW", 1000)
        monkeypatch.setattr(openimages_csv, "FAULTS_AT_ONCE", 4)
        assert np.array_equal(rows_of(tmp_path, HEADER, lines[:20]).boxes[:20], whole.boxes[:20])
        with pytest.raises(DataError, match="line 22 names the class '/m/01yry'"):
            rows_of(tmp_path, HEADER, lines)

    @pytest.mark.parametrize("form", ["crlf", "quoted", "bom", "no line break at the end"])
    def test_other_forms_of_csv(self, form: str, tmp_path: Path) -> None:
        make_annotation(tmp_path)
        before = open_dataset(tmp_path)
        for path in tmp_path.glob("*-bbox.csv"):
            lines = path.read_bytes().splitlines()
            if form == "crlf":
                path.write_bytes(b"".join(line + b"\r\n" for line in lines))
            elif form == "quoted":
                path.write_bytes(b"".join(b'"' + line.replace(b",", b'","') + b'"\n' for line in lines))
            elif form == "bom":
                path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
            else:
                path.write_bytes(b"\n".join(lines))
        after = open_dataset(tmp_path)
        assert after.batch.equals(before.batch)
        assert any("no line break at its end" in note for note in after.notes) == form.startswith("no")
