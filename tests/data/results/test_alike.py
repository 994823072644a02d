"""Records that are laid out alike are read as Python reads them, bit by bit; what else a file holds is left alone."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.results import alike
from headstart.data.results.alike import KEYS, read_alike
from headstart.data.results.records import read_results

numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(10**18), 10**18),
    st.sampled_from([0, -0.0, 0.1, 1e-7, 1e22, 1e23, 9007199254740993, 5e-324, 1.7e308, 1.5e-05]),
)
WHOLE = st.integers(-(2**63), 2**63 - 1)


@st.composite
def files(draw, least=2):
    """Records with their keys in one order, written by one call."""
    order = draw(st.permutations(KEYS))
    value = {
        "image_id": WHOLE,
        "category_id": WHOLE,
        "bbox": st.lists(numbers, min_size=4, max_size=4),
        "score": numbers,
    }
    rows = draw(st.lists(st.tuples(*(value[key] for key in order)), min_size=least, max_size=5))
    records = [dict(zip(order, row, strict=True)) for row in rows]
    separators = draw(st.sampled_from([None, (",", ":"), (" , ", " :  ")]))
    return json.dumps(records, indent=draw(st.sampled_from([None, 0, 2])), separators=separators).encode()


def assert_as_python(found, content):
    expected = json.loads(content)
    assert found.images.tolist() == [record["image_id"] for record in expected]
    assert found.classes.tolist() == [record["category_id"] for record in expected]
    boxes = np.array([record["bbox"] for record in expected], np.float64)
    scores = np.array([record["score"] for record in expected], np.float64)
    np.testing.assert_array_equal(found.boxes, boxes)
    np.testing.assert_array_equal(found.scores, scores)


def test_alike_as_python_reads_them(tmp_path_factory):
    path = tmp_path_factory.mktemp("alike") / "r.json"

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(files())
    def compare(content):
        path.write_bytes(content)
        found = read_alike(path)
        assert found is not None
        assert_as_python(found, content)

    compare()


def lenient(content):
    """JSON of what also has numbers as 01, +1, .5 and 1., which are read for what they say."""
    plain = re.sub(rb"(?<![\w.+-])\+", b"", content)
    plain = re.sub(rb"(?<![\w.+])(-?)0+(?=\d)", rb"\1", plain)
    plain = re.sub(rb"(?<!\d)\.(?=\d)", b"0.", plain)
    return re.sub(rb"(?<=\d)\.(?!\d)", b"", plain)


def test_a_changed_file_is_never_read_as_another(tmp_path_factory):
    """A byte changed, put in or taken out, or an end cut off: read as Python reads it, or left to another reader."""
    path, read = tmp_path_factory.mktemp("changed") / "r.json", []

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(files(3), st.data())
    def compare(content, data):
        at = data.draw(st.integers(0, len(content) - 1))
        new = bytes([data.draw(st.sampled_from(b'{}[],:"07.-+eE \n\\xi'))])
        how = data.draw(st.sampled_from(["change", "put in", "take out", "cut"]))
        changed = {
            "change": content[:at] + new + content[at + 1 :],
            "put in": content[:at] + new + content[at:],
            "take out": content[:at] + content[at + 1 :],
            "cut": content[:at],
        }[how]
        path.write_bytes(changed)
        found = read_alike(path)
        if found is not None:
            read.append(how)
            assert_as_python(found, lenient(changed))

    compare()
    assert len(read) > 5


def test_parts_end_between_records(tmp_path, monkeypatch):
    """Numbers that are as long as a part is are never cut."""
    monkeypatch.setattr(alike, "PART", 300)
    drawn = np.random.default_rng(4)
    records = [
        {
            "image_id": i,
            "category_id": i % 7,
            "bbox": list(drawn.normal(0, 1e-6, 4)),
            "score": drawn.random() * 10.0**-i,
        }
        for i in range(300)
    ]
    path = tmp_path / "r.json"
    path.write_text(json.dumps(records))
    found = read_alike(path)
    assert found is not None
    assert_as_python(found, path.read_bytes())


GOOD = {"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5}


@pytest.mark.parametrize(
    "records",
    [
        [GOOD],
        [GOOD, GOOD | {"id": 3}],
        [GOOD | {"id": 3}] * 2,
        [GOOD, GOOD | {"image_id": 7.0}],
        [GOOD, GOOD | {"image_id": "a.jpg"}],
        [GOOD, GOOD | {"score": None}],
        [GOOD, GOOD | {"score": float("inf")}],
        [GOOD, GOOD | {"bbox": [1, 2, 3]}],
        [GOOD, dict(reversed(GOOD.items()))],
        [GOOD, GOOD | {"image_id": 2**63}],
        {"a": GOOD, "b": GOOD},
        [[GOOD, GOOD]],
        [],
    ],
)
def test_what_is_not_alike_is_left_to_the_other_readers(tmp_path, records):
    path = tmp_path / "r.json"
    path.write_text(json.dumps(records))
    assert read_alike(path) is None


def test_keys_are_not_taken_for_others(tmp_path):
    """Letters that numbers have, too, in another place of a key."""
    text = json.dumps([GOOD, GOOD])
    path = tmp_path / "r.json"
    for wrong in ("scor0e", "scoree", "scroe", "imag_ide"):
        right = "image_id" if wrong.startswith("i") else "score"
        head, tail = text.rsplit(f'"{right}"', 1)
        path.write_text(f'{head}"{wrong}"{tail}')
        assert read_alike(path) is None, wrong


def test_all_readers_give_the_same(tmp_path):
    path = tmp_path / "r.json"
    path.write_text(json.dumps([GOOD, GOOD | {"image_id": 9, "score": 2.5e-06}]))
    first = read_results(path)
    path.write_text(json.dumps([GOOD | {"x": "y"}, GOOD | {"image_id": 9, "score": 2.5e-06}]))
    compiled = read_results(path)
    assert list(first.images) == list(compiled.images) == [1, 9]
    np.testing.assert_array_equal(first.boxes, compiled.boxes)
    np.testing.assert_array_equal(first.scores, compiled.scores)
    assert first.outlines is None and compiled.outlines is None
