"""What the planner says of kinds, devices and places: a moved study has the keys that it had."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from headstart.config.study import Study
from headstart.models.backbones.building import build_backbone
from headstart.study.jobs import Job
from headstart.study.plan import Planner
from support.drawn_layouts import as_coco, drawn_images
from support.small_studies import CARD, drawn, photos, planner

KINDS = {
    "draw": "draw",
    "pre-train": "pretrain",
    "find": "transfer",
    "test": "evaluate",
    "features": "features",
    "probe": "probe",
    "neighbors,": "neighbors",
    "activation": "activations",
    "composition,": "composition",
    "time": "time",
}
"""First word of a label -> kind of job."""
NETWORK = """\
from headstart.models.backbones.building import build_backbone


def mine():
    return build_backbone("shapes-resnet")
"""


def everything(job: Job) -> dict[str, float | None]:
    return {"val/det/coco/map@0.5:0.95": -abs(job.settings.recipe.lr - 3e-3)} if job.kind == "transfer" else {}


def test_jobs_are_of_their_kind() -> None:
    jobs = planner(drawn()).expand(everything).known
    assert [job.kind for job in jobs] == [KINDS[job.label.split()[0]] for job in jobs]
    assert {job.kind for job in jobs} == set(KINDS.values())


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_kind_of_device_is_told_to_all_that_run_networks(device: str) -> None:
    study = Study.model_validate(drawn())
    jobs = Planner(study, Path(), device=device).expand(everything).known
    told = {job.kind: job.settings.device for job in jobs if hasattr(job.settings, "device")}
    assert told.keys() == {"pretrain", "transfer", "evaluate", "features", "activations", "time"}
    assert set(told.values()) == {device}


def test_starts_say_where_they_are_found(tmp_path: Path) -> None:
    values = drawn() | {"seeds": [5]}
    jobs = {job.label: job for job in planner(values, tmp_path, offline=True).expand(everything).known}
    made = jobs["features of test from boxes, seed 5"].place
    assert (made.base, made.spec, made.offline) == (str(tmp_path), None, True)
    there = jobs["features of test from random, seed 5"].place
    assert (there.base, there.spec.uri, there.offline) == (str(tmp_path), "random:shapes-resnet", True)
    identity = jobs["features of test from random, seed 5"].settings.weights.identity
    assert (identity["kind"], identity["backbone"]) == ("random", "shapes-resnet")
    assert jobs["activation maps, seed 5"].place == {
        "boxes": made,
        "labels": jobs["features of test from labels, seed 5"].place,
        "random": there,
    }


def test_a_users_network_is_its_function_and_its_bytes_wherever_the_file_lies(tmp_path: Path) -> None:
    keys = []
    for name in ("one", "two", "three"):
        (tmp_path / name / "nets").mkdir(parents=True)
        (tmp_path / name / "nets" / "net.py").write_text(NETWORK + ("# another\n" if name == "three" else ""))
        made = planner(drawn() | {"backbone": "nets/net.py:mine"}, tmp_path / name)
        facts = made.origins.job("boxes", 5).settings.weights.identity
        assert facts["backbone"] == "mine" and len(facts["backbone_digest"]) >= 16
        keys.append([job.key for job in made.expand(everything).known if job.kind == "pretrain"])
    assert keys[0] == keys[1] and not set(keys[0]) & set(keys[2])
    plain = planner(drawn()).origins.job("boxes", 5).settings.weights.identity
    assert (plain["backbone"], plain["backbone_digest"]) == ("shapes-resnet", "")


def test_a_card_is_found_from_the_studys_folder_and_looked_at_once(tmp_path: Path) -> None:
    torch.manual_seed(1)
    save_file(dict(build_backbone("shapes-resnet").state_dict()), tmp_path / "weights.safetensors")
    (tmp_path / "card.toml").write_text(CARD)
    plan = planner(photos(), tmp_path)
    entry = plan.study.weights[0].model_copy(update={"uri": "card.toml"})
    spec = plan.jobs.spec(entry)
    assert spec.lineage == ("ImageNet-1k labels",)
    (tmp_path / "card.toml").unlink()
    assert plan.jobs.spec(entry) is spec
    settings, inputs, place = plan.jobs.start(entry, 3)
    assert settings.identity == spec.identity() and settings.seed is None and inputs == {} and place.spec is spec


def test_a_moved_data_set_has_the_keys_that_it_had(tmp_path: Path) -> None:
    as_coco(drawn_images(tmp_path / "drawn", 16), tmp_path / "here" / "photos")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    here, there = (planner(photos(), tmp_path / name).expand(lambda job: None).known for name in ("here", "there"))
    assert [job.key for job in here] == [job.key for job in there]
    assert [job.place.root for job in (here[0], there[0])] == [str(tmp_path / n / "photos") for n in ("here", "there")]
    named = planner(photos(format="coco"), tmp_path / "here")
    assert named.expand(lambda job: None).known[0].place.format == "coco"


def test_a_network_is_timed_once_for_all_that_have_it() -> None:
    """Three candidates of one architecture, whose tests are of two sizes."""
    time_of_48 = "time of shapes-resnet at 48 x 48 pixels"
    values = drawn()
    values["sets"]["large"] = {"world": "novel", "count": 10, "first": 66, "size": 64}
    values["tasks"].append(values["tasks"][1] | {"name": "probe-large", "test": ["large"]})
    plan = planner(values).expand(everything)
    assert [job.label for job in plan.known if job.kind == "time"] == [time_of_48, time_of_48.replace("48", "64")]
    assert {plan.times[name, "probe"].key for name in ("boxes", "labels", "random")} == {
        plan.times["boxes", "find"].key
    }
    assert plan.times["boxes", "probe-large"].label == time_of_48.replace("48", "64")
    assert not any(job.inputs for job in plan.times.values())
    threads = planner(values | {"threads": 1}).expand(everything)
    assert threads.times["boxes", "find"].key != plan.times["boxes", "find"].key
