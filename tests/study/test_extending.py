"""`--extend`: what has not converged goes on from where it ended, and nothing else runs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headstart.config.study import Study
from headstart.errors import StoreError
from headstart.stats.convergence import Convergence
from headstart.study.extending import extend, read_extended
from headstart.study.jobs import Job
from headstart.study.plan import Planner
from support.small_studies import drawn, task_text

PIXELS = 'name = "s", batch_size = 4, warmup = 1, head = "pixel", channels = 16'
STUDY = (
    """\
name = "short"
seeds = [0]
bootstrap = 100
margin = 0.0

[sets]
train = { world = "novel", count = 30, size = 48 }
test = { world = "novel", count = 10, first = 30, size = 48 }

[[weights]]
name = "one"
uri = "random:shapes-resnet"

"""
    + task_text("paint", "segment", f"updates = 12, lr = 3e-3, {PIXELS}")
    + task_text("settled", "segment", f"updates = 3, lr = 1e-9, {PIXELS}")
)
"""`paint` is far from its plateau; `settled` hardly moves at all."""


def headstart(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "headstart", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240)


def jobs(run: Path) -> dict[str, dict]:
    return {path.parent.name: json.loads(path.read_text()) for path in run.glob("store/*/job.json")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extended")
    (folder / "short.toml").write_text(STUDY)
    done = headstart("run", "short.toml", "--out", "whole", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "not converged: paint; the same command with --extend" in done.stdout
    assert "not converged: settled" not in done.stdout
    return folder


@pytest.mark.slow
def test_only_what_has_not_converged_goes_on(folder: Path) -> None:
    before = jobs(folder / "whole")
    (row,) = [r for r in summary(folder / "whole")["convergence"] if r["task"] == "paint"]
    done = headstart("run", "short.toml", "--out", "whole", "--extend", cwd=folder)
    assert done.returncode == 0, done.stderr
    new = {name: job for name, job in jobs(folder / "whole").items() if name not in before}
    assert sorted(job["kind"] for job in new.values()) == ["evaluate", "transfer"]
    (longer,) = [job for job in new.values() if job["kind"] == "transfer"]
    assert longer["label"] == "paint from one, seed 0, rate 0.003, to update 24"
    assert longer["inputs"]["before"] in {job["key"] for job in before.values()}
    (now,) = [r for r in summary(folder / "whole")["convergence"] if r["task"] == "paint"]
    assert (row["updates"], now["updates"]) == (12, 24)
    assert now["scores"]["one"][0] == row["scores"]["one"][1]
    assert json.loads((folder / "whole" / "extended.json").read_text()) == {"paint": 1}


@pytest.mark.slow
def test_killed_and_continued_extends_once_and_to_the_same_bytes(folder: Path) -> None:
    headstart("run", "short.toml", "--out", "undisturbed", "-q", cwd=folder)
    headstart("run", "short.toml", "--out", "undisturbed", "--extend", "-q", cwd=folder)
    headstart("run", "short.toml", "--out", "killed", "-q", cwd=folder)
    command = [sys.executable, "-m", "headstart", "run", "short.toml", "--out", "killed", "--extend", "-q"]
    environment = os.environ | {"HEADSTART_SAVE_SECONDS": "0"}
    process = subprocess.Popen(command, cwd=folder, start_new_session=True, env=environment)
    limit = time.monotonic() + 120
    while time.monotonic() < limit and not any((folder / "killed").glob("partial/transfer-*/resume/state.safetensors")):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert len([job for job in jobs(folder / "killed").values() if job["kind"] == "transfer"]) == 2
    done = headstart("run", "short.toml", "--out", "killed", "--extend", "-q", cwd=folder)
    assert done.returncode == 0, done.stderr
    for name in ("metrics.json", "extended.json"):
        assert (folder / "killed" / name).read_bytes() == (folder / "undisturbed" / name).read_bytes()


def summary(run: Path) -> dict:
    return json.loads((run / "metrics.json").read_text())


def test_all_candidates_of_a_task_go_on_together_and_searches_stay() -> None:
    """Rates are searched at the first length; what was chosen goes on, twice here, from its own end."""

    def lookup(job: Job) -> dict[str, float | None]:
        rate = job.settings.recipe.lr if job.kind == "transfer" else 0.0
        return {"val/det/coco/map@0.5:0.95": -abs(rate - 3e-3)}

    values = drawn()
    values["tasks"][0]["only"] = []
    plan = Planner(Study.model_validate(values), Path(), extended={"find": 2}).expand(lookup)
    longer = [job for job in plan.known if job.kind == "transfer" and "before" in job.inputs]
    ends = ("rate 0.003, to update 60", "rate 0.003, to update 120")
    assert [job.label for job in longer] == [
        f"find from {name}, seed 5, {end}" for name in ("boxes", "labels", "random") for end in ends
    ]
    assert [job.settings.recipe.updates for job in longer] == [60, 120] * 3
    assert longer[0].inputs["before"].settings.recipe.updates == 30 and longer[1].inputs["before"] is longer[0]
    assert longer[0].cost == longer[0].inputs["before"].cost and longer[1].cost == 2 * longer[0].cost
    trial = next(t for t in plan.trials if t.task == "find")
    assert [job.settings.recipe.updates for job in trial.transfers] == [120]
    assert len([job for job in plan.known if job.kind == "transfer"]) == 9 + 6


def test_tasks_are_extended_once_more_each_time(tmp_path: Path) -> None:
    moving = {"m": Convergence({}, {"a": "why"}, {})}
    unsettled = {"m": Convergence({}, {}, {("a", "b"): "why"})}
    assert read_extended(tmp_path) == {}
    assert extend(tmp_path, {"t": {"m": Convergence({}, {}, {})}, "p": {}}) == [] and read_extended(tmp_path) == {}
    assert extend(tmp_path, {"t": moving, "u": {"m": Convergence({}, {}, {})}}) == ["t"]
    assert extend(tmp_path, {"t": moving, "u": unsettled}) == ["t", "u"]
    assert read_extended(tmp_path) == {"t": 2, "u": 1}
    (tmp_path / "extended.json").write_text('["t"]')
    with pytest.raises(StoreError, match="not how often tasks were extended"):
        read_extended(tmp_path)
