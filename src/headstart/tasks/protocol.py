"""What a task is to the rest of the house: one file here, one line in `headstart.tasks.table`, nothing else.

The planner, the results, the report and `compare` ask a task what they need to know of it, and never which one it is.
They import no torch; so no file of a task does, but inside its functions.

Letters: n images, B resamples of them, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from headstart.names import Metric
from headstart.places.fitting import Resize

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from torch import Tensor, nn

    from headstart.batches.batch import Batch
    from headstart.batches.image_sets import ImageSet
    from headstart.data.flags import Target
    from headstart.models.backbones.preprocessing import Preprocessing
    from headstart.progress import Progress
    from headstart.recipes.schema import Recipe
    from headstart.tasks.trained import TaskModel

Budget = Literal["quick", "normal"]
"""How much a comparison may spend."""
Evidence = Literal["F1", "F2a", "F2b", "F2b beside", ""]
"""Findings of the paper that tasks are evidence for; `beside`: shown with it, and not tested."""
Arrays = dict[str, "np.ndarray"]
"""Predictions of a set, by name."""
Scores = tuple[dict[str, float], dict[str, "np.ndarray"]]
"""Metrics by name, and of those that can be resampled the replicates (B,)."""


@runtime_checkable
class Task(Protocol):
    """What is known of every task, a trained one or a probe of frozen features."""

    kind: str
    """Its name in study files, and the name of its file."""
    words: str
    """As the report says it: "detection"."""
    family: str
    """First part of the names of its metrics, see `headstart.names`."""
    target: Target
    """The annotation that its images need."""
    heads: tuple[str, ...] = ()
    """Heads that its recipes may have; none: it takes no recipe."""
    finding: Evidence = ""
    """The finding (`headstart.explain.findings`) that it is evidence for; none: it is ranked only."""
    of_class: str = ""
    """What the report calls a metric of a single class; empty: it shows none."""

    def ranked_by(self, protocol: str) -> tuple[str, ...]:
        """Metrics that candidates are ranked by, the main one first: fractions, higher is better, with replicates."""
        ...

    def is_headline(self, metric: Metric) -> bool:
        """Whether a metric gets a column in the report's table of all trials."""
        ...

    def metric_words(self, metric: Metric, protocol: bool = True) -> str:
        """A metric in words; protocol: whether to say by which, where there are several."""
        ...

    def is_of_class(self, metric: Metric) -> bool:
        """Whether a metric is shown class by class."""
        return False

    def finding_metrics(self, protocol: str) -> Mapping[str, str]:
        """Metrics that the finding is told from, by the names that it has for them."""
        return {}


@runtime_checkable
class TrainedTask(Task, Protocol):
    """A task whose model is trained: a backbone with a head."""

    size_hw: tuple[int, int] | None = None
    """Size that `compare` brings images to; None: of their own aspect, as large as the budget allows."""
    resize: Resize = "stretch"
    """How `compare` brings them there, see `headstart.config.sets.FolderSet`."""
    updates: Mapping[Budget, int]
    """That `compare` trains it for."""
    trains_on: Literal["boxes", "masks", "labels"] | None = None
    """What of a batch its losses read as it is, so that it can be checked (`headstart.train.sentinel`)."""

    has_looks: bool = False
    """Whether its model gives logits on a grid, so that images may be looked at more than once
    (`headstart.config.inference`)."""

    def chosen_by(self, protocol: str) -> tuple[str, ...]:
        """Metrics that a rate is chosen by on validation images, ties by the next."""
        ...

    def recipe_for(self, updates: int, name: str) -> Recipe:
        """How `compare` trains it, for so many updates, its rate searched."""
        ...

    def classes_of(self, images: ImageSet) -> tuple[str, ...]:
        """Names of the classes that it tells apart."""
        ...

    def build(
        self, backbone: nn.Module, recipe: Recipe, num_classes: int, size_hw: tuple[int, int], *, several: bool = False
    ) -> nn.Module:
        """The model, its head fresh from torch's generator. several: of images that may show several classes."""
        ...

    def losses(self, model: nn.Module, batch: Batch, images: Tensor) -> dict[str, Tensor]:
        """Losses to be added, by name; `images` are the batch's preprocessed pixels."""
        ...

    def predict(self, model: nn.Module, preprocessing: Preprocessing, images: ImageSet, progress: Progress) -> Arrays:
        """What the model says of every image, as arrays that `score` reads; computed on the model's own device."""
        ...

    def reachable(self, model: nn.Module, preprocessing: Preprocessing, images: ImageSet) -> Arrays:
        """What the model would say, as `predict`, if it knew the truth and had but the grid of its outputs to say it.

        Empty where nothing is out of reach.
        """
        return {}

    def score(
        self, predictions: Sequence[Arrays], sets: Sequence[ImageSet], image_weights: np.ndarray | None, protocol: str
    ) -> Scores:
        """Metrics of all folds together, and their replicates where image weights (B, n) are given."""
        ...

    def errors(
        self, predictions: Sequence[Arrays], sets: Sequence[ImageSet], image_weights: np.ndarray, protocol: str
    ) -> Arrays:
        """What its errors of each kind come to, `MEASURE/KIND` -> (R,) under image weights (R, n).

        Empty where kinds of errors are not told apart.
        """
        return {}

    def show(
        self, trained: TaskModel, pixels: np.ndarray, threshold: float
    ) -> tuple[Image.Image, list[dict[str, Any]]]:
        """For `headstart predict`: a picture (h, w, 3) with what was found drawn over it, and that as records."""
        ...
