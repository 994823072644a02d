"""`headstart pretrain` as its user meets it: what it writes, stopped, killed, gone on with, refused."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from headstart import api
from headstart.errors import DataError, Interrupted, TrainingError, UsageError, WeightsError
from headstart.processes import ask_to_stop
from headstart.recipes.changes import changed_recipe
from headstart.recipes.pretraining import PretrainingOptions, load_recipe
from headstart.weights import native
from headstart.weights.commands import verify
from support.drawn_layouts import as_coco, drawn_images
from support.pretrain_tiny import CHANGES, options
from support.together import run_two

PROGRAM = Path(__file__).parents[1] / "support" / "pretrain_tiny.py"
ENVIRONMENT = os.environ | {
    "HEADSTART_SAVE_SECONDS": "0",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join(filter(None, [str(PROGRAM.parents[1]), os.environ.get("PYTHONPATH")])),
}


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the finished job, in the store of its run."""
    out = tmp_path_factory.mktemp("finished") / "out"
    return api.pretrain(data, "shapes-chips", options(out), changes=CHANGES).folder


def run_of(folder: Path) -> Path:
    return folder.parents[1]


def folder_in(run: Path) -> Path:
    """Of the one finished pre-training of a run."""
    (folder,) = (run / "store").glob("pretrain-*")
    return folder


def state_of(run: Path) -> Path:
    """The state of the one training that is under way in a run."""
    return next(run.glob("partial/pretrain-*/resume/state.safetensors"), run / "none")


def test_it_leaves_weights_with_their_facts_and_a_model_to_use(finished: Path, data: Path, tmp_path: Path) -> None:
    assert {p.name for p in finished.iterdir()} == {
        "backbone.safetensors",
        "best",
        "checkpoints.json",
        "curve.npz",
        "digests.json",
        "job.json",
        "metrics.json",
        "model",
    }
    facts = native.read_facts(finished / "backbone.safetensors")
    assert facts.name == "shapes-chips" and facts.backbone == "shapes-resnet"
    assert facts.provenance["recipe"]["name"] == "shapes-chips"
    for uri in (f"file:{finished}", f"run:{run_of(finished)}", f"run:{run_of(finished)}#shapes-chips/1"):
        assert "fingerprint" in " ".join(verify(uri).checks)
    metrics = json.loads((finished / "metrics.json").read_text())
    assert facts.lineage == [f"coco boxes (160 px, {metrics['train/images_seen']:,.0f} images seen)"]
    with np.load(finished / "curve.npz") as curve:
        assert len(curve["loss"]) == metrics["train/updates"] and (curve["number_of_positives"] > 0).all()
        assert np.allclose(curve["loss"], curve["classes"] + curve["boxes"] + curve["centerness"])
    taken = json.loads((finished / "checkpoints.json").read_text())
    assert [t["update"] for t in taken] == [metrics["train/updates"] // 2, metrics["train/updates"]]
    best = max(taken, key=lambda t: t["det/voc-area/map@0.5"])
    assert {k.removeprefix("best/"): v for k, v in metrics.items() if k.startswith("best/")} == best
    assert api.describe_weights(run_of(finished)).name == "shapes-chips"
    found = api.predict(run_of(finished), data / "val2017", tmp_path / "p", 0.01)
    assert found.count == 3 and not found.failed


def test_the_same_command_again_does_nothing_and_another_is_refused(finished: Path, data: Path) -> None:
    run = run_of(finished)
    before = {p: p.stat().st_mtime_ns for p in run.rglob("*")}
    again = api.pretrain(data, "shapes-chips", options(run), changes=CHANGES)
    assert again.lines[0] == "nothing to do: it was finished before" and again.folder == finished
    with pytest.raises(UsageError) as refused:
        api.pretrain(data, "shapes-chips", options(run), changes=[*CHANGES, "training.lr=0.001", "sampling.window=32"])
    assert "training.lr: was 0.004, is 0.001" in str(refused.value) and "sampling.window: was 16" in str(refused.value)
    assert "another --out" in str(refused.value) and "expected" not in str(refused.value)

    def but_lock(times: dict) -> dict:
        return {p: t for p, t in times.items() if p.name != ".lock"}

    assert but_lock(before) == but_lock({p: p.stat().st_mtime_ns for p in run.rglob("*")})


def test_it_starts_from_a_run_by_its_path(finished: Path, data: Path, tmp_path: Path) -> None:
    asked = replace(options(tmp_path / "next"), weights=str(run_of(finished)), dry_run=True)
    assert (
        "start: shapes-chips; backbone shapes-resnet"
        in api.pretrain(data, "shapes-chips", asked, changes=CHANGES).lines
    )


def stops_at(update: int):
    """Asks the training to stop once it has told of that update."""

    def progress(fraction: float, message: str) -> None:
        if message.startswith("update ") and int(message.split()[1].split("/")[0]) >= update:
            ask_to_stop()

    return progress


def test_stopped_it_saves_and_goes_on_to_the_same_bits(finished: Path, data: Path, tmp_path: Path) -> None:
    for update in (1, 2):
        with pytest.raises(Interrupted, match=r"stopped after update \d+ of \d+; the same command goes on"):
            api.pretrain(data, "shapes-chips", options(tmp_path), changes=CHANGES, progress=stops_at(update))
    done = api.pretrain(data, "shapes-chips", options(tmp_path), changes=CHANGES)
    for name in ("backbone.safetensors", "model/head.safetensors"):
        a, b = load_file(finished / name), load_file(done.folder / name)
        assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    assert (done.folder / "metrics.json").read_text() == (finished / "metrics.json").read_text()
    assert (tmp_path / "metrics.json").read_text() == (run_of(finished) / "metrics.json").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("loaders", [0, 1, 4])
def test_killed_at_three_random_updates_it_ends_in_the_same_bits(
    finished: Path, data: Path, tmp_path: Path, loaders: int
) -> None:
    """SIGKILL, with the processes that make batches; the state is saved after every update."""
    last = int(json.loads((finished / "metrics.json").read_text())["train/updates"])
    command = [sys.executable, str(PROGRAM), str(data), str(tmp_path), str(loaders)]
    for at in sorted(random.Random(loaders).sample(range(2, last - 2), 3)):
        process = subprocess.Popen(command, env=ENVIRONMENT, start_new_session=True, stdout=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and process.poll() is None and step_of(state_of(tmp_path)) < at:
            time.sleep(0.005)
        assert process.poll() is None, process.stdout and process.stdout.read()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert step_of(state_of(tmp_path)) >= at
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "metrics.json").read_text() == (run_of(finished) / "metrics.json").read_text()
    a, b = load_file(finished / "backbone.safetensors"), load_file(folder_in(tmp_path) / "backbone.safetensors")
    assert all(torch.equal(a[k], b[k]) for k in a)


def step_of(state: Path) -> int:
    from headstart.train.state import read_facts

    try:
        return int(read_facts(state)["step"])
    except Exception:
        return 0


def test_sigterm_ends_with_130_and_a_state(data: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "headstart",
        "pretrain",
        str(data),
        "-r",
        "shapes-chips",
        "--out",
        str(tmp_path / "o"),
        "--loaders",
        "1",
        "--threads",
        "1",
        "--set",
        "epochs=4000",
        "--set",
        "training.batch_size=2",
    ]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    # Saved by time only every ten minutes: what is there after SIGTERM was saved because of it.
    while time.monotonic() < deadline and process.poll() is None and not (tmp_path / "o" / "study.json").exists():
        time.sleep(0.02)
    time.sleep(3)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "the same command goes on there" in err and step_of(state_of(tmp_path / "o")) > 0 and "Traceback" not in err


def test_a_vanished_image_ends_it_with_a_state_it_can_go_on_from(finished: Path, tmp_path: Path) -> None:
    data = as_coco(drawn_images(tmp_path / "images", 12), tmp_path / "coco")
    image = data / "train2017" / "base-000004.png"
    kept = image.read_bytes()

    def progress(fraction: float, message: str) -> None:
        if message.startswith("update 1/"):
            image.unlink(missing_ok=True)

    out = tmp_path / "out"
    with pytest.raises(DataError, match=r"base-000004\.png: there is no such file\. Put it back"):
        api.pretrain(data, "shapes-chips", options(out), changes=CHANGES, progress=progress)
    assert step_of(state_of(out)) >= 1
    image.write_bytes(kept)
    done = api.pretrain(data, "shapes-chips", options(out), changes=CHANGES)
    a, b = load_file(finished / "backbone.safetensors"), load_file(done.weights)
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_a_loss_that_is_not_finite_names_its_images(data: Path, tmp_path: Path) -> None:
    changes = [*CHANGES, "training.lr=1e30", "training.clip_norm=1e30", "training.optimizer=sgd", "training.warmup=0"]
    with pytest.raises(TrainingError, match=r"update \d+: the loss .* is not finite at rate 1e\+30.*Lower the rate"):
        api.pretrain(data, "shapes-chips", options(tmp_path), changes=changes)
    noted = json.loads(next(tmp_path.glob("partial/pretrain-*/resume/not_finite.json")).read_text())
    assert noted["update"] >= 1 and len(noted["images"]) == 4


def test_a_full_disk_is_said_and_loses_nothing(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from headstart.train import state

    write, count = state.save_tensors, iter(range(100))

    def full(path: Path, tensors: dict, facts: dict | None = None) -> None:
        if path.name == state.STATE and next(count) == 1:
            raise OSError(28, "No space left on device", str(path))
        write(path, tensors, facts)

    monkeypatch.setattr(state, "save_tensors", full)
    with pytest.raises(TrainingError, match=r"could not be written \(.*No space left.*Make room on the disk"):
        api.pretrain(data, "shapes-chips", options(tmp_path), changes=[*CHANGES, "checkpoint_epochs=0.5"])
    api.pretrain(data, "shapes-chips", options(tmp_path), changes=[*CHANGES, "checkpoint_epochs=0.5"])
    assert (tmp_path / "metrics.json").is_file()


@pytest.mark.slow
def test_two_processes_pretrain_on_chips_as_one(data: Path, tmp_path: Path) -> None:
    """float64 and group norm, so that only the order of sums differs."""
    changes = ("training.precision=fp64", "training.batch_norm=group", "epochs=2", "checkpoint_epochs=1")
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(data), str(tmp_path / "one"), "0", *changes],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    run_two(PROGRAM, data, tmp_path / "two", 0, *changes, env=ENVIRONMENT)
    one, two = (load_file(folder_in(tmp_path / name) / "model" / "head.safetensors") for name in ("one", "two"))
    assert all(v.dtype == torch.float64 for v in one.values())
    assert max(float((one[k] - two[k]).abs().max()) for k in one) < 1e-10
    taken = [json.loads((folder_in(tmp_path / name) / "checkpoints.json").read_text()) for name in ("one", "two")]
    assert taken[0] == taken[1]


def test_labels_of_a_recipe_of_boxes_see_as_many_pixels(data: Path, tmp_path: Path) -> None:
    done = [
        api.pretrain(data, "shapes-chips", options(tmp_path / by, val=""), by, changes=["epochs=1"])  # type: ignore[arg-type]
        for by in ("boxes", "labels")
    ]
    assert done[0].metrics["train/updates"] == done[1].metrics["train/updates"]
    assert done[0].metrics["train/images_seen"] == done[1].metrics["train/images_seen"]
    recipe = load_recipe("shapes-chips").by("labels")
    assert recipe.sampling.size == 160 and recipe.training.head == "linear"


def test_a_short_training_of_proposals_makes_negative_chips(data: Path, tmp_path: Path) -> None:
    changes = [
        "training.head=faster-rcnn",
        "training.channels=16",
        "training.proposals=40",
        "training.rois=16",
        "training.batch_size=4",
        "sampling.negatives=2",
        "sampling.proposal_epochs=1",
        "epochs=1",
    ]
    first = api.pretrain(data, "shapes-chips", options(tmp_path / "a", val=""), changes=changes)
    (made,) = (tmp_path / "a" / "store").glob("proposals-*")
    assert (made / "proposals.parquet").is_file() and first.metrics["train/number_of_positives"] > 0
    looked = options(tmp_path / "a", val="")
    page = api.show_chips(data, "shapes-chips", tmp_path / "a.html", looked, supervision=None, changes=changes)
    assert "negative chip N" in page.read_text() and "at most 2 negative chips" not in page.read_text()
    given = options(tmp_path / "b", proposals=made / "proposals.parquet", val="")
    second = api.pretrain(data, "shapes-chips", given, changes=changes)
    assert not list((tmp_path / "b" / "store").glob("proposals-*"))
    assert second.metrics == first.metrics


@pytest.mark.parametrize(
    "changes, by, words",
    [
        (
            ["training.lrr=1"],
            None,
            r"lrr=1: 1 fault.*\n  training.lrr: head .fcos. has no such setting; did you mean `lr`",
        ),
        (["training.head=linear"], None, r"'linear' is not trained by boxes; use fcos or retinanet or faster-rcnn"),
        (["sampling.scales=[]"], None, r"sampling.scales: at least one scale is needed"),
        (
            ["training.quarter_turns=true"],
            None,
            r"training.quarter_turns: .*`sampling.quarter_turns`, which",
        ),
        (["training.updates=7"], None, r"training.updates: .*they follow from the recipe's `epochs`"),
        (["epochs"], None, r"write KEY=VALUE"),
        (["epochs.more=1"], None, r"epochs is a value, not a table"),
        (["training.lr=fast"], None, r"lr"),
    ],
)
def test_changes_of_a_recipe_that_cannot_be(changes: list[str], by: None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        changed_recipe("shapes-chips", by, changes)


def test_recipes_and_data_that_do_not_go_together(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"sniper-cocoa: no such recipe.*Did you mean sniper-coco\?"):
        load_recipe("sniper-cocoa")
    with pytest.raises(UsageError, match=r"trains by labels and has no detector.*sniper-coco"):
        changed_recipe("imagenet-classification", "boxes", ())
    folders = tmp_path / "photos"
    for name in ("cat", "dog"):
        (folders / "train" / name).mkdir(parents=True)
        (folders / "train" / name / "1.png").write_bytes((data / "val2017" / "base-000009.png").read_bytes())
    with pytest.raises(DataError, match=r"photos: read as class-folders, it has no boxes.*--supervision labels"):
        api.pretrain(folders, "sniper-coco", options(tmp_path / "o"))
    with pytest.raises(DataError, match=r"it has no split 'tune'\. It has: train, val"):
        api.pretrain(data, "shapes-boxes", options(tmp_path / "o", split=("tune",)))
    with pytest.raises(DataError, match=r"none of \d+ boxes is in the range of a scale.*Choose a recipe"):
        scales = 'sampling.scales=[{kind="factor", value=1.0, lo=5000}]'
        api.pretrain(data, "shapes-chips", options(tmp_path / "o"), changes=[scales])
    with pytest.raises(WeightsError, match=r"it freezes stem, C2, which would stay random"):
        frozen = [
            "backbone=resnet18",
            "weights=",
            "training.batch_norm=train",
            "sampling.scales=[{kind='longest',value=64}]",
        ]
        api.pretrain(data, "faster-rcnn-fpn-1x", options(tmp_path / "o"), changes=frozen)
    classes = json.loads((data / "annotations" / "instances_train2017.json").read_text())
    classes["categories"].append({"id": 99, "name": "unicorn"})
    with_class = tmp_path / "more"
    (with_class / "annotations").mkdir(parents=True)
    (with_class / "train2017").symlink_to(data / "train2017")
    (with_class / "annotations" / "instances_train2017.json").write_text(json.dumps(classes))
    with pytest.raises(DataError, match=r"1 of \d+ classes have no box to train on: unicorn.*--on-empty-class skip"):
        api.pretrain(with_class, "shapes-boxes", options(tmp_path / "o"))
    planned = api.pretrain(with_class, "shapes-boxes", options(tmp_path / "o", on_empty_class="skip", dry_run=True))
    assert any("classes; none to evaluate on" in line for line in planned.lines)
    assert planned.lines[-1].startswith("expected: probe/logistic/top1 0.780, standard deviation 0.009 over 3 seeds (")


def test_a_killed_process_that_makes_batches_is_said_and_loses_nothing(
    finished: Path, data: Path, tmp_path: Path
) -> None:
    """SIGKILL to one of them, as a system out of memory does it."""
    import multiprocessing

    def progress(fraction: float, message: str) -> None:
        if message.startswith("update 1/"):
            for process in multiprocessing.active_children()[:1]:
                os.kill(process.pid or 0, signal.SIGKILL)

    given = PretrainingOptions(out=tmp_path, seed=1, loaders=2, threads=1)
    with pytest.raises(TrainingError, match=r"a process that makes batches ended unexpectedly.*with fewer --loaders"):
        api.pretrain(data, "shapes-chips", given, changes=CHANGES, progress=progress)
    assert step_of(state_of(tmp_path)) >= 1
    done = api.pretrain(data, "shapes-chips", options(tmp_path), changes=CHANGES)
    a, b = load_file(finished / "backbone.safetensors"), load_file(done.weights)
    assert all(torch.equal(a[k], b[k]) for k in a)
