"""From measured contrasts to verdicts. Imports no torch.

A *draft* is a hypothesis with what was measured for it. `judge` applies one rule to all drafts of a study:

1. The primary tests of each of F1, F2, F3 and F4 form one family (Holm), the alternatives of one finding another.
2. No p-value (one seed, or nothing measured) or a reason why no verdict can be given: `not tested`.
3. Holm-adjusted p of the primary not below 0.05: `not distinguishable`. So too when a control does not pass: the
   effect must be seen beyond *every* control, each at p < 0.05 (an intersection-union test: no adjustment).
4. An alternative that is significant against the direction of the significant primary: `depends on the measure`.
5. Else `supported` when the effect has the predicted sign, `contradicted` when it has the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from headstart.stats.contrasts import holm
from headstart.stats.intervals import LEVEL, Interval, finite
from headstart.stats.parts import Parts
from headstart.stats.power import detectable, images_for, seeds_for

Verdict = Literal["supported", "contradicted", "not distinguishable", "depends on the measure", "not tested"]
_FIRST: tuple[Verdict, ...] = (
    "contradicted",
    "depends on the measure",
    "supported",
    "not distinguishable",
    "not tested",
)


class Measure(TypedDict):
    """One contrast. Fractions, not percent; `unit` "points" means that a report shows the effect times 100.

    per_seed: empty where two arms are compared, whose seeds are no pairs; seeds: how many each arm has. parts: of the
    variance (`headstart.stats.parts.Parts`), None where it is not known. detectable: of a primary, the effect that is
    found in 80 % of studies like this one, at the first step of its family.
    """

    name: str
    unit: str
    effect: float | None
    lo: float | None
    hi: float | None
    p: float | None
    p_holm: float | None
    detectable: float | None
    per_seed: list[float | None]
    seeds: int
    parts: dict[str, float | None] | None
    predicted_sign: int
    n_images: int


class Halved(TypedDict):
    """What would halve the detectable effect, other things being equal: seeds of each arm, or test images. None: this
    alone does not."""

    seeds: int | None
    images: int | None


class Finding(TypedDict):
    """One hypothesis and its verdict. `controls` can only withhold a verdict; `beside` is shown and decides nothing.

    tests: how many primary tests the family of F1, F2, F3 or F4 has here.
    """

    id: str
    claim: str
    measure: str
    unit: str
    primary: Measure | None
    alternatives: list[Measure]
    controls: list[Measure]
    beside: list[Measure]
    verdict: Verdict
    why: str
    scope: str
    origins: int
    tests: int
    halved: Halved | None


@dataclass(frozen=True)
class Draft:
    """A hypothesis before judgment. `untested`: why no verdict can be given; empty when one can."""

    id: str
    claim: str
    measure: str
    unit: str
    primary: Measure | None
    alternatives: tuple[Measure, ...] = ()
    controls: tuple[Measure, ...] = ()
    beside: tuple[Measure, ...] = ()
    untested: str = ""


def as_measure(
    name: str, unit: str, interval: Interval, predicted_sign: int, *, n_images: int, seeds: int | None = None
) -> Measure:
    """An interval as a measure; numbers that are not finite become None. seeds: of each arm, if not as `per_seed`."""
    parts = interval.parts
    return {
        "name": name,
        "unit": unit,
        "effect": finite(interval.effect),
        "lo": finite(interval.lo),
        "hi": finite(interval.hi),
        "p": finite(interval.p),
        "p_holm": None,
        "detectable": None,
        "per_seed": [finite(value) for value in interval.per_seed],
        "seeds": len(interval.per_seed) if seeds is None else seeds,
        "parts": parts.to_json() if parts else None,
        "predicted_sign": predicted_sign,
        "n_images": n_images,
    }


def judge(drafts: Sequence[Draft], origins: int) -> list[Finding]:
    """Verdicts for all drafts of one study, in the given order. origins: independent pre-trainings of each kind."""
    tested = [None if draft.untested or draft.primary is None else draft.primary["p"] for draft in drafts]
    adjusted, tests = list(tested), [0] * len(drafts)
    for family in dict.fromkeys(map(family_of, drafts)):
        places = [k for k, draft in enumerate(drafts) if family_of(draft) == family]
        for place, p_holm in zip(places, holm([tested[k] for k in places]), strict=True):
            adjusted[place] = p_holm
            tests[place] = sum(tested[k] is not None for k in places)
    return [_judged(*one, origins) for one in zip(drafts, adjusted, tests, strict=True)]


def family_of(draft: Draft) -> str:
    """F1, F2, F3 or F4: what the paper asks as one question."""
    return draft.id[:2]


def both(finding_id: str, claim: str, parts: Sequence[Finding], origins: int) -> Finding:
    """A finding that holds when all of its parts do. It adds no test: the parts' p-values are adjusted already."""
    verdicts = {part["verdict"] for part in parts}
    names = {verdict: ", ".join(part["id"] for part in parts if part["verdict"] == verdict) for verdict in verdicts}
    verdict: Verdict = "not tested"
    # The first that occurs decides: one contradicted part refutes the whole; all must be supported to support it.
    for candidate in ("contradicted", "not tested", "depends on the measure", "not distinguishable", "supported"):
        if candidate in verdicts:
            verdict = candidate
            break
    why = "; ".join(f"{names[v]} {v}" for v in _FIRST if v in names) or "neither part was measured"
    scopes = list(dict.fromkeys(part["scope"] for part in parts if part["primary"]))
    return {
        "id": finding_id,
        "claim": claim,
        "measure": "all of its parts",
        "unit": "",
        "primary": None,
        "alternatives": [],
        "controls": [],
        "beside": [],
        "verdict": verdict,
        "why": why + ".",
        "scope": scopes[0] if scopes else scope(0, origins),
        "origins": origins,
        "tests": 0,
        "halved": None,
    }


def order(findings: Sequence[Finding]) -> list[Finding]:
    """For reports: what contradicts the paper first, then what depends on the measure; otherwise as given."""
    return sorted(findings, key=lambda finding: _FIRST.index(finding["verdict"]))


def scope(seeds: int, origins: int) -> str:
    """What a verdict speaks about."""
    if seeds == 1:
        return "this trained model only"
    if origins < 3:
        return "for these checkpoints"
    return f"for these kinds of pre-training ({origins} independent pre-trainings each)"


def _judged(draft: Draft, p_holm: float | None, tests: int, origins: int) -> Finding:
    primary, halved = None, None
    if draft.primary is not None:
        smallest, halved = _seen(draft.primary, (1 - LEVEL) / max(tests, 1))
        primary = Measure(**{**draft.primary, "p_holm": p_holm, "detectable": smallest})
    family = holm([alternative["p"] for alternative in draft.alternatives])
    alternatives = [Measure(**{**m, "p_holm": p}) for m, p in zip(draft.alternatives, family, strict=True)]
    verdict, why = _verdict(draft, primary, alternatives)
    return {
        "id": draft.id,
        "claim": draft.claim,
        "measure": draft.measure,
        "unit": draft.unit,
        "primary": primary,
        "alternatives": alternatives,
        "controls": list(draft.controls),
        "beside": list(draft.beside),
        "verdict": verdict,
        "why": why,
        "scope": scope(0 if primary is None else primary["seeds"], origins),
        "origins": origins,
        "tests": tests,
        "halved": halved,
    }


def _seen(primary: Measure, alpha: float) -> tuple[float | None, Halved | None]:
    """The smallest effect that such a study finds at `alpha`, and what would halve it."""
    if primary["parts"] is None:
        return None, None
    parts = Parts.from_json(primary["parts"])
    smallest = finite(detectable(parts, alpha))
    if not smallest:
        return smallest, None
    factor = images_for(smallest / 2, parts, alpha)
    images = None if factor is None else math.ceil(factor * primary["n_images"])
    return smallest, {"seeds": seeds_for(smallest / 2, parts, alpha), "images": images}


def _verdict(draft: Draft, primary: Measure | None, alternatives: Sequence[Measure]) -> tuple[Verdict, str]:
    if primary is None or draft.untested:
        return "not tested", (draft.untested or "nothing was measured for it") + "."
    if primary["seeds"] == 1:
        return "not tested", f"{_shown(primary)}, in one seed: no test is possible."
    if primary["p_holm"] is None or primary["effect"] is None:
        return "not tested", "the measure has no value in at least one seed."
    p = "< 0.001" if primary["p_holm"] < 0.001 else f"{primary['p_holm']:.3f}"
    said = f"{_shown(primary)}, {_predicted(primary)}, Holm-adjusted p {p}"
    significant = [m for m in alternatives if m["p_holm"] is not None and m["p_holm"] < 1 - LEVEL]
    if primary["p_holm"] >= 1 - LEVEL:
        others = f" Significant all the same: {_named(significant)}." if significant else ""
        return "not distinguishable", f"{said}, not below {1 - LEVEL:.2f}.{others}"
    failed = [m for m in draft.controls if not _passes(m, primary)]
    if failed:
        return "not distinguishable", f"{said}, but not clearly beyond the control: {_named(failed)}."
    against = [m for m in significant if _agrees(m) != _agrees(primary)]
    if against:
        return "depends on the measure", f"{said}; significant the other way round: {_named(against)}."
    return ("supported" if _agrees(primary) else "contradicted"), said + "."


def _passes(control: Measure, primary: Measure) -> bool:
    p, effect = control["p"], control["effect"]
    return p is not None and p < 1 - LEVEL and effect is not None and effect * (primary["effect"] or 0.0) > 0


def _agrees(measure: Measure) -> bool:
    return (measure["effect"] or 0.0) * measure["predicted_sign"] > 0


def _named(measures: Sequence[Measure]) -> str:
    return "; ".join(f"{m['name']} ({_shown(m)})" for m in measures)


def _predicted(measure: Measure) -> str:
    return f"predicted {'above' if measure['predicted_sign'] > 0 else 'below'} 0"


def _shown(measure: Measure) -> str:
    factor, digits = (100.0, 1) if measure["unit"] == "points" else (1.0, 3)

    def text(value: float) -> str:
        return f"{factor * value:+.{digits}f}"

    effect, lo, hi = measure["effect"], measure["lo"], measure["hi"]
    if effect is None:
        return "no value"
    interval = "" if lo is None or hi is None else f" [{text(lo)}, {text(hi)}]"
    return f"{text(effect)}{interval} {measure['unit']}"
