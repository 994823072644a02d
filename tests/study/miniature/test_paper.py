"""The study of arXiv 1904.05871: planned without data, the very same in miniature."""

from __future__ import annotations

import pytest

from headstart import api
from headstart.config.study import Study
from headstart.errors import UsageError
from headstart.study.files import load_study
from headstart.study.miniature.smaller import changes_of, differences, miniature

SIZES = {
    "anchors", "backbone", "batch_size", "bootstrap", "channels", "hi", "limit", "lo", "per_class", "proposals", "rois",
    "size", "size_hw", "test_per_class", "value",
}  # fmt: skip
STEPS = {"epochs", "updates", "warmup", "proposal_epochs", "checkpoint_epochs"}
PUBLISHED = {("paper", "voc", "openimages", 0.811), ("paper", "voc-dcnv2", "imagenet", 0.735)}


@pytest.fixture(scope="module", params=["paper", "paper-small"])
def study(request: pytest.FixtureRequest) -> Study:
    return load_study(request.param)[0]


def test_only_sizes_and_steps_differ_in_miniature(study: Study) -> None:
    """But for the weights that recipes name, which public files are, and what these stand in for is made."""
    small = miniature(study)
    changed = {place.rpartition(".")[2] for place, _, _ in changes_of(study, small)}
    assert changed - SIZES - STEPS <= {"weights"} and {"size_hw", "backbone", "updates"} <= changed
    assert not [place for place, was, now in changes_of(study, small) if place.endswith(".weights") and now]
    assert len(small.tasks) == len(study.tasks) and small.seeds == study.seeds and small.explain == study.explain
    assert [w.name for w in small.weights] == [w.name for w in study.weights]
    assert differences(study, small)[0].startswith("imagenet: public weights stand in for it; made by imagenet-class")
    Study.model_validate(small.model_dump())  # as the run's own file says it


def test_a_miniature_is_not_larger_than_its_study(study: Study) -> None:
    for place, was, now in changes_of(study, miniature(study)):
        if isinstance(was, int | float) and not place.endswith((".test_per_class", ".checkpoint_epochs")):
            assert now < was, place


def test_a_study_of_drawn_images_has_no_miniature() -> None:
    with pytest.raises(UsageError, match="small already"):
        miniature(load_study("shapes")[0])


def test_the_plan_needs_no_data_and_says_what_it_would_need(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = api.plan_study("paper", device="cpu")
    text = plan.text()
    # Five arms: VOC by four, DCNv2 by one, VOC and DeepLab from random by one each, DeepLab and FCN by four, the rest
    # (four probes, Flowers-102 tuned) by five; three seeds.
    assert "trials: 120\n" in text and (4 + 1 + 1 + 1 + 2 * 4 + 5 * 5) * 3 == 120
    assert plan.jobs["pretrain"][0] == 9 and plan.jobs["finetune"][0] == plan.jobs["proposals"][0] == 18
    for needed in ("voc: PASCAL VOC 2007 and 2012", "openimages: Open Images V4", "flowers102: Oxford Flowers-102"):
        assert needed in text
    assert text.count("[no place given]") == 9 and "tv:ResNet101_Weights.IMAGENET1K_V1, 171 MB" in text
    assert "GPU-hours (estimate: 13 megapixels a second" in text and "sniper_res101_e2e_pascal_voc.yml" in text
    assert list(tmp_path.iterdir()) == []


def test_only_the_two_numbers_that_are_known_are_published() -> None:
    found = {(n, p.task, p.weights, p.value) for n in ("paper", "paper-small") for p in load_study(n)[0].published}
    assert found == PUBLISHED
    assert "published: voc from openimages, det/voc07-11pt/map@0.7 81.1" in api.plan_study("paper", device="cpu").text()
