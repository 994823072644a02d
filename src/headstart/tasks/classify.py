"""Image classification: model, losses, predictions, and accuracy; of several labels an image average precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headstart.names import Metric, metric
from headstart.tasks.protocol import Budget, Scores, TrainedTask

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from torch import Tensor, nn

    from headstart.batches.batch import Batch
    from headstart.batches.image_sets import ImageSet
    from headstart.batches.label_batches import LabelImages
    from headstart.models.backbones.preprocessing import Preprocessing
    from headstart.progress import Progress
    from headstart.recipes.schema import Recipe
    from headstart.tasks.trained import TaskModel

BATCH_SIZE = 64
WORDS = {"top1": "top-1 accuracy", "mean_class_accuracy": "mean class accuracy", "log_loss": "log-loss"}


class Classify(TrainedTask):
    """See `headstart.tasks.protocol`."""

    kind = "classify"
    words = "classification"
    family = "cls"
    target = "classify"
    heads = ("linear",)
    finding = "F2b beside"
    size_hw = (224, 224)
    resize = "crop"
    updates: Mapping[Budget, int] = {"quick": 80, "normal": 200}
    trains_on = "labels"

    def ranked_by(self, protocol: str) -> tuple[str, ...]:
        return (metric(self.family, "top1"),)

    def chosen_by(self, protocol: str) -> tuple[str, ...]:
        return (metric(self.family, "top1"), metric(self.family, "log_loss"))

    def is_headline(self, metric: Metric) -> bool:
        return metric.measure in WORDS

    def metric_words(self, metric: Metric, protocol: bool = True) -> str:
        return WORDS.get(metric.measure, str(metric))

    def finding_metrics(self, protocol: str) -> Mapping[str, str]:
        return {"top1": metric(self.family, "top1")}

    def recipe_for(self, updates: int, name: str) -> Recipe:
        from headstart.recipes.schema import LinearRecipe

        return LinearRecipe(
            name=name,
            updates=updates,
            batch_size=16,
            rates=(5e-4, 1.5e-3, 5e-3),
            head="linear",
        )

    def classes_of(self, images: ImageSet) -> tuple[str, ...]:
        return tuple(str(c) for c in images.image_classes)

    def build(
        self, backbone: nn.Module, recipe: Recipe, num_classes: int, size_hw: tuple[int, int], *, several: bool = False
    ) -> nn.Module:
        from headstart.models.classification import Classifier

        return Classifier(backbone, num_classes, several)

    def losses(self, model: nn.Module, batch: Batch, images: Tensor) -> dict[str, Tensor]:
        labels = batch.image_labels if batch.label_table is None else batch.label_table
        return model.losses(images, labels)  # type: ignore[operator]

    def predict(
        self, model: nn.Module, preprocessing: Preprocessing, images: ImageSet | LabelImages, progress: Progress
    ) -> dict[str, np.ndarray]:
        """Log-probabilities of every image (n, K), see `Classifier.classify`."""
        import numpy as np

        from headstart.batches.image_batches import pixels_of
        from headstart.batches.label_batches import LabelImages

        model.eval()
        device = next(model.parameters()).device
        parts = []
        for begin in range(0, len(images), BATCH_SIZE):
            part = slice(begin, min(begin + BATCH_SIZE, len(images)))
            pixels = images.pixels(part) if isinstance(images, LabelImages) else pixels_of(images, part)
            parts.append(model.classify(preprocessing.apply(pixels.to(device))).cpu().numpy())  # type: ignore[operator]
            progress(part.stop / len(images), f"image {part.stop}/{len(images)}")
        return {"log_probabilities": np.concatenate(parts)}

    def score(
        self,
        predictions: Sequence[dict[str, np.ndarray]],
        sets: Sequence[ImageSet | LabelImages],
        image_weights: np.ndarray | None,
        protocol: str,
    ) -> Scores:
        """Top-1, mean class accuracy and log-loss over all folds.

        Of images with several labels the mean over classes of the average precision of ranking them, `cls/map`
        (`headstart.metrics.accuracy.multilabel_ap`): what is not known of an image does not count.
        """
        import numpy as np

        from headstart.metrics.accuracy import accuracy, log_losses, multilabel_ap

        table = np.concatenate([p["log_probabilities"] for p in predictions])
        known = [s.label_table for s in sets if s.label_table is not None]
        if known:
            name, ranked = metric(self.family, "map"), multilabel_ap(table, np.concatenate(known))
            return {name: ranked.map}, {} if image_weights is None else {name: ranked.replicates(image_weights)}
        labels = np.concatenate([s.image_labels for s in sets])
        result = accuracy(labels, table.argmax(1), table.shape[1], log_losses(table, labels))
        metrics = {metric(self.family, name): float(getattr(result, name)) for name in WORDS}
        drawn = {} if image_weights is None else result.replicates(image_weights)
        return metrics, {metric(self.family, name): values for name, values in drawn.items()}

    def show(
        self, trained: TaskModel, pixels: np.ndarray, threshold: float
    ) -> tuple[Image.Image, list[dict[str, Any]]]:
        """The most probable class, written on the picture; where images may show several, all from the threshold on."""
        from headstart.tasks.drawing import network_input, write_lines

        probability = trained.model.classify(network_input(trained, pixels))[0].exp().cpu()  # type: ignore[operator]
        order = probability.argsort(descending=True).tolist()
        shown = [k for k in order if float(probability[k]) >= threshold] if trained.several else order[:1]
        records = [{"category": trained.classes[k], "category_id": k, "score": float(probability[k])} for k in shown]
        lines = [f"{record['category']} {record['score']:.2f}" for record in records]
        return write_lines(pixels, lines or ["nothing"]), records


TASK = Classify()
