"""A whole study at miniature size: it runs, runs again, goes on after SIGKILL, and refuses what it must."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.config.study import Study
from headstart.study.files import load_study
from headstart.study.plan import Planner
from headstart.study.run import planned
from support.small_studies import ARMS, PROBE_AND_EXPLAIN

TINY = (
    """\
name = "tiny"
seeds = [0, 1]
bootstrap = 100
margin = 0.07

[sets]
base = {{ world = "base", count = 48, size = 48 }}
train = {{ world = "novel", count = 24, size = 48 }}
test = {{ world = "novel", count = 24, first = 24, size = 48 }}

[pretraining.boxes]
images = "base"
recipe = "shapes-boxes"
changes = {{ epochs = 0.5, sampling.size = 48, training = {{ batch_size = 8, lr = 2e-3, channels = 16 }} }}

[pretraining.labels]
images = "base"
recipe = "shapes-labels"
early = 0.5
changes = {{ epochs = 0.5, sampling.size = 48, training = {{ batch_size = 8, lr = 2e-3 }} }}
"""
    + ARMS
    + """
[[tasks]]
name = "detect"
kind = "detect"
train = ["train"]
test = ["test"]
recipe = {{ name = "d", updates = {updates}, batch_size = 8, lr = 1e-3, head = "fcos", channels = 16 }}
"""
    + PROBE_AND_EXPLAIN
)


def headstart(*arguments: str, cwd: Path, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "headstart", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    (folder / "tiny.toml").write_text(TINY.format(updates=3))
    done = headstart("run", "tiny.toml", "--out", "whole", "--keep", "all", "-q", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_run_writes_what_it_promises(folder):
    run = folder / "whole"
    for name in ("study.toml", "study.json", "env.json", "metrics.json", "results.jsonl", "report.html", "store"):
        assert (run / name).exists(), name
    summary = json.loads((run / "metrics.json").read_text())
    assert len(summary["trials"]) == 3 * 2 * 2
    assert len((run / "results.jsonl").read_text().splitlines()) == 12
    assert [f["id"] for f in summary["findings"]] == [
        "F1a",
        "F1b",
        "F1c",
        "F2a",
        "F2b",
        "F2",
        "F3",
        "F4a",
        "F4b",
        "F4c",
    ]
    assert {r["task"] for r in summary["rankings"]} == {"detect", "probe"}
    assert {r["margin"] for r in summary["rankings"]} == {0.07}, "the study's own margin decides what is adequate"
    for ranking in summary["rankings"]:  # three updates find next to no object
        low = ranking["rows"][0]["mean"] <= ranking["margin"]
        assert low == (ranking["task"] == "detect") == ("at_floor" in ranking)
        assert not low or ranking["cheapest_adequate"] is None
    text = (run / "metrics.json").read_text()
    assert str(folder) not in text and "seconds" not in text
    pretrainings = [p.name for p in (run / "store").iterdir() if p.name.startswith("pretrain-")]
    assert len(pretrainings) == 4, "each seed makes its own origin of both arms"
    assert not list((run / "partial").glob("*/")), "nothing is left half done"


def test_running_again_does_nothing_and_imports_no_torch(folder):
    before = (folder / "whole" / "metrics.json").read_bytes()
    code = (
        "import sys; from pathlib import Path; from headstart import api; "
        "done = api.run_study('tiny.toml', Path('whole'), quiet=True); "
        "print(done.done_already, 'torch' in sys.modules, 'numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["True", "False", "False"], done.stderr
    assert (folder / "whole" / "metrics.json").read_bytes() == before


def killed_when(folder: Path, out: str, ready: Callable[[Path], bool]) -> None:
    """Start the study in a session of its own, and kill all its processes as soon as `ready`."""
    arguments = [sys.executable, "-m", "headstart", "run", "tiny.toml", "--out", out, "-q"]
    environment = os.environ | {"HEADSTART_SAVE_SECONDS": "0"}
    process = subprocess.Popen(arguments, cwd=folder, start_new_session=True, env=environment)
    limit = time.monotonic() + 120
    while time.monotonic() < limit and not ready(folder / out):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / out / "metrics.json").exists(), "the run had ended before it could be killed"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("out", "pattern"),
    [("killed-training", "partial/pretrain-*/resume/state.safetensors"), ("killed-later", "store/transfer-*")],
)
def test_killed_and_continued_gives_the_same_bytes(folder, out, pattern):
    killed_when(folder, out, lambda run: any(run.glob(pattern)))
    done = headstart("run", "tiny.toml", "--out", out, "-q", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / out / "metrics.json").read_bytes() == (folder / "whole" / "metrics.json").read_bytes()


@pytest.mark.slow
def test_a_damaged_artefact_is_named_and_made_again(folder):
    before = (folder / "whole" / "metrics.json").read_bytes()
    victim = next((folder / "whole" / "store").glob("evaluate-*/replicates.npz"))
    victim.write_bytes(victim.read_bytes()[:100])
    done = headstart("run", "tiny.toml", "--out", "whole", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert victim.parent.name in done.stderr
    assert (folder / "whole" / "metrics.json").read_bytes() == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "tiny"'])
def test_damaged_settings_are_made_again_from_the_study_file(folder, text):
    settings = folder / "whole" / "study.json"
    before = settings.read_bytes()
    settings.write_text(text)
    done = headstart("run", "tiny.toml", "--out", "whole", "-q", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "whole/study.json is damaged: it is made again from study.toml\n")
    assert settings.read_bytes() == before


def test_a_damaged_study_file_is_made_again_and_an_edited_one_is_left(folder):
    own = folder / "whole" / "study.toml"
    before = own.read_text()
    own.write_text(before[: len(before) // 2])
    done = headstart("run", "tiny.toml", "--out", "whole", "-q", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "whole/study.toml is damaged: it is made again\n")
    assert own.read_text() == before
    own.write_text(before.replace("seeds = [0, 1]", "seeds = [0, 1, 2]"))
    done = headstart("run", "tiny.toml", "--out", "whole", "-q", cwd=folder)
    assert done.returncode == 0 and "study.toml says something else than what is run here" in done.stderr
    assert "seeds = [0, 1, 2]" in own.read_text()
    own.write_text(before)


def test_where_neither_tells_what_ran_nothing_is_guessed(folder):
    subprocess.run(["cp", "-r", "whole", "unknown"], cwd=folder, check=True)
    for name in ("study.json", "study.toml"):
        (folder / "unknown" / name).write_text("{")
    done = headstart("run", "tiny.toml", "--out", "unknown", "-q", cwd=folder)
    assert done.returncode == 2 and "it is not known which study ran here" in done.stderr
    assert "Traceback" not in done.stderr and "--overwrite" in done.stderr


def test_another_study_is_refused(folder):
    (folder / "other.toml").write_text(TINY.format(updates=4))
    done = headstart("run", "other.toml", "--out", "whole", cwd=folder)
    assert done.returncode == 2
    assert "holds a different study" in done.stderr and "differ in: tasks" in done.stderr and "--out" in done.stderr
    assert "Traceback" not in done.stderr

    (folder / "not-a-run").mkdir(exist_ok=True)
    (folder / "not-a-run" / "thesis.tex").write_text("precious")
    done = headstart("run", "tiny.toml", "--out", "not-a-run", "--overwrite", cwd=folder)
    assert done.returncode == 2 and "not empty and not a run" in done.stderr
    assert (folder / "not-a-run" / "thesis.tex").read_text() == "precious"


def test_an_edited_study_goes_on_with_what_it_has(folder):
    subprocess.run(["cp", "-r", "whole", "edited"], cwd=folder, check=True)
    text = (folder / "edited" / "study.toml").read_text()
    (folder / "edited" / "study.toml").write_text(
        text.replace('test = ["test"]\nrecipe', 'only = ["boxes"]\ntest = ["test"]\nrecipe')
    )
    done = headstart("run", "edited", "-q", cwd=folder)
    assert done.returncode == 0, done.stderr
    summary = json.loads((folder / "edited" / "metrics.json").read_text())
    assert {t["weights"] for t in summary["trials"] if t["task"] == "detect"} == {"boxes"}
    assert not (folder / "edited" / "log.txt").read_text().count("started transfer") > 6, "nothing was trained again"


@pytest.mark.slow
def test_overwriting_deletes_results_and_nothing_else(folder):
    subprocess.run(["cp", "-r", "whole", "mine"], cwd=folder, check=True)
    (folder / "mine" / "thesis.tex").write_text("precious")
    (folder / "other.toml").write_text(TINY.format(updates=4).replace("seeds = [0, 1]", "seeds = [7]"))
    done = headstart("run", "other.toml", "--out", "mine", "--overwrite", "-q", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "mine" / "thesis.tex").read_text() == "precious"
    assert json.loads((folder / "mine" / "metrics.json").read_text())["seeds"] == [7]
    assert "seeds = [7]" in (folder / "mine" / "study.toml").read_text()


def test_a_file_in_the_way_is_an_error_and_no_traceback(folder):
    (folder / "in-the-way").write_text("a file")
    done = headstart("run", "tiny.toml", "--out", "in-the-way", cwd=folder)
    assert done.returncode == 2 and "in-the-way" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_swapping_the_arms_turns_every_effect_round(folder):
    text = (folder / "tiny.toml").read_text()
    swapped = text.replace('boxes = "boxes"\nlabels = "labels"', 'boxes = "labels"\nlabels = "boxes"')
    assert swapped != text
    (folder / "whole-swapped").mkdir()
    subprocess.run(["cp", "-r", "store", "../whole-swapped/"], cwd=folder / "whole", check=True)
    (folder / "whole-swapped" / "study.toml").write_text(swapped)
    done = headstart("run", "whole-swapped/study.toml", "-q", cwd=folder)
    assert done.returncode == 0, done.stderr
    effects = []
    for name in ("whole", "whole-swapped"):
        summary = json.loads((folder / name / "metrics.json").read_text())
        effects.append({f["id"]: f["primary"] and f["primary"]["effect"] for f in summary["findings"]})
    assert effects[0].keys() == effects[1].keys()
    turned = 0
    for name, value in effects[0].items():
        if value is not None and effects[1][name] is not None:
            assert effects[1][name] == pytest.approx(-value, abs=1e-9), name
            turned += 1
    assert turned >= 6


def test_keys_do_not_depend_on_where_the_files_lie(tmp_path):
    study, _ = load_study("shapes")
    keys = [{j.key for j in planned(study, base, tmp_path / "none").known} for base in (tmp_path, Path("/"))]
    assert keys[0] == keys[1] and len(keys[0]) > 50


def test_threads_and_seeds_change_keys(tmp_path):
    study, _ = load_study("shapes")

    def keys(**changes) -> set[str]:
        expansion = Planner(Study.model_validate(study.model_dump() | changes), tmp_path).expand(lambda job: None)
        return {j.key for j in expansion.known if j.kind == "pretrain"}

    assert keys(seeds=[0, 1]) < keys(seeds=[0, 1, 2])
    assert not keys(threads=2) & keys(threads=1)
