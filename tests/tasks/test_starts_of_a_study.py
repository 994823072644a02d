"""A study whose candidates are starts of one pre-training: what its results and its report say was copied."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from headstart import api
from headstart.store.files import read_json
from headstart.study import compare
from headstart.study.compare import Effort
from headstart.tasks.table import trained_tasks
from support.drawn_layouts import as_voc, drawn_images
from support.small_studies import task_text

pytestmark = pytest.mark.slow
STUDY = """\
name = "starts"
seeds = [0]
bootstrap = 100

[sets]
base = { world = "base", count = 32, size = 48 }
train = { world = "novel", count = 16, size = 48 }
test = { world = "novel", count = 16, first = 16, size = 48 }

[pretraining.boxes]
images = "base"
recipe = "shapes-boxes"
changes = { epochs = 0.5, sampling.size = 48, training = { batch_size = 8, lr = 2e-3, channels = 16 } }

""" + task_text("detect", "detect", 'name = "d", updates = 1, batch_size = 8, lr = 1e-6, head = "fcos", channels = 16')
STARTS = ("random", "backbone", "backbone+neck", "detector")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("starts")
    entries = "".join(f'[[weights]]\nname = "{s}"\npretraining = "boxes"\nstart = "{s}"\n\n' for s in STARTS)
    (folder / "study.toml").write_text(STUDY + entries)
    done = api.run_study(folder / "study.toml", folder / "run", workers=1, quiet=True, keep="all")
    assert done.failed == []
    return folder / "run"


def test_a_comparison_of_starts(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pre-training's detector and its backbone on other images, both trained as that detector."""
    monkeypatch.setitem(compare.EFFORTS, "quick", Effort(seeds=1, pixels=64 * 64, search="first"))
    for task in trained_tasks().values():
        monkeypatch.setattr(task, "updates", {"quick": 3})
    data = as_voc(drawn_images(tmp_path / "drawn", 16), tmp_path / "voc")
    asked = {"task": "detect", "starts": ["backbone", "detector"], "budget": "quick", "quiet": True}
    done = api.compare(data, [f"run:{run}#boxes"], **asked, out=tmp_path / "run", workers=1)
    assert done.failed == []
    summary = json.loads((tmp_path / "run" / "metrics.json").read_text())
    copied = {row["weights"]: sum(n[0] for n in row["parts"].values()) for row in summary["starts"]}
    assert copied == {"boxes-backbone": 60, "boxes-detector": 74}
    study = (tmp_path / "run" / "study.toml").read_text()
    assert "channels = 16" in study and 'start = "detector"' in study


def test_what_was_copied_is_in_the_results_and_in_the_models(run: Path) -> None:
    """One update at a tiny rate: what was copied is what the pre-training left, and nothing else is near it."""
    summary = json.loads((run / "metrics.json").read_text())
    parts = {row["weights"]: {name: tuple(n) for name, n in row["parts"].items()} for row in summary["starts"]}
    assert {row["weights"]: row["start"] for row in summary["starts"]} == {s: s for s in STARTS}
    # shapes-resnet has 60 tensors; 5 of the neck's norm and convolution; a tower of 5, sides and center-ness.
    for start, copied in zip(STARTS, (0, 60, 65, 74), strict=True):
        assert sum(row[0] for row in parts[start].values()) == copied
        assert sum(map(sum, parts[start].values())) == 76 and parts[start]["classes"] == (0, 0, 2)
    store = run / "store"
    (made,) = store.glob("pretrain-*/model/head.safetensors")
    before = load_file(made)
    for trial in summary["trials"]:
        after = load_file(store / trial["transfer_keys"][0] / "head.safetensors")
        moved = {name: float((after[name] - before[name]).abs().max()) for name in ("neck.laterals.0.0.weight",)}
        moved["tower"] = float((after["tower.0.weight"] - before["tower.0.weight"]).abs().max())
        assert (moved["neck.laterals.0.0.weight"] < 1e-5) == (trial["weights"] in STARTS[2:])
        assert (moved["tower"] < 1e-5) == (trial["weights"] == "detector")
    job = read_json(store / summary["trials"][-1]["transfer_keys"][0] / "job.json")
    assert job["settings"]["copied"]["start"] == summary["trials"][-1]["weights"]
    report = (run / "report.html").read_text()
    assert "What was copied into each candidate" in report and "pre-training, recipe shapes-boxes" in report
