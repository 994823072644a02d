"""COCO's results: the compiled pass reads what Python's reader reads, bit by bit; what is wrong is told by record."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.results.records import _scanned, outline_runs, read_results
from headstart.data.rle import compress, encode
from headstart.errors import DataError

numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(0, 1000, width=32),
    st.integers(-(10**20), 10**20),
    st.sampled_from([0, -0.0, 0.1, 1e-7, 1e22, 1e23, 123456789012345678, 9007199254740993, 5e-324, 1.7e308]),
)
texts = st.text(max_size=8)
others = st.sampled_from(
    [None, True, -1.5, [], {}, 'a "quoted" \\ text', [1, [2, {"a": "]}"}]], {"score": 1, "b": ["{", None]}]
)


@st.composite
def records(draw, most=2):
    """Records with their keys in any order, and some keys that mean nothing here."""
    entry = {
        "image_id": draw(st.integers(-5, 10**15) | texts),
        "category_id": draw(st.integers(0, 1000) | texts),
        "bbox": draw(st.lists(numbers, min_size=4, max_size=4)),
        "score": draw(numbers),
    }
    more = draw(
        st.dictionaries(
            texts.filter(lambda key: key not in (*entry, "segmentation") and "\\" not in json.dumps(key)),
            others,
            max_size=most,
        )
    )
    return dict(draw(st.permutations([*entry.items(), *more.items()])))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(records(), max_size=4), st.sampled_from([None, 0, 2]), st.booleans(), st.booleans())
def test_equal_to_pythons_reader(entries, indent, narrow, ascii_only):
    separators = (",", ":") if narrow else None
    content = json.dumps(entries, indent=indent, separators=separators, ensure_ascii=ascii_only).encode()
    found = _scanned(content)
    assert found is not None, "the compiled pass reads all that is as usual"
    expected = json.loads(content)
    assert list(found.images) == [entry["image_id"] for entry in expected]
    assert list(found.classes) == [entry["category_id"] for entry in expected]
    boxes = np.array([entry["bbox"] for entry in expected], np.float64).reshape(-1, 4)
    np.testing.assert_array_equal(found.boxes, boxes)
    np.testing.assert_array_equal(found.scores, np.array([entry["score"] for entry in expected], np.float64))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(records(0), min_size=1, max_size=2), st.data())
def test_a_file_that_was_cut_or_changed_is_never_read_as_another(entries, data):
    """A byte changed or an end cut off: read as Python reads it, or not at all."""
    content = bytearray(json.dumps(entries).encode())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.sampled_from(b'{}[],:"0.-e \\x'))
    found = _scanned(bytes(content))
    if found is None:
        return
    expected = json.loads(bytes(content))
    assert list(found.images) == [entry["image_id"] for entry in expected]
    np.testing.assert_array_equal(found.scores, np.array([entry["score"] for entry in expected], np.float64))


def file(tmp_path, content):
    path = tmp_path / "r.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


GOOD = {"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": -2.5}


def test_whole_numbers_and_logits(tmp_path):
    """Ids written as 7.0 are whole numbers; scores may be below 0."""
    found = read_results(file(tmp_path, [GOOD, GOOD | {"image_id": 7.0, "score": 3}]))
    assert list(found.images) == [1, 7]
    assert found.scores.tolist() == [-2.5, 3.0]
    assert found.outlines is None
    assert read_results(file(tmp_path, b"")).boxes.shape == (0, 4)
    assert read_results(file(tmp_path, b"\xef\xbb\xbf" + json.dumps([GOOD]).encode())).scores.tolist() == [-2.5]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'[{"image_id": 1', r"r.json: is no JSON \(.*\)\. Write the results again\."),
        (b"\xff", r"r.json: is no text in UTF-8 \(byte 0\)"),
        ([1], "1 of 1 records are no detections: record 0 is int, no record"),
        (
            [GOOD, {"image_id": 1}],
            r"1 of 2 records are no detections: record 1 has no category_id, bbox, score\. Every",
        ),
        ([GOOD | {"bbox": [1, 2, 3]}], r"record 0 has bbox \[1, 2, 3\]"),
        ([GOOD | {"image_id": 1.5}], r"record 0 has image_id 1\.5"),
        ([GOOD | {"category_id": True}], "record 0 has category_id True"),
        ([GOOD | {"score": "0.5"}], "record 0 has score '0.5'"),
        ([GOOD | {"score": None}] * 5, "5 of 5 records are no detections: .*record 2 has score None; and 2 more"),
        ({"images": [], "annotations": []}, "annotations of a data set, where COCO results are a list of records"),
        (
            {"annotations": [{"segments_info": []}]},
            r"holds panoptic segments, .*Headstart does not have it\. panopticapi",
        ),
        (
            [{"image_id": 1, "category_id": 1, "keypoints": [1, 2, 2], "score": 1}],
            r"holds keypoints, .*not have it",
        ),
        ([GOOD | {"bbox": [1, 2, 3, 4, 0.5]}], "holds rotated boxes; Headstart scores upright boxes and masks only"),
        (
            [{"image_id": 1, "category_id": 1, "score": 1, "segmentation": {"size": [2, 2]}}],
            "record 0 has no bbox, and",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path, content, said):
    with pytest.raises(DataError, match=said):
        read_results(file(tmp_path, content))


def test_outlines_and_their_boxes(tmp_path):
    """A mask of 3 rows x 4 columns, inside at columns 1..2 of row 1: x 1, y 1, 2 x 1 pixels."""
    mask = np.zeros((3, 4), np.uint8)
    mask[1, 1:3] = 1
    counts = encode(mask)
    assert counts.tolist() == [4, 1, 2, 1, 4]
    plain = {"size": [3, 4], "counts": counts.tolist()}
    packed = {"size": [3, 4], "counts": compress(counts).decode()}
    entries = [{k: v for k, v in GOOD.items() if k != "bbox"} | {"segmentation": s} for s in (plain, packed)]
    found = read_results(file(tmp_path, [*entries, GOOD]))
    assert found.boxes.tolist() == [[1, 1, 2, 1], [1, 1, 2, 1], [1, 2, 3, 4]]
    assert found.outlines[2] == b""
    for text in found.outlines[:2]:
        runs, size = outline_runs(text, None)
        assert (runs.tolist(), size) == ([4, 1, 2, 1, 4], (3, 4))
    ring = json.dumps([[1, 1, 3, 1, 3, 2, 1, 2]]).encode()
    assert outline_runs(ring, (3, 4))[0].tolist() == [4, 1, 2, 1, 4]
    with pytest.raises(ValueError, match="it is made of polygons, and the size of its image is not known"):
        outline_runs(ring, None)
    for wrong, said in [
        ('{"size": [3, 4], "counts": [4, 1]}', "run lengths are 5 pixels together, 4 x 3 has 12"),
        ('{"size": [3], "counts": [4, 1]}', "neither polygons nor run lengths with size"),
        ('{"size": [3, 4]}', "its counts are neither a text nor a list"),
        ('"mask"', "neither polygons nor run lengths"),
    ]:
        with pytest.raises(ValueError, match=said):
            outline_runs(wrong.encode(), None)


def test_a_number_that_is_none_is_left_to_the_judge_of_values(tmp_path):
    found = read_results(file(tmp_path, b'[{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, NaN], "score": 1e999}]'))
    assert math.isnan(found.boxes[0, 3]) and found.scores[0] == math.inf
