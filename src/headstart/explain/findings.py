"""The findings of *An Analysis of Pre-Training on Object Detection* (arXiv 1904.05871), asked of a study's numbers.

Imports no torch. Every finding is a hypothesis stated here, before any data are seen: a claim, one primary number
with the sign that the claim predicts, and alternatives that could disagree. `headstart.explain.verdicts` has the rule.

**What to pass.** `roles` maps a role to its `Measured`; all arrays of a role have the same seeds in the same order (S),
and all replicates are under shared image weights (B):

- `boxes`, `labels` (needed): the two arms; `random` weights, and `scratch`, random weights fine-tuned to their plateau:
  shown.
  Keys `{task name}/{metric}` for every task, e.g. `novel/det/voc-area/map@0.5`, `scenes/seg/miou`,
  `flowers/cls/top1`, `base/probe/logistic/top1`; and, without a task name, what the `activations` job of that arm
  and the `composition` job returned (`auroc/standardized`, `odds/count`, ...).
- `pair`: what the `neighbors` job returned (`imbalance/boxes_to_labels`, ...).

A key without replicates (counts such as `auroc/n_images`) may stand in `values` alone. Missing keys are no fault: the
finding is then `not tested`. `tasks` has the facts of each task. Detection tasks with the same test data and protocol
form one learning curve: F1a and F1b are taken at its smallest number of training images, F1c between its ends.
With several curves or tasks of a kind, ids carry the task's name: `F1a:bccd`.

**Signs.** Every effect is boxes minus labels, or is made of such differences, so swapping the two arms flips every
sign. For F3 it is imbalance(labels to boxes) - imbalance(boxes to labels). Controls of F3 are that asymmetry less the
size of the control's own asymmetry (in the direction of the former).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from headstart.explain.evidence import (
    Contrast,
    Measured,
    Roles,
    TaskFacts,
    against_others,
    contrast,
    difference,
    image_count,
    measures,
)
from headstart.explain.matched_curves import with_matched_retention
from headstart.explain.verdicts import Draft, Finding, Measure, both, judge, order
from headstart.tasks.table import TASKS

__all__ = ["Finding", "Measure", "Measured", "TaskFacts", "findings", "order"]

LOWEST_AP = 0.02
"""Retention is not tested at an IoU where the mAP of an arm is below this in some seed: its log says nothing."""
EQUAL_NOWHERE = (
    "the arms have equal mAP at IoU 0.5 at no numbers of images to fine-tune on; a detection task with another `limit` "
    "may have"
)
MATCHED_RETENTION = "retention where mAP@0.5 is equal"

CLAIMS = {
    "F1a": "Pre-training on boxes serves detection on little data better than pre-training on labels.",
    "F1b": "The gain is greatest where precise localization counts: less is lost from IoU 0.5 to IoU 0.7.",
    "F1c": "The gain is greater the fewer images there are to fine-tune on.",
    "F2": "Pre-training on boxes helps semantic segmentation but harms image classification.",
    "F2a": "Pre-training on boxes serves semantic segmentation better than pre-training on labels.",
    "F2b": "Pre-training on boxes leaves features that classify images worse than pre-training on labels.",
    "F3": "Images that are near in the boxes arm's features are near in the labels arm's; the converse does not hold.",
    "F4a": "Features of the boxes arm fire over the whole object, those of the labels arm on parts of it.",
    "F4b": "Several instances of a class cost the boxes arm's classification more than the labels arm's.",
    "F4c": "Small instances cost the boxes arm's classification more than the labels arm's.",
}


def findings(roles: Roles, tasks: Sequence[TaskFacts], origins: int) -> list[Finding]:
    """All findings of a study in the order F1 to F4 (`order` puts contradictions first).

    origins: independent pre-trainings of each of the two kinds (the smaller number): with fewer than three, verdicts
    are about these checkpoints. Raises KeyError when `boxes` or `labels` is missing, ValueError when arrays differ in
    resamples, or in seeds within a role.
    """
    for arm in ("boxes", "labels"):
        if arm not in roles:
            raise KeyError(arm)
    detect, segment, classify, probes = (
        [task for task in tasks if TASKS[task.kind].finding == finding]
        for finding in ("F1", "F2a", "F2b beside", "F2b")
    )
    curves = [
        sorted(group, key=lambda task: (task.train_images, task.name))
        for _, group in groupby(sorted(detect, key=_curve_of), key=_curve_of)
    ]
    drafts = [_settled(d, curve) for curve in curves for d in _detection(roles, curve, _suffix(curve[0], curves))]
    drafts += [] if curves else [_absent(i, "no detection task") for i in CLAIMS if i.startswith("F1")]
    drafts += [_settled(_segmentation(roles, task, _suffix(task, segment)), [task]) for task in segment]
    drafts += [] if segment else [_absent("F2a", "no segmentation task")]
    drafts += [_probing(roles, task, classify, _suffix(task, probes)) for task in probes]
    drafts += [] if probes else [_absent("F2b", "no probe task")]
    drafts += [_neighbors(roles), _activations(roles), _composition(roles, "count"), _composition(roles, "log_area")]
    judged = judge(drafts, origins)
    second = [finding for finding in judged if finding["id"].startswith("F2")]
    after = judged.index(second[-1]) + 1
    return [*judged[:after], both("F2", CLAIMS["F2"], second, origins), *judged[after:]]


def _settled(draft: Draft, curve: Sequence[TaskFacts]) -> Draft:
    """The draft, without a verdict where trainings that it compares have not converged. F1b needs the whole curve, F1c
    both ends, the others its beginning."""
    needed = {"F1b": curve, "F1c": (curve[0], curve[-1])}.get(draft.id[:3], curve[:1])
    whys = [f"{task.name}: {task.unsettled}" for task in dict.fromkeys(needed) if task.unsettled]
    if not whys or draft.untested:
        return draft
    return replace(draft, untested=f"its transfers have not converged ({'; '.join(whys)})")


def _detection(roles: Roles, curve: Sequence[TaskFacts], suffix: str) -> list[Draft]:
    task = curve[0]
    n = task.test_images

    def at(iou: str, of: TaskFacts = task) -> str:
        return _key(of, f"map@{iou}")

    def gain(iou: str) -> list[Measure]:
        return difference(roles, f"mAP@{iou}", "points", at(iou), sign=1, n_images=n)

    # One test, not two: the gains at 0.5 and at 0.7 are nearly the same gain.
    name, ious = "mean of mAP@0.5 and mAP@0.7", ("0.5", "0.7")
    terms = [(sign / 2, arm, at(iou)) for sign, arm in ((1, "boxes"), (-1, "labels")) for iou in ious]
    gains = _draft(
        "F1a",
        suffix,
        f"{name} ({task.protocol}), {task.train_images} images to fine-tune on",
        "points",
        primary=measures(f"{name}, boxes - labels", "points", contrast(roles, terms), 1, n_images=n),
        alternatives=[m for iou in (*ious, "0.75", "0.5:0.95") for m in gain(iou)],
        beside=[m for iou in ious for m in against_others(roles, f"mAP@{iou}", "points", at(iou), n_images=n)],
    )
    matched = f"{task.name}/{MATCHED_RETENTION}"
    points = [(at("0.5", of), at("0.7", of)) for of in curve]
    precision = _precision(with_matched_retention(roles, points, matched), at, n, suffix=suffix, matched=matched)
    return [gains, precision, _by_images(roles, curve, at, suffix)]


def _precision(roles: Roles, at: Callable[[str], str], n: int, *, suffix: str, matched: str) -> Draft:
    """F1b. The plain slope in points must shrink as both arms go to 0, so it is shown and not tested."""
    low = [iou for iou in ("0.5", "0.7", "0.75", "0.8") if _too_low(roles, at(iou))]
    fatal = [iou for iou in ("0.5", "0.7") if iou in low]

    def retention(iou: str) -> list[Measure]:
        if iou in low or "0.5" in low:
            return []
        # Random weights may have hardly any AP here; the log of that spreads as nothing else does.
        arms = {role: roles[role] for role in ("boxes", "labels")}
        terms = [(1, "boxes", at(iou)), (-1, "boxes", at("0.5")), (-1, "labels", at(iou)), (1, "labels", at("0.5"))]
        # A resample of few images can have a mAP of 0; bounding its log only widens the interval.
        series = contrast(arms, terms, lambda ap: np.log(np.maximum(ap, 1e-4)))
        return measures(f"log[mAP@{iou} / mAP@0.5], boxes - labels", "log ratio", series, 1, n_images=n)

    ends = [(1, "boxes", at("0.7")), (-1, "boxes", at("0.5")), (-1, "labels", at("0.7")), (1, "labels", at("0.5"))]
    equal = "the same where both arms have equal mAP@0.5, by numbers of images to fine-tune on"
    controls = difference(roles, equal, "log ratio", matched, sign=1, n_images=n)
    untested = "" if controls else EQUAL_NOWHERE
    slope = measures("gain in mAP@0.7 - gain in mAP@0.5 (not tested)", "points", contrast(roles, ends), 1, n_images=n)
    return _draft(
        "F1b",
        suffix,
        "retention: log of mAP at IoU 0.7 over mAP at IoU 0.5, boxes - labels",
        "log ratio",
        primary=retention("0.7"),
        alternatives=[*retention("0.75"), *retention("0.8")],
        controls=controls,
        beside=[Measure(**{**m, "p": None}) for m in slope],
        untested=f"the mAP of an arm is below {LOWEST_AP} at IoU {' and '.join(fatal)}" if fatal else untested,
    )


def _too_low(roles: Roles, key: str) -> bool:
    of_arms = [roles[arm].values[key] for arm in ("boxes", "labels") if key in roles[arm].values]
    return any(bool((np.asarray(values) < LOWEST_AP).any()) for values in of_arms)


def _by_images(roles: Roles, curve: Sequence[TaskFacts], at: Callable[[str, TaskFacts], str], suffix: str) -> Draft:
    """F1c. In points the gain cannot be large where both arms are near 0 or near 1; how much of the error (1 - mAP) is
    taken away can."""
    few, many = curve[0], curve[-1]
    ends = f"at {few.train_images} images to fine-tune on - at {many.train_images}"
    what = f"log of the error 1 - mAP@0.5, labels - boxes, {ends}"

    def change(iou: str, error: bool) -> list[Measure]:
        near, far = at(iou, few), at(iou, many)
        terms = [(1, "boxes", near), (-1, "labels", near), (-1, "boxes", far), (1, "labels", far)]
        series = contrast(roles, terms, _less_error if error else None)
        name = f"log of the error 1 - mAP@{iou}, labels - boxes" if error else f"gain in mAP@{iou}"
        unit = "log ratio" if error else "points"
        return measures(f"{name}, {ends}", unit, series, 1, n_images=few.test_images)

    beside: list[Measure] = []
    for task in curve:
        name, key = f"mAP@0.5 with {task.train_images} images", at("0.5", task)
        beside += difference(roles, name, "points", key, sign=1, n_images=task.test_images)
        beside += against_others(roles, name, "points", key, n_images=task.test_images, others=("scratch",))
    if few.train_images == many.train_images:
        what, reason = "gain in mAP@0.5 by number of images", "the study has one number of images to fine-tune on"
        return _draft("F1c", suffix, what, "log ratio", primary=[], beside=beside, untested=reason)
    return _draft(
        "F1c",
        suffix,
        what,
        "log ratio",
        primary=change("0.5", error=True),
        alternatives=[*change("0.5", error=False), *change("0.7", error=True), *change("0.7", error=False)],
        beside=beside,
    )


def _less_error(ap: np.ndarray) -> np.ndarray:
    """-log(1 - AP): a difference of two is the log of how many times the error of one is that of the other."""
    return -np.log(np.maximum(1 - ap, 1e-4))


def _segmentation(roles: Roles, task: TaskFacts, suffix: str) -> Draft:
    key, n = _key(task, "miou"), task.test_images
    alternatives = [
        *difference(roles, "foreground IoU", "points", _key(task, "foreground_iou"), sign=1, n_images=n),
        *difference(roles, "mean boundary IoU", "points", _key(task, "boundary_iou"), sign=1, n_images=n),
    ]
    return _draft(
        "F2a",
        suffix,
        "mIoU",
        "points",
        primary=difference(roles, "mIoU", "points", key, sign=1, n_images=n),
        alternatives=alternatives,
        beside=against_others(roles, "mIoU", "points", key, n_images=n),
    )


def _probing(roles: Roles, task: TaskFacts, fine_tuned: Sequence[TaskFacts], suffix: str) -> Draft:
    n = task.test_images
    logistic = _key(task, "logistic/top1")
    primary = difference(roles, "top-1 of the logistic probe", "points", logistic, sign=-1, n_images=n)
    alternatives = [
        *difference(roles, "top-1 of the ridge probe", "points", _key(task, "ridge/top1"), sign=-1, n_images=n),
        *difference(
            roles, "log-loss of the logistic probe", "nats", _key(task, "logistic/log_loss"), sign=1, n_images=n
        ),
    ]
    beside = against_others(roles, "top-1 of the logistic probe", "points", logistic, n_images=n)
    for other in fine_tuned:
        name, key = f"top-1 after fine-tuning on {other.name}", _key(other, "top1")
        beside += difference(roles, name, "points", key, sign=-1, n_images=other.test_images)
    what = "top-1 of a linear probe on frozen features"
    return _draft("F2b", suffix, what, "points", primary=primary, alternatives=alternatives, beside=beside)


def _neighbors(roles: Roles) -> Draft:
    n = image_count(roles, "pair", "imbalance/n_images")
    unit, what = "imbalance", "imbalance(labels to boxes) - imbalance(boxes to labels)"

    def asymmetry(prefix: str, arm: str = "boxes") -> Contrast | None:
        return contrast(roles, [(1, "pair", f"{prefix}/labels_to_{arm}"), (-1, "pair", f"{prefix}/{arm}_to_labels")])

    main = asymmetry("imbalance")
    alternatives = [
        *measures(f"{what}, 50 neighbors", unit, asymmetry("imbalance_k50"), 1, n_images=n),
        *measures(f"{what}, channels not standardized", unit, asymmetry("imbalance_raw"), 1, n_images=n),
    ]
    controls = measures("asymmetry after PCA to equal dimension", unit, asymmetry("imbalance_pca"), 1, n_images=n)
    missing = [] if controls else ["PCA to equal dimension"]
    noisy = contrast(
        roles, [(1, "pair", "imbalance_noisy/clean_to_noisy"), (-1, "pair", "imbalance_noisy/noisy_to_clean")]
    )
    for control, name in (
        (asymmetry("imbalance", "early"), "the labels arm stopped early against itself"),
        (noisy, "the better arm with noise, as poor as the other, against itself"),
    ):
        beyond = _beyond(main, control)
        controls += measures(f"asymmetry beyond that of {name}", unit, beyond, 1, n_images=n)
        missing += [] if beyond else [name]
    untested = f"a control is missing: {', '.join(missing)}" if missing and main else ""
    primary = measures(what, unit, main, 1, n_images=n)
    of_random = asymmetry("imbalance", "random")
    beside = measures("asymmetry of random weights against labels", unit, of_random, 1, n_images=n)
    what += ", first neighbor, standardized pooled C5"
    return _draft(
        "F3",
        "",
        what,
        unit,
        primary=primary,
        alternatives=alternatives,
        controls=controls,
        beside=beside,
        untested=untested,
    )


def _beyond(main: Contrast | None, control: Contrast | None) -> Contrast | None:
    """main less the size of control, in the direction of main."""
    if main is None or control is None:
        return None
    turn = np.sign(main.plus[0].mean()) * np.sign(control.plus[0].mean())
    return Contrast((main.plus[0] - turn * control.plus[0], main.plus[1] - turn * control.plus[1]))


def _activations(roles: Roles) -> Draft:
    n = image_count(roles, "boxes", "auroc/n_images")
    main = ("AUROC of the standardized energy", "AUROC", "auroc/standardized")
    others = [
        ("AUROC of the mean |activation|", "AUROC", "auroc/raw"),
        ("mean AUROC of single channels", "AUROC", "auroc/per_unit"),
        ("share of the object above a quarter of its peak", "points", "area/standardized"),
    ]
    alternatives = [m for other in others for m in difference(roles, *other, sign=1, n_images=n)]
    what = "AUROC of the energy map, inside against outside the objects, less a shuffled-mask control"
    beside = against_others(roles, *main, n_images=n)
    return _draft(
        "F4a",
        "",
        what,
        "AUROC",
        primary=difference(roles, *main, sign=1, n_images=n),
        alternatives=alternatives,
        beside=beside,
    )


def _composition(roles: Roles, name: str) -> Draft:
    """Slopes are of the log-odds of being right: what costs the boxes arm more makes its slope on the count lower, and
    its slope on the area higher."""
    n = image_count(roles, "boxes", "odds/n_images")
    finding, sign, per, of = (
        ("F4b", -1, "instance", "the number of instances at equal total area")
        if name == "count"
        else ("F4c", 1, "e-fold of area", "the log area of an instance at equal count")
    )
    unit = f"log-odds per {per}"

    def slope(prefix: str, what: str, key: str = name) -> list[Measure]:
        return difference(roles, what, unit, f"{prefix}/{key}", sign=sign, n_images=n)

    primary = slope("odds", "slope of the log-odds of being right")
    controls = slope("odds_matched", "the same, the better probe fitted on fewer images until right as often")
    alternatives = slope("odds_p", "slope of the log-odds of the true class, right as often")
    beside = slope("odds_same_size", "slope on the count at equal area of an instance", "count")
    untested = "" if controls or not primary else "no probe of the better arm was right as seldom as the other's"
    what = f"slope of the log-odds that the probe is right on {of}, class effects removed, boxes - labels"
    return _draft(
        finding,
        "",
        what,
        unit,
        primary=primary,
        alternatives=alternatives,
        controls=controls,
        beside=beside if finding == "F4b" else (),
        untested=untested,
    )


def _draft(
    finding: str,
    suffix: str,
    measure: str,
    unit: str,
    *,
    primary: Sequence[Measure],
    alternatives: Sequence[Measure] = (),
    controls: Sequence[Measure] = (),
    beside: Sequence[Measure] = (),
    untested: str = "",
) -> Draft:
    return Draft(
        id=finding + suffix,
        claim=CLAIMS[finding],
        measure=measure,
        unit=unit,
        primary=primary[0] if primary else None,
        alternatives=tuple(alternatives),
        controls=tuple(controls),
        beside=tuple(beside),
        untested=untested or ("" if primary else "the study did not measure it for both arms"),
    )


def _absent(finding: str, what: str) -> Draft:
    return Draft(finding, CLAIMS[finding], "", "", primary=None, untested=f"the study has {what}")


def _key(task: TaskFacts, what: str) -> str:
    """The key of what a task measured, by the name that the task has for it."""
    return f"{task.name}/{TASKS[task.kind].finding_metrics(task.protocol)[what]}"


def _curve_of(task: TaskFacts) -> tuple[str, str]:
    return task.test, task.protocol


def _suffix(task: TaskFacts, among: Sequence[object]) -> str:
    return f":{task.name}" if len(among) > 1 else ""
