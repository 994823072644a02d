"""Detection: model, losses, predictions, average precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from headstart.names import COCO_RANGE, Metric, metric
from headstart.tasks.maps_task import MapsTask
from headstart.tasks.protocol import Arrays, Budget, Scores

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from torch import Tensor, nn

    from headstart.batches.batch import Batch
    from headstart.batches.image_sets import ImageSet
    from headstart.metrics.average_precision import Detections
    from headstart.models.backbones.preprocessing import Preprocessing
    from headstart.progress import Progress
    from headstart.recipes.schema import AnyDetectorRecipe, Recipe, WholeRecipe
    from headstart.tasks.trained import TaskModel


class Detect(MapsTask):
    """See `headstart.tasks.protocol`."""

    kind = "detect"
    words = "detection"
    family = "det"
    target = "detect"
    heads = ("fcos", "retinanet", "faster-rcnn", "whole")
    finding = "F1"
    of_class = "AP at IoU 0.5"
    updates: Mapping[Budget, int] = {"quick": 300, "normal": 1500}
    trains_on = "boxes"

    def ranked_by(self, protocol: str) -> tuple[str, ...]:
        return tuple(metric(self.family, "map", by=protocol, iou=iou) for iou in (0.5, 0.7))

    def chosen_by(self, protocol: str) -> tuple[str, ...]:
        return tuple(metric(self.family, "map", by=protocol, iou=iou) for iou in (0.5, COCO_RANGE))

    def is_headline(self, metric: Metric) -> bool:
        return metric.measure == "map" and metric.iou in ("0.5", "0.7", COCO_RANGE) and metric.of is None

    def is_of_class(self, metric: Metric) -> bool:
        return metric.measure == "ap" and metric.iou == "0.5" and metric.of is not None

    def metric_words(self, metric: Metric, protocol: bool = True) -> str:
        if metric.measure != "map" or metric.of is not None:
            return str(metric)
        return f"mAP at IoU {metric.iou.replace(':', ' to ')}" + (f" ({metric.by})" if protocol else "")

    def finding_metrics(self, protocol: str) -> Mapping[str, str]:
        ious = ("0.5", "0.7", "0.75", "0.8", COCO_RANGE)
        return {f"map@{iou}": metric(self.family, "map", by=protocol, iou=iou) for iou in ious}

    def classes_of(self, images: ImageSet) -> tuple[str, ...]:
        return tuple(str(c) for c in images.box_classes)

    def build(
        self, backbone: nn.Module, recipe: Recipe, num_classes: int, size_hw: tuple[int, int], *, several: bool = False
    ) -> nn.Module:
        """The detector that the recipe names. Raises WeightsError where the backbone has not what it asks for."""
        from headstart.errors import WeightsError
        from headstart.models.backbones.deformable import deform_stages
        from headstart.recipes.schema import FasterRcnnRecipe, FcosRecipe, RetinaNetRecipe, WholeRecipe

        if isinstance(recipe, WholeRecipe):
            return _whole_detector(backbone, recipe, num_classes)
        assert isinstance(recipe, FcosRecipe | RetinaNetRecipe | FasterRcnnRecipe)  # see `heads`
        try:
            model = _detector(backbone, recipe, num_classes, size_hw)
            if recipe.deformable:  # after the neck, which may have dilated what becomes deformable
                deform_stages(backbone, recipe.deformable, recipe.modulated)
        except (ValueError, WeightsError) as error:
            raise WeightsError(f"recipe {recipe.name}: {error}") from error
        return model

    def losses(self, model: nn.Module, batch: Batch, images: Tensor) -> dict[str, Tensor]:
        from headstart.models.detection.targets import Targets

        targets = Targets(
            batch.boxes_xyxy, batch.box_labels, batch.ignored, batch.group_of, batch.valid_ranges, batch.seeds
        )
        return model.losses(images, targets)  # type: ignore[operator]

    def predict(self, model: nn.Module, preprocessing: Preprocessing, images: ImageSet, progress: Progress) -> Arrays:
        """Detections of every image, boxes in original pixels: image_index, boxes_xyxy, labels, scores."""
        from headstart.tasks.inference import ImageColumns, detected, joined, prepared_images

        columns: list[ImageColumns] = []
        for of_images in detected(model, preprocessing, prepared_images(images)):
            columns += of_images
            progress(len(columns) / len(images), f"image {len(columns)}/{len(images)}")
        return joined(columns)

    def reachable(self, model: nn.Module, preprocessing: Preprocessing, images: ImageSet) -> Arrays:
        """The true boxes, each found with full score where a place of the network's outputs is left to find it."""
        import numpy as np
        import torch

        from headstart.tasks.inference import prepared_images
        from headstart.tasks.truth import truth_of_sets

        model.eval()
        weight = next(model.parameters())
        first = next(prepared_images(images)).pixels[:1].to(weight.device)
        reach = model.reach(preprocessing.apply(first).to(weight.dtype))  # type: ignore[operator]
        boxes = torch.from_numpy(np.asarray(images.boxes_xyxy)).to(weight.device)
        labels = torch.from_numpy(np.asarray(images.box_labels).astype(np.int64)).to(weight.device)
        parts = [reach(boxes[a:b], labels[a:b]) for a, b in pairwise(images.box_offsets.tolist()) if b > a]
        found = torch.cat(parts).cpu().numpy() if parts else np.zeros(0, bool)
        truth = truth_of_sets([images])
        columns = {name: getattr(truth, name)[found] for name in ("image_index", "boxes_xyxy", "labels")}
        return columns | {"scores": np.ones(int(found.sum()), np.float32)}

    def score(
        self, predictions: Sequence[Arrays], sets: Sequence[ImageSet], image_weights: np.ndarray | None, protocol: str
    ) -> Scores:
        from headstart.metrics.average_precision import COCO_THRESHOLDS
        from headstart.tasks.detection_scores import score_detections
        from headstart.tasks.truth import truth_of_sets

        scored = score_detections(
            truth_of_sets(sets),
            _joined(predictions, sets),
            protocol,
            self.classes_of(sets[0]),
            iou_thresholds=COCO_THRESHOLDS,
            image_weights=image_weights,
            per_class_at=(0.5,),
        )
        return scored.metrics, scored.replicates

    def errors(
        self, predictions: Sequence[Arrays], sets: Sequence[ImageSet], image_weights: np.ndarray, protocol: str
    ) -> Arrays:
        from headstart.tasks.detection_mistakes import mistakes
        from headstart.tasks.truth import truth_of_sets

        return mistakes(truth_of_sets(sets), _joined(predictions, sets), protocol, image_weights)

    def show(
        self, trained: TaskModel, pixels: np.ndarray, threshold: float
    ) -> tuple[Image.Image, list[dict[str, Any]]]:
        """Boxes over the picture."""
        from headstart.places.fitting import fitted_hw
        from headstart.places.images import resize_rgb
        from headstart.tasks.drawing import draw_boxes
        from headstart.tasks.inference import detected, picture

        if trained.scales:
            inputs = picture(pixels)
        else:
            (height, width), to = pixels.shape[:2], trained.size_hw
            shown = fitted_hw((height, width), to) if trained.resize == "letterbox" else None
            rows, columns = shown or to
            inputs = picture(resize_rgb(pixels, to, trained.resize), 0, (columns / width, rows / height), shown)
        (((_, boxes, labels, scores),),) = detected(trained.model, trained.preprocessing, [inputs], trained.scales)
        sure = scores >= threshold
        records = [
            {
                "category": trained.classes[label],
                "category_id": label,
                "score": score,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
            }
            for (x1, y1, x2, y2), score, label in zip(
                boxes[sure].tolist(), scores[sure].tolist(), labels[sure].tolist(), strict=True
            )
        ]
        return draw_boxes(pixels, records), records


def _joined(predictions: Sequence[Arrays], sets: Sequence[ImageSet]) -> Detections:
    """Of all sets, one after the other."""
    import numpy as np

    from headstart.metrics.average_precision import Detections

    starts = np.cumsum([0, *(len(s) for s in sets[:-1])])
    moved = [p | {"image_index": p["image_index"] + k} for p, k in zip(predictions, starts, strict=True)]
    return Detections(**{name: np.concatenate([p[name] for p in moved]) for name in moved[0]})  # type: ignore[arg-type]


def _detector(backbone: nn.Module, recipe: AnyDetectorRecipe, num_classes: int, size_hw: tuple[int, int]) -> nn.Module:
    from headstart.models.detection.fcos import FcosDetector
    from headstart.models.detection.retinanet import RetinaNetDetector
    from headstart.models.detection.two_stage import TwoStageDetector, TwoStageSettings

    if recipe.head == "faster-rcnn":
        settings = TwoStageSettings(**{field.name: getattr(recipe, field.name) for field in fields(TwoStageSettings)})
        return TwoStageDetector(backbone, num_classes, settings, max(size_hw))
    kind = RetinaNetDetector
    if recipe.head == "fcos":
        kind = partial(FcosDetector, class_weight=recipe.class_weight)  # type: ignore[assignment]
    return kind(
        backbone,
        num_classes,
        recipe.levels,
        recipe.channels,
        coarser=2 if recipe.neck == "fpn" else 0,
        depth=recipe.tower,
        published=recipe.published,
    )


def _whole_detector(backbone: nn.Module, recipe: WholeRecipe, num_classes: int) -> nn.Module:
    from headstart.models.whole.augmenting import Changes
    from headstart.models.whole.detector import WholeDetector
    from headstart.models.whole.network import Whole

    assert isinstance(backbone, Whole)  # the planner refuses others
    changes = Changes(recipe.zoom_out, recipe.overlap_crop, recipe.size_crop, scales=recipe.input_scales)
    return WholeDetector(backbone, num_classes, changes)


TASK = Detect()
