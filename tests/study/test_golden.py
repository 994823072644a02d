"""Golden outputs of every kind of job: results change only with a version.

When a job's results change, its integer in `study.jobs.VERSIONS` has to be raised, or stored results of before would be
taken for results of now. Then record them: HEADSTART_RECORD_GOLDEN=1 python -m pytest tests/study/test_golden.py

Trainings are in double precision, so that other processors end close by, and long enough for detections to be right.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from headstart.progress import silent
from headstart.store.arrays import save_arrays
from headstart.store.files import write_json
from headstart.study.jobs import ALONE, VERSIONS
from headstart.study.runners.table import RUNNERS
from headstart.study.settings import DecideSettings
from support.devices.device_study import photo_folder
from support.drawn_layouts import as_coco, drawn_images
from support.small_studies import ARMS, PROBE_AND_EXPLAIN, task_text

GOLDEN = Path(__file__).parent / "golden.json"
LEAST = 1e-3
"""Values nearer to 0 are no evidence: what is computed wrongly is often near 0, too."""
ARRAYS = "mean size of "

STUDY = (
    """\
name = "golden"
seeds = [3]
bootstrap = 100

[sets]
base = { world = "base", count = 64, size = 48 }
train = { world = "novel", count = 48, size = 48 }
test = { world = "novel", count = 32, first = 48, size = 48 }
photos = { path = "photos", task = "detect", role = "train", size_hw = [48, 48] }
table = { path = "photos", splits = ["train"] }
seen = { path = "photos", task = "detect", role = "trainval", size_hw = [48, 48] }
held = { path = "photos", splits = ["val"] }
some = { path = "folds/classes", task = "classify", role = "trainval", per_class = 2, size_hw = [48, 48] }
some-others = { path = "folds/classes", task = "classify", role = "test", per_class = 2, size_hw = [48, 48] }
others = { path = "photos", task = "detect", role = "test", size_hw = [48, 48] }
fold-train = { path = "folds/classes", task = "classify", role = "trainval", fold = 0, folds = 2, size_hw = [48, 48] }
fold-test = { path = "folds/classes", task = "classify", role = "test", fold = 0, folds = 2, size_hw = [48, 48] }

[pretraining.boxes]
images = "base"
recipe = "shapes-boxes"
changes = { epochs = 7.5, sampling = { size = 48, quarter_turns = false }, training = { batch_size = 8, lr = 5e-3, \
channels = 16, precision = "fp64" } }

[pretraining.labels]
images = "base"
recipe = "shapes-labels"
early = 0.5
changes = { epochs = 7.5, sampling = { size = 48, quarter_turns = false }, training = { batch_size = 8, lr = 5e-3, \
precision = "fp64" } }

[pretraining.resized]
images = "table"
recipe = "shapes-boxes"
start = "labels"
validation = "val"
changes = { epochs = 3, sampling.size = 48, training = { batch_size = 4, channels = 8, precision = "fp64" } }

[pretraining.chips]
images = "table"
recipe = "shapes-chips"
validation = "val"
changes = { epochs = 1, sampling = { size = 64, negatives = 1, proposal_epochs = 1, \
scales = [{ kind = "longest", value = 96 }] }, inference = [{ kind = "longest", value = 96 }], \
training = { head = "faster-rcnn", batch_size = 4, channels = 8, proposals = 20, rois = 8, precision = "fp64" } }
"""
    + ARMS
    + """
"""
    + task_text(
        "find",
        "detect",
        'name = "d", updates = 60, batch_size = 8, lr = 5e-3, head = "fcos", channels = 16, precision = "fp64"',
        train="photos",
        test="others",
        more='only = ["boxes"]',
    )
    + task_text(
        "paint",
        "segment",
        'name = "s", updates = 20, batch_size = 8, lr = 5e-3, head = "pixel", channels = 16, precision = "fp64"',
        more='only = ["labels"]',
    )
    + task_text("fold", "probe", train="fold-train", test="fold-test", more='only = ["random"]')
    + task_text(
        "cut",
        "detect",
        train="table",
        test="held",
        more="""\
only = ["random"]
own_sizes = "shapes-chips"
changes = { epochs = 4, sampling = { size = 64, scales = [{ kind = "longest", value = 96 }] }, \
inference = [{ kind = "longest", value = 96 }], training = { batch_size = 4, channels = 16, precision = "fp64" } }""",
    )
    + task_text("draw", "probe", train="some", test="some-others", more='only = ["random"]')
    + PROBE_AND_EXPLAIN
    + """
[[why]]
task = "probe"
images = "test"
statistics = "train"
pairs = [["boxes", "labels"]]

[screen]
images = "seen"
most = 24
"""
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    as_coco(drawn_images(folder / "drawn", 48), folder / "photos")
    photo_folder(folder / "folds" / "classes")
    (folder / "golden.toml").write_text(STUDY)
    command = [sys.executable, "-m", "headstart", "run", "golden.toml", "--out", "run", "-q"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return folder / "run" / "store"


def arrays(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Numbers that a job left, by file and name."""
    for path in sorted(folder.iterdir()):
        if path.suffix == ".npy":
            yield path.stem, np.load(path)
        elif path.suffix in (".npz", ".safetensors"):
            if path.suffix == ".safetensors":  # NumPy knows no bfloat16
                named = {name: tensor.double().numpy() for name, tensor in load_file(path).items()}
            else:
                named = dict(np.load(path))
            yield from ((f"{path.stem}/{name}", named[name]) for name in sorted(named))


def measured(folder: Path) -> dict[str, float]:
    """A job's metrics, and of every array the mean size of its numbers, which also depends on their order."""
    values = json.loads((folder / "metrics.json").read_text())
    for name, array in arrays(folder):
        if array.dtype.kind in "fiub" and array.size:
            numbers = np.abs(array.astype(np.float64).ravel())
            numbers[~np.isfinite(numbers)] = 0.0
            values[ARRAYS + name] = float(numbers @ np.linspace(0.5, 1.5, len(numbers)) / len(numbers))
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}


def decision(folder: Path) -> dict[str, float]:
    """What is decided on made-up tests of three arms: one job that no study of one seed has."""
    rng, inputs = np.random.default_rng(0), {}
    for arm, mean in enumerate((0.7, 0.69, 0.4)):
        for seed in range(3):
            inputs[f"arm{arm}_{seed}"] = where = folder / f"{arm}-{seed}"
            where.mkdir(parents=True)
            score = mean + 0.01 * rng.normal()
            write_json(where / "metrics.json", {"seg/miou": score})
            save_arrays(where / "replicates.npz", {"seg/miou": score + 0.01 * rng.normal(size=50)})
    return RUNNERS["decide"](DecideSettings("seg/miou", arms=3, seeds=3, most=5), None, inputs, folder, silent)


def jobs(store: Path) -> dict[str, dict[str, float]]:
    """Kind and label of every job -> what it measured."""
    return {"decide: of three arms": decision(store.parent / "decision")} | {
        f"{path.parent.name.partition('-')[0]}: {json.loads(path.read_text())['label']}": measured(path.parent)
        for path in sorted(store.glob("*/job.json"))
        if path.parent.name.partition("-")[0] not in ALONE  # times are no results
    }


def some(values: dict[str, float]) -> dict[str, float]:
    """At most eight metrics and eight arrays, spread over their names."""
    names = sorted(name for name, value in values.items() if abs(value) > LEAST)
    chosen = []
    for of_arrays in (False, True):
        group = [name for name in names if name.startswith(ARRAYS) == of_arrays]
        chosen += group[:: -(-len(group) // 8) or 1]
    return {name: values[name] for name in chosen}


def test_results_change_only_with_a_version(store: Path) -> None:
    found = jobs(store)
    if os.environ.get("HEADSTART_RECORD_GOLDEN"):
        chosen = {"versions": VERSIONS, "jobs": {label: some(values) for label, values in found.items()}}
        GOLDEN.write_text(json.dumps(chosen, indent=1, sort_keys=True) + "\n")
    golden = json.loads(GOLDEN.read_text())
    assert golden["versions"] == VERSIONS, "versions were raised: record the golden outputs anew"
    assert golden["jobs"].keys() == found.keys()
    for label, values in golden["jobs"].items():
        for name, value in values.items():
            # Other processors round otherwise; a change of what is computed is far larger than this.
            assert found[label].get(name) == pytest.approx(value, rel=0.02), (label, name)


def test_every_kind_of_job_has_values_that_are_not_near_0_by_chance() -> None:
    golden = json.loads(GOLDEN.read_text())["jobs"]
    assert {label.partition(":")[0] for label in golden} == set(RUNNERS) - ALONE == set(VERSIONS) - ALONE
    assert all(values for values in golden.values())
    assert all(abs(value) > LEAST for values in golden.values() for value in values.values())
    right = {name: value for values in golden.values() for name, value in values.items() if "map@" in name}
    assert right and max(right.values()) > 0.02, "detections that are right"
