"""Semantic segmentation: model, losses, predictions, mIoU at the masks' own size, and what its grid could reach."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    from headstart.recipes.heads import DilatedHead
    from headstart.recipes.schema import Recipe
    from headstart.tasks.trained import TaskModel

BATCH_SIZE = 16
BACKGROUND = "background"
WORDS = {"miou": "mean IoU", "foreground_iou": "foreground IoU", "boundary_iou": "mean boundary IoU"}


class Segment(MapsTask):
    """See `headstart.tasks.protocol`. Classes count from 0, the background."""

    kind = "segment"
    words = "segmentation"
    family = "seg"
    target = "segment"
    heads = ("pixel", "fcn", "deeplab")
    finding = "F2a"
    of_class = "IoU"
    updates: Mapping[Budget, int] = {"quick": 100, "normal": 600}
    trains_on = "masks"
    has_looks = True

    def ranked_by(self, protocol: str) -> tuple[str, ...]:
        return (metric(self.family, "miou"),)

    def chosen_by(self, protocol: str) -> tuple[str, ...]:
        return (metric(self.family, "miou"),)

    def is_headline(self, metric: Metric) -> bool:
        return metric.measure == "miou"

    def is_of_class(self, metric: Metric) -> bool:
        return metric.measure == "iou" and metric.of is not None

    def metric_words(self, metric: Metric, protocol: bool = True) -> str:
        return WORDS.get(metric.measure, str(metric)) if metric.of is None else str(metric)

    def finding_metrics(self, protocol: str) -> Mapping[str, str]:
        return {measure: metric(self.family, measure) for measure in WORDS}

    def classes_of(self, images: ImageSet) -> tuple[str, ...]:
        return tuple(str(c) for c in images.mask_classes)

    def build(
        self, backbone: nn.Module, recipe: Recipe, num_classes: int, size_hw: tuple[int, int], *, several: bool = False
    ) -> nn.Module:
        from headstart.models.segmentation import Segmenter
        from headstart.recipes.heads import DilatedHead
        from headstart.recipes.schema import PixelRecipe

        if isinstance(recipe, DilatedHead):
            return _dilated(backbone, recipe, num_classes)
        assert isinstance(recipe, PixelRecipe)  # see `heads`
        return Segmenter(backbone, num_classes, recipe.levels, recipe.channels)

    def losses(self, model: nn.Module, batch: Batch, images: Tensor) -> dict[str, Tensor]:
        return model.losses(images, batch.masks)  # type: ignore[operator]

    def predict(self, model: nn.Module, preprocessing: Preprocessing, images: ImageSet, progress: Progress) -> Arrays:
        """Of every image, at the size of the original mask: `confusion` (n, K, K), truth in rows; `boundary`
        (n, 3, K), see `boundary_sums`."""
        return self._compared(images, _segmented(model, preprocessing, images, progress))

    def reachable(self, model: nn.Module, preprocessing: Preprocessing, images: ImageSet) -> Arrays:
        """As `predict`, of `reachable_classes`."""
        import torch

        from headstart.batches.image_batches import pixels_of

        model.eval()
        with torch.no_grad():
            first = pixels_of(images, slice(0, 1), next(model.parameters()).device)
            rows, columns = model(preprocessing.apply(first)).shape[2:]
        num_classes = len(self.classes_of(images))
        truths = ((images.true_mask(i), images.canvases_hw[i]) for i in range(len(images)))
        grid = (rows, columns)
        return self._compared(images, ((t, reachable_classes(t, num_classes, grid, c)) for t, c in truths))

    def _compared(self, images: ImageSet, masks: Iterable[tuple[np.ndarray, np.ndarray]]) -> Arrays:
        """The arrays of `predict` from true and predicted masks."""
        import numpy as np

        from headstart.metrics.mean_iou import boundary_sums, confusion

        num_classes = len(self.classes_of(images))
        tables = [(confusion(*pair, num_classes), boundary_sums(*pair, num_classes)) for pair in masks]
        return {"confusion": np.stack([c for c, _ in tables]), "boundary": np.stack([b for _, b in tables])}

    def score(
        self, predictions: Sequence[Arrays], sets: Sequence[ImageSet], image_weights: np.ndarray | None, protocol: str
    ) -> Scores:
        import numpy as np

        from headstart.metrics.mean_iou import boundary_iou, foreground_iou, mean_iou

        tables, edges = (np.concatenate([p[name] for p in predictions]) for name in ("confusion", "boundary"))
        classes = self.classes_of(sets[0])
        results = {"miou": mean_iou(tables), "boundary_iou": boundary_iou(edges)}
        if BACKGROUND in classes:
            results["foreground_iou"] = foreground_iou(tables, classes.index(BACKGROUND))
        metrics = {metric(self.family, measure): float(result.miou) for measure, result in results.items()}
        of_classes = zip(classes, results["miou"].iou, strict=True)
        metrics |= {metric(self.family, "iou", of=c): float(v) for c, v in of_classes}
        if image_weights is None:
            return metrics, {}
        return metrics, {metric(self.family, m): result.replicates(image_weights) for m, result in results.items()}

    def show(
        self, trained: TaskModel, pixels: np.ndarray, threshold: float
    ) -> tuple[Image.Image, list[dict[str, Any]]]:
        """Classes blended over the picture; the record gives each class's share of the image."""
        from headstart.places.fitting import canvas_hw
        from headstart.tasks.drawing import blend_classes, network_input

        height, width = pixels.shape[:2]
        canvas = canvas_hw((height, width), trained.size_hw, trained.resize)
        found = trained.model.segment(network_input(trained, pixels), canvas)  # type: ignore[operator]
        classes = found[0, :height, :width].cpu().numpy()
        share = {name: float((classes == k).mean()) for k, name in enumerate(trained.classes)}
        return blend_classes(pixels, classes), [{"share": {name: part for name, part in share.items() if part > 0}}]


def _dilated(backbone: nn.Module, recipe: DilatedHead, num_classes: int) -> nn.Module:
    """Raises WeightsError for a backbone that has no such C5."""
    from headstart.errors import WeightsError
    from headstart.models.backbones.deformable import deform_stages
    from headstart.models.dilated_segmentation import DeepLab, Fcn
    from headstart.recipes.heads import DeepLabHead

    try:
        if isinstance(recipe, DeepLabHead):
            model: nn.Module = DeepLab(backbone, num_classes, recipe.channels, recipe.atrous)
        else:
            model = Fcn(backbone, num_classes, recipe.channels)
        if recipe.deformable:  # after the last stage was dilated
            deform_stages(backbone, recipe.deformable, recipe.modulated)
    except ValueError as fault:
        raise WeightsError(f"head {recipe.head!r}: {fault}.") from None  # type: ignore[attr-defined]
    return model


def _segmented(
    model: nn.Module, preprocessing: Preprocessing, images: ImageSet, progress: Progress
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """True and predicted mask of one image after the other."""
    import torch

    from headstart.batches.image_batches import in_order, pixels_of

    model.eval()
    device = next(model.parameters()).device
    for part in in_order(images, BATCH_SIZE):
        with torch.no_grad():
            logits = model(preprocessing.apply(pixels_of(images, part, device)))
        for i, logit in enumerate(logits, part.start):
            truth = images.true_mask(i)
            yield truth, _enlarged(logit, truth.shape, images.canvases_hw[i])
        progress(part.stop / len(images), f"image {part.stop}/{len(images)}")


def reachable_classes(
    truth: np.ndarray, num_classes: int, grid_hw: tuple[int, int], canvas_hw: Sequence[float] | np.ndarray | None = None
) -> np.ndarray:
    """What a network with this grid of outputs predicts when it knows the truth (h, w): (h, w) uint8.

    canvas_hw: what the grid covers, where that is more than the truth (`headstart.batches.image_sets`).

    Its logits are the classes' shares of the pixels of each cell that have a class, enlarged as those of a network are.
    Logits that are still better may exist; those that a training looks for are the shares, or any function of them.
    """
    import numpy as np
    import torch
    from torch.nn import functional as F

    from headstart.models.segmentation import IGNORED

    (height, width), canvas = truth.shape, truth.shape if canvas_hw is None else canvas_hw
    rows, columns = (round(float(side)) for side in canvas)
    target = np.full((rows, columns), num_classes, np.int64)
    target[:height, :width] = np.where(truth == IGNORED, num_classes, truth)
    known = F.one_hot(torch.from_numpy(target), num_classes + 1)[..., :num_classes].permute(2, 0, 1).float()
    return _enlarged(F.adaptive_avg_pool2d(known[None], grid_hw)[0], truth.shape, canvas)


def _enlarged(
    logits: Tensor, size_hw: tuple[int, ...], canvas_hw: Sequence[float] | np.ndarray | None = None
) -> np.ndarray:
    """Classes (h, w) uint8 of logits (K, rows, columns), enlarged bilinearly; with a canvas to that, of which the upper
    left is kept."""
    import torch
    from torch.nn import functional as F

    canvas = [round(float(side)) for side in (size_hw if canvas_hw is None else canvas_hw)]
    wide = F.interpolate(logits[None], size=canvas, mode="bilinear", align_corners=False)
    shown = wide[0, :, : size_hw[0], : size_hw[1]]
    return shown.max(0).indices.to(torch.uint8).cpu().numpy()  # a tenth of the time of argmax on a CPU


TASK = Segment()
