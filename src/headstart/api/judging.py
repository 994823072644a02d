"""Anyone's table of scores, judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.api.paths import PathLike

if TYPE_CHECKING:
    from headstart.judging.result import Judgement


def judge(
    table: PathLike,
    columns: Mapping[str, str] | Sequence[str] = (),
    better: str | None = None,
    *,
    unit: str | None = None,
    standardize: bool = False,
    out: PathLike | None = None,
) -> Judgement:
    """Which models of a table of scores are the best over data sets like its own, and what the table cannot say.

    table: a CSV file with a row a score (data set, model, and if known seed, images, group), or a wide one; see
    docs/judge.md. columns: which column is what, such as {"score": "mAP"}, where names do not tell. better: "higher" or
    "lower"; by default told from the name of the score. unit: a word for the score's unit; nothing is converted.
    standardize: compare in standard deviations of the models within each data set. out: write the page (`index.html`)
    and `judgement.json` into this folder. Raises DataError for a table that cannot be read or compared, with path and
    row.
    """
    from headstart.judging.judge import judge_table

    judged = judge_table(Path(table), columns, better=better, unit=unit, standardize=standardize)
    if out is None:
        return judged
    from headstart.report.judge import write_page

    return write_page(judged, Path(out))
