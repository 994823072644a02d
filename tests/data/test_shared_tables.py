"""Tables are shared by processes: sent as a path, mapped from one file, nothing copied by looking boxes up."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.columns import BoxColumns
from headstart.places.paths import DataPath, Folder

IMAGES, BOXES_EACH = 50_000, 10
WORKER = """
import pickle, sys
from pathlib import Path

def anonymous():
    lines = [line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()]
    return next(int(line[1]) for line in lines if line[0] == "Anonymous:") * 1024

table = pickle.loads(sys.stdin.buffer.read())
table.boxes_of(0)
before = anonymous()
total = sum(len(table.boxes_of(i).labels) for i in range(0, len(table), 7))
print(total, anonymous() - before, str(table.file), 'pandas' in sys.modules, 'torch' in sys.modules)
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Annotations:
    """Half a million boxes, read from their file."""
    m = IMAGES * BOXES_EACH
    corners = np.random.default_rng(0).integers(0, 100, (m, 4)).astype(np.int32)
    corners[:, 2:] += corners[:, :2] + 1
    columns = BoxColumns(
        offsets=np.arange(0, m + 1, BOXES_EACH),
        source=corners,
        labels=np.zeros(m, np.int16),
        flags=np.zeros(m, np.uint8),
        known=np.ones(IMAGES, bool),
        classes=("thing",),
        convention="edges",
    )
    ids = pa.array([f"{i:016x}" for i in range(IMAGES)])
    place = DataPath(Folder("nowhere"))
    made = annotate(
        place,
        "drawn",
        ids,
        None,
        sizes_hw=np.full((IMAGES, 2), 300),
        splits=["train"] * IMAGES,
        boxes=columns,
        path_pattern="{split}/{id}.jpg",
    )
    file = tmp_path_factory.mktemp("table") / "t.arrow"
    made.write(file)
    return Annotations.read(file, place.place)


def test_what_is_sent_is_a_path(table: Annotations) -> None:
    assert table.file is not None and table.file.stat().st_size > 9_000_000
    assert len(pickle.dumps(table)) < 1000


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux tells what memory is shared")
def test_a_worker_makes_nothing_its_own(table: Annotations) -> None:
    done = subprocess.run([sys.executable, "-c", WORKER], input=pickle.dumps(table), capture_output=True, check=True)
    total, grown, file, pandas, torch = done.stdout.decode().split()
    assert int(total) == BOXES_EACH * len(range(0, IMAGES, 7)) and file == str(table.file)
    assert int(grown) < 1_000_000, "of a table of 10 MB"
    assert (pandas, torch) == ("False", "False")


def test_columns_are_views_of_the_file(table: Annotations) -> None:
    for column in (table.box_labels, table.box_flags, table.box_offsets, table._source):
        assert not column.flags.owndata and not column.flags.writeable
