"""Finished jobs: nothing half-written is read, damage is named, two processes do not share a run."""

import json
import logging
import math
import subprocess
import sys

import numpy as np
import pytest

from headstart.errors import StoreError, StudyError
from headstart.store.files import read_json, write_json, write_text
from headstart.store.lock import RunLock
from headstart.store.store import Store

KEY = "ab" * 32
NAME = f"draw-{KEY[:16]}"


@pytest.fixture
def store(tmp_path):
    """A store with one finished job of two files, one of them in a folder."""
    store = Store(tmp_path / "run")
    finish(store)
    return store


def finish(store: Store) -> None:
    partial = store.partial(NAME)
    (partial / "images.npy").write_bytes(b"0123456789")
    (partial / "deep").mkdir(exist_ok=True)
    (partial / "deep" / "more.txt").write_text("more\n")
    store.commit(NAME, KEY, {"kind": "draw", "label": "draw base", "seconds": 1.5})


def test_commit_moves_the_whole_directory_and_seals_it(store):
    path = store.find(NAME, KEY)
    assert path == store.root / "store" / NAME
    assert not (store.root / "partial" / NAME).exists()
    assert read_json(path / "job.json") == {"kind": "draw", "label": "draw base", "seconds": 1.5, "key": KEY}
    digests = read_json(path / "digests.json")
    assert sorted(digests) == ["deep/more.txt", "images.npy", "job.json"]
    # sha256 of the ten bytes "0123456789", from coreutils' sha256sum
    assert digests["images.npy"] == {
        "bytes": 10,
        "sha256": "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882",
    }


def test_unfinished_work_is_not_found_and_outlives_the_process(tmp_path):
    Store(tmp_path).partial(NAME).joinpath("state").write_text("half")
    again = Store(tmp_path)
    assert again.find(NAME, KEY) is None
    assert (again.partial(NAME) / "state").read_text() == "half"
    assert again.unfinished() == 1


def test_commit_drops_what_only_served_to_go_on(store):
    partial = store.partial("add-1")
    (partial / "resume").mkdir()
    (partial / "resume" / "state").write_text("x")
    (partial / ".metrics.json.77.tmp").write_text("half a fi")
    (partial / "metrics.json").write_text("{}")
    path = store.commit("add-1", "1", {})
    assert sorted(p.name for p in path.iterdir()) == ["digests.json", "job.json", "metrics.json"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: (path / "images.npy").write_bytes(b"01234"), "images.npy has 5 bytes, not 10"),
        (lambda path: (path / "deep" / "more.txt").unlink(), "deep/more.txt is missing"),
        (lambda path: (path / "digests.json").unlink(), "digests.json is missing or unreadable"),
        (lambda path: (path / "digests.json").write_text("[1]"), "digests.json is missing or unreadable"),
    ],
)
def test_damage_is_named_once_and_the_job_made_again(store, caplog, spoil, said):
    path = store.path(NAME)
    spoil(path)
    fresh = Store(store.root)
    with caplog.at_level(logging.WARNING):
        assert fresh.find(NAME, KEY) is None
        assert fresh.find(NAME, KEY) is None
    assert caplog.messages == [f"store/{NAME} is damaged ({said}): it will be made again"]
    assert path.exists()  # nothing is deleted by looking
    finish(fresh)
    assert fresh.find(NAME, KEY) == path
    assert fresh.verify() == []


def test_the_whole_key_counts_not_only_the_part_in_the_name(store, caplog):
    assert Store(store.root).find(NAME, KEY[:16] + "0" * 48) is None
    assert "job.json has the key abab" in caplog.text


def test_verify_reads_every_byte(store):
    assert store.verify() == []
    (store.path(NAME) / "images.npy").write_bytes(b"0123456780")
    assert Store(store.root).find(NAME, KEY) is not None  # the size is right
    assert [(d.name, d.what) for d in store.verify()] == [(NAME, "images.npy has changed since it was written")]


def test_entries_sizes_and_prune(store):
    entry = store.entries()[0]
    assert (entry.name, entry.kind, entry.label, entry.seconds) == (NAME, "draw", "draw base", 1.5)
    on_disk = sum(p.stat().st_size for p in store.path(NAME).rglob("*") if p.is_file())
    assert entry.size == store.size() == on_disk
    (store.partial("old-1") / "x").write_text("12345")
    assert store.size() == on_disk + 5
    assert store.prune({NAME}) == 5
    assert store.find(NAME, KEY)
    assert store.prune(()) == on_disk
    assert store.find(NAME, KEY) is None
    assert store.size() == 0


def test_commit_of_nothing_is_refused(tmp_path):
    with pytest.raises(StoreError, match=r"partial/add-2: missing.*run the study again"):
        Store(tmp_path).commit("add-2", "2", {})


def test_json_is_sorted_exact_and_has_no_nan(tmp_path):
    path = tmp_path / "metrics.json"
    write_json(path, {"b": 0.1 + 0.2, "a": math.nan, "c": [np.float64("inf"), np.int32(3)], "d": {"x": True}})
    text = path.read_text()
    assert json.loads(text) == {"a": None, "b": 0.30000000000000004, "c": [None, 3], "d": {"x": True}}
    assert list(json.loads(text)) == ["a", "b", "c", "d"]
    assert text.endswith("}\n")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "new \ud800")
    assert path.read_text() == "old"


def test_read_json_names_the_file(tmp_path):
    with pytest.raises(StoreError, match=r"gone\.json: missing; run the study again"):
        read_json(tmp_path / "gone.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(StoreError, match=r"bad\.json: unreadable .*delete it"):
        read_json(tmp_path / "bad.json")


def test_two_processes_do_not_share_a_run(tmp_path):
    hold = "import sys; from pathlib import Path; from headstart.store.lock import RunLock\n"
    hold += "with RunLock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    other = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "held\n"
    with pytest.raises(StudyError, match=rf"process {other.pid} is running a study here; wait for it, stop it"):
        RunLock(tmp_path).__enter__()
    other.kill()  # a killed process holds nothing
    other.communicate()
    with RunLock(tmp_path):
        assert (tmp_path / ".lock").exists()
    with RunLock(tmp_path):
        pass
