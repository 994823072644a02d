"""Several things compared over blocks that were drawn at random, such as models over data sets; blocks may have holes.

Letters: D blocks, M columns; a cell is the mean of what was measured there, nan is a hole. n_ij blocks have both i and
j.

The statement is about blocks like these, so blocks are the random factor: what a column gains on one block and not on
another (the interaction) is noise of the mean difference, whatever it is made of; what is measured anew within a cell
(seeds) is a part of it. The difference of a pair is the mean of its differences block by block, and its variance
v_ij / n_ij with v_ij the variance of those differences (n_ij - 1 degrees of freedom).

**Variances are drawn together as far as they are alike.** From few blocks, v_ij is known badly; but there are M (M - 1)
/ 2 of them. v_ij is replaced by w v_ij + (1 - w) v, v the mean over pairs: the linear empirical Bayes estimate (C. N.
Morris, JASA 78, 1983), whose w grows with the number of blocks and with how much more the v_ij differ than chance alone
would let them. Alike pairs give w = 0, the analysis of variance with a common error; one pair, or many blocks, give
each pair its own.

**All pairs hold at once.** Intervals are difference -+ q x se with one q for every pair: the `level` quantile of the
largest |difference| / se over all pairs, found by drawing tables without differences, with the same holes, from the
normal distribution with these variances, and computing all of the above anew in each (so the uncertainty of w and v is
in q). The drawn tables' variances are drawn together by sqrt(w + 1 / (df + 2)) only: by sqrt(w) they are as unlike as
the true ones are estimated to be (estimates drawn together by w are more alike than that), and the rest, which few
blocks need and many do not, is for how badly w is known. `benchmarks/judge.py` says how often this holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

DRAWS = 4000
"""Tables drawn for the critical value: its tail probability is then known to +- 0.7 of a hundredth."""
NUMBERS = 1.2e8
"""Cells and pairs drawn in all, at most (a few seconds); fewer tables are drawn then, but 1,000 at least."""
CHUNK = 4_000_000
"""Numbers held at once."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Every column against every other; row minus column, nan where the two share fewer than two blocks.

    difference, se (M, M); shared (M, M): blocks that both have; df (M, M): degrees of freedom of se, at most what the
    pooled variance has; critical: q; p (M, M): of no difference, adjusted for all pairs; variance: mean over pairs of
    the variance of a difference on one block; pooling: 1 - w, mean over pairs.
    """

    difference: Floats
    se: Floats
    shared: NDArray[np.int64]
    df: Floats
    p: Floats
    critical: float
    variance: float
    pooling: float

    @property
    def lo(self) -> Floats:
        """(M, M) lower ends; all pairs hold at once."""
        return self.difference - self.critical * self.se

    @property
    def hi(self) -> Floats:
        """(M, M) upper ends."""
        return self.difference + self.critical * self.se

    def best_set(self) -> NDArray[np.bool_]:
        """(M,) columns that are not shown to be below any other. It holds every best column with the level's chance.

        All of them where each is below another, which holes make possible: each pair has blocks of its own.
        """
        best = np.logical_not((self.hi < 0).any(axis=1))
        return best if best.any() else ~best

    def to_best(self) -> tuple[Floats, Floats]:
        """(M,), (M,) ends of `mean of this column - mean of the best`, whichever that is; both at most 0.

        Follows from the pairs: the best is at least as good as each, and lies in the best set. The lower end is -inf
        where a column was not compared with one of the best set.
        """
        best = self.best_set()
        lower = np.where(np.isnan(self.lo), -math.inf, self.lo)
        np.fill_diagonal(lower, 0.0)
        upper = np.where(np.isnan(self.hi), math.inf, self.hi)
        np.fill_diagonal(upper, 0.0)
        return lower[:, best].min(axis=1), upper.min(axis=1)

    def detectable(self, power: float = 0.8) -> Floats:
        """(M, M) the smallest true difference whose interval leaves 0 out with this probability (noncentral t)."""
        from scipy.special import nctdtrinc, ndtri

        large = self.df > 1e4  # where the noncentral t is slow and normal
        multiple = nctdtrinc(np.where(large, 1e4, self.df), 1 - power, self.critical)
        return self.se * np.where(large, self.critical + ndtri(power), multiple)


def compare_pairs(cells: ArrayLike, level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> Pairs:
    """All pairs of columns of a table (D, M), nan for holes; see the module's docstring.

    Equal arguments give equal results. Raises ValueError unless some pair shares two blocks.
    """
    table = np.asarray(cells, np.float64)
    if table.ndim != 2 or np.isinf(table).any():
        raise ValueError(f"cells have shape {table.shape}; expected (D, M) numbers, nan for holes")
    seen = (~np.isnan(table)).astype(np.float64)
    held = np.where(seen > 0, table - np.nan_to_num(_block_means(table)), 0.0)
    layout = _Layout.of(seen)
    if not layout.paired.any():
        raise ValueError("no two columns share two blocks, so nothing can be compared")
    difference, own = layout.sums(held)
    variances, weight, mean = layout.drawn_together(own)
    num_draws = max(1000, min(draws, int(NUMBERS / (table.size + 8 * table.shape[1] ** 2))))
    largest = _largest(layout, own, weight, mean, draws=num_draws, seed=seed)
    se = np.sqrt(variances / np.maximum(layout.shared, 1))
    paired = layout.paired
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(difference == 0, 0.0, np.abs(difference) / se)
        df = np.minimum(layout.df / weight, layout.pooled * layout.df)
    critical, p = _tail(largest, ratio, level, layout)
    blank = np.where(paired, 1.0, math.nan)
    return Pairs(
        difference * blank,
        se * blank,
        layout.shared.astype(np.int64),
        df * blank,
        p * blank,
        critical,
        mean.item(),
        float(1 - weight[paired].mean()),
    )


def additive_means(cells: ArrayLike) -> Floats:
    """(M,) means of columns as if every block had every column: least squares of block + column, over the cells seen.

    Without holes these are the means. Columns that no chain of shared blocks joins get means that do not compare.
    """
    table = np.asarray(cells, np.float64)
    seen = ~np.isnan(table)
    weights = seen.astype(np.float64)
    per_block = np.maximum(weights.sum(1), 1)
    # Blocks are solved away: what is left are the normal equations of the columns alone.
    shares = weights / per_block[:, None]
    normal = np.diag(weights.sum(0)) - weights.T @ shares
    held = np.where(seen, table - np.nan_to_num(_block_means(table)), 0.0)
    effects = np.linalg.lstsq(normal, held.sum(0), rcond=None)[0]
    blocks = np.where(seen, table - effects, 0.0).sum(1) / per_block
    return effects + blocks[seen.any(1)].mean()


def joined(shared: NDArray[np.int64]) -> list[list[int]]:
    """Columns that chains of pairs with two or more shared blocks join; largest first, each in order."""
    left, parts = set(range(len(shared))), []
    while left:
        part, edge = set(), {min(left)}
        while edge:
            part |= edge
            edge = {j for i in edge for j in np.flatnonzero(shared[i] >= 2).tolist()} - part
        parts.append(sorted(part))
        left -= part
    return sorted(parts, key=lambda part: -len(part))


def interaction_p(cells: ArrayLike, groups: ArrayLike, draws: int = 5000, seed: int = 0) -> float:
    """p of differences between columns that are the same in every group of blocks; blocks are dealt to groups anew.

    groups (D,) int. Statistic: sum over groups and columns of n x squared mean of what blocks and columns do not
    explain. Needs no normality, and no equal variances of columns. nan with fewer than two groups.
    """
    table, labels = np.asarray(cells, np.float64), np.unique(np.asarray(groups), return_inverse=True)[1]
    if labels.max(initial=0) < 1:
        return math.nan
    seen = ~np.isnan(table)
    rest = table - additive_means(table)
    rest = np.where(seen, rest - np.nan_to_num(_block_means(rest)), 0.0)
    member = np.eye(labels.max() + 1)[labels].T

    def statistic(order: NDArray[np.intp]) -> float:
        sums, counts = member @ rest[order], member @ seen[order]
        return float((sums**2 / np.maximum(counts, 1)).sum())

    rng = np.random.default_rng(seed)
    found = statistic(np.arange(len(table)))
    # Equal deals, which small tables have many of, must count as equal despite rounding.
    bound = found * (1 - 1e-9)
    reached = sum(statistic(rng.permutation(len(table))) >= bound for _ in range(draws))
    return (1 + reached) / (1 + draws)


@dataclass(frozen=True, eq=False)
class _Layout:
    """Which cells there are. seen (D, M) 1 or 0; shared, df (M, M); paired (M, M): two shared blocks or more, i != j;
    pooled: degrees of freedom of a common variance for each block less one, at least."""

    seen: Floats
    shared: Floats
    df: Floats
    paired: NDArray[np.bool_]
    pooled: int

    @classmethod
    def of(cls, seen: Floats) -> _Layout:
        shared = seen.T @ seen
        paired = (shared >= 2) & ~np.eye(len(shared), dtype=bool)
        return cls(seen, shared, np.maximum(shared - 1, 1), paired, max(int(paired.any(0).sum()) - 1, 1))

    def sums(self, held: Floats) -> tuple[Floats, Floats]:
        """Mean and variance (..., M, M) of differences of tables (..., D, M) that hold 0 in their holes."""
        turned = np.swapaxes(held, -1, -2)
        first, squares = self._over_shared(turned), self._over_shared(turned**2)
        mean = (first - np.swapaxes(first, -1, -2)) / np.maximum(self.shared, 1)
        total = squares + np.swapaxes(squares, -1, -2) - 2 * (turned @ held) - self.shared * mean**2
        return mean, np.maximum(total, 0.0) / self.df

    def _over_shared(self, turned: Floats) -> Floats:
        """[i, j]: sum of column i (..., M, D) over the blocks that j has."""
        if self.seen.all():
            return np.broadcast_to(turned.sum(-1)[..., None], (*turned.shape[:-1], turned.shape[-2]))
        rows = np.ascontiguousarray(turned).reshape(-1, turned.shape[-1])  # one product of matrices in place of many
        return (rows @ self.seen).reshape(*turned.shape[:-1], -1)

    def drawn_together(self, own: Floats) -> tuple[Floats, Floats, Floats]:
        """Variances (..., M, M) drawn together, the weight w (..., M, M) of each one's own, their mean (..., 1, 1).

        The relative variance h of the true v_ij is told from the mean of v_ij^2, whose expectation is
        (1 + 2 / df) times the true square's; w = h / (h + 2 (1 + h) / df) minimizes the squared error.
        """
        parts = np.where(self.paired, self.df, 0.0)
        parts /= parts.sum()
        mean = (parts * own).sum((-1, -2), keepdims=True)
        if self.pooled == 1:  # one pair: there is nothing to pool
            return own, np.ones_like(own), mean
        square = (parts * own**2 / (1 + 2 / self.df)).sum((-1, -2), keepdims=True)
        typical = float(self.df[self.paired].mean())
        expected = np.maximum(mean**2 / (1 + 2 / (self.pooled * typical)), np.finfo(np.float64).tiny)
        unlike = np.maximum(square / expected - 1, 0.0)
        weight = unlike / (unlike + 2 * (1 + unlike) / self.df)
        return weight * own + (1 - weight) * mean, weight, mean


def _largest(layout: _Layout, own: Floats, weight: Floats, mean: Floats, *, draws: int, seed: int) -> Floats:
    """(draws,) the largest |difference| / se of tables without differences."""
    size = len(own)
    scale = mean.item() or 1.0
    share = np.sqrt(np.minimum(1.0, weight + 1 / (layout.df + 2)))
    drawn = np.where(layout.paired, share * own + (1 - share) * scale, scale)
    np.fill_diagonal(drawn, 0.0)
    # Variances of differences are squared distances; their double centering is a covariance that has them.
    center = np.eye(size) - 1 / size
    values, vectors = np.linalg.eigh(-0.5 * center @ drawn @ center)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    rng = np.random.default_rng(seed)
    blocks = len(layout.seen)
    out, step = [], max(1, CHUNK // (blocks * size + 4 * size * size))
    for start in range(0, draws, step):
        count = min(step, draws - start)
        held = (rng.standard_normal((count, blocks, size)) @ root.T) * layout.seen
        difference, variances = layout.sums(held)
        variances = layout.drawn_together(variances)[0]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = difference**2 * layout.shared / variances
        out.append(np.where(layout.paired, np.nan_to_num(ratio), 0.0).max((1, 2)))
    return np.sqrt(np.sort(np.concatenate(out)))


def _tail(largest: Floats, ratio: Floats, level: float, layout: _Layout) -> tuple[float, Floats]:
    """The critical value and the chance (M, M) of a larger ratio; exact for one pair, where it is Student's t."""
    if layout.pooled == 1:
        from scipy.special import stdtr, stdtrit

        df = float(layout.df[layout.paired][0])
        return float(stdtrit(df, (1 + level) / 2)), 2 * stdtr(df, -ratio)
    above = len(largest) - np.searchsorted(largest, ratio)
    return float(np.quantile(largest, level)), (1 + above) / (1 + len(largest))


def _block_means(table: Floats) -> Floats:
    """(D, 1) mean over the columns that a block has; nan where it has none."""
    seen = ~np.isnan(table)
    counts = seen.sum(1, keepdims=True)
    return np.divide(
        np.where(seen, table, 0.0).sum(1, keepdims=True), counts, where=counts > 0, out=np.full((len(table), 1), np.nan)
    )
