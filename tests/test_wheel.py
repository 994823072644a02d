"""The built wheel, in an environment of its own and from another folder: what is packed is all that is needed."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import tomli_w

from support.miniatures import voc_folder
from support.small_studies import DETECT, drawn

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the wheel; what it needs is found where these tests have it, as where a PyTorch is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, ROOT], check=True)
    venv.create(folder / "env", symlinks=True)
    python = folder / "env" / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", "--no-deps", "--no-index", *folder.glob("*.whl")], check=True)
    [packages] = (folder / "env" / "lib").glob("python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "env" / "bin"


@pytest.mark.slow
def test_a_wheel_checks_evaluates_plans_and_runs(environment: Path, tmp_path: Path) -> None:
    def run(*words: str | Path) -> str:
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=variables, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    python, headstart = environment / "python", environment / "headstart"
    where = run(python, "-c", "import headstart; print(headstart.__file__)")
    assert Path(where.strip()).is_relative_to(environment.parent), "not the clone's"
    voc_folder(tmp_path / "cells", 24, {"train": range(12), "val": range(12, 16), "test": range(16, 24)})
    assert "nothing wrong was found" in run(headstart, "check", "cells")
    run(python, ROOT / "examples" / "jittered_detections.py", "cells", "found.json")
    assert "coco/ap@0.5" in run(headstart, "evaluate", "found.json", "cells")
    arms = ["-w", "random:shapes-resnet", "-w", "random:resnet18"]
    assert "trainings" in run(headstart, "compare", "cells", "--task", "detect", *arms, "--budget", "quick", "--plan")
    study = drawn() | {"weights": [{"name": name, "uri": "random:shapes-resnet"} for name in "ab"]}
    task = study["tasks"][0] | {"recipe": DETECT | {"updates": 6, "lr": 1e-3}}
    del study["pretraining"], study["explain"], study["sets"]["base"], study["backbone"], task["only"]
    (tmp_path / "study.toml").write_text(tomli_w.dumps(study | {"tasks": [task]}))
    assert "report: " in run(headstart, "run", "study.toml", "--out", "run", "--workers", "1")
    assert "</html>" in (tmp_path / "run" / "report.html").read_text()
