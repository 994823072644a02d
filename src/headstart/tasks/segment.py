"""Semantic segmentation: model, losses, predictions, mIoU at the masks' own size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headstart.names import Metric, metric
from headstart.tasks.maps_task import MapsTask
from headstart.tasks.protocol import Arrays, Budget, Scores

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from torch import Tensor, nn

    from headstart.batches.batch import Batch
    from headstart.batches.image_sets import ImageSet
    from headstart.models.backbones.preprocessing import Preprocessing
    from headstart.progress import Progress
    from headstart.recipes.schema import Recipe
    from headstart.tasks.trained import TaskModel

BATCH_SIZE = 16


class Segment(MapsTask):
    """See `headstart.tasks.protocol`. Classes count from 0, the background."""

    kind = "segment"
    words = "segmentation"
    family = "seg"
    target = "segment"
    heads = ("pixel",)
    finding = "F2a"
    of_class = "IoU"
    updates: Mapping[Budget, int] = {"quick": 100, "normal": 600}

    def ranked_by(self, protocol: str) -> tuple[str, ...]:
        return (metric(self.family, "miou"),)

    def chosen_by(self, protocol: str) -> tuple[str, ...]:
        return (metric(self.family, "miou"),)

    def is_headline(self, metric: Metric) -> bool:
        return metric.measure == "miou"

    def is_of_class(self, metric: Metric) -> bool:
        return metric.measure == "iou" and metric.of is not None

    def metric_words(self, metric: Metric, protocol: bool = True) -> str:
        return "mean IoU" if metric.measure == "miou" else str(metric)

    def finding_metrics(self, protocol: str) -> Mapping[str, str]:
        return {"miou": metric(self.family, "miou")}

    def classes_of(self, images: ImageSet) -> tuple[str, ...]:
        return tuple(str(c) for c in images.mask_classes)

    def build(
        self, backbone: nn.Module, recipe: Recipe, num_classes: int, size_hw: tuple[int, int], *, several: bool = False
    ) -> nn.Module:
        from headstart.models.segmentation import Segmenter
        from headstart.recipes.schema import PixelRecipe

        assert isinstance(recipe, PixelRecipe)  # see `heads`
        return Segmenter(backbone, num_classes, recipe.levels, recipe.channels)

    def losses(self, model: nn.Module, batch: Batch, images: Tensor) -> dict[str, Tensor]:
        return model.losses(images, batch.masks)  # type: ignore[operator]

    def predict(self, model: nn.Module, preprocessing: Preprocessing, images: ImageSet, progress: Progress) -> Arrays:
        """Confusion of every image (n, K, K), truth in rows, counted at the size of the original mask."""
        import numpy as np
        import torch
        from torch.nn import functional as F

        from headstart.batches.image_batches import in_order, pixels_of
        from headstart.metrics.mean_iou import confusion

        model.eval()
        device = next(model.parameters()).device
        num_classes = len(self.classes_of(images))
        tables = []
        for part in in_order(images, BATCH_SIZE):
            with torch.no_grad():
                logits = model(preprocessing.apply(pixels_of(images, part, device)))
            for i, logit in enumerate(logits, part.start):
                truth = images.true_mask(i)
                enlarged = F.interpolate(logit[None], size=truth.shape, mode="bilinear", align_corners=False)
                tables.append(confusion(truth, enlarged[0].argmax(0).to(torch.uint8).cpu().numpy(), num_classes))
            progress(part.stop / len(images), f"image {part.stop}/{len(images)}")
        return {"confusion": np.stack(tables)}

    def score(
        self, predictions: Sequence[Arrays], sets: Sequence[ImageSet], image_weights: np.ndarray | None, protocol: str
    ) -> Scores:
        import numpy as np

        from headstart.metrics.mean_iou import mean_iou

        result = mean_iou(np.concatenate([p["confusion"] for p in predictions]))
        mean, classes = metric(self.family, "miou"), self.classes_of(sets[0])
        metrics = {mean: float(result.miou)}
        metrics |= {metric(self.family, "iou", of=c): float(v) for c, v in zip(classes, result.iou, strict=True)}
        return metrics, {} if image_weights is None else {mean: result.replicates(image_weights)}

    def show(
        self, trained: TaskModel, pixels: np.ndarray, threshold: float
    ) -> tuple[Image.Image, list[dict[str, Any]]]:
        """Classes blended over the picture; the record gives each class's share of the image."""
        from headstart.tasks.drawing import blend_classes, network_input

        size_hw = pixels.shape[:2]
        classes = trained.model.segment(network_input(trained, pixels), size_hw)[0].cpu().numpy()  # type: ignore[operator]
        share = {name: float((classes == k).mean()) for k, name in enumerate(trained.classes)}
        return blend_classes(pixels, classes), [{"share": {name: part for name, part in share.items() if part > 0}}]


TASK = Segment()
