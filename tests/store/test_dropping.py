"""Large files that nobody needs are deleted on purpose: that is no damage, is known later, and hurts no other run."""

import json
import logging
from pathlib import Path

import pytest

from headstart.store.dropping import drop
from headstart.store.files import read_json
from headstart.store.shared import close_store, needed_by_others, open_store
from headstart.store.store import Store

KEY = "ab" * 32
NAME = f"transfer-{KEY[:16]}"
FILES = ("a.safetensors", "b.safetensors")


def finish(store: Store, content: str = "0123456789") -> Path:
    assert store.take(NAME)
    partial = store.partial(NAME)
    for name in (*FILES, "curve.npz"):
        (partial / name).write_text(content)
    path = store.commit(NAME, KEY, {"kind": "transfer", "seconds": 1.5})
    store.release(NAME)
    return path


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store(tmp_path / "run")
    finish(store)
    return store


def test_what_was_dropped_is_no_damage_and_is_not_served_to_who_reads_it(store, caplog):
    assert not store.lacks(NAME) and store.find(NAME, KEY, whole=True)
    assert drop(store, NAME, FILES) == 20
    for look in (store, Store(store.root)):
        assert look.find(NAME, KEY) == store.path(NAME)
        assert look.find(NAME, KEY, whole=True) is None
        assert look.lacks(NAME) and look.verify() == []
    (entry,) = store.entries()
    assert entry.lacks and entry.whole == entry.size + 20
    assert sorted(p.name for p in store.path(NAME).iterdir()) == ["curve.npz", "digests.json", "job.json"]
    assert drop(store, NAME, FILES) == 0
    assert caplog.messages == []


def test_what_was_not_dropped_is_still_watched(store, caplog):
    drop(store, NAME, FILES[:1])
    (store.path(NAME) / "b.safetensors").unlink()
    assert Store(store.root).find(NAME, KEY) is None
    assert caplog.messages == [f"store/{NAME} is damaged (b.safetensors is missing): it will be made again"]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_said_of_a_dropped_file_is_watched_too(store, caplog, place):
    """Its file is not there to tell: a flipped digit of its digest, of its size, of the record's own digest."""
    drop(store, NAME, FILES[:1])
    record = store.path(NAME) / "digests.json"
    said = read_json(record)
    entry, key = [(FILES[0], "sha256"), (FILES[0], "bytes"), ("digests.json", "sha256")][place]
    value = said[entry][key]
    said[entry][key] = value + 1 if isinstance(value, int) else ("f" if value[0] != "f" else "e") + value[1:]
    record.write_text(json.dumps(said))
    assert Store(store.root).find(NAME, KEY) is None
    assert caplog.messages == [
        f"store/{NAME} is damaged (digests.json is missing or unreadable): it will be made again"
    ]


@pytest.mark.parametrize("deleted", [0, 1])
def test_a_stop_in_between_leaves_a_job_that_is_whole_or_known_to_lack_something(store, monkeypatch, deleted):
    unlink, calls = Path.unlink, []

    def stopping(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".safetensors":
            calls.append(path)
            if len(calls) > deleted:
                raise KeyboardInterrupt
        unlink(path, missing_ok)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "unlink", stopping)
        drop(store, NAME, FILES)
    fresh = Store(store.root)
    assert fresh.verify() == [] and fresh.lacks(NAME) is bool(deleted)
    assert (fresh.find(NAME, KEY, whole=True) is None) is bool(deleted)
    assert drop(fresh, NAME, FILES) == 20 - 10 * deleted
    once = read_json(store.path(NAME) / "digests.json")
    other = Store(store.root.parent / "other")
    finish(other)
    drop(other, NAME, FILES)
    assert {k: v for k, v in once.items() if k != "job.json"} == {
        k: v for k, v in read_json(other.path(NAME) / "digests.json").items() if k != "job.json"
    }


@pytest.mark.parametrize("content", ["0123456789", "012345678x"])
def test_made_again_it_is_whole_and_a_difference_is_said(store, caplog, content):
    drop(store, NAME, FILES)
    with caplog.at_level(logging.WARNING):
        finish(store, content)
    assert not store.lacks(NAME) and store.find(NAME, KEY, whole=True)
    assert not any("dropped" in seal_of for seal_of in read_json(store.path(NAME) / "digests.json").values())
    said = "\n".join(caplog.messages)
    assert said.startswith("a.safetensors, b.safetensors of store/") == (content[-1] == "x") == bool(said)


def test_of_a_shared_store_only_what_no_other_run_needs(tmp_path):
    one, other = (open_store(tmp_path / name, tmp_path / "shared") for name in ("one", "other"))
    finish(one)
    assert other.find(NAME, KEY)
    close_store(one, [])
    needed = lambda: needed_by_others(one, NAME)  # noqa: E731
    assert needed(), "the other run is not complete"
    assert drop(one, NAME, FILES, needed) == 0
    assert not one.lacks(NAME) and "dropped" not in (one.path(NAME) / "digests.json").read_text()
    close_store(other, [NAME])
    assert needed(), "it is complete, and needs this job"
    close_store(other, [])
    assert not needed()
    assert other.take(NAME), "it works at this very job"
    assert drop(one, NAME, FILES, needed) == 0
    other.release(NAME)
    assert drop(one, NAME, FILES, needed) == 20
    assert other.lacks(NAME) and other.find(NAME, KEY, whole=True) is None and other.find(NAME, KEY)
    open_store(tmp_path / "other", tmp_path / "shared")
    assert needed(), "it has begun to work again"
    (tmp_path / "other" / "shared.json").unlink()
    assert not needed(), "it is gone"


def test_a_run_that_was_written_down_before_there_was_dropping_needs_all(tmp_path):
    one = open_store(tmp_path / "one", tmp_path / "shared")
    record = tmp_path / "shared" / "runs" / "aa.json"
    record.write_text(json.dumps({"run": "/nowhere/here", "machine": "elsewhere", "jobs": [NAME]}))
    assert needed_by_others(one, NAME) and not needed_by_others(one, "transfer-other")
