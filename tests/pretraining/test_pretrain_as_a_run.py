"""`headstart pretrain` has what every run has: a shared store, events, a cluster, or says why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart import api
from headstart.errors import UsageError
from headstart.study.executors.cluster import placed
from headstart.study.executors.curves import last_updates
from headstart.study.executors.telling import Line
from support.pretrain_tiny import options

SHORT = ("epochs=0.5", "sampling.size=48", "training.batch_size=4", "training.channels=8")


def pretrain(data: Path, out: Path, **more: Any) -> Any:
    asked = options(out, device="cpu", **more)
    return api.pretrain(data, "shapes-boxes", asked, changes=SHORT, quiet=True)


def test_two_runs_of_a_store_train_once_and_tell_what_happens(data: Path, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    first = pretrain(data, tmp_path / "first", store=tmp_path / "shared", events=events, tensorboard=True)
    made = len(events.read_text().splitlines())
    second = pretrain(data, tmp_path / "second", store=tmp_path / "shared", events=events)
    assert second.weights.resolve() == first.weights.resolve()
    assert tmp_path / "shared" in first.weights.resolve().parents
    assert second.folder == tmp_path / "second" / "store" / first.folder.name and second.folder.is_symlink()
    assert second.lines[0] == "nothing to do: another run of the store has finished it"
    assert second.metrics == first.metrics and (tmp_path / "second" / "metrics.json").is_file()
    lines = [Line(**json.loads(line)) for line in events.read_text().splitlines()]
    told, again = lines[:made], lines[made:]
    assert [line.event for line in told if line.event != "progress"][-4:] == ["started", "finished", "known", "ended"]
    assert {line.job for line in told if line.event == "finished"} >= {first.folder.name}
    assert [(line.event, line.message) for line in again if line.event != "known"] == [("ended", "complete")]
    assert again[0].known == again[0].done == told[-2].known
    (curves,) = (tmp_path / "first" / "tensorboard").glob(f"*({first.folder.name})/events*")
    with np.load(first.folder / "curve.npz") as curve:
        assert last_updates(curves.parent)["loss"] == len(curve["loss"]) == first.metrics["train/updates"]
    assert not (tmp_path / "second" / "tensorboard").exists()


def test_a_third_run_goes_on_in_the_store_that_it_began_with(data: Path, tmp_path: Path) -> None:
    pretrain(data, tmp_path / "run", store=tmp_path / "shared")
    again = pretrain(data, tmp_path / "run")
    assert again.lines[0] == "nothing to do: it was finished before"


def test_an_address_goes_with_ray(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--address goes with --executor ray"):
        pretrain(data, tmp_path / "run", address="auto")
    assert not (tmp_path / "run").exists()


def test_torchrun_and_a_cluster_are_one_too_many(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="torchrun has started processes already"):
        pretrain(data, tmp_path / "run", executor="ray")


@pytest.mark.ray
def test_on_a_cluster_it_makes_the_same_weights(data: Path, tmp_path: Path) -> None:
    """By two processes, here and there."""
    here = pretrain(data, tmp_path / "here", processes=2)
    with placed("ray", None, "cpu", threads=1, workers=1, processes=2):  # once, since it takes seconds to start
        there, again = (pretrain(data, tmp_path / "there", executor="ray", processes=2) for _ in range(2))
    assert there.weights.read_bytes() == here.weights.read_bytes() and there.weights != here.weights
    assert there.folder.name == here.folder.name
    assert again.lines[0] == "nothing to do: it was finished before"
