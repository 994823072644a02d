"""A store that runs share: each job is made once, by one run at a time; what some run uses stays."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headstart.errors import StoreError
from headstart.store import leases
from headstart.store.leases import Leases
from headstart.store.shared import chosen_store, close_store, open_store, used_by_runs
from headstart.store.store import Store

KEY = "ab" * 32
NAME = f"draw-{KEY[:16]}"
TESTS = Path(__file__).parents[1]


@pytest.fixture
def shared(tmp_path):
    return tmp_path / "shared"


def finish(store: Store, content: str = "0123456789") -> Path:
    assert store.take(NAME)
    (store.partial(NAME) / "images.npy").write_text(content)
    path = store.commit(NAME, KEY, {"kind": "draw", "seconds": 1.5})
    store.release(NAME)
    return path


def test_one_run_at_a_time_works_at_a_job(tmp_path):
    first, second = Leases(tmp_path, tmp_path / "a"), Leases(tmp_path, tmp_path / "b")
    assert first.take("x") and first.take("x") and not second.take("x") and second.take("y")
    assert second.holder("x") == f"{tmp_path / 'a'} (process {os.getpid()} on {leases.this_machine().split()[0]})"
    first.release("x")
    assert second.take("x") and not first.take("x")
    second.close()
    assert first.take("x") and first.take("y")
    assert first.holder("z") == ""
    first.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_held_can_be_taken_at_once(tmp_path):
    script = (
        "import sys, time, pathlib\nfrom headstart.store.leases import Leases\n"
        "folder = pathlib.Path(sys.argv[1])\nassert Leases(folder, folder).take('x')\nprint('held', flush=True)\n"
        "time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE, text=True)
    assert holder.stdout and holder.stdout.readline() == "held\n"
    mine = Leases(tmp_path, tmp_path)
    assert not mine.take("x")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    assert mine.take("x")
    mine.close()


@pytest.mark.parametrize("locks", [True, False])
def test_a_run_on_another_machine_is_believed_while_it_shows_life(tmp_path, monkeypatch, locks):
    """Where locks do not reach other machines, a lock is had although somebody works there."""
    monkeypatch.setattr(leases, "_locked", lambda handle: True if locks else None)
    monkeypatch.setattr(leases, "SETTLE", 0.01)
    monkeypatch.setattr(leases, "this_machine", lambda: "elsewhere 1")
    there = Leases(tmp_path, tmp_path / "there")
    assert there.take("x")
    monkeypatch.setattr(leases, "this_machine", lambda: "here 2")
    here = Leases(tmp_path, tmp_path / "here")
    assert not here.take("x")
    silent = time.time() - leases.SILENT - 5
    os.utime(tmp_path / "x.lease", (silent, silent))
    assert here.take("x")
    assert here.holder("x").startswith(f"{tmp_path / 'here'} ")


def test_signs_of_life_are_given(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "BEAT", 0.02)
    mine = Leases(tmp_path, tmp_path)
    mine.take("x")
    os.utime(tmp_path / "x.lease", (1, 1))
    give_up = time.monotonic() + 10
    while (tmp_path / "x.lease").stat().st_mtime < 2:
        assert time.monotonic() < give_up
        time.sleep(0.01)
    mine.close()


def test_a_job_of_one_run_is_found_by_another_and_linked(tmp_path, shared):
    one, other = open_store(tmp_path / "one", shared), open_store(tmp_path / "other", shared)
    path = finish(one)
    assert path == tmp_path / "one" / "store" / NAME and path.is_symlink()
    assert not (tmp_path / "other" / "store").exists()
    assert Store(tmp_path / "third", shared, link=False).find(NAME, KEY) == shared / "store" / NAME
    assert not (tmp_path / "third").exists()
    found = other.find(NAME, KEY, whole=True)
    assert found == tmp_path / "other" / "store" / NAME and (found / "images.npy").read_text() == "0123456789"
    assert [e.name for e in other.entries()] == [NAME] and other.size() == Store(shared).size() > 10
    assert Store(shared).verify() == []


def test_damage_is_mended_for_all(tmp_path, shared):
    one, other = open_store(tmp_path / "one", shared), open_store(tmp_path / "other", shared)
    finish(one)
    (shared / "store" / NAME / "images.npy").write_text("012345678x")
    fresh = Store(tmp_path / "one", shared)
    assert fresh.find(NAME, KEY) is None and other.find(NAME, KEY) is None
    finish(other)
    assert (fresh.find(NAME, KEY) or Path()).joinpath("images.npy").read_text() == "0123456789"


def test_jobs_that_a_run_made_before_it_shared_stay_its_own(tmp_path, shared):
    finish(Store(tmp_path / "one"))
    store = open_store(tmp_path / "one", shared)
    assert store.find(NAME, KEY) == tmp_path / "one" / "store" / NAME and not store.path(NAME).is_symlink()
    finish(store)  # as after damage
    assert store.path(NAME).is_symlink()


def test_which_store_a_run_shares(tmp_path, shared, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.delenv("HEADSTART_STORE", raising=False)
    assert chosen_store(out, None, None) is None
    monkeypatch.setenv("HEADSTART_STORE", str(tmp_path / "env"))
    assert chosen_store(out, None, None) == tmp_path / "env"
    assert chosen_store(out, None, tmp_path / "study") == tmp_path / "study"
    close_store(open_store(out, shared))
    assert chosen_store(out, None, tmp_path / "study") == shared
    assert chosen_store(out, tmp_path / "asked", tmp_path / "study") == tmp_path / "asked"


def test_a_shared_store_that_is_not_there_is_no_empty_one(tmp_path, shared):
    close_store(open_store(tmp_path / "out", shared))
    shared.rename(tmp_path / "moved")
    with pytest.raises(StoreError, match=r"is not there\. Mount it, or name where it is now: --store DIR"):
        open_store(tmp_path / "out", shared)
    assert open_store(tmp_path / "out", tmp_path / "moved").home == tmp_path / "moved"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "study.json").write_text("{}")
    with pytest.raises(StoreError, match="a run directory cannot be a shared store"):
        open_store(tmp_path / "out", tmp_path / "run")


def test_what_some_run_uses_is_not_superfluous(tmp_path, shared):
    for name in ("one", "other"):
        store = open_store(tmp_path / name, shared)
        if name == "one":
            finish(store)
        close_store(store)
    assert used_by_runs(shared) == ({NAME}, [])
    assert Store(shared).superfluous(used_by_runs(shared)[0]) == []
    (tmp_path / "one").rename(tmp_path / "gone")
    (tmp_path / "gone" / "shared.json").unlink()
    assert used_by_runs(shared) == (set(), [str(tmp_path / "one")])
    assert Store(shared).superfluous(set(), older_than=60) == []
    freed = Store(shared).prune(set())
    assert freed > 10 and Store(shared).entries() == []


def test_jobs_of_a_run_on_another_machine_stay(tmp_path, shared):
    close_store(open_store(tmp_path / "one", shared))
    (record,) = (shared / "runs").iterdir()
    record.write_text(json.dumps({"run": "/nowhere/here", "machine": "elsewhere", "jobs": [NAME]}))
    assert used_by_runs(shared) == ({NAME}, [])


SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from headstart.store.shared import close_store, open_store
from headstart.study.executors.local import run_jobs
from headstart.study.jobs import Job
from support.tiny_runners import Adding, Napping, expansion_of

if __name__ == "__main__":
    store = open_store(Path(sys.argv[1]), Path(sys.argv[2]))
    naps = {f"nap{k}": Job("naps", Napping(0.2 + k / 1000), label=f"nap {k}") for k in range(6)}
    jobs = [*naps.values(), *(Job("add", Adding(k), label=f"add {k}") for k in range(6))]
    told = {"on_event": lambda event: None, "runners": "support.tiny_runners:RUNNERS"}
    outcome = run_jobs(lambda: expansion_of(jobs, store), store, 1, 1, **told)
    close_store(store)
    assert outcome.complete, outcome
    print(outcome.finished)
"""


def test_two_runs_at_once_do_each_job_once(tmp_path, shared):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    runs = [
        subprocess.Popen(
            [sys.executable, script, tmp_path / name, shared, TESTS],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "other")
    ]
    said = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    finished = [int(out) for out, _ in said]
    logs = "".join((tmp_path / name / "log.txt").read_text() for name in ("one", "other"))
    assert sum(finished) == 12 and all(finished), finished
    assert logs.count(" started ") == logs.count(" finished ") == 12
    for name in ("one", "other"):
        assert len(list((tmp_path / name / "store").iterdir())) == 12
    assert list((shared / "partial").iterdir()) == []
