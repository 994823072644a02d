"""`compare`: from a folder and some weights to a study, its ranking, and a model that predicts."""

import json
import re
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from headstart import api
from headstart.errors import DataError, StudyError, UsageError, WeightsError
from headstart.models.backbones.building import build_backbone
from headstart.readers.formats import open_dataset
from headstart.study import compare
from headstart.study.compare import Effort, choose_tasks, comparison
from headstart.study.files import load_study
from headstart.tasks.table import trained_tasks
from headstart.weights.cards import resolve
from headstart.weights.detectors.facts import DetectorFacts
from support.miniatures import image, make_index_masks, mask, voc_folder
from support.small_studies import CARD


@pytest.fixture(scope="module")
def card(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(1)
    save_file(dict(build_backbone("shapes-resnet").state_dict()), folder / "weights.safetensors")
    (folder / "card.toml").write_text(CARD)
    return folder / "card.toml"


@pytest.fixture
def tiny_effort(monkeypatch):
    monkeypatch.setitem(compare.EFFORTS, "quick", Effort(seeds=2, pixels=64 * 64, search="first"))
    monkeypatch.setattr(compare, "LONGEST", 1)
    for task in trained_tasks().values():
        monkeypatch.setattr(task, "updates", {"quick": 3})


def test_compare_ranks_writes_its_study_and_leaves_a_model(tmp_path, card, tiny_effort, capsys):
    data = voc_folder(tmp_path / "cells", 24, {"train": range(12), "val": range(12, 16), "test": range(16, 24)})
    uris = [str(card), "random:shapes-resnet"]
    plan = api.plan_comparison(data, uris, seeds=3, budget="quick", out=tmp_path / "run", quiet=True)
    assert (plan.weights, plan.tasks, plan.seeds, plan.done, plan.foreseen[0].test_images) == (2, 1, 3, 0, 8)
    assert plan.out == tmp_path / "run" and not plan.out.exists(), "a plan writes nothing"
    of, (count, seconds) = plan.trainings, plan.jobs["transfer"]
    told = re.search(
        r"about ([\d.]+) CPU minutes \(([\d.]+) if .*, ([\d.]+) if all are run, ([\d.]+) if all go", plan.text()
    )
    all_on = of.most * 3 + of.searching  # 3 updates for 1
    counts = (of.middle, of.least, of.all_run, all_on)
    assert [float(n) for n in told.groups()] == pytest.approx([n * seconds / count / 60 for n in counts], abs=0.051)
    done = api.compare(data, uris, seeds=3, budget="quick", out=tmp_path / "run", quiet=True)
    assert done.failed == []
    summary = json.loads((tmp_path / "run" / "metrics.json").read_text())
    first = summary["rankings"][0]
    assert (first["task"], first["metric"], first["test_images"]) == ("detect", "det/voc-area/map@0.5", 8)
    assert first["default"] == "pretrained"
    assert {row["weights"] for row in first["rows"]} == {"pretrained", "random-shapes-resnet"}
    rates = {lr for trial in summary["trials"] for lr in trial["lr"]}
    spent = first["sequential"]["spent"]
    assert len(summary["trials"]) == sum(spent.values()) and set(spent.values()) <= {2, 3} and rates
    assert first["sequential"]["trainings"] == 6 and first["sequential"]["not_run"] == 6 - sum(spent.values())
    assert len(list((tmp_path / "run" / "store").glob("decide-*"))) == 1
    searched = list((tmp_path / "run" / "store").glob("transfer-*"))
    assert len(searched) >= 2 * 3 + 2, "three rates for each candidate with the first seed, one with the second"
    text_of = (tmp_path / "run" / "metrics.json").read_text()
    assert str(tmp_path) not in text_of
    told = " ".join(" ".join(done.lines).split())
    assert f"{first['sequential']['not_run']} of 6 trainings not run" in told and "held fixed over seeds" in told
    assert "cheapest adequate choice" in told or "not shown to be worse" in told
    assert len(list((tmp_path / "run" / "store").glob("time-*"))) == 1, "two candidates of one architecture and size"
    times = re.findall(r"GFLOPs, ([\d.]+) ms", " ".join(" ".join(done.lines).partition(" best: ")[0].split()))
    assert len(times) == 2 and len(set(times)) == 1
    assert "   ms an image: 64 x 64 pixels in batches of 8 on the CPU, 1 thread; median of 7" in done.lines
    assert done.rankings[0].text().splitlines()[:4] == done.lines[:4]
    assert all("at_edge" in row and row["behind_at_most"] is not None for row in first["rows"])

    study, _ = load_study(str(tmp_path / "run"))
    assert study.name == "compare-cells"
    [pair] = summary["pairs"]
    assert {pair["a"], pair["b"]} == {"pretrained", "random-shapes-resnet"} and pair["a"] == first["best"]
    assert pair["outcomes"]["images/scored"] <= 8 and pair["effects"]["imbalance/n_images"][0] == 8
    value, lo, hi = pair["effects"]["auroc/standardized/a_less_b"]
    assert lo <= value <= hi and f"why: {pair['a']} against {pair['b']} (detect)" in done.lines
    again = api.compare(data, uris, seeds=3, budget="quick", out=tmp_path / "run", quiet=True)
    assert again.done_already
    plan = api.plan_comparison(data, uris, seeds=3, budget="quick", out=tmp_path / "run", quiet=True)
    assert plan.done == plan.known > 0, "a plan is of the very jobs that a comparison runs"
    for others in ([*uris[:1], str(card)], uris):
        with pytest.raises(StudyError, match="holds a different study"):
            api.compare(data, others, seeds=3, budget="quick", full=True, out=tmp_path / "run", quiet=True)

    assert f"   its model: headstart predict {tmp_path / 'run'} IMAGES" in done.lines
    capsys.readouterr()
    found = api.predict(tmp_path / "run", data / "JPEGImages", tmp_path / "seen", threshold=0.0)
    assert (found.count, found.failed) == (24, [])
    best = next(t for t in summary["trials"] if t["weights"] == first["best"])
    model = tmp_path / "run" / "store" / best["transfer_keys"][0]
    assert f"model: detect from {first['best']}, seed 0: {model}" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"no model of a task 'segment'\. Models were trained for: detect\."):
        api.predict(tmp_path / "run", data / "JPEGImages", task="segment")
    with pytest.raises(UsageError, match=r"is one model; --task chooses among those of a run directory"):
        api.predict(model, data / "JPEGImages", task="detect")
    assert Image.open(tmp_path / "seen" / "000.png").size == (64, 64)
    records = json.loads((tmp_path / "seen" / "predictions.json").read_text())
    assert {r["category"] for r in records} <= {"disc", "ring"} and records[0]["image"] == "000.png"
    (data / "JPEGImages" / "torn.png").write_bytes(b"\x89PNG torn")
    found = api.predict(model, data / "JPEGImages", tmp_path / "seen", threshold=0.5)
    assert found.count == 24 and "torn.png" in found.failed[0][0]


def test_explanations_are_left_out_or_made_of_all_pairs(tmp_path, card):
    data = open_dataset(voc_folder(tmp_path / "cells", 9, {}))
    uris = [str(card), "random:shapes-resnet", "random:shapes-resnet"]
    candidates = [(uri, resolve(uri, tmp_path)) for uri in uris]
    make = partial(comparison, data.root, data, candidates, ["detect"], budget="quick", seeds=1)
    assert make(explain="no").why == () and "detect-all" not in make(explain="no").sets
    [why] = make().why
    assert (why.task, why.images, why.statistics, why.every) == ("detect", "detect-all", "detect-train-1", False)
    everything = make().sets["detect-all"]
    assert (everything.role, everything.fold, everything.folds) == ("all", None, 3)
    assert make(explain="all").why[0].every


@pytest.mark.slow
def test_two_weights_are_explained_without_training(tmp_path, card, tiny_effort):
    data = voc_folder(tmp_path / "cells", 9, {})
    done = api.explain_weights(card, "random:shapes-resnet", data, out=tmp_path / "run", quiet=True)
    assert done.failed == [] and done.report.is_file()
    summary = json.loads((tmp_path / "run" / "metrics.json").read_text())
    [pair] = summary["pairs"]
    assert summary["trials"] == [] and (pair["a"], pair["b"]) == ("pretrained", "random-shapes-resnet")
    assert pair["effects"]["imbalance/n_images"][0] == 9 and "auroc/raw/a_less_b" in pair["effects"]
    assert any("needs trained models" in sentence for sentence in pair["said"])
    kinds = {path.name.partition("-")[0] for path in (tmp_path / "run" / "store").iterdir()}
    assert kinds == {"split", "prepare", "view", "look", "pair"}
    assert api.explain_weights(card, "random:shapes-resnet", data, out=tmp_path / "run", quiet=True).done_already
    with pytest.raises(UsageError, match="both weights are the same"):
        api.explain_weights(card, card, data, quiet=True)


@pytest.mark.slow
def test_without_test_images_every_image_is_tested_once(tmp_path, card, tiny_effort):
    data = voc_folder(tmp_path / "plain", 18, {})
    done = api.compare(
        data, [str(card), "random:shapes-resnet"], seeds=1, budget="quick", out=tmp_path / "run", quiet=True
    )
    assert done.failed == []
    summary = json.loads((tmp_path / "run" / "metrics.json").read_text())
    first = summary["rankings"][0]
    assert first["test_images"] == 18 and first["scope"] == "this trained model only"
    assert all(len(trial["transfer_keys"]) == 3 for trial in summary["trials"])
    assert not first["ranked"] and first["cheapest_adequate"] is None
    assert any("no ranking: with one seed" in line for line in done.lines)
    assert all(row["to_best"]["p"] is None for row in first["rows"])


def test_a_bad_image_fails_with_its_path(tmp_path, card, tiny_effort):
    data = voc_folder(tmp_path / "bad", 18, {"train": range(10), "val": range(10, 14), "test": range(14, 18)})
    (data / "JPEGImages" / "003.png").write_bytes((data / "JPEGImages" / "003.png").read_bytes()[:300])
    done = api.compare(data, [str(card), "random:shapes-resnet"], budget="quick", out=tmp_path / "run", quiet=True)
    assert any("003.png" in message for _, message in done.failed) and done.exit_code == 2


def test_a_checkpoint_that_does_not_fit_is_refused_before_the_first_job(tmp_path, card, tiny_effort):
    data = voc_folder(tmp_path / "d", 8, {"train": range(4), "val": range(4, 6), "test": range(6, 8)})
    torch.manual_seed(2)
    tensors = {k: v for k, v in build_backbone("shapes-resnet").state_dict().items() if "layer3" not in k}
    save_file(tensors, card.parent / "part.safetensors")
    (card.parent / "part.toml").write_text(CARD.replace("weights.safetensors", "part.safetensors"))
    with pytest.raises(WeightsError, match=r"part\.safetensors(?s:.*)layer3"):
        api.compare(data, [str(card), str(card.parent / "part.toml")], budget="quick", out=tmp_path / "run", quiet=True)
    assert not list((tmp_path / "run").glob("store/*"))


def test_search_is_the_same_for_every_candidate(tmp_path, card):
    data = voc_folder(tmp_path / "d", 8, {"train": range(4), "val": range(4, 6), "test": range(6, 8)})
    specs = [(u, resolve(u, tmp_path)) for u in (str(card), "random:shapes-resnet", "random:shapes-resnet")]
    for budget in ("quick", "normal"):
        study = comparison(data, open_dataset(data), specs, ["detect"], budget=budget, seeds=None)
        quicker = comparison(data, open_dataset(data), specs, ["detect"], budget=budget, seeds=None, full=False)
        assert (study.adaptive, quicker.adaptive, quicker.search) == (False, True, "shared")
        assert quicker.tasks[0].recipe.updates == study.tasks[0].recipe.updates // 2
        assert quicker.tasks[0].most_updates == study.tasks[0].most_updates
        assert [t.tasks[0].least_updates for t in (study, quicker)] == [
            2 * t.tasks[0].recipe.updates for t in (study, quicker)
        ]
        (task,) = study.tasks
        assert task.recipe is not None and len(task.recipe.rates) >= 3 and task.only == () and task.val
        assert [w.name for w in study.weights] == ["pretrained", "random-shapes-resnet-1", "random-shapes-resnet-2"]
        assert [w.default for w in study.weights] == [True, False, False]


def test_faults_of_a_call_are_named(tmp_path, card):
    data = voc_folder(tmp_path / "d", 8, {"train": range(4), "val": range(4, 6), "test": range(6, 8)})
    with pytest.raises(UsageError, match=r"at least two candidates: repeat -w"):
        api.compare(data, [str(card)])
    with pytest.raises(UsageError, match=r"cannot be used for 'segment'.*serve detect"):
        choose_tasks(open_dataset(data), "segment")
    with pytest.raises(WeightsError, match=r"shapes-resnet"):
        api.compare(data, [str(card), "random:shapes-restnet"])
    with pytest.raises(DataError, match=r"nowhere"):
        api.compare(tmp_path / "nowhere", [str(card), "random:shapes-resnet"])


@pytest.mark.slow
def test_segmentation_from_an_archive(tmp_path, card, tiny_effort):
    root = tmp_path / "roads"
    make_index_masks(root)
    for k in range(3):
        for split in ("train", "val", "test"):
            image(root / split / f"{split}{k}.png", k)
            mask(root / f"{split}annot" / f"{split}{k}.png", (0, 1, 3))
    data = Path(shutil.make_archive(str(root), "zip", root))
    shutil.rmtree(root)
    uris = [str(card), "random:shapes-resnet"]
    done = api.compare(data, uris, seeds=1, budget="quick", out=tmp_path / "run", quiet=True)
    assert done.failed == []
    first = json.loads((tmp_path / "run" / "metrics.json").read_text())["rankings"][0]
    assert (first["metric"], first["test_images"]) == ("seg/miou", 4)


@pytest.mark.slow
def test_over_http_then_offline(tmp_path, card, tiny_effort):
    for k in range(24):
        image(tmp_path / "www" / "set" / ("train" if k < 16 else "test") / f"class{k % 2}" / f"{k}.jpg", k)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/set"
    uris = [str(card), "random:shapes-resnet"]
    done = api.compare(url, uris, seeds=1, budget="quick", out=tmp_path / "run", quiet=True)
    assert done.failed == []
    rankings = json.loads((tmp_path / "run" / "metrics.json").read_text())["rankings"]
    assert {row["test_images"] for row in rankings} == {8} and url in (tmp_path / "run" / "study.toml").read_text()
    server.shutdown()
    server.server_close()
    again = api.compare(url, uris, seeds=1, budget="quick", out=tmp_path / "offline", quiet=True, offline=True)
    assert again.failed == []
    assert json.loads((tmp_path / "offline" / "metrics.json").read_text())["rankings"] == rankings


def test_starts_are_candidates_of_one_detector(tmp_path, card) -> None:
    """The whole detector, its backbone and random values: one recipe with the detector's own head; tasks that train no
    detector compare what starts from backbones, and are left out where these are fewer than two."""
    data = voc_folder(tmp_path / "cells", 24, {"train": range(12), "val": range(12, 16), "test": range(16, 24)})
    spec, other = resolve(str(card)), resolve("random:shapes-resnet")
    settings = {"neck": "fpn", "levels": ("C3", "C4", "C5"), "channels": 32, "published": True, "tower": 2}
    candidates = [(str(card), spec), (str(card), spec), (str(card), spec), ("random:shapes-resnet", other)]
    starts = ("detector", "backbone+neck", "backbone", "backbone")
    asked = {"budget": "quick", "seeds": 2, "starts": starts, "detector": DetectorFacts("retinanet", settings)}
    study = comparison(data, open_dataset(data), candidates, ["detect", "classify"], **asked)
    names = [w.name for w in study.weights]
    assert names == ["pretrained-detector", "pretrained-neck", "pretrained-backbone", "random-shapes-resnet"]
    assert [w.start for w in study.weights] == list(starts)
    detect, *others = study.tasks
    wanted = detect.recipe.model_dump()
    assert wanted["head"] == "retinanet" and {n: wanted[n] for n in settings} == settings and wanted["rates"]
    assert not detect.only and all(task.only == tuple(names[2:]) for task in others) and others
    few = asked | {"starts": starts[:3]}
    assert len(comparison(data, open_dataset(data), candidates[:3], ["detect", "classify"], **few).tasks) == 1


def test_starts_that_cannot_be_are_refused(tmp_path, card) -> None:
    data = voc_folder(tmp_path / "cells", 6, {"train": range(4), "test": range(4, 6)})
    with pytest.raises(UsageError, match=r"no start 'whole', only random, backbone, backbone\+neck, detector"):
        api.compare(data, [str(card)], starts=["whole", "backbone"], quiet=True)
    with pytest.raises(WeightsError, match=r"random values, which have no neck.*start = \"backbone\""):
        api.compare(data, [f"{card}#backbone", "random:shapes-resnet#detector"], quiet=True)
    with pytest.raises(WeightsError, match=r"no neck and no head of a detector that is known"):
        api.compare(data, [str(card)], starts=["backbone", "detector"], quiet=True)
