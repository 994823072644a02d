"""Weights looked at before any is fine-tuned."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from headstart.progress import Progress
from headstart.screening.result import FAULT, METRICS
from headstart.store.files import write_json
from headstart.study.runners.shared import Inputs, Metrics
from headstart.study.settings import ScreenPlace, ScreenSettings


def screen(settings: ScreenSettings, place: ScreenPlace, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """Scores of one candidate's features, with the norms that it comes with; nothing of it changes."""
    from headstart.screening.screen import chosen_images, is_default, samples_of, scored
    from headstart.tasks.starts import start_of

    start, spec, report = start_of(settings.weights, place.start, inputs.get("weights"), settings.weights.seed or 0)
    write_json(out / "load.json", report.to_json())
    table = place.data.open()
    with TemporaryDirectory(dir=out) as folder:
        images = chosen_images(
            table,
            settings.task,
            Path(folder),
            size_hw=settings.size_hw,
            resize=settings.resize,
            count=settings.most,
            seed=settings.seed,
            on_bad_image=settings.on_bad_image,
            progress=lambda share, message: progress(share / 2, message),
        )
        samples = samples_of(images, settings.task, settings.seed)
        progress(0.5, f"features of {len(images)} images")
        found, fault = scored(
            start.backbone, start.preprocessing, images, samples, size_hw=settings.size_hw, seed=settings.seed
        )
    found["default"] = float(is_default(spec))
    write_json(out / FAULT, fault)
    facts = {"images": len(images), "samples": len(samples.labels), "classes": samples.classes}
    return {METRICS + name: float(value) for name, value in (found | facts).items()}
