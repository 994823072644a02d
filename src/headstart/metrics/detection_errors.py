"""What wrong detections and missed objects cost: six kinds of errors, and the AP that fixing each alone gives back.

After TIDE (Bolya, Foley, Hays, Hoffman, ECCV 2020, Sec. 2), foreground IoU 0.5 and background IoU 0.1. Letters: m true
boxes, d detections, K classes. The IoU of a detection with true boxes of its own class in its image, that count, is at
most a; with those of other classes at most b. A false positive is the first of these that fits:

- `localization`: background <= a < foreground: right class, box not good enough;
- `classification`: b >= foreground: an object of another class is there;
- `duplicate`: a >= foreground: the object was found already;
- `background`: a and b < background: nothing there;
- `both`: anything else: background <= b < foreground, another class and a poor box.

A true box that is not found is `missed` unless a localization or classification error points to it.

Fixing: of all localization and classification errors that point to one object, not found, the surest becomes right, of
the object's class, when its kind is fixed; all others of the kind go away, as do duplicates, background and both. So
fixing one kind may leave an object lost whose surest error is of the other kind. Missed objects do not count any more;
a class that has no others then has AP 1, as nothing of it is left to find. What the kinds give back does not add up to
what is missing from 1: precision and recall are no sums.

The order of the rules and what they compare is that of TIDE's program; the paper writes them without order. Two things
differ from it: matching follows the protocol, where TIDE has a greedy matching of its own, and a mean runs over the
classes with a true box that counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.metrics.average_precision import Detections, Protocol, Rules, Truth, average_precision
from headstart.metrics.averages import mean_of_present
from headstart.metrics.match_table import HIT, IGNORED, LEFT_OUT, MISS, closest, fates
from headstart.metrics.matches import Matches
from headstart.metrics.protocols import rules_of

DIFFERENCES = (
    "matching, and how many detections count, follow the protocol; TIDE matches on its own, and takes the 100 surest "
    "detections of an image, of all classes together",
    "a class of which nothing is left once missed objects do not count has AP 1 here; TIDE's program gives it 0, or "
    "leaves it out",
)
"""Where the numbers differ from those of TIDE's own program, in words."""
KINDS = ("classification", "localization", "both", "duplicate", "background", "missed")


@dataclass(frozen=True, eq=False)
class DetectionErrors:
    """Errors by kind (`KINDS`), fractions 0..1.

    ap: mAP as it is, at the foreground IoU. given_back: by kind, how much fixing it alone adds to `ap`. counts: by
    kind, how many errors. class_given_back (6, K), class_counts (6, K): by kind and class; a classification error
    counts for the class that was said, and may give back AP to the class of the object. nan for a class without a true
    box. kinds (d,) index into KINDS of every detection, -1 none; missed (m,) true boxes.
    """

    ap: float
    given_back: dict[str, float]
    counts: dict[str, int]
    class_given_back: NDArray[np.float64]
    class_counts: NDArray[np.int64]
    kinds: NDArray[np.int8] = field(repr=False)
    counted: NDArray[np.bool_] = field(repr=False)
    missed: NDArray[np.bool_] = field(repr=False)
    weighted: dict[str, NDArray[np.float64]] = field(repr=False)


def detection_errors(
    truth: Truth,
    detections: Detections,
    protocol: Protocol | Rules = "coco",
    foreground: float = 0.5,
    *,
    background: float = 0.1,
    image_weights: ArrayLike | None = None,
) -> DetectionErrors:
    """Errors by kind. image_weights (R, n): a detection's kind, and what fixing it makes of it, is up to its own image,
    so nothing is matched again for them. Raises as `average_precision`, and ValueError unless 0 < background <
    foreground <= 1."""
    if not 0 < background < foreground <= 1:
        raise ValueError(f"background is {background}, foreground {foreground}; 0 < background < foreground <= 1")
    result = average_precision(truth, detections, protocol, (foreground,))
    fate, met = fates(result.matches, len(result.detections.scores), 0)
    rules, counted = rules_of(protocol), np.zeros(len(truth.labels), dtype=bool)
    counted[result.matches.truth_order[result.matches.counted[0]]] = True
    rows = np.flatnonzero(counted)
    which, overlap = closest(truth.take(rows), detections, rules)
    which = np.where(which >= 0, np.append(rows, -1)[which], -1)
    kinds = _kinds(fate == MISS, overlap, foreground, background)

    found, pointed = np.zeros(len(truth.labels), dtype=bool), np.zeros(len(truth.labels), dtype=bool)
    found[met[fate == HIT]] = True
    object_of = np.select([kinds == KINDS.index("localization"), kinds == KINDS.index("classification")], which.T, -1)
    pointed[object_of[object_of >= 0]] = True
    missed = counted & ~found & ~pointed
    surest = _surest(object_of, found, detections.scores)

    weights = np.ones((1, truth.num_images))
    if image_weights is not None:
        weights = np.concatenate([weights, result.matches.weight_rows(image_weights)])
    before = result.ap_replicates(weights)[:, 0]
    given_back = np.full((len(KINDS), len(weights), truth.num_classes), np.nan)
    for k, kind in enumerate(KINDS):
        labels, fixed, still = detections.labels, fate.copy(), counted
        if kind == "missed":
            still = counted & ~missed
        else:
            fixed[kinds == k] = IGNORED
            right = surest[kinds[surest] == k]
            fixed[right], labels = HIT, labels.copy()
            labels[right] = truth.labels[object_of[right]]
        table = _refated(result.matches, truth, replace(detections, labels=labels), fixed, counted=still, rules=rules)
        ap = table.ap(weights, rules.levels())[0][:, 0, 0, 0]
        given_back[k] = np.where(np.isnan(ap), 1.0, ap) - before

    class_counts = np.stack(
        [np.bincount(detections.labels[kinds == k], minlength=truth.num_classes) for k in range(len(KINDS))]
    )
    class_counts[-1] = np.bincount(truth.labels[missed], minlength=truth.num_classes)
    return DetectionErrors(
        ap=float(result.map[0]),
        given_back=dict(zip(KINDS, mean_of_present(given_back[:, 0]).tolist(), strict=True)),
        counts=dict(zip(KINDS, class_counts.sum(1).tolist(), strict=True)),
        class_given_back=given_back[:, 0],
        class_counts=class_counts,
        kinds=kinds,
        counted=counted,
        missed=missed,
        weighted=dict(zip(KINDS, mean_of_present(given_back[:, 1:]), strict=True)),
    )


def _kinds(
    wrong: NDArray[np.bool_], overlap: NDArray[np.float64], foreground: float, background: float
) -> NDArray[np.int8]:
    """(d,) index into KINDS; -1 for a detection that is not wrong. overlap (d, 2): with its own class, with others."""
    own, other = overlap[:, 0], overlap[:, 1]
    tests = [
        ("localization", (own >= background) & (own < foreground)),
        ("classification", other >= foreground),
        ("duplicate", own >= foreground),
        ("background", (own < background) & (other < background)),
    ]
    kinds = np.select([test for _, test in tests], [KINDS.index(name) for name, _ in tests], KINDS.index("both"))
    return np.where(wrong, kinds, -1).astype(np.int8)


def _surest(object_of: NDArray[np.int64], found: NDArray[np.bool_], scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Of the detections whose error points to one object, the surest (of equal ones the first), unless it was found."""
    errors = np.flatnonzero(object_of >= 0)
    errors = errors[~found[object_of[errors]]]
    errors = errors[np.lexsort((-scores[errors], object_of[errors]))]
    return errors[np.diff(object_of[errors], prepend=-1) != 0]


def _refated(
    matches: Matches,
    truth: Truth,
    detections: Detections,
    fate: NDArray[np.int8],
    *,
    counted: NDArray[np.bool_],
    rules: Rules,
) -> Matches:
    """The match table of detections whose fates, and classes, were changed, and of true boxes that count."""
    from headstart.metrics import _sorting

    rows = np.flatnonzero(fate != LEFT_OUT)
    order, offsets = _sorting.sorted_detections(
        detections.labels[rows],
        detections.scores[rows],
        detections.image_index[rows],
        truth.num_classes,
        truth.num_images,
        rules.ties == "last",
    )
    order = rows[order].astype(np.int32)
    events = np.flatnonzero(fate[order] != MISS)
    bounds = np.searchsorted(events, offsets)
    return replace(
        matches,
        order=order,
        class_offsets=offsets,
        images=detections.image_index[order],
        ranks=np.empty(0, dtype=np.int32),
        outside=np.zeros((1, 0), np.bool_),
        event_at=events.astype(np.int32),
        event_hit=fate[order[events]] == HIT,
        event_truth=np.full(len(events), -1, dtype=np.int32),
        event_offsets=np.stack([bounds[:-1], bounds[1:]], axis=1)[:, None],
        counted=counted[matches.truth_order][None],
    )
