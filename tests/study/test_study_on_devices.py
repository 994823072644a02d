"""Every kind of job on a pretended device, with the CPU's bits; jobs of a study spread over two of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from headstart.errors import TrainingError
from headstart.store.store import Store
from headstart.study.executors.local import run_jobs
from headstart.study.files import write_study
from headstart.study.jobs import WANTS_GPU, Expansion, Job
from headstart.study.plan import Planner
from headstart.study.plan_summary import plan_summary
from headstart.study.run import planned, run
from headstart.study.runners.table import RUNNERS
from headstart.study.runners.training import transfer
from headstart.tasks.predict import predict_folder
from headstart.train import devices
from headstart.train.devices import Devices, Seat
from support.devices.device_study import differences, done_here, photo_folder, study_of_every_kind, study_that_decides
from support.devices.pretend_device import NAME, pretended
from support.tiny_runners import RUNNERS as TINY_RUNNERS
from support.tiny_runners import Dying

TWO = Devices(NAME, (0, 1))


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return photo_folder(tmp_path_factory.mktemp("devices") / "photos")


@pytest.fixture(scope="module")
def both(photos, tmp_path_factory):
    """The folders of all jobs, done on the CPU and on a pretended device, by their labels."""
    study, root = study_of_every_kind(photos), tmp_path_factory.mktemp("both")
    here, there = {}, {}
    for one in (study, study_that_decides()):
        here |= done_here(one, root / "here", Seat())
        with pretended(1):
            there |= done_here(one, root / "there", Seat(f"{NAME}:1", loaders=1))
    return here, there


def test_every_kind_of_job_has_the_cpu_s_bits_on_a_device(both):
    here, there = both
    kinds = {folder.name.partition("-")[0] for folder in here.values()}
    assert kinds == set(RUNNERS), "a kind of job is not in the study of `support.devices.device_study`: put it there"
    assert here.keys() == there.keys()
    assert {label: d for label in here if (d := differences(here[label], there[label]))} == {}


def test_the_kind_of_device_is_part_of_the_keys_of_what_runs_a_network(both):
    here, there = both
    kept = {label.split(",")[0] for label in here if here[label].name == there[label].name}
    # Of all that need no network, only what has no network before it: draws, splits, prepared sets.
    assert kept == {label for label in here if label.startswith(("draw ", "prepare ", "choose ", "split ", "resize "))}


def test_predictions_are_equal_pixel_by_pixel(both, photos, tmp_path, monkeypatch):
    here, there = both
    images = tmp_path / "images"
    images.mkdir()
    for path in sorted((photos / "odd").iterdir())[:2]:
        (images / path.name).write_bytes(path.read_bytes())
    for label in (label for label in here if ", rate" in label):
        predict_folder(here[label], images, tmp_path / "here", 0.0, say=lambda line: None)
        monkeypatch.setattr(devices, "gpus_there", lambda: {NAME: 2})
        with pretended(0):
            predict_folder(there[label], images, tmp_path / "there", 0.0, say=lambda line: None)
        monkeypatch.undo()
        assert json.loads((tmp_path / "here" / "predictions.json").read_text())
        for path in (tmp_path / "here").iterdir():
            assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes(), (label, path.name)


def test_gpus_train_in_bf16_unless_a_recipe_states_another(photos, tmp_path):
    usual, stated = study_of_every_kind(photos, precision=None), study_of_every_kind(photos)

    def precisions(study, kind):
        jobs = Planner(study, Path(), device=kind).expand(lambda job: None).known
        recipes = [job.settings.recipe for job in jobs if job.kind in ("proposals", "pretrain", "transfer")]
        return {getattr(recipe, "training", recipe).precision for recipe in recipes}

    assert [precisions(usual, "cpu"), precisions(usual, "cuda")] == [{"fp32"}, {"bf16"}]
    assert [precisions(stated, "cpu"), precisions(stated, "cuda")] == [{"fp32"}, {"fp32"}]
    cuda = Devices("cuda", (0, 1))
    out = tmp_path / "none"
    said = plan_summary(stated, out, planned(stated, Path(), out, cuda), cuda).text()
    assert "networks run on: cuda:0, cuda:1; trained in bf16, classify in fp32" in said


def test_memory_that_does_not_suffice_is_no_divergence(photos, both, tmp_path, monkeypatch):
    from headstart.tasks import transfer as training

    def exhausted(*_, **more):
        raise TrainingError("the GPU's memory does not suffice")

    monkeypatch.setattr(training, "fit", exhausted)
    study = study_of_every_kind(photos)
    job = next(j for j in Planner(study, Path()).expand(lambda job: None).known if "val" in j.inputs)
    inputs = {role: both[0][needed.label] for role, needed in job.inputs.items()}
    with pytest.raises(TrainingError, match="memory does not suffice"):
        transfer(job.settings, job.place, inputs, tmp_path, lambda fraction, message: None)


def test_what_runs_out_of_memory_without_training_says_what_it_did(photos, both, tmp_path, monkeypatch):
    from headstart.models.backbones import features as looking

    def exhausted(*_, **more):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(looking, "pooled_features", exhausted)
    job = next(
        j
        for j in Planner(study_of_every_kind(photos), Path()).expand(lambda job: None).known
        if "random" in j.label and j.kind == "features"
    )
    inputs = {role: both[0][needed.label] for role, needed in job.inputs.items()}
    with pytest.raises(TrainingError, match=r"features of images of 48 x 48 pixels \(CUDA out of memory\)"):
        RUNNERS["features"](job.settings, job.place, inputs, tmp_path, lambda fraction, message: None)


def tiny_study(store, jobs):
    ready = [job for job in jobs if store.find(job.name, job.key) is None]
    return Expansion(jobs, ready, not ready)


def test_jobs_that_want_a_gpu_spread_over_all_and_the_others_stay_on_the_cpu(tmp_path, monkeypatch):
    assert set(RUNNERS) >= WANTS_GPU
    store = Store(tmp_path)
    jobs = [Job("features", {"number": n}, label=f"features {n}") for n in range(4)]
    jobs += [Job("probe", {"number": n}, label=f"probe {n}") for n in range(2)]
    outcome = run_jobs(
        lambda: tiny_study(store, jobs),
        store,
        1,
        1,
        on_event=lambda event: None,
        runners="support.tiny_runners:SEATED",
        devices=TWO,
    )
    assert (outcome.finished, outcome.failed) == (6, [])
    seats = {job.label: json.loads((store.path(job.name) / "metrics.json").read_text()) for job in jobs}
    assert {seats[f"features {n}"]["device"] for n in range(4)} == {"pretend:0", "pretend:1"}
    assert {seats[f"probe {n}"]["device"] for n in range(2)} == {"cpu"}
    assert len({facts["pid"] for facts in seats.values()}) == 3, "one process a GPU, one on the CPU"
    assert all((facts["loaders"] > 0) == (facts["device"] != "cpu") for facts in seats.values())
    log = (tmp_path / "log.txt").read_text()
    assert "(features 0) on pretend:" in log


def test_a_job_that_kills_its_gpu_worker_is_tried_again_alone(tmp_path):
    store, events = Store(tmp_path), []
    fragile = Job("transfer", Dying(1), label="fragile", cost=9)
    fatal = Job("evaluate", Dying(9), label="fatal", cost=8)
    jobs = [fragile, fatal, *(Job("probe", {"number": n}, label=f"probe {n}") for n in range(2))]

    def next_jobs():
        return tiny_study(store, jobs)

    outcome = run_jobs(
        next_jobs, store, 2, 1, on_event=events.append, runners="support.tiny_runners:SEATED", devices=TWO
    )
    assert outcome.finished == 3
    assert [label for label, _ in outcome.failed] == ["fatal"]
    assert "died when tried again alone, too" in outcome.failed[0][1]
    assert {e.job.label for e in events if e.what == "retried"} == {"fragile", "fatal"}


def test_of_the_tiny_runners_only_one_that_saves_its_state_and_one_that_is_timed_want_a_gpu():
    assert WANTS_GPU & set(TINY_RUNNERS) == {"transfer", "time"}


@pytest.mark.slow
def test_a_study_on_two_pretended_devices_says_what_it_says_on_the_cpu(photos, tmp_path, monkeypatch):
    study = study_of_every_kind(photos, seeds=(0, 1))
    source = tmp_path / "study.toml"
    write_study(study, source, "every kind of job")
    tests = Path(__file__).parents[1]
    paths = [str(tests / "support" / "devices" / "site"), str(tests), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    runs = {}
    for name, where in (("there", TWO), ("here", Devices())):
        runs[name] = run(
            study, source, tmp_path, tmp_path / name, on_event=lambda event: None, workers=1, devices=where
        )
        assert runs[name].outcome.complete, runs[name].outcome.failed
    started = [line for line in (tmp_path / "there" / "log.txt").read_text().splitlines() if " started " in line]
    assert {line.rpartition(" on ")[2] for line in started if " on pretend:" in line} == {"pretend:0", "pretend:1"}
    assert all((" on pretend:" in line) == (line.split()[2].partition("-")[0] in WANTS_GPU) for line in started)
    assert _without_names(runs["there"].summary) == _without_names(runs["here"].summary)
    environment = json.loads((tmp_path / "there" / "env.json").read_text())
    assert (environment["device"], environment["precision"][:4]) == ("pretend:0, pretend:1", "bf16")


def _without_names(value):
    """A summary without the names of jobs, which hold the kind of device, and without times."""
    if isinstance(value, dict):
        named = ("key", "keys", "dir", "dirs", "time")
        return {k: _without_names(v) for k, v in value.items() if k.rpartition("_")[2] not in named}
    return [_without_names(v) for v in value] if isinstance(value, list) else value


@pytest.mark.gpu
def test_every_kind_of_job_runs_on_a_real_gpu(photos, tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    here = done_here(study_of_every_kind(photos), tmp_path / "here", Seat())
    there = done_here(study_of_every_kind(photos), tmp_path / "there", Seat("cuda:0", loaders=2))
    done_here(study_of_every_kind(photos, precision=None), tmp_path / "bf16", Seat("cuda:0", loaders=2))
    for label in (label for label in here if label.startswith("features of test from random")):
        one, other = (json.loads((runs[label] / "metrics.json").read_text()) for runs in (here, there))
        assert one == other
    for label in here:
        one, other = (set(json.loads((runs[label] / "metrics.json").read_text())) for runs in (here, there))
        assert one == other, label
