"""A toy task for `tests/tasks/test_a_new_task.py`, which puts this file among the tasks: how many objects are there?"""

from __future__ import annotations

from headstart.names import metric
from headstart.tasks.protocol import TrainedTask

MOST = 4
"""Images with more objects are one class with those of so many."""


class Count(TrainedTask):
    """See `headstart.tasks.protocol`."""

    kind = "count"
    words = "counting"
    family = "count"
    target = "detect"
    heads = ("linear",)
    updates = {"quick": 3, "normal": 3}  # noqa: RUF012

    def ranked_by(self, protocol):
        return (metric(self.family, "exact"),)

    def chosen_by(self, protocol):
        return (metric(self.family, "exact"),)

    def is_headline(self, metric):
        return metric.measure == "exact"

    def metric_words(self, metric, protocol=True):
        return "images counted exactly" if metric.measure == "exact" else str(metric)

    def recipe_for(self, updates, name):
        from headstart.recipes.schema import LinearRecipe

        return LinearRecipe(name=name, updates=updates, batch_size=8, rates=(1e-3, 3e-3, 9e-3), head="linear")

    def classes_of(self, images):
        return (*map(str, range(MOST)), f"{MOST} or more")

    def build(self, backbone, recipe, num_classes, size_hw, several=False):
        from headstart.models.classification import Classifier

        return Classifier(backbone, num_classes)

    def losses(self, model, batch, images):
        counts = [min(len(boxes), MOST) for boxes in batch.boxes_xyxy]
        return model.losses(images, batch.image_labels.new_tensor(counts))

    def predict(self, model, preprocessing, images, progress):
        import numpy as np

        from headstart.batches.image_batches import in_order, pixels_of

        model.eval()
        device = next(model.parameters()).device
        parts = [
            model.classify(preprocessing.apply(pixels_of(images, part, device))).argmax(1).cpu().numpy()
            for part in in_order(images, 8)
        ]
        return {"counts": np.concatenate(parts)}

    def score(self, predictions, sets, image_weights, protocol):
        import numpy as np

        counted = np.concatenate([p["counts"] for p in predictions])
        true = np.concatenate([np.minimum(np.diff(s.box_offsets), MOST) for s in sets])
        name, exact = metric(self.family, "exact"), (counted == true).astype(float)
        metrics = {name: float(exact.mean())}
        return metrics, {} if image_weights is None else {name: image_weights @ exact / image_weights.sum(1)}

    def show(self, trained, pixels, threshold):
        from headstart.tasks.drawing import network_input, write_lines

        count = int(trained.model.classify(network_input(trained, pixels)).argmax())
        return write_lines(pixels, [trained.classes[count]]), [{"count": trained.classes[count]}]


TASK = Count()
