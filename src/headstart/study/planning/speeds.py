"""What a study's trainings and tests take, where that was measured on this machine (`headstart plan --calibrate`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from headstart.places.speeds import Speed, known
from headstart.recipes.schema import Recipe

OF_LENGTH = ("name", "version", "updates", "lr", "rates", "warmup", "sentinel", "about", "source")
"""Settings of a recipe that an update does not get faster or slower by."""


@dataclass(frozen=True)
class Training:
    """What decides how fast a training and its test are. pixels: of an image. protocol, bootstrap: how its test is
    scored, and by how many resamples; none where there is none. classes: of the data; 0: those of drawn images."""

    backbone: str
    backbone_digest: str
    task: str
    recipe: Recipe
    pixels: float
    protocol: str = ""
    bootstrap: int = 0
    classes: int = 0

    def what(self, device: str, threads: int) -> dict[str, Any]:
        """All of it as JSON, by which it is kept."""
        recipe = {name: value for name, value in self.recipe.identity().items() if name not in OF_LENGTH}
        facts = {"backbone": self.backbone, "digest": self.backbone_digest, "task": self.task, "recipe": recipe}
        scored = {"protocol": self.protocol, "bootstrap": self.bootstrap, "classes": self.classes}
        return facts | scored | {"pixels": self.pixels, "device": device, "threads": threads}


@dataclass
class Speeds:
    """Looked up once each. used: dates of those that were found."""

    device: str
    threads: int
    used: set[str] = field(default_factory=set)
    asked: dict[str, tuple[Training, Speed | None]] = field(default_factory=dict)
    """Every training of the study that was asked for."""

    def of(self, training: Training) -> Speed | None:
        """None where it was not measured here."""
        what = training.what(self.device, self.threads)
        if str(what) not in self.asked:
            self.asked[str(what)] = training, known(what)
        found = self.asked[str(what)][1]
        if found:
            self.used.add(found.measured)
        return found
