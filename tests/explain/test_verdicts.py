"""The rule that makes verdicts of measures: families, controls, alternatives, what is said."""

import pytest

from headstart.explain.findings import order
from headstart.explain.verdicts import Draft, as_measure, both, judge
from headstart.stats.intervals import Interval


def measure(effect, p, sign=1, name="m"):
    return as_measure(
        name, "points", Interval(effect, effect - 0.01, effect + 0.01, p, 0.005, 3, (effect,) * 4), sign, n_images=9
    )


def test_each_of_the_four_findings_is_a_family():
    # F1: 0.02 x 3 = 0.06 for the smallest: nothing is significant; a draft without verdict takes no part.
    drafts = [
        Draft(f"F1{k}", "", "", "", primary=measure(0.1, p)) for k, p in zip("abc", (0.02, 0.03, 0.9), strict=True)
    ]
    drafts.append(Draft("F1a:other", "", "", "", primary=measure(0.1, 0.001), untested="no control"))
    drafts.append(Draft("F2a", "", "", "", primary=measure(0.1, 0.04)))
    judged = judge(drafts, 3)
    assert [f["primary"]["p_holm"] for f in judged] == pytest.approx([0.06, 0.06, 0.9, None, 0.04])
    assert [f["tests"] for f in judged] == [3, 3, 3, 3, 1]
    assert [f["verdict"] for f in judged] == ["not distinguishable"] * 3 + ["not tested", "supported"]


def test_alternatives_are_their_own_family():
    against = (measure(-0.1, 0.03, name="a"), measure(-0.1, 0.04, name="b"))
    one, two = (
        judge([Draft("x", "", "", "", primary=measure(0.1, 0.001), alternatives=against[:n])], 3)[0] for n in (1, 2)
    )
    assert one["verdict"] == "depends on the measure" and "a (-10.0 [-11.0, -9.0] points)" in one["why"]
    assert two["verdict"] == "supported" and [m["p_holm"] for m in two["alternatives"]] == pytest.approx([0.06, 0.06])


def test_significant_alternatives_of_an_indistinct_primary_are_named():
    draft = Draft("x", "", "", "", primary=measure(0.01, 0.5), alternatives=(measure(0.1, 0.01, name="other"),))
    assert judge([draft], 3)[0]["why"].endswith("Significant all the same: other (+10.0 [+9.0, +11.0] points).")


def test_why_nothing_can_be_said():
    nameless = measure(0.1, 0.5) | {"effect": None}
    lacking, unmeasured, withheld = judge(
        [
            Draft("a", "", "", "", primary=nameless),
            Draft("b", "", "", "", primary=None),
            Draft("c", "", "", "", primary=measure(0.1, 0.001), untested="no control"),
        ],
        3,
    )
    assert lacking["why"] == "the measure has no value in at least one seed."
    assert unmeasured["why"] == "nothing was measured for it." and withheld["why"] == "no control."
    control = Draft("d", "", "", "", primary=measure(0.1, 0.001), controls=(nameless | {"name": "other arm"},))
    assert judge([control], 3)[0]["why"].endswith("not clearly beyond the control: other arm (no value).")
    empty = both("F", "", [], 3)
    assert (empty["verdict"], empty["why"]) == ("not tested", "neither part was measured.")


def test_contradictions_come_first_and_both_needs_all():
    supported, contradicted, open_ = judge(
        [
            Draft("a", "", "", "", primary=measure(0.1, 1e-4)),
            Draft("b", "", "", "", primary=measure(-0.1, 1e-4)),
            Draft("c", "", "", "", primary=measure(0.1, 0.8)),
        ],
        3,
    )
    assert [f["id"] for f in order([open_, supported, contradicted])] == ["b", "a", "c"]
    assert both("F", "", [supported, supported], 3)["verdict"] == "supported"
    assert both("F", "", [supported, open_], 3)["verdict"] == "not distinguishable"
    half = both("F", "", [supported, contradicted], 3)
    assert half["verdict"] == "contradicted" and half["why"] == "b contradicted; a supported."
