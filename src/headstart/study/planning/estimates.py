"""What a study costs before it is run: GPU-hours, disk, downloads. Estimates from stated rates, not measurements.

Jobs say their cost in seconds of a small network on a CPU, which is pixels trained on by `PIXELS_PER_SECOND`
(`headstart.study.origins`); a forward pass counts a third. So the pixels of a job are known, and a rate for them gives
the hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headstart.config.sets import FolderSet, WorldSet
from headstart.study.jobs import WANTS_GPU, Job
from headstart.study.origins import PIXELS_PER_SECOND, Origins
from headstart.study.planning.keeping import MOST
from headstart.weights.catalogue import operations_of, parameters_of

MEGAPIXELS_PER_SECOND = 13.0
"""Of a detector on a ResNet-101 in training, on one V100: 50 chips of 512 x 512 a second, the middle of the 41 to 60
that follow from the times that SNIPER's authors give."""
RATE = (
    f"{MEGAPIXELS_PER_SECOND:g} megapixels a second train a detector on a ResNet-101 on one V100 (41 to 60 chips of "
    "512 pixels, inferred from the times that SNIPER's authors give), a forward pass takes a third, other networks by "
    "their multiplications; not measured here"
)
RELATIVE = {"resnet101": 1.0, "resnet50": 0.53, "resnet18": 0.23}
"""Multiplications of a pixel, in those of a ResNet-101."""
LARGE = 15.6
"""GFLOPs of an image of 224 x 224 pixels of a ResNet-101."""
PARAMETERS = {"resnet101": 42.5e6, "resnet50": 23.5e6, "resnet18": 11.2e6}
"""Of the backbone without its classifier."""
COPIES = {"pretrain": 4, "finetune": 4, "transfer": 2, "proposals": 0}
"""Of the backbone, about, that a finished training leaves: alone, with its head, the best, what its optimizer knew."""
FEATURES = 3840
"""Channels of all stages of a bottleneck ResNet, float32."""


@dataclass(frozen=True)
class Estimate:
    """gpu_hours: None for a backbone that no rate is known of. disk: bytes."""

    gpu_hours: float | None
    disk: float
    stays: float
    """Bytes that stay once all is done, where not all is kept."""
    trials: int

    def lines(self) -> list[str]:
        """For the terminal."""
        hours = (
            "no rate is known for its network" if self.gpu_hours is None else f"about {self.gpu_hours:,.0f} GPU-hours"
        )
        return [
            f"trials: {self.trials}",
            f"GPU: {hours} (estimate: {RATE})",
            f"disk: about {gigabytes(self.disk)} while it runs, {gigabytes(self.stays)} once all is done, "
            "or all of it with --keep all (estimate)",
        ]


def estimate(origins: Origins, waiting: Sequence[Job], trials: int) -> Estimate:
    """Of the jobs that wait."""
    base = backbone_of(origins)
    pixels = sum(job.cost for job in waiting if job.kind in WANTS_GPU - {"time"}) * PIXELS_PER_SECOND
    relative = RELATIVE.get(base) or (operations_of(base) or 0.0) / LARGE
    hours = pixels * relative / (MEGAPIXELS_PER_SECOND * 1e6 * 3600) if relative else None
    weights = 4 * (PARAMETERS.get(base) or parameters_of(base) or PARAMETERS["resnet101"])
    disk = sum(COPIES.get(job.kind, 0) * weights for job in waiting)
    trained = [job for job in waiting if job.kind in ("transfer", "finetune")]
    dropped = sum(COPIES[job.kind] * weights for job in trained[len(origins.study.tasks) :])
    counts = _counts(origins)
    disk += sum(counts[key] * pixels for key, pixels in _prepared(origins).items())
    features = [4.0 * FEATURES * counts[job.inputs["images"].key] for job in waiting if job.kind == "features"]
    disk += sum(features)
    dropped += sum(size for size in features if size > MOST)
    return Estimate(hours, disk, disk - dropped, trials)


def backbone_of(origins: Origins) -> str:
    """The network of the study's first weights, without its options."""
    backbone, _ = origins.architecture(origins.study.weights[0])
    return backbone.partition("[")[0]


def gigabytes(count: float) -> str:
    """Bytes in words."""
    return f"{count / 1e9:,.0f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"


def _counts(origins: Origins) -> dict[str, int]:
    """Images of each prepared or drawn set of the study, by the key of the job that makes it."""
    study, sets = origins.study, origins.sets
    prepared = [name for name, images in study.sets.items() if isinstance(images, FolderSet | WorldSet)]
    return {sets.job(name, seed).key: sets.count(name) for name in prepared for seed in study.seeds}


def _prepared(origins: Origins) -> dict[str, float]:
    """Bytes of an image of each set that is prepared, by key: a byte a color, and one for masks. Roles of one draw
    share their pixels, and are counted each with its own images."""
    found: dict[str, float] = {}
    for name, images in origins.study.sets.items():
        if isinstance(images, FolderSet):
            channels = 4 if images.task == "segment" else 3
            key = origins.sets.job(name, origins.study.seeds[0]).key
            found[key] = float(channels * images.size_hw[0] * images.size_hw[1])
    return found
