"""Finished jobs: nothing half-written is read, damage is named, two processes do not share a run."""

import errno
import json
import logging
import math
import os
import resource
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
import torch

from headstart.errors import StoreError, StudyError
from headstart.store.arrays import load_arrays, mapped_array, save_array, save_arrays, save_tensors
from headstart.store.batches import load_batch, require_intact, save_batch
from headstart.store.files import read_json, replacing, write_json, write_text
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


def flip(path, where):
    """Change one bit of the first byte of `where`; the size stays."""
    content = bytearray(path.read_bytes())
    content[content.index(where) + len(where) // 2] ^= 1
    path.write_bytes(content)


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
        (lambda path: flip(path / "digests.json", b'"sha256"'), "digests.json is missing or unreadable"),
        (lambda path: flip(path / "images.npy", b"5"), "images.npy has changed since it was written"),
        (lambda path: flip(path / "deep" / "more.txt", b"o"), "deep/more.txt has changed since it was written"),
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
    assert [(d.name, d.what) for d in store.verify()] == [(NAME, "images.npy has changed since it was written")]


def test_large_files_are_compared_when_a_job_is_to_read_them(store, monkeypatch, caplog):
    monkeypatch.setattr("headstart.store.store.SMALL", 9)
    flip(store.path(NAME) / "images.npy", b"5")
    fresh = Store(store.root)
    assert fresh.find(NAME, KEY) == store.path(NAME)  # for what results are read from
    assert fresh.find(NAME, KEY, whole=True) is None
    assert fresh.find(NAME, KEY) is None  # known by now
    assert caplog.messages == [
        f"store/{NAME} is damaged (images.npy has changed since it was written): it will be made again"
    ]
    finish(fresh)
    assert fresh.find(NAME, KEY, whole=True) == store.path(NAME)


def test_a_file_is_read_for_its_digest_once_in_a_process(store, monkeypatch):
    fresh = Store(store.root)
    assert fresh.find(NAME, KEY, whole=True)
    monkeypatch.setattr("headstart.store.sealing.sha256", None)
    assert fresh.find(NAME, KEY) and fresh.find(NAME, KEY, whole=True)


def test_a_damaged_job_is_replaced_and_leaves_nothing(store):
    flip(store.path(NAME) / "images.npy", b"5")
    (store.path(NAME) / "old.txt").write_text("old")
    fresh = Store(store.root)
    finish(fresh)
    assert sorted(p.name for p in (store.root / "store").iterdir()) == [NAME]
    assert not (store.path(NAME) / "old.txt").exists()


def test_strays_of_killed_processes_are_swept_and_nothing_else(store):
    stray = store.partial("add-1") / ".metrics.json.4711.tmp"
    stray.write_text("{")
    folder = store.root / "store" / f".{NAME}.12.tmp"
    folder.mkdir()
    (folder / "images.npy").write_bytes(b"x")
    mine = [store.root / ".notes.tmp", store.root / "a.1.tmp"]
    for path in mine:
        path.write_text("mine")
    assert [e.name for e in store.entries()] == [NAME]
    assert store.sweep() == 2
    assert not stray.exists() and not folder.exists() and all(path.exists() for path in mine)


ROOM = r": [\d,]+ (kB|MB) of [\d,]+ (kB|MB) are free"


@pytest.mark.parametrize(
    ("number", "room", "advice"),
    [
        (errno.ENOSPC, ROOM, "Make room on the disk, or write to another one"),
        (errno.EDQUOT, ROOM, "Make room on the disk, or write to another one"),
        (errno.EROFS, "", "Make it writable, or write to another place"),
        (errno.EACCES, "", "Make room on the disk, or allow writing there"),
    ],
)
def test_a_fault_of_writing_names_file_cause_and_remedy(tmp_path, number, room, advice):
    said = rf"a\.json: cannot be written \({os.strerror(number)}{room}\)\. {advice}; then run the same command again"
    with pytest.raises(StoreError, match=said) as fault, replacing(tmp_path / "a.json"):
        raise OSError(number, os.strerror(number))
    assert fault.value.exit_code == 2 and list(tmp_path.iterdir()) == []


def test_a_full_disk_says_how_much_the_file_takes(tmp_path, short_disk):
    said = rf"\(File too large{ROOM}, the file takes 100 kB or more\)"
    with pytest.raises(StoreError, match=said):
        write_text(tmp_path / "a", "x" * 100_000)


@pytest.fixture
def short_disk():
    """No file may have more than 50,000 bytes here."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_text(path, "x" * 100_000),
        lambda path: save_array(path, np.zeros(100_000)),
        lambda path: save_arrays(path, {"a": np.zeros(100_000)}),
        lambda path: save_batch(path, pa.record_batch({"a": np.zeros(100_000)})),
        lambda path: save_tensors(path, {"a": torch.zeros(100_000)}, {}),
    ],
)
def test_every_writer_says_what_failed_and_keeps_the_old(tmp_path, write, short_disk):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(StoreError, match=r"/a: cannot be written \(.*File too large.*\)\. Make room on the disk"):
        write(path)
    write_text(path, "old")  # what is small enough can still be written
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_mapped_array_takes_its_room_at_once(tmp_path, short_disk):
    array = mapped_array(tmp_path / "a.npy", (100, 100), np.uint8)
    array[3] = 7
    array.flush()
    assert np.load(tmp_path / "a.npy")[3].tolist() == [7] * 100
    with pytest.raises(StoreError, match=r"b\.npy: cannot be written"):
        mapped_array(tmp_path / "b.npy", (1000, 100), np.uint8)
    assert not (tmp_path / "b.npy").exists()


def test_arrays_come_back_and_damage_is_named(tmp_path):
    path = tmp_path / "a.npz"
    arrays = {"x": np.arange(6.0).reshape(2, 3), "names": np.array(["a", "bc"])}
    save_arrays(path, arrays)
    for name, array in load_arrays(path).items():
        np.testing.assert_array_equal(array, arrays[name])
    whole = path.read_bytes()
    for k in range(0, len(whole), 7):
        path.write_bytes(whole[:k])
        with pytest.raises(StoreError, match=r"a\.npz: unreadable .*run the same command again"):
            load_arrays(path)
    with pytest.raises(StoreError, match=r"b\.npz: missing"):
        load_arrays(tmp_path / "b.npz")


def test_a_cached_batch_is_compared_with_its_digest_once(tmp_path, monkeypatch):
    path = tmp_path / "a.arrow"
    batch = pa.record_batch({"x": np.arange(1000), "y": ["a"] * 1000}).replace_schema_metadata({"k": "v"})
    save_batch(path, batch)
    require_intact(path)
    assert load_batch(path).equals(batch, check_metadata=True)
    whole = path.read_bytes()
    for k in range(0, len(whole), 97):
        path.write_bytes(whole[:k] + bytes([whole[k] ^ 1]) + whole[k + 1 :])
        with pytest.raises(StoreError, match=r"a\.arrow: .*it is made again"):
            require_intact(path)
            load_batch(path)
        path.write_bytes(whole[:k])
        with pytest.raises(StoreError, match=r"a\.arrow: .*it is made again"):
            load_batch(path)


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
    with pytest.raises(StoreError, match=r"gone\.json: missing; run the same command again"):
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


def test_a_library_that_writes_tells_the_cause_too(tmp_path, short_disk):
    """safetensors writes by itself, and its faults have no number of the system's."""
    with pytest.raises(
        StoreError, match=rf"a: cannot be written \(File too large{ROOM}.*Make room on the disk, or write to"
    ):
        save_tensors(tmp_path / "a", {"a": torch.zeros(100_000)}, {})
    assert list(tmp_path.iterdir()) == []
