"""What was measured of a pair, in sentences and as a table."""

from __future__ import annotations

from typing import Any

from headstart.page.numbers import NO_VALUE, count, fixed

FEW = 20
"""With fewer images percentiles over resamples are no intervals to decide by."""
Effect = list[float | None]
"""Value and the ends of its interval."""


def sentences(facts: dict[str, Any]) -> list[str]:
    """One for each thing that was measured; what an interval does not decide is said to be open."""
    effects, a, b = facts["effects"], facts["a"], facts["b"]
    said = []
    out = facts.get("outcomes") or {}
    if out.get("images/scored"):
        n, of_a, of_b = (int(out[f"images/{key}"]) for key in ("scored", "ahead_a", "ahead_b"))
        said.append(
            f"Image by image, {a} is ahead on {count(of_a)} of {count(n)}, {b} on {count(of_b)}; "
            f"on {count(n - of_a - of_b)} they are level."
        )
    if "imbalance/a_less_b" in effects:
        said.append(_neighbors(effects, a, b))
    if "agreement/class/a" in effects:
        of_a, of_b, chance = (effects[f"agreement/class/{key}"][0] for key in ("a", "b", "chance"))
        said.append(
            f"Of an image’s ten nearest, {fixed(100 * of_a)} % have its class for {a}, {fixed(100 * of_b)} % for {b}; "
            f"by chance it were {fixed(100 * chance)} %."
        )
    if "cka/last" in effects:
        cka, fit, chance = (
            fixed(effects[name][0], 2) for name in ("cka/last", "procrustes/last", "procrustes_chance/last")
        )
        said.append(
            f"Their last stages have a CKA of {cka} (0 is chance, 1 the same up to rotation and scale), a Procrustes "
            f"similarity of {fit} (chance here {chance})."
        )
    if "auroc/standardized/a_less_b" in effects:
        said.append(_firing(effects, a, b))
    if "auroc/grad_cam/a_less_b" in effects:
        said.append(_speaking(effects, a, b))
    return said


def _neighbors(effects: dict[str, Effect], a: str, b: str) -> str:
    there, back = (fixed(effects[f"imbalance/{way}"][0], 2) for way in ("a_to_b", "b_to_a"))
    value = effects["imbalance/a_less_b"][0]
    both = f"information imbalance {there} from {a} to {b}, {back} back; 1 is chance"
    if is_open(effects, "imbalance/a_less_b"):
        return f"Neither network’s neighbors tell more of the other’s than the reverse ({both})."
    more, less = (b, a) if (value or 0) > 0 else (a, b)
    return (
        f"Images that are near for {more} tend to be near for {less}, and less so the other way round ({both}); "
        "unequal noise or width alone can do that."
    )


def is_open(effects: dict[str, Effect], name: str) -> bool:
    """Whether the interval of an effect holds 0, or there are too few images for one."""
    _, lo, hi = effects[name]
    images = effects.get("imbalance/n_images", [None])[0] or 0
    return images < FEW or lo is None or hi is None or lo <= 0 <= hi


def _firing(effects: dict[str, Effect], a: str, b: str) -> str:
    of_a, of_b = (fixed(effects[f"auroc/standardized/{key}"][0], 2) for key in "ab")
    value = effects["auroc/standardized/a_less_b"][0]
    both = f"AUROC above chance {of_a} for {a}, {of_b} for {b}"
    if is_open(effects, "auroc/standardized/a_less_b"):
        return f"Neither is shown to fire on objects more than the other ({both})."
    more, less = (a, b) if (value or 0) > 0 else (b, a)
    return f"The features of {more} tell objects from what is beside them better than those of {less} ({both})."


def _speaking(effects: dict[str, Effect], a: str, b: str) -> str:
    of_a, of_b = (fixed(effects[f"auroc/grad_cam/{key}"][0], 2) for key in "ab")
    right = " and ".join(fixed(100 * (effects[f"grad_cam/probe_right/{key}"][0] or 0), 0) for key in "ab")
    both = f"Grad-CAM’s AUROC above chance {of_a} for {a}, {of_b} for {b}; the probes are right on {right} %"
    if largest := effects.get("grad_cam/largest_class/a"):
        both += f", and would be on {fixed(100 * (largest[0] or 0), 0)} % by always saying the largest class"
    if is_open(effects, "auroc/grad_cam/a_less_b"):
        return f"What speaks for the image’s class is not shown to lie on objects more for one than the other ({both})."
    more, less = (a, b) if (effects["auroc/grad_cam/a_less_b"][0] or 0) > 0 else (b, a)
    return f"What speaks for the image’s class lies on objects more for {more} than for {less} ({both})."


ROWS = (
    ("Information imbalance, to the other (1 is chance)", "imbalance/a_to_b", "imbalance/b_to_a", "imbalance/a_less_b"),
    ("Neighbors of the image’s class, share", "agreement/class/a", "agreement/class/b", ""),
    ("Hubs: skewness of how often an image is among ten nearest", "hubness/skewness/{}", "", ""),
    ("Images that are among nobody’s ten nearest, share", "hubness/never/{}", "", ""),
    (
        "Fires on objects: AUROC less that on other images’ objects",
        "auroc/standardized/{}",
        "",
        "auroc/standardized/a_less_b",
    ),
    ("The same, of raw activations", "auroc/raw/{}", "", "auroc/raw/a_less_b"),
    ("The same, of single channels", "auroc/per_unit/{}", "", ""),
    ("Highest cell is on an object, less another image’s", "place/pointing/{}", "", "place/pointing/a_less_b"),
    ("Energy on objects, less another image’s: share", "place/inside/{}", "", "place/inside/a_less_b"),
    (
        "From the center of energy to that of objects, less another image’s: diagonals",
        "place/center/{}",
        "",
        "place/center/a_less_b",
    ),
    (
        "Grad-CAM on objects: AUROC less that on other images’ objects",
        "auroc/grad_cam/{}",
        "",
        "auroc/grad_cam/a_less_b",
    ),
    (
        "Grad-CAM’s highest cell is on an object, less another’s",
        "grad_cam/pointing/{}",
        "",
        "grad_cam/pointing/a_less_b",
    ),
    ("Grad-CAM on objects, less another image’s: share", "grad_cam/inside/{}", "", "grad_cam/inside/a_less_b"),
    ("Images whose class a linear probe says, share", "grad_cam/probe_right/{}", "", ""),
    ("Spread of the energy: diagonals", "place/spread/{}", "", "place/spread/a_less_b"),
    ("Share of the object that lights up", "area/standardized/{}", "", ""),
)


def numbers(facts: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """(what, of a, of b, a less b) with intervals; overlaps of neighbors, which both have in common, stand under a."""
    effects = facts["effects"]
    rows = []
    for what, of_a, of_b, apart in ROWS:
        keys = (of_a.format("a"), of_b or of_a.format("b"), apart)
        cells = [_cell(effects.get(key)) for key in keys]
        if any(cell != NO_VALUE for cell in cells):
            rows.append((what, *cells))
    for k in sorted(int(name.removeprefix("overlap/k")) for name in effects if name.startswith("overlap/k")):
        effect, chance = effects[f"overlap/k{k}"], effects[f"overlap_chance/k{k}"][0]
        what = f"Share of the {k} nearest in common (chance {fixed(chance, 3)})"
        rows.append((what, _cell(effect), _cell(effect), NO_VALUE))
    return rows  # type: ignore[return-value]


def _cell(effect: Effect | None) -> str:
    if not effect or effect[0] is None:
        return NO_VALUE
    value, lo, hi = effect
    return fixed(value, 3) + (f" [{fixed(lo, 3)}, {fixed(hi, 3)}]" if lo is not None else "")
