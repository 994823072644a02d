"""Scores of a transfer on held-out images at a third, at two thirds and at the end of its updates.

They say whether it has converged (`headstart.stats.convergence`) and which rate is best; they are no result, and test
images have no part in them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from headstart.batches.image_sets import ImageSet
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.names import parse, validation
from headstart.progress import Progress, silent
from headstart.store.files import read_json, write_json
from headstart.tasks.protocol import TrainedTask


class HeldOut:
    """Scores of one training. What is scored on the way is written into `folder`, so that it is there when a training
    that was interrupted goes on; what it scores again is the same.

    images: there may be none; then nothing is scored. protocol: of detections.
    """

    def __init__(
        self, task: TrainedTask, images: ImageSet, preprocessing: Preprocessing, *, protocol: str, folder: Path
    ) -> None:
        self.task, self.images, self.preprocessing = task, images, preprocessing
        self.protocol, self.folder = protocol, folder

    def steps(self, model: nn.Module, updates: int) -> dict[int, Callable[[], None]]:
        """For `train`: what to do after a third and after two thirds of the updates, where there are three at least."""
        if updates < 3 or not len(self.images):
            return {}
        return {updates * thirds // 3: partial(self.note, model, thirds) for thirds in (1, 2)}

    def metrics(self, model: nn.Module, progress: Progress) -> dict[str, float]:
        """All metrics of the trained model, and the main ones of the way, by the names of `headstart.names`."""
        if not len(self.images):
            return {}
        found = {validation(name): value for name, value in self._scores(model, progress).items()}
        for thirds in (1, 2):
            if self.file(thirds).is_file():
                found |= {validation(name, thirds): value for name, value in read_json(self.file(thirds)).items()}
        return found

    def file(self, thirds: int) -> Path:
        """Where the scores after so many thirds are."""
        return self.folder / f"held-out-{thirds}of3.json"

    def carry(self, metrics: Mapping[str, float | None]) -> None:
        """Take in the scores of a training of half as many updates that this one goes on from: two thirds of those are
        a third of these."""
        parsed = {name: parts for name in metrics if (parts := parse(name)) and parts.is_validation}
        scores = {str(replace(p, is_validation=False)): metrics[n] for n, p in parsed.items() if p.thirds == 2}
        if scores:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.file(1), scores)

    def note(self, model: nn.Module, thirds: int) -> None:
        """Score the model as it is now, by the metrics that candidates are ranked and rates are chosen by."""
        names = {*self.task.ranked_by(self.protocol), *self.task.chosen_by(self.protocol)}
        scores = {name: value for name, value in self._scores(model, silent).items() if name in names}
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.file(thirds), scores)

    def _scores(self, model: nn.Module, progress: Progress) -> dict[str, float]:
        if any(p.dtype == torch.float64 for p in model.parameters()):  # prediction is in single precision
            model = copy.deepcopy(model).float()
        predictions = self.task.predict(model, self.preprocessing, self.images, progress)
        return self.task.score([predictions], [self.images], None, self.protocol)[0]
