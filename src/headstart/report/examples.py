"""Sections of the report that show examples of an explanation, and its numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from headstart.report.arms import numbers_of
from headstart.report.run_dir import RunDir
from headstart.report.section import Section, render

Arrays = dict[str, np.ndarray]


def examples_section(
    run: RunDir,
    kind: str,
    title: str,
    needed: Sequence[str],
    *,
    most: int,
    example: Callable[[RunDir, Arrays, int], dict[str, object]],
    **context: object,
) -> Section | None:
    """Examples of the first seed that has any; None without examples.

    needed: names of the arrays, the first of which has a row for each example. most: examples shown at most. example:
    one of them, as the template `kind` takes it, which gets `context`, too.
    """
    for seed, job in run.explained(kind):
        arrays = run.arrays(job, "examples.npz", needed)
        if arrays is None or not len(arrays[needed[0]]):
            continue
        body = render(
            kind,
            examples=[example(run, arrays, i) for i in range(min(most, len(arrays[needed[0]])))],
            seed=seed,
            several=len(run.explained(kind)) > 1,
            numbers=numbers_of(run, kind),
            **context,
        )
        return Section(kind, title, body)
    return None
