"""The parts of the variance of an effect, so that a study with more seeds or more images can be foreseen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True)
class Parts:
    """The variance of an effect is `images + (seeds + both) / num_seeds`.

    images: of the test images, common to all seeds; seeds: of the seeds, where images are without number; both: what an
    image does to one seed only. All in the square of the effect's unit. df: degrees of freedom from which the seeds'
    part is known; 0: it is not; inf: it is known to be nothing.
    """

    images: float
    seeds: float
    both: float
    num_seeds: int
    df: float

    @property
    def total(self) -> float:
        """The variance itself."""
        return self.images + (self.seeds + self.both) / self.num_seeds

    def with_seeds(self, num_seeds: int) -> Parts:
        """Of the same study with another number of seeds in every arm."""
        df = self.df * (num_seeds - 1) / (self.num_seeds - 1) if self.num_seeds > 1 else 0.0
        return replace(self, num_seeds=num_seeds, df=df)

    def with_images(self, factor: float) -> Parts:
        """Of the same study on `factor` times as many test images."""
        return replace(self, images=self.images / factor, both=self.both / factor)

    def to_json(self) -> dict[str, float | None]:
        """As in `metrics.json`; infinite degrees of freedom become None, which JSON has."""
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, float | None]) -> Parts:
        """What `to_json` wrote."""
        images, seeds, both, df = (
            math.inf if values[name] is None else float(values[name] or 0) for name in ("images", "seeds", "both", "df")
        )
        return cls(images, seeds, both, num_seeds=int(values["num_seeds"] or 0), df=df)
