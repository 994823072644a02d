"""The answer and the trials of runs as plain tables: Markdown, LaTeX, CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, Literal

from headstart.page.numbers import finite, fixed
from headstart.report.run_dir import RunDir
from headstart.report.words import headline_metrics

TextFormat = Literal["md", "latex", "csv"]
Which = Literal["answer", "trials"]
Row = dict[str, Any]
ESCAPED = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def table(runs: Sequence[RunDir], which: Which, format: TextFormat) -> str:
    """One table of all runs, one after the other; which run is the first column where there are several.

    `answer`: every ranking's candidates, differences to the best with simultaneous intervals; the updates of trainings,
    and whether what is said of a candidate has converged. `trials`: every trial with its headline metrics. Markdown and
    LaTeX have points with one decimal (fractions times 100); CSV has the fractions as they were measured, all digits.
    Empty where there is no value. Candidates of different runs are listed, not compared.
    """
    rows = [
        ({"run": run.path.resolve().name} if len(runs) > 1 else {}) | row
        for run in runs
        for row in (_answer(run) if which == "answer" else _trials(run))
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_cell(row.get(name), exact=format == "csv") for name in columns] for row in rows]
    written = {"md": _markdown, "latex": _latex, "csv": _csv}[format]
    return written([columns, *cells])


def _answer(run: RunDir) -> list[Row]:
    rows = []
    for ranking in run.metrics.get("rankings") or []:
        for row in ranking["rows"]:
            to_best = row.get("to_best") if row["weights"] != ranking["best"] else None
            rows.append(
                {"task": ranking["task"], "metric": ranking["metric"], "weights": row["weights"]}
                | {key: finite(row.get(key)) for key in ("mean", "lo", "hi")}
                | {f"to best{end}": finite((to_best or {}).get(key)) for key, end in _ENDS}
                | {"p": _Plain((to_best or {}).get("p_adjusted")), "best set": _said(ranking, row["weights"])}
                | {"test images": ranking.get("test_images"), "seeds": row.get("seeds", len(run.seeds))}
                | _trained(run, ranking, row)
            )
    return rows


_ENDS = (("effect", ""), ("lo", " lo"), ("hi", " hi"))


def _trained(run: RunDir, ranking: Row, row: Row) -> Row:
    """For how many updates, and whether that was enough for what is said of it; nothing where nothing is trained."""
    told = [c for c in run.metrics.get("convergence") or [] if c["task"] == ranking["task"]]
    if not told:
        return {}
    return {
        "updates": told[0]["updates"],
        "converged": "no" if row.get("not_converged") or row.get("unsettled") else "yes",
    }


def _said(ranking: Row, name: str) -> str:
    if not ranking["ranked"]:
        return "not ranked"
    return "best" if name == ranking["best"] else "yes" if name in ranking["best_set"] else "no"


def _trials(run: RunDir) -> list[Row]:
    rows = []
    for task in run.tasks:
        names = headline_metrics(run, task)
        for trial in run.trials(task):
            rates = ", ".join(f"{rate:g}" for rate in dict.fromkeys(trial.get("lr") or []))
            rows.append(
                {"task": task, "weights": trial["weights"], "seed": trial["seed"], "rate": rates}
                | {"train images": trial.get("train_images"), "test images": trial.get("test_images")}
                | {name: finite(trial["metrics"].get(name)) for name in names}
            )
    return rows


class _Plain:
    """A number that is no fraction of points."""

    def __init__(self, value: object) -> None:
        self.value = finite(value)


def _cell(value: object, exact: bool) -> str:
    if isinstance(value, _Plain):
        return "" if value.value is None else repr(value.value) if exact else f"{value.value:.3f}"
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value) if exact else fixed(100 * value).replace("\N{MINUS SIGN}", "-")
    return str(value)


def _csv(rows: list[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def _markdown(rows: list[list[str]]) -> str:
    head, *body = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _latex(rows: list[list[str]]) -> str:
    head, *body = [" & ".join(map(_escaped, row)) + r" \\" for row in rows]
    begin = rf"\begin{{tabular}}{{{'l' * len(rows[0])}}}"
    return "\n".join([begin, r"\hline", head, r"\hline", *body, r"\hline", r"\end{tabular}", ""])


def _escaped(text: str) -> str:
    return "".join(ESCAPED.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)
