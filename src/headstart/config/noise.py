"""The noise dial: a study with part of its supervision shuffled (`--noise`)."""

from __future__ import annotations

from headstart.config.study import Study
from headstart.errors import UsageError


def with_noise(study: Study, noise: float) -> Study:
    """The study with this noise in the supervision of all its pre-trainings, and under a name that says so.

    Raises UsageError for a share outside 0 to 1, and for a study that does not pre-train.
    """
    if not 0 <= noise <= 1:
        raise UsageError(f"--noise {noise:g}: it is a share of the images; give 0 to 1")
    if not study.pretraining:
        raise UsageError(f"--noise: the study {study.name} has no pre-training whose supervision could be noisy")
    noisy = {name: wanted.model_copy(update={"noise": noise}) for name, wanted in study.pretraining.items()}
    said = {"name": f"{study.name}-noise-{noise:g}", "title": f"{study.title or study.name} (noise {noise:g})"}
    return study.model_copy(update={"pretraining": noisy, **said})
