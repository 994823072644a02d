"""What the trials of a suite say: data sets as the random factor, as `headstart judge` reads any table of scores."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.config.study import Study
from headstart.errors import DataError
from headstart.judging.judge import judge_scores
from headstart.judging.reading import read_rows
from headstart.judging.result import Judgement
from headstart.judging.scores import Scores
from headstart.names import parse
from headstart.store.files import replacing, write_text
from headstart.study.suites.planning import LeftOut
from headstart.study.suites.published import Published
from headstart.tasks.table import TASKS

SIZES = ((100, "fewer than 100 images"), (1000, "100 to 999 images"), (10**9, "1,000 images and more"))
"""Groups by the number of training images."""


@dataclass(frozen=True)
class SuiteAnswer:
    """Over all data sets; by the number of training images; and without those that some of the weights have seen.

    Judgements are None where fewer than two data sets or weights have scores. seen: (weights, data set, why).
    unfinished: data sets that lack the score of a candidate.
    """

    metric: str
    whole: Judgement | None
    by_size: Judgement | None
    seen: tuple[tuple[str, str, str], ...]
    unseen: Judgement | None
    left_out: tuple[LeftOut, ...]
    unfinished: tuple[str, ...]
    published: tuple[Published, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Everything as `suite.json` has it."""
        judged = {name: getattr(self, name) for name in ("whole", "by_size", "unseen")}
        return {
            "metric": self.metric,
            **{name: j.to_json() if j else None for name, j in judged.items()},
            "seen": [{"weights": w, "data_set": s, "why": why} for w, s, why in self.seen],
            "left_out": [vars(one) for one in self.left_out],
            "unfinished": list(self.unfinished),
            "published": [vars(one) for one in self.published],
        }


def suite_answer(
    study: Study,
    summary: Mapping[str, Any],
    sets: Mapping[str, str],
    *,
    groups: Mapping[str, str],
    told_seen: Sequence[tuple[str, str]],
    left_out: Sequence[LeftOut],
    published: Sequence[Published],
    where: str,
) -> SuiteAnswer:
    """Of a finished run. sets: task -> data set. groups: data set -> its group, where known. told_seen: (weights, data
    set) that the user knows to have been pre-trained on. where: what the table is called in messages."""
    metric = TASKS[study.tasks[0].kind].ranked_by(study.tasks[0].protocol)[0]
    models = [w.name for w in study.weights if w.times == 1]
    values, images, training = _values(study, summary, metric, models)
    scores = Scores(
        path=where,
        datasets=tuple(sets[t.name] for t in study.tasks),
        models=tuple(models),
        values=values,
        images=images,
        groups=tuple(groups.get(sets[t.name], "(none)") for t in study.tasks) if groups else (),
        score=metric,
        unit="fraction",
        has_seeds=len(study.seeds) > 1,
        higher_is_better=True,
        is_share="/map" not in metric,
        notes=(),
    )
    seen = _seen(summary, scores.datasets, told_seen)
    kept = [k for k, name in enumerate(scores.datasets) if name not in {s for _, s, _ in seen}]
    holes = np.isnan(values).all(2)
    return SuiteAnswer(
        metric=metric,
        whole=_judged(scores, range(len(scores.datasets))),
        by_size=_judged(_by_size(scores, training), range(len(scores.datasets))),
        seen=seen,
        unseen=_judged(scores, kept) if seen else None,
        left_out=tuple(left_out),
        unfinished=tuple(
            f"{name}: no score of {', '.join(m for m, hole in zip(models, row, strict=True) if hole)}"
            for name, row in zip(scores.datasets, holes, strict=True)
            if row.any()
        ),
        published=tuple(published),
    )


def _values(
    study: Study, summary: Mapping[str, Any], metric: str, models: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores (D, M, S), test images (D,) and training images (D,), 0 where not known."""
    places = {t.name: k for k, t in enumerate(study.tasks)}
    columns = {name: k for k, name in enumerate(models)}
    values = np.full((len(places), len(models), len(study.seeds)), np.nan)
    images, training = np.zeros(len(places), np.int64), np.zeros(len(places), np.int64)
    for trial in summary["trials"]:
        d, m = places[trial["task"]], columns.get(trial["weights"])
        images[d] = int(trial["test_images"] or 0)
        training[d] = int(trial["train_images"] or 0)
        score = trial["metrics"].get(metric)
        if m is not None and score is not None:
            values[d, m, study.seeds.index(trial["seed"])] = score
    return values, images, training


def _by_size(scores: Scores, training: np.ndarray) -> Scores:
    groups = tuple(next(words for most, words in SIZES if n < most) for n in training.tolist())
    return _with(scores, range(len(groups)), groups)


def _judged(scores: Scores, rows: Sequence[int]) -> Judgement | None:
    """Of some data sets; None where there is nothing to compare."""
    rows = [k for k in rows if not np.isnan(scores.values[k]).all()]
    if len(rows) < 2 or len(scores.models) < 2:
        return None
    try:
        return judge_scores(_with(scores, rows, tuple(scores.groups[k] for k in rows) if scores.groups else ()))
    except DataError:  # no two candidates share two data sets yet
        return None


def _with(scores: Scores, rows: Sequence[int], groups: tuple[str, ...]) -> Scores:
    chosen = list(rows)
    changed = {
        "datasets": tuple(scores.datasets[k] for k in chosen),
        "values": scores.values[chosen],
        "images": scores.images[chosen],
        "groups": groups,
    }
    return Scores(**(vars(scores) | changed))


def _seen(
    summary: Mapping[str, Any], datasets: Sequence[str], told: Sequence[tuple[str, str]]
) -> tuple[tuple[str, str, str], ...]:
    """Pairs of weights and data sets where the lineage names the data set, or the user says so."""
    found = [(weights, dataset, "as --seen says") for weights, dataset in told]
    for entry in summary["weights"]:
        for step in entry.get("lineage") or []:
            words = _words(step)
            found += [
                (entry["name"], name, f"pre-trained on: {step}")
                for name in datasets
                if words and any(word in words for word in _words(name)) and (entry["name"], name) not in told
            ]
    return tuple(dict.fromkeys(found))


def _words(text: str) -> set[str]:
    """Words that could name a data set: not years, sizes, and what every lineage says."""
    plain = {"boxes", "labels", "images", "masks", "and", "of", "with", "train", "data", "set", "the", "pretrained"}
    return {w for w in re.split(r"[^a-z0-9]+", text.lower()) if len(w) > 2 and not w.isdigit()} - plain


def read_pairs(path: Path, first: str, second: str) -> list[tuple[str, str]]:
    """A CSV file with two columns of these names. Raises DataError with path and what is missing."""
    rows = read_rows(path)
    header = [name.strip().lower() for name in rows.header]
    missing = [name for name in (first, second) if name not in header]
    if missing:
        raise DataError(
            f"{path}: no column {missing[0]!r}; there are {', '.join(rows.header)}. Begin it with a line "
            f"`{first},{second}`."
        )
    a, b = header.index(first), header.index(second)
    return [(row[a].strip(), row[b].strip()) for row in rows.rows]


def write_scores(path: Path, study: Study, summary: Mapping[str, Any], sets: Mapping[str, str], *, metric: str) -> None:
    """The scores as a CSV file that `headstart judge` reads, and beside it the same trials with all headline metrics as
    Parquet."""
    import pyarrow
    from pyarrow import parquet

    rows = [
        {
            "data set": sets[t["task"]],
            "model": t["weights"],
            "seed": t["seed"],
            "images": t["test_images"],
            "score": t["metrics"].get(metric),
        }
        for t in summary["trials"]
    ]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["data set", "model", "seed", "images", "score"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
    task = TASKS[study.tasks[0].kind]
    long = [
        {
            "data_set": sets[t["task"]],
            "weights": t["weights"],
            "seed": t["seed"],
            "train_images": t["train_images"],
            "test_images": t["test_images"],
            "converged": not t["not_converged"],
            "metric": name,
            "value": value,
        }
        for t in summary["trials"]
        for name, value in t["metrics"].items()
        if (parsed := parse(name)) and parsed.family == task.family and task.is_headline(parsed)
    ]
    with replacing(path.with_suffix(".parquet")) as part:
        parquet.write_table(pyarrow.Table.from_pylist(long), part)
