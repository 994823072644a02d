"""Verdicts on made-up measurements: the rule, the signs, the symmetry, what withholds a verdict."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart.explain.evidence import contrast
from headstart.explain.findings import Measured, TaskFacts, findings
from headstart.stats.parts import Parts
from headstart.stats.power import detectable, power
from support.reports.made_up_study import LEVELS, TASKS, by_id, exchanged, study, swapped

GOLDEN = Path(__file__).parent / "findings.json"
ALL = ["F1a", "F1b", "F1c", "F2a", "F2b", "F2", "F3", "F4a", "F4b", "F4c"]


def test_transfers_that_have_not_converged_give_no_verdict():
    """The beginning of the curve decides F1a, all of it F1b, either end F1c; probes and explanations train nothing."""

    def untested(*moving):
        tasks = [replace(task, unsettled="labels still rises" if task.name in moving else "") for task in TASKS]
        found = by_id(study(), tasks)
        assert all(found[name]["primary"] for name in found if name not in ("F2", "F3"))  # the numbers are still shown
        return {name: f["why"] for name, f in found.items() if f["verdict"] == "not tested"}

    assert untested() == {}
    assert set(untested("few")) == {"F1a", "F1b", "F1c"}
    assert untested("few")["F1b"] == "its transfers have not converged (few: labels still rises)."
    assert set(untested("many")) == {"F1b", "F1c"}
    assert set(untested("scenes")) == {"F2a", "F2"}
    assert untested("base", "tuned") == {}


def test_what_was_planted_is_found():
    found = by_id(study())
    assert list(found) == ALL
    for finding in found.values():
        assert finding["verdict"] == "supported", (finding["id"], finding["why"])
        assert finding["scope"] == "for these kinds of pre-training (4 independent pre-trainings each)"
        assert finding["origins"] == 4
    first = found["F1a"]["primary"]
    assert (
        first["effect"] == pytest.approx((0.295 + 0.299) / 2, abs=0.02) and first["lo"] < first["effect"] < first["hi"]
    )
    assert first["unit"] == "points" and first["predicted_sign"] == 1 and first["n_images"] == 1000
    assert 0 < first["detectable"] < first["effect"] and first["seeds"] == 4 and first["per_seed"] == []
    assert first["p"] <= first["p_holm"] < 0.05
    assert found["F2b"]["primary"]["predicted_sign"] == -1 and found["F2b"]["primary"]["effect"] < 0
    assert found["F4a"]["primary"]["n_images"] == 1900 and found["F3"]["primary"]["n_images"] == 2000
    assert found["F2"]["primary"] is None and found["F2"]["why"] == "F2a, F2b supported."


def test_effects_are_what_they_say():
    roles = study(spread=0.0)
    found = by_id(roles)
    assert found["F1b"]["primary"]["effect"] == pytest.approx(np.log(0.345 / 0.65) - np.log(0.046 / 0.355))
    gained = {n: np.log((1 - b) / (1 - a)) for n, a, b in (("few", 0.65, 0.355), ("many", 0.75, 0.70))}
    assert found["F1c"]["primary"]["effect"] == pytest.approx(gained["few"] - gained["many"])
    assert found["F1c"]["alternatives"][0]["effect"] == pytest.approx((0.65 - 0.355) - (0.75 - 0.70))
    assert found["F3"]["primary"]["effect"] == pytest.approx(0.22 - 0.13)
    beyond = {m["name"]: m["effect"] for m in found["F3"]["controls"]}
    early, noisy = "the labels arm stopped early", "the better arm with noise, as poor as the other,"
    assert beyond[f"asymmetry beyond that of {early} against itself"] == pytest.approx(0.09 - 0.02)
    assert beyond[f"asymmetry beyond that of {noisy} against itself"] == pytest.approx(0.09 - 0.03)
    assert found["F3"]["beside"][0]["effect"] == pytest.approx(-0.02)
    assert found["F4b"]["primary"]["effect"] == pytest.approx(-0.4)
    assert found["F4b"]["controls"][0]["effect"] == pytest.approx(-0.35)
    assert found["F4c"]["primary"]["effect"] == pytest.approx(0.7) and not found["F4c"]["beside"]
    assert [m["effect"] for m in found["F4b"]["beside"]] == [pytest.approx(-0.2)]
    assert [m["effect"] for m in found["F2a"]["alternatives"]] == [pytest.approx(0.05), pytest.approx(0.05)]
    shown = {m["name"]: m for m in found["F1b"]["beside"]}["gain in mAP@0.7 - gain in mAP@0.5 (not tested)"]
    assert shown["effect"] == pytest.approx((0.345 - 0.046) - (0.65 - 0.355)) and shown["p"] is None
    assert [m["name"] for m in found["F1b"]["alternatives"]] == ["log[mAP@0.75 / mAP@0.5], boxes - labels"]
    names = [m["name"] for m in found["F2b"]["beside"]]
    assert "top-1 after fine-tuning on tuned, boxes - labels" in names
    assert "top-1 of the logistic probe, boxes - random" in names


def test_swapping_the_arms_flips_every_sign_exactly():
    roles = study()
    forth, back = by_id(roles), by_id(swapped(roles))
    opposite = {"supported": "contradicted"}
    for name in ALL:
        assert back[name]["verdict"] == opposite[forth[name]["verdict"]], back[name]["why"]
        if name == "F2":
            continue
        for field in ("alternatives", "controls"):
            pairs = zip(forth[name][field], back[name][field], strict=True)
            assert all(a["effect"] == -b["effect"] and a["p"] == pytest.approx(b["p"]) for a, b in pairs), name
        a, b = forth[name]["primary"], back[name]["primary"]
        assert a["effect"] == -b["effect"] and a["lo"] == pytest.approx(-b["hi"])
        assert a["p_holm"] == pytest.approx(b["p_holm"]) and a["detectable"] == pytest.approx(b["detectable"])
        assert a["per_seed"] == [-v for v in b["per_seed"]]


def test_permuted_labels_support_nothing():
    roles = study()
    for mask in ([True, True, False, False], [True, False, True, False], [False, True, True, False]):
        for finding in by_id(exchanged(roles, np.array(mask))).values():
            assert finding["verdict"] == "not distinguishable", (finding["id"], finding["why"])


def test_random_weights_in_the_place_of_boxes_end_f1_and_f2a():
    """They lose 13 points at IoU 0.5 and win 0.4 at 0.7, where neither arm finds anything."""
    roles = study()
    found = by_id(roles | {"boxes": roles["random"]})
    assert found["F2a"]["verdict"] == found["F2"]["verdict"] == "contradicted"
    assert found["F1a"]["verdict"] == "depends on the measure" and found["F1a"]["primary"]["effect"] < -0.05


def test_one_seed_is_not_tested():
    for finding in by_id(study(seeds=1), origins=1).values():
        assert finding["verdict"] == "not tested"
        assert finding["scope"] == "this trained model only"
        if finding["primary"]:
            assert finding["primary"]["p"] is None and finding["primary"]["p_holm"] is None
            assert finding["why"].endswith("in one seed: no test is possible.")


def test_few_origins_narrow_the_scope():
    for finding in by_id(study(), origins=2).values():
        assert finding["scope"] == "for these checkpoints" and finding["verdict"] == "supported"


def test_no_effect_is_not_distinguishable_and_says_what_could_have_been_seen():
    levels = LEVELS | {"scenes/seg/miou": (0.525, 0.524, 0.37)}
    finding = by_id(study(levels=levels, spread=0.02))["F2a"]
    assert finding["verdict"] == "not distinguishable"
    assert "predicted above 0, Holm-adjusted p" in finding["why"] and finding["primary"]["detectable"] > 0.005


def test_retention_needs_some_precision():
    levels = LEVELS | {"few/det/voc-area/map@0.7": (0.345, 0.018, 0.05)}
    finding = by_id(study(levels=levels))["F1b"]
    assert finding["verdict"] == "not tested" and finding["primary"] is None
    assert finding["why"] == "the mAP of an arm is below 0.02 at IoU 0.7."
    assert len(finding["beside"]) == 1


def test_alternatives_that_say_the_opposite_make_it_depend_on_the_measure():
    finding = by_id(study(levels=LEVELS | {"auroc/raw": (0.21, 0.49, 0.04)}))["F4a"]
    assert finding["verdict"] == "depends on the measure"
    assert "significant the other way round: AUROC of the mean |activation|, boxes - labels (-0.27" in finding["why"]
    log_loss = by_id(study(levels=LEVELS | {"base/probe/logistic/log_loss": (0.2, 0.4, 2.0)}))["F2b"]
    assert log_loss["verdict"] == "depends on the measure"  # predicted to rise, and falls


def test_what_a_study_lacks_is_said():
    roles = study()
    found = by_id({"boxes": roles["boxes"], "labels": roles["labels"]}, tasks=())
    assert list(found) == ALL
    whys = {name: finding["why"] for name, finding in found.items() if finding["verdict"] == "not tested"}
    assert whys["F1c"] == "the study has no detection task." and whys["F2b"] == "the study has no probe task."
    assert whys["F3"] == "the study did not measure it for both arms."
    assert set(ALL) - set(whys) == {"F4a", "F4b", "F4c"}  # explanations need no task
    one = by_id(roles, tasks=TASKS[:1])
    assert one["F1c"]["why"] == "the study has one number of images to fine-tune on."
    with pytest.raises(KeyError, match="labels"):
        findings({"boxes": roles["boxes"]}, TASKS, 4)


def test_several_tasks_carry_their_names():
    other = [
        TaskFacts("cells", "detect", "bccd", 200, test_images=72, protocol="voc-area"),
        TaskFacts("pets", "segment", "pets", 100, test_images=60),
    ]
    found = by_id(study(), tasks=(*TASKS, *other))
    assert found["F1a:few"]["verdict"] == found["F2a:scenes"]["verdict"] == "supported"
    assert found["F1a:cells"]["verdict"] == found["F2a:pets"]["verdict"] == found["F2"]["verdict"] == "not tested"


def test_curves_start_at_the_fewest_images_whatever_the_order():
    assert by_id(study(), tasks=TASKS[::-1])["F1a"]["primary"] == by_id(study())["F1a"]["primary"]


def test_arms_may_differ_in_seeds_but_not_in_resamples():
    roles = study()
    found = by_id(roles | {"labels": study(seeds=3)["labels"]})
    assert found["F1a"]["primary"]["seeds"] == 3 and found["F1a"]["verdict"] == "supported"
    few = roles["labels"].replicates | {"scenes/seg/miou": roles["labels"].replicates["scenes/seg/miou"][:, :9]}
    with pytest.raises(ValueError, match="arms differ in resamples, so they cannot be paired"):
        findings(roles | {"labels": Measured(roles["labels"].values, few)}, TASKS, 4)
    values = roles["labels"].values | {"scenes/seg/miou": np.zeros(3)}
    with pytest.raises(ValueError, match="labels scenes/seg/miou: values and replicates have shapes"):
        findings(roles | {"labels": Measured(values, roles["labels"].replicates)}, TASKS, 4)


def test_a_contrast_compares_two_arms_by_the_same_terms():
    roles = study()
    with pytest.raises(ValueError, match="one role, or two with the same terms"):
        contrast(roles, [(1, "boxes", "scenes/seg/miou"), (1, "labels", "scenes/seg/miou")])
    half = contrast(roles, [(0.5, "boxes", "auroc/raw"), (0.5, "boxes", "auroc/per_unit")])
    assert half.minus is None and half.plus[0].mean() == pytest.approx((0.25 + 0.10) / 2, abs=0.01)
    pair = contrast(roles, [(1, "boxes", "auroc/raw"), (-1, "labels", "auroc/raw")])
    assert len(pair.others) == 1  # random weights say how far seeds spread, too


def test_sums_of_one_arm_are_taken_seed_by_seed():
    """What a seed adds to both training sizes of an arm cancels; what it adds to one arm does not."""
    rng = np.random.default_rng(0)
    luck = {arm: rng.normal(0, 0.1, 4) for arm in ("boxes", "labels")}
    names = [f"{size}/det/voc-area/map@0.5" for size in ("few", "many")]
    roles = {
        arm: Measured(
            {n: LEVELS[n][k] + luck[arm] for n in names},
            {n: np.repeat((LEVELS[n][k] + luck[arm])[:, None], 9, 1) for n in names},
        )
        for k, arm in enumerate(luck)
    }
    terms = [(1, "boxes", names[0]), (-1, "labels", names[0]), (-1, "boxes", names[1]), (1, "labels", names[1])]
    change, gain = contrast(roles, terms).interval(), contrast(roles, terms[:2]).interval()
    few, many = (LEVELS[name][0] - LEVELS[name][1] for name in names)
    assert change.effect == pytest.approx(few - many) and change.se < 1e-9 < 0.02 < gain.se


NOTHING = dict.fromkeys(("boxes", "labels", "random", "pair"), Measured({}, {}))
STORIES = {
    "planted": lambda: by_id(study()),
    "noise": lambda: by_id(swapped(study(spread=0.8, seed=3)), origins=2),
    "nothing measured": lambda: by_id(NOTHING),
}


@pytest.mark.parametrize("story", STORIES)
def test_findings_change_on_purpose(story):
    """All words and numbers, which a report shows. Where they are meant to change: HEADSTART_RECORD_GOLDEN=1.

    Numbers to six digits: quantiles of distributions differ in the last bits between versions of SciPy."""
    told = json.loads(json.dumps(STORIES[story](), allow_nan=False), parse_float=lambda number: f"{float(number):.6g}")
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("HEADSTART_RECORD_GOLDEN"):
        golden[story] = told
        rows = (f"{json.dumps(name)}: {json.dumps(found)}" for name, found in golden.items())
        GOLDEN.write_text("{\n" + ",\n".join(rows).replace('}, "F', '},\n "F') + "\n}\n")
    assert told == golden[story]


def test_what_could_have_been_seen_is_of_the_familys_first_step():
    found = by_id(study(seeds=3, spread=0.05))
    for name, tests in (("F1a", 3), ("F2a", 2), ("F3", 1), ("F4b", 3)):
        primary, parts = found[name]["primary"], Parts.from_json(found[name]["primary"]["parts"])
        assert found[name]["tests"] == tests
        assert primary["detectable"] == pytest.approx(detectable(parts, 0.05 / tests))
        assert power(primary["detectable"], parts, 0.05 / tests) == pytest.approx(0.8, abs=1e-4)
    halved = found["F2a"]["halved"]
    parts = Parts.from_json(found["F2a"]["primary"]["parts"])
    assert detectable(parts.with_seeds(halved["seeds"]), 0.025) <= found["F2a"]["primary"]["detectable"] / 2
    assert found["F2"]["halved"] is None and found["F2"]["tests"] == 0


def test_no_torch():
    code = "import sys, headstart.explain.findings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
