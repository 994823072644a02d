"""An adaptive ranking says in the terminal, the report and the tables who got how many seeds, and by which rule."""

from __future__ import annotations

import json
from pathlib import Path

from headstart import api
from headstart.stats.sequential import levels
from headstart.study.answer import ranking_lines, spent_lines
from support.reports.fake_run import write_comparison

SPENT = {"coco-detector": 3, "imagenet": 3, "dino": 3, "random": 2}


def adaptive(run: Path) -> dict:
    """The ranking of a written run: the last was dropped after two of five seeds, the others ended after three."""
    write_comparison(run)
    facts = json.loads((run / "metrics.json").read_text())
    [ranking] = facts["rankings"]
    ranking |= {"ranked": True, "best_set": ["coco-detector", "imagenet", "dino"], "cheapest_not_worse": "dino"}
    ranking["not_ranked"] = {}
    for row in ranking["rows"]:
        row["seeds"] = SPENT[row["weights"]]
        row["cost"] = {"parameters": None, "gflops": None, "licence": ""}
        row["to_best"] |= {"p_adjusted": 0.001}
        row["unsettled"] = row["weights"] if row["not_converged"] else ""
    looks = {f"{look}": level for look, level in levels(5).items()}
    ranking["sequential"] = {"most": 5, "levels": looks, "spent": SPENT, "trainings": 60, "not_run": 27}
    (run / "metrics.json").write_text(json.dumps(facts))
    return ranking


def test_who_was_dropped_why_it_ended_and_what_was_saved_are_told(tmp_path: Path) -> None:
    ranking = adaptive(tmp_path / "run")
    effect = ranking["rows"][3]["to_best"]
    interval = f"{100 * effect['effect']:.1f} [{100 * effect['lo']:.1f}, {100 * effect['hi']:.1f}], p 0.001"
    told, rule = spent_lines(ranking)
    assert told == (
        f"dropped after seed 2: random, {interval}; ended after seed 3 of 5: more would hardly change who is left; "
        "27 of 60 trainings not run"
    )
    assert rule == (
        "looked at after each seed from the second on, at levels of 0.19 %, 1.1 %, 2.4 %, 3.9 %; intervals hold at all "
        "looks together"
    )
    lines = " ".join(" ".join(ranking_lines(ranking)).split())
    assert f"{interval} after 2 seeds" in lines and told in lines and rule in lines
    page = api.build_report(tmp_path / "run").read_text()
    assert f'<p class="note">D{told[1:]}.</p>' in page
    table = api.report_table(tmp_path / "run", "csv").splitlines()
    assert [line.rpartition(",")[2] for line in table[1:]] == ["3", "3", "3", "2"]


def test_a_ranking_of_all_seeds_says_nothing_of_it(tmp_path: Path) -> None:
    ranking = adaptive(tmp_path / "run")
    del ranking["sequential"]
    assert spent_lines(ranking) == [] and "looked at" not in " ".join(ranking_lines(ranking))


def test_where_nothing_was_learned_nothing_is_recommended(tmp_path: Path) -> None:
    ranking = adaptive(tmp_path / "run") | {"at_floor": True, "cheapest_adequate": None}
    ranking["rows"][0]["mean"] = 0.004
    said = " ".join(" ".join(ranking_lines(ranking)).split())
    assert "nothing was learned to speak of: coco-detector has 0.4 points, so this says nothing" in said
    assert "best: coco-detector; not distinguishable from it: imagenet, dino" in said and "cheapest" not in said


def test_who_was_set_aside_has_no_verdict_and_that_is_said(tmp_path: Path) -> None:
    ranking = adaptive(tmp_path / "run")
    facts = json.loads((tmp_path / "run/metrics.json").read_text())
    why = "dino-small still rises on held-out images; to reach imagenet it would have to gain 25.2 points"
    facts["rankings"][0]["set_aside"] = ranking["set_aside"] = {"dino-small": why}
    (tmp_path / "run/metrics.json").write_text(json.dumps(facts))
    lines = " ".join(" ".join(ranking_lines(ranking)).split())
    assert f"set aside without a verdict: dino-small; {why} what was set aside is trained" in lines
    page = api.build_report(tmp_path / "run").read_text()
    assert f'<p class="note">Set aside without a verdict: dino-small; {why}.</p>' in page
    assert "<strong>dino-small</strong>, which have not converged" in page
    alone = ranking | {"rows": ranking["rows"][:1], "best_set": [ranking["best"]]}
    assert f"left: {ranking['best']}" in " ".join(ranking_lines(alone)) and "nothing else" not in str(
        ranking_lines(alone)
    )
