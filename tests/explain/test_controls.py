"""What withholds a verdict: controls of F1b, F3, F4b and F4c on made-up measurements; what is shown beside."""

import pytest

from headstart.explain.findings import EQUAL_NOWHERE
from support.reports.made_up_study import LEVELS, PAIR, by_id, rows, study


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("imbalance/early_to_labels", "imbalance/labels_to_early"),
        ("imbalance_noisy/noisy_to_clean", "imbalance_noisy/clean_to_noisy"),
    ],
)
def test_asymmetry_must_be_beyond_the_controls(one, other):
    # Either direction of the control's asymmetry counts.
    for there, back in ((0.30, 0.15), (0.15, 0.30)):
        pair = PAIR | {one: there, other: back}
        finding = by_id(study(pair=pair))["F3"]
        assert finding["verdict"] == "not distinguishable"
        assert "not clearly beyond the control: asymmetry beyond that of" in finding["why"]
        assert finding["primary"]["p_holm"] < 0.05


def test_asymmetry_that_pca_takes_away_is_not_supported():
    pair = PAIR | {"imbalance_pca/boxes_to_labels": 0.2, "imbalance_pca/labels_to_boxes": 0.2}
    finding = by_id(study(pair=pair, spread=0.02))["F3"]
    assert finding["verdict"] == "not distinguishable" and "after PCA" in finding["why"]


def test_a_missing_control_withholds_the_verdict():
    finding = by_id(study(pair={k: v for k, v in PAIR.items() if "early" not in k}))["F3"]
    assert finding["verdict"] == "not tested" and finding["primary"]["effect"] > 0
    assert finding["why"] == "a control is missing: the labels arm stopped early against itself."


def test_random_weights_do_not_control_the_asymmetry():
    """Both of their imbalances are near chance, on another scale: their difference is noise."""
    pair = PAIR | {"imbalance/random_to_labels": 0.9, "imbalance/labels_to_random": 0.5}
    assert by_id(study(pair=pair))["F3"]["verdict"] == "supported"


@pytest.mark.parametrize("finding", ["F4b", "F4c"])
def test_slopes_must_differ_beyond_the_matched_control(finding):
    """The better probe, fitted on fewer images, has the other's slope: the arm is merely worse."""
    name = "odds_matched/count" if finding == "F4b" else "odds_matched/log_area"
    found = by_id(study(levels=LEVELS | {name: (0.9, 0.9, 0.3)}))[finding]
    assert found["verdict"] == "not distinguishable" and "beyond the control: the same, the better" in found["why"]
    lacking = by_id(study(levels={k: v for k, v in LEVELS.items() if k != name}))[finding]
    assert lacking["verdict"] == "not tested" and lacking["primary"]["effect"] != 0
    assert lacking["why"] == "no probe of the better arm was right as seldom as the other's."


def test_where_things_are_can_disagree_with_what_they_are():
    levels = LEVELS | {"scenes/seg/miou": (0.42, 0.52, 0.37)}
    finding = by_id(study(levels=levels))["F2a"]
    assert finding["verdict"] == "depends on the measure" and "foreground IoU, boxes - labels" in finding["why"]


def test_precision_must_be_kept_beyond_what_better_detection_keeps():
    """Labels keep as much where they detect as well: .65 lies between .355 and .70, nearer to .70."""
    levels = LEVELS | {"many/det/voc-area/map@0.7": (0.45, 0.485, 0.20)}
    found = by_id(study(levels=levels))["F1b"]
    assert found["verdict"] == "not distinguishable" and "beyond the control: the same where both arms" in found["why"]
    never = LEVELS | {"many/det/voc-area/map@0.5": (0.75, 0.60, 0.434)}
    lacking = by_id(study(levels=never))["F1b"]
    assert lacking["verdict"] == "not tested" and lacking["why"] == EQUAL_NOWHERE + "."


def test_an_arm_from_scratch_is_shown_and_tests_nothing():
    import numpy as np

    scratch = rows({name: three[2] for name, three in LEVELS.items()}, 4, 0.01, np.random.default_rng(9))
    with_it, without = by_id(study() | {"scratch": scratch}), by_id(study())
    shown = [m["name"] for m in with_it["F1c"]["beside"]]
    assert "mAP@0.5 with 1000 images, labels - scratch" in shown
    assert "mAP@0.5, boxes - scratch" in [m["name"] for m in with_it["F1a"]["beside"]]
    assert {i: f["verdict"] for i, f in with_it.items()} == {i: f["verdict"] for i, f in without.items()}
    assert not any("scratch" in m["name"] for f in without.values() for m in f["beside"])
