"""Which pairs of candidates a study explains, and the jobs that do it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

import numpy as np

from headstart.config.study import Study, Task, WeightsEntry, Why
from headstart.study.jobs import Job, Pair, Trial
from headstart.study.origins import PIXELS_PER_SECOND
from headstart.study.sets import Sets
from headstart.study.settings import ContentsSettings, LookSettings, PairSettings
from headstart.tasks.table import TASKS
from headstart.weights.starts import StartPlace, StartSettings

MOST = 2000
"""Images, at most, that a pair is explained on: the first ones of a set, any beginning of which is stratified."""
STATISTICS = 500
Starts = Callable[[WeightsEntry, int], tuple[StartSettings, dict[str, Job], StartPlace]]
"""How a job is told its starting weights."""
Found = Callable[[Job], dict[str, float | None] | None]
"""Metrics of a finished job, None while it is not finished."""


@dataclass(frozen=True)
class Pairs:
    """Makes the jobs. What no seed changes is computed for the study's first one."""

    study: Study
    sets: Sets
    starts: Starts
    device: str

    def of(self, trials: Sequence[Trial], found: Found, lost: Callable[[Job], bool], waiting: Set[str]) -> _Found:
        """The pairs that are known now, and the number of jobs at least that follow once others are.

        waiting: tasks of which trials are still to come.
        """
        pairs: list[Pair] = []
        hidden = 0
        for why in self.study.why:
            own = [t for t in trials if t.task == why.task]
            names = self._names(why, own, found, lost, waiting=why.task in waiting)
            hidden += 4 if names is None else 0
            pairs += [self._pair(why, a, b, () if why.task in waiting else own) for a, b in names or ()]
        return _Found(pairs, hidden)

    def _names(
        self, why: Why, trials: Sequence[Trial], found: Found, lost: Callable[[Job], bool], *, waiting: bool
    ) -> list[tuple[str, str]] | None:
        """Pairs in their order; None while it is not known which candidate is best."""
        given = list(why.pairs)
        if why.task is None or (given and not why.every):
            return given
        task = next(t for t in self.study.tasks if t.name == why.task)
        entries = [w for w in self.study.weights if not task.only or w.name in task.only]
        if waiting or any(found(t.evaluate) is None and not lost(t.evaluate) for t in trials):
            return None
        scores = self._scores(task, trials, found)
        ranked = sorted(scores, key=lambda name: scores[name], reverse=True)
        if len(ranked) < 2:
            return given
        default = next((w.name for w in entries if w.default and w.name in ranked[1:]), ranked[1])
        pairs = [(ranked[0], default), *given]
        pairs += itertools.combinations(ranked, 2) if why.every else ()
        unique = {frozenset(names): names for names in reversed(pairs)}
        return [unique[key] for key in dict.fromkeys(map(frozenset, pairs))]

    def _scores(self, task: Task, trials: Sequence[Trial], found: Found) -> dict[str, tuple[int, float]]:
        """Number of seeds and mean of the task's first metric, of candidates that have all of theirs. One with fewer
        seeds than another was dropped, and is not the best."""
        metric = TASKS[task.kind].ranked_by(task.protocol)[0]
        values: dict[str, list[float]] = {}
        for trial in trials:
            value = (found(trial.evaluate) or {}).get(metric)
            if value is not None:
                values.setdefault(trial.weights, []).append(value)
        wanted = Counter(trial.weights for trial in trials)
        return {n: (len(v), float(np.mean(v))) for n, v in values.items() if len(v) == wanted[n]}

    def _pair(self, why: Why, a: str, b: str, trials: Sequence[Trial]) -> Pair:
        seed = self.study.seeds[0]
        images = self.sets.job(why.images, seed)
        looks = self._look(why, a), self._look(why, b)
        of = why.task or why.images
        inputs = {"a": looks[0], "b": looks[1], "images": images}
        settings = PairSettings(self.study.bootstrap, self.study.threads)
        pair = Job("pair", settings, inputs, None, label=f"neighbors of {a} and {b} ({of})", cost=self.pair_cost(why))
        contents = self._contents(why, a, b, trials) if why.task else None
        return Pair(of, a, b, images, looks, pair=pair, contents=contents)

    def _look(self, why: Why, name: str) -> Job:
        seed = self.study.seeds[0]
        entry = next(w for w in self.study.weights if w.name == name)
        weights, inputs, place = self.starts(entry, seed)
        settings = LookSettings(weights, MOST, self.study.bootstrap, self.study.threads, self.device)
        inputs = inputs | {"images": self.sets.job(why.images, seed), "statistics": self.sets.job(why.statistics, seed)}
        label = f"look at {name} on {why.images}"
        return Job("look", settings, inputs, place, label=label, cost=self.look_cost(why))

    def _contents(self, why: Why, a: str, b: str, trials: Sequence[Trial]) -> Job | None:
        task = next(t for t in self.study.tasks if t.name == why.task)
        by = {(t.weights, t.seed): t.evaluate for t in trials}
        seeds = tuple(seed for seed in self.study.seeds if {(a, seed), (b, seed)} <= by.keys())
        if not seeds:
            return None
        inputs = {"images": self.sets.job(why.images, self.study.seeds[0])}
        for seed in seeds:
            inputs |= {f"a{seed}": by[a, seed], f"b{seed}": by[b, seed]}
            inputs |= {f"test{seed}_{k}": self.sets.job(name, seed) for k, name in enumerate(task.test)}
        settings = ContentsSettings(
            task.kind, task.protocol, seeds, folds=len(task.test), most=MOST, threads=self.study.threads
        )
        label = f"which images {a} and {b} get right ({task.name})"
        return Job("contents", settings, inputs, self.sets.masks(task.test[0]), label=label, cost=4.0 * len(seeds))

    def look_cost(self, why: Why) -> float:
        """Expected CPU seconds of one look."""
        images = min(self.sets.count(why.images), MOST) + min(self.sets.count(why.statistics), STATISTICS)
        return images * self.sets.pixels(why.images) / (3 * PIXELS_PER_SECOND) + 0.01 * images

    def pair_cost(self, why: Why) -> float:
        """Expected CPU seconds of one pair: of many images mostly for principal components and for who is near whom."""
        return 2 + 30 * (min(self.sets.count(why.images), MOST) / MOST) ** 2

    def cost(self) -> float:
        """Expected CPU seconds of all explanations that are not known yet, at least one pair for each."""
        seeds = len(self.study.seeds)
        return sum(
            2 * self.look_cost(why) + self.pair_cost(why) + 4.0 * seeds * bool(why.task) for why in self.study.why
        )


@dataclass(frozen=True)
class _Found:
    pairs: list[Pair]
    hidden: int
