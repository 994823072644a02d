"""SIGKILL at random moments, of the run and of its workers in turn: continued, it ends in the same bytes, nothing is
torn, no finished job is made twice, and no process stays."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headstart.store.store import Store
from support.killed import STUDY, differences, finished, results, strays

LONGER = STUDY.replace("epochs = 1,", "epochs = 20,").replace("updates = 2,", "updates = 20,")


def started(folder: Path, out: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "headstart", "run", "small.toml", "--out", out, "--workers", "2"]
    environment = os.environ | {"HEADSTART_SAVE_SECONDS": "0"}
    said = (folder / f"{out}.txt").open("a")
    with said:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=said,
            stderr=said,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
        )


def of_session(session: int) -> list[int]:
    """Processes of a session that still run (one that ended and was not collected yet does not)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def is_worker(pid: int) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def workers_of(process: subprocess.Popen) -> list[int]:
    """Workers of a run, once there are any; none where it ends without."""
    while process.poll() is None:
        if found := [pid for pid in of_session(process.pid) if is_worker(pid)]:
            return found
        time.sleep(0.02)
    return []


def none_is_left(session: int) -> bool:
    give_up = time.monotonic() + 15
    while of_session(session):
        if time.monotonic() > give_up:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(
    "kills", [pytest.param(3, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.nightly)]
)
def test_killed_at_random_moments(kills, tmp_path):
    seed = int(os.environ.get("HEADSTART_KILL_SEED", "14"))
    draw = random.Random(seed)
    (tmp_path / "small.toml").write_text(LONGER)
    process = started(tmp_path, "whole")
    working = workers_of(process)
    began = time.monotonic()
    assert working and process.wait(timeout=300) == 0, (tmp_path / "whole.txt").read_text()
    longest = (time.monotonic() - began) / 2
    whole = results(tmp_path / "whole")
    done, ended, of_worker = 0, 0, 0
    out = tmp_path / "out"
    while done < kills:
        process = started(tmp_path, "out")
        before = finished(out)
        if draw.random() < 0.8:  # else while it finds out what is to do
            workers_of(process)
        until = time.monotonic() + draw.uniform(0, longest)
        while time.monotonic() < until and process.poll() is None:
            time.sleep(0.01)
        workers = [pid for pid in of_session(process.pid) if is_worker(pid)]
        if process.poll() is None:
            victim = draw.choice(workers) if workers and done % 2 else process.pid
            os.kill(victim, signal.SIGKILL)
            done, of_worker = done + 1, of_worker + (victim != process.pid)
        code, said = process.wait(timeout=300), (tmp_path / "out.txt").read_text()[-2000:]
        where = f"seed {seed}, kill {done}: {said}"
        assert code in (0, -signal.SIGKILL), where
        assert none_is_left(process.pid), where
        assert before.items() <= finished(out).items(), f"a finished job was made again; {where}"
        assert Store(out).verify() == [], where
        if code == 0:  # in the end, also of a run whose worker was killed
            assert (differences(results(out), whole), strays(out)) == ([], []), where
            ended += 1
            shutil.rmtree(out)
    if out.exists():
        assert started(tmp_path, "out").wait(timeout=300) == 0
        assert (differences(results(out), whole), strays(out)) == ([], [])
        ended += 1
    assert "Traceback" not in (tmp_path / "out.txt").read_text()
    assert of_worker or kills < 4
    print(f"{done} kills, {of_worker} of them of a worker; {ended} runs ended, each with the same bytes")
