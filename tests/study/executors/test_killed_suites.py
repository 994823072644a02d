"""A suite of 300 trials and SIGKILL at 20 random moments, of the run and of its workers in turn: continued, it ends in
the same bytes, with no job done twice.

The moments are drawn by finished jobs, not by the clock: on a busy machine starting takes most of the time, and all
kills would fall into the first jobs. One falls while what is no longer needed is dropped, after the last job."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from headstart.models.backbones.building import build_backbone
from headstart.store.arrays import save_tensors
from headstart.store.store import Store
from study.executors.test_random_kills import is_worker, none_is_left, of_session, workers_of
from support.killed import differences, finished, results, strays
from support.small_studies import CARD

SETS, SEEDS, WEIGHTS = 10, 15, ("random:shapes-resnet", "card.toml")


def drawn_suite(folder: Path) -> Path:
    """Data sets of noise in class folders, the one class brighter than the other."""
    draw = np.random.default_rng(14)
    for k in range(SETS):
        for part, count in (("train", 6), ("val", 3), ("test", 4)):
            for mean, name in ((90, "dark"), (150, "light")):
                place = folder / f"set{k}" / part / name
                place.mkdir(parents=True)
                for n in range(count):
                    pixels = draw.normal(mean, 25, (32, 32, 3)).clip(0, 255).astype(np.uint8)
                    Image.fromarray(pixels).save(place / f"{n}.png")
    return folder


def given_weights(folder: Path) -> None:
    """A card, and the file that it describes."""
    torch.manual_seed(3)
    (folder / "card.toml").write_text(CARD)
    save_tensors(folder / "weights.safetensors", build_backbone("shapes-resnet", Path()).state_dict(), {})


def started(folder: Path, out: str) -> subprocess.Popen:
    fixed = ("--updates", "1", "--rate", "1e-3", "--size", "32", "--seeds", str(SEEDS))
    words = ["sets", *(word for name in WEIGHTS for word in ("-w", name)), *fixed, "--keep", "winner", "--out", out]
    command = [sys.executable, "-m", "headstart", "suite", *words, "--workers", "2"]
    with (folder / f"{out}.txt").open("a") as said:
        return subprocess.Popen(
            command, cwd=folder, stdout=said, stderr=said, start_new_session=True, stdin=subprocess.DEVNULL
        )


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_suite_of_300_trials_killed_at_random_moments(tmp_path):
    seed, kills = int(os.environ.get("HEADSTART_KILL_SEED", "14")), int(os.environ.get("HEADSTART_KILLS", "20"))
    draw = random.Random(seed)
    drawn_suite(tmp_path / "sets")
    given_weights(tmp_path)
    out, of_worker = tmp_path / "out", 0  # one name for both: models say where their study's paths are from
    assert started(tmp_path, "out").wait() == 0, (tmp_path / "out.txt").read_text()
    whole, jobs = results(out), len(finished(out))
    assert len([name for name in finished(out) if name.startswith("evaluate-")]) == 300
    shutil.rmtree(out)
    goals = [*sorted(draw.sample(range(jobs - 40), kills - 1)), jobs]
    for k, goal in enumerate(goals):
        process, before = started(tmp_path, "out"), finished(out)
        workers_of(process)
        while len(finished(out)) < goal and process.poll() is None:
            time.sleep(0.02)
        time.sleep(0 if goal == jobs else draw.uniform(0, 0.3))
        assert process.poll() is None, "it ended before all kills were done"
        workers = [pid for pid in of_session(process.pid) if is_worker(pid)]
        victim = draw.choice(workers) if workers and k % 2 and goal < jobs else process.pid
        os.kill(victim, signal.SIGKILL)
        of_worker += victim != process.pid
        if victim != process.pid:  # its job is tried again; then the run is killed, too
            time.sleep(draw.uniform(0, 2))
            os.kill(process.pid, signal.SIGKILL)
        where = f"seed {seed}, kill {k}: {(tmp_path / 'out.txt').read_text()[-2000:]}"
        assert process.wait(timeout=300) == -signal.SIGKILL and none_is_left(process.pid), where
        assert before.items() <= finished(out).items(), f"a finished job was made again; {where}"
        assert Store(out).verify() == [], where
    before = finished(out)
    assert started(tmp_path, "out").wait() == 0
    assert (differences(results(out), whole), strays(out)) == ([], [])
    assert before.items() <= finished(out).items() and "Traceback" not in (tmp_path / "out.txt").read_text()
    print(f"{kills} kills, {of_worker} of a worker first; {len(before)} of {len(finished(out))} jobs done by then")
