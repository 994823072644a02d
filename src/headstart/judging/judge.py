"""From scores to verdicts: data sets as the random factor, everything that is said of a table holding at once.

Letters: D data sets, M models, S repeats (seeds). Cells are turned so that more is better, and back for what is told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError, UsageError
from headstart.judging.lines import told
from headstart.judging.result import Judgement, Lead, Otherwise, Precision, Standing, Verdict
from headstart.judging.scores import Scores, cell_means, read_scores
from headstart.judging.unknown import holes_of, unknown_of
from headstart.stats.blocks import Pairs, additive_means, compare_pairs, interaction_p, joined
from headstart.stats.intervals import LEVEL
from headstart.stats.ranks import best_by_rank, block_ranks

Floats = NDArray[np.float64]

OTHER_DRAWS = 2000
"""Tables drawn for the other reading, of which only the best set is told."""
MOVERS_UP_TO = 2000
"""Data sets beyond which none of them is left out in turn."""
STANDARDIZED = "standard deviations of the models within a data set"
RANKS = "ranks within a data set"


def judge_table(
    path: Path,
    columns: Mapping[str, str] | Sequence[str] = (),
    *,
    better: str | None = None,
    unit: str | None = None,
    standardize: bool = False,
) -> Judgement:
    """Read a table and judge it. columns, better, unit: as in `headstart.judging.scores.read_scores`. standardize:
    compare in standard deviations of the models within each data set, in place of the score's unit.

    Raises DataError for a table that cannot be read or compared, UsageError for what cannot be asked.
    """
    return judge_scores(read_scores(path, columns, better, unit), standardize)


def judge_scores(scores: Scores, standardize: bool = False) -> Judgement:
    """Judge scores; see `judge_table`."""
    sign = 1.0 if scores.higher_is_better else -1.0
    raw = sign * scores.values
    scaled = _standardized(raw)
    if standardize and scaled is None:
        raise UsageError(
            f"{scores.path}: --standardize needs three models and a data set where they differ. Leave it out."
        )
    values, other = (scaled, raw) if standardize and scaled is not None else (raw, scaled)
    cells = cell_means(values)
    pairs = _compared(cells, scores.path)
    main = _verdict("all data sets", cells, pairs, scores.models, sign=sign, level=LEVEL)
    groups = _groups(scores, cells, sign)
    labels = np.unique(scores.groups, return_inverse=True)[1] if scores.groups else np.zeros(len(cells), int)
    repeats = scores.repeats[scores.repeats > 0]
    judgement = Judgement(
        path=scores.path,
        score=scores.score,
        unit=scores.unit,
        scale=STANDARDIZED if standardize else scores.unit,
        higher_is_better=scores.higher_is_better,
        datasets=len(scores.datasets),
        models=len(scores.models),
        repeats=(int(repeats.min()), int(repeats.max())),
        verdict=main,
        groups=groups,
        interaction_p=interaction_p(cells, labels),
        otherwise=_otherwise(scores, None if other is None else cell_means(other), cells, standardized=standardize),
        movers=_movers(cells, scores, main),
        precision=_precision(values, pairs, math.nan if standardize else _image_share(scores, pairs.variance)),
        holes=holes_of(scores, pairs),
        unknown=(),
        notes=(*scores.notes, *_of_groups(scores, groups)),
        table=tuple(
            (name, dict(zip(scores.models, row, strict=True)))
            for name, row in zip(scores.datasets, scores.cells.tolist(), strict=True)
        ),
    )
    judgement = replace(judgement, unknown=unknown_of(scores, judgement))
    return replace(judgement, lines=tuple(told(judgement)))


def _enough(cells: Floats) -> bool:
    seen = (~np.isnan(cells)).astype(float)
    shared = seen.T @ seen
    return bool((shared[~np.eye(len(shared), dtype=bool)] >= 2).any())


def _compared(cells: Floats, path: str) -> Pairs:
    if not _enough(cells):
        raise DataError(
            f"{path}: no two models share two data sets, so none can be compared over data sets. Fill in the scores of "
            "models on the same data sets."
        )
    return compare_pairs(cells, LEVEL)


def _verdict(of: str, cells: Floats, pairs: Pairs, models: Sequence[str], *, sign: float, level: float) -> Verdict:
    """Of the largest set of models that shared data sets join; the others cannot be put in an order with them."""
    kept, *others = joined(pairs.shared)
    apart = tuple(models[m] for part in others for m in part)
    if apart:
        cells = cells[:, kept]
        pairs = compare_pairs(cells, level)
    return _standings(of, cells, pairs, [models[m] for m in kept], sign=sign, level=level, apart=apart)


def _standings(
    of: str, cells: Floats, pairs: Pairs, models: Sequence[str], *, sign: float, level: float, apart: tuple[str, ...]
) -> Verdict:
    means, ranks = additive_means(cells), block_ranks(cells)
    mean_ranks = ranks.mean(0) if len(ranks) else np.full(len(models), math.nan)
    best = pairs.best_set()
    # Of the best set alone: with holes, the best mean may be one that is shown to be worse than another.
    order = sorted(range(len(models)), key=lambda m: (not best[m], -means[m]))
    lower, upper = pairs.to_best()
    detectable, leader = pairs.detectable(), order[0]
    standings = []
    for m in order:
        lead = None
        if m != leader and not math.isnan(pairs.se[m, leader]):
            lo, hi = sorted((sign * float(pairs.lo[m, leader]), sign * float(pairs.hi[m, leader])))
            effect, p = sign * float(pairs.difference[m, leader]), float(pairs.p[m, leader])
            lead = Lead(effect, lo, hi, p, int(pairs.shared[m, leader]), float(detectable[m, leader]))
        behind = (0.0 - float(upper[m]), 0.0 - float(lower[m]))
        seen = int((~np.isnan(cells[:, m])).sum())
        mean = sign * float(means[m])
        standings.append(Standing(models[m], mean, float(mean_ranks[m]), seen, bool(best[m]), behind, lead))
    typical = float(np.nanmedian(detectable))
    used = int((~np.isnan(cells)).any(1).sum())
    return Verdict(of, used, tuple(standings), level, pairs.critical, pairs.pooling, typical, apart)


def _groups(scores: Scores, cells: Floats, sign: float) -> tuple[Verdict, ...]:
    """One verdict a group; each at 1 - (1 - LEVEL) / their number, so that they hold together."""
    names = list(dict.fromkeys(scores.groups))
    members = {name: np.array([group == name for group in scores.groups]) for name in names}
    judged = [name for name in names if _enough(cells[members[name]])]
    if len(names) < 2:
        return ()
    level = 1 - (1 - LEVEL) / max(len(judged), 1)
    parts = [(name, cells[members[name]]) for name in judged]
    return tuple(
        _verdict(name, part, compare_pairs(part, level), scores.models, sign=sign, level=level) for name, part in parts
    )


def _of_groups(scores: Scores, groups: Sequence[Verdict]) -> list[str]:
    """Groups without a verdict of their own."""
    names = list(dict.fromkeys(scores.groups))
    if len(names) == 1:
        return [f"all data sets are in one group, {names[0]!r}"]
    left = [name for name in names if name not in {group.of for group in groups}]
    return [f"groups in which no two models share two data sets have no verdict: {', '.join(left)}"] if left else []


def _standardized(values: Floats) -> Floats | None:
    """Scores over the standard deviation of their data set's models; data sets of equal or fewer than three models are
    left out. None where nothing is left to compare, or with two models, whose only difference would always be the
    same."""
    cells = cell_means(values)
    seen = (~np.isnan(cells)).sum(1)
    kept = seen >= 3
    spread = np.full(len(cells), np.nan)
    spread[kept] = np.nanstd(cells[kept], axis=1, ddof=1)
    spread[~(spread > 0)] = np.nan
    scaled = values / spread[:, None, None]
    return scaled if _enough(cell_means(scaled)) else None


def _otherwise(scores: Scores, other: Floats | None, cells: Floats, *, standardized: bool) -> tuple[Otherwise, ...]:
    """By the other scale, and by ranks."""
    out = []
    if other is not None:
        pairs = compare_pairs(other, LEVEL, OTHER_DRAWS)
        means = additive_means(other)
        used = int((~np.isnan(other)).any(1).sum())
        out.append(_reading(scores.unit if standardized else STANDARDIZED, means, pairs.best_set(), scores, used=used))
    ranks = block_ranks(cells)
    if len(ranks) > 1:
        out.append(_reading(RANKS, -ranks.mean(0), best_by_rank(ranks, LEVEL), scores, used=len(ranks)))
    return tuple(out)


def _reading(scale: str, means: Floats, best: NDArray[np.bool_], scores: Scores, *, used: int) -> Otherwise:
    order = [int(m) for m in np.argsort(-means, kind="stable") if best[m]]
    names = tuple(scores.models[m] for m in order)
    return Otherwise(scale, names[0], names, used)


def _movers(cells: Floats, scores: Scores, verdict: Verdict) -> tuple[tuple[str, str], ...]:
    """Data sets without which another model of the best set would have the best mean."""
    if verdict.apart or not 3 <= len(cells) <= MOVERS_UP_TO:
        return ()
    columns = [scores.models.index(name) for name in verdict.best_set]
    means = [additive_means(np.delete(cells, d, axis=0))[columns] for d in range(len(cells))]
    leads = [verdict.best_set[int(m.argmax())] for m in means]
    return tuple((name, lead) for name, lead in zip(scores.datasets, leads, strict=True) if lead != verdict.leader)


def _precision(values: Floats, pairs: Pairs, image_share: float) -> Precision:
    """Variance parts of the typical difference on one data set, and what halves of them would do."""
    seen = ~np.isnan(values)
    counts = seen.sum(2)
    within = np.where(seen, values - cell_means(values)[:, :, None], 0.0)
    df = int(np.maximum(counts - 1, 0).sum())
    seed_variance = float((within**2).sum()) / df if df else math.nan
    of_seeds = 2 * seed_variance * float((1 / counts[counts > 0]).mean())
    variance = pairs.variance
    now = float(np.nanmedian(pairs.detectable()))
    seed_share = float(np.minimum(1.0, of_seeds / variance)) if variance else math.nan
    return Precision(
        sd=math.sqrt(variance),
        seed_sd=math.sqrt(seed_variance),
        seed_share=seed_share,
        image_share=image_share,
        detectable=now,
        with_twice_seeds=now * math.sqrt(1 - seed_share / 2),
        with_twice_datasets=now / math.sqrt(2),
    )


def _image_share(scores: Scores, variance: float) -> float:
    """Of a share of right answers: its binomial variance, twice for a difference. An upper bound, since models are
    scored on the same images and err on the same ones."""
    whole = {"fraction": 1.0, "percent": 100.0}.get(scores.unit)
    if not scores.is_share or whole is None or not variance or not (scores.images > 0).any():
        return math.nan
    known = scores.images > 0
    right = scores.cells[known] / whole
    binomial = right * (1 - right) / scores.images[known][:, None]
    return min(1.0, 2 * whole**2 * float(np.nanmean(binomial)) / variance)
