"""A linear probe of frozen features: nothing is trained but what `headstart.tasks.linear_probes` fits."""

from __future__ import annotations

from collections.abc import Mapping

from headstart.names import Metric, metric
from headstart.tasks.protocol import Task

WORDS = {
    "top1": "top-1 accuracy",
    "top5": "top-5 accuracy",
    "mean_class_accuracy": "mean class accuracy",
    "log_loss": "log-loss",
}
KINDS = {"svm": "linear SVM", "knn": "k-NN"}


class Probe(Task):
    """See `headstart.tasks.protocol`."""

    kind = "probe"
    words = "a probe of frozen features"
    family = "probe"
    target = "classify"
    finding = "F2b"

    def ranked_by(self, protocol: str) -> tuple[str, ...]:
        return tuple(metric(self.family, "top1", by=kind) for kind in ("logistic", "ridge"))

    def is_headline(self, metric: Metric) -> bool:
        return metric.measure in WORDS and metric.of is None and metric.by in ("logistic", "ridge")

    def metric_words(self, metric: Metric, protocol: bool = True) -> str:
        of = "" if metric.of is None else f", {metric.of.replace('-a-class', ' images a class')}"
        return f"{KINDS.get(metric.by, metric.by)} probe, {WORDS.get(metric.measure, metric.measure)}{of}"

    def finding_metrics(self, protocol: str) -> Mapping[str, str]:
        measures = (("logistic", "top1"), ("ridge", "top1"), ("logistic", "log_loss"))
        return {f"{kind}/{measure}": metric(self.family, measure, by=kind) for kind, measure in measures}


TASK = Probe()
