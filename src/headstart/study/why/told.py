"""What explanations found, for `metrics.json` and for the terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from headstart.store.arrays import load_arrays
from headstart.store.files import read_json
from headstart.study.jobs import Job, Pair
from headstart.study.why.wrong import wrong, wrong_lines

SAID = "said.json"
WRONG = "errors.npz"


def pair_facts(pair: Pair, found: Callable[[Job], dict[str, Any] | None], folder: Callable[[str], Path]) -> dict | None:
    """One explained pair: names, folders of its jobs, and measured effects with percentile intervals over resamples of
    the images; None where it is not finished."""
    metrics = found(pair.pair)
    looks = [found(job) for job in pair.looks]
    if metrics is None or None in looks:
        return None
    contents = pair.contents if pair.contents and found(pair.contents) else None
    said = read_json(folder(pair.pair.name) / SAID)
    said += read_json(folder(contents.name) / SAID) if contents else []
    if pair.looks[0].key == pair.looks[1].key:
        said.insert(0, "Both start from the same backbone, so their neighbors and activations are the same.")
    if contents is None:
        said.append("Which images each gets right needs trained models; headstart compare trains them.")
    effects = _effects(metrics, folder(pair.pair.name))
    for role, look, of in zip("ab", looks, pair.looks, strict=True):
        effects |= {f"{name}/{role}": value for name, value in _effects(look or {}, folder(of.name)).items()}
    return {
        "why": pair.why,
        "a": pair.a,
        "b": pair.b,
        "images_dir": pair.images.name,
        "look_dirs": [job.name for job in pair.looks],
        "pair_dir": pair.pair.name,
        "contents_dir": contents.name if contents else None,
        "effects": effects,
        "outcomes": (found(contents) if contents else None) or {},
        "errors": wrong(load_arrays(folder(contents.name) / WRONG)) if contents else None,
        "said": list(dict.fromkeys(sentence.format(a=pair.a, b=pair.b) for sentence in said)),
    }


def _effects(metrics: dict[str, Any], folder: Path) -> dict[str, list[float | None]]:
    """Name -> [value, lo, hi]; no ends where there are no replicates."""
    drawn = load_arrays(folder / "replicates.npz")
    effects = {}
    for name, value in metrics.items():
        values = drawn.get(name, np.zeros(0))
        values = values[np.isfinite(values)]
        ends = [float(end) for end in np.percentile(values, [2.5, 97.5])] if len(values) else [None, None]
        effects[name] = [value, *ends]
    return effects


def pair_lines(facts: dict[str, Any]) -> list[str]:
    """A pair in a few lines for the terminal."""
    effects, a, b = facts["effects"], facts["a"], facts["b"]
    lines = [f"why: {a} against {b} ({facts['why']})"]
    if "imbalance/a_to_b" in effects:
        there, back = (_ends(effects[f"imbalance/{way}"]) for way in ("a_to_b", "b_to_a"))
        lines.append(f"information imbalance, 1 is chance: {a} to {b} {there}, back {back}")
    if "agreement/class/a" in effects:
        of = [_ends(effects[f"agreement/class/{who}"], 100) for who in ("a", "b")]
        chance = effects["agreement/class/chance"][0]
        lines.append(f"neighbors of the image's class, %: {a} {of[0]}, {b} {of[1]}, chance {100 * chance:.1f}")
    if "cka/last" in effects:
        lines.append(f"last stages alike: CKA {effects['cka/last'][0]:.2f} (0 is chance, 1 the same up to rotation)")
    if "auroc/standardized/a_less_b" in effects:
        of = [_ends(effects[f"auroc/standardized/{who}"]) for who in ("a", "b", "a_less_b")]
        lines.append(f"firing on objects, AUROC less chance: {a} {of[0]}, {b} {of[1]}, difference {of[2]}")
    out = facts["outcomes"]
    if out.get("images/scored"):
        ahead = [int(out[f"images/ahead_{who}"]) for who in ("a", "b")]
        lines.append(f"{a} is ahead on {ahead[0]} of {int(out['images/scored'])} images, {b} on {ahead[1]}")
    if facts.get("errors"):
        lines += wrong_lines(facts["errors"]["given_back"], a, b)
    return lines + facts["said"]


def _ends(effect: list[float | None], times: float = 1.0) -> str:
    value, lo, hi = effect
    digits = 1 if times > 1 else 3
    text = f"{times * (value or 0):.{digits}f}"
    return text if lo is None or hi is None else f"{text} [{times * lo:.{digits}f}, {times * hi:.{digits}f}]"
