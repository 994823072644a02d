"""Measurements of a study that was never run, with or without what the findings look for."""

import numpy as np

from headstart.explain.findings import Measured, TaskFacts, findings

TASKS = (
    TaskFacts("few", "detect", "novel", 160, test_images=1000, protocol="voc-area"),
    TaskFacts("many", "detect", "novel", 1000, test_images=1000, protocol="voc-area"),
    TaskFacts("scenes", "segment", "novel", 160, test_images=1000),
    TaskFacts("base", "probe", "base", 2000, test_images=2000),
    TaskFacts("tuned", "classify", "base", 2000, test_images=2000),
)
LEVELS = {
    # metric: boxes, labels, random; as the embedded world was found to behave
    "few/det/voc-area/map@0.5": (0.65, 0.355, 0.224),
    "few/det/voc-area/map@0.7": (0.345, 0.046, 0.05),
    "few/det/voc-area/map@0.75": (0.25, 0.03, 0.04),
    "few/det/voc-area/map@0.8": (0.15, 0.01, 0.01),
    "few/det/voc-area/map@0.5:0.95": (0.33, 0.11, 0.09),
    "many/det/voc-area/map@0.5": (0.75, 0.70, 0.434),
    "many/det/voc-area/map@0.7": (0.45, 0.25, 0.20),
    "scenes/seg/miou": (0.576, 0.524, 0.372),
    "scenes/seg/foreground_iou": (0.80, 0.75, 0.60),
    "scenes/seg/boundary_iou": (0.50, 0.45, 0.30),
    "base/probe/logistic/top1": (0.82, 0.93, 0.18),
    "base/probe/ridge/top1": (0.80, 0.91, 0.17),
    "base/probe/logistic/log_loss": (0.6, 0.25, 2.2),
    "tuned/cls/top1": (0.90, 0.95, 0.60),
    "auroc/standardized": (0.30, 0.22, 0.05),
    "auroc/raw": (0.25, 0.21, 0.04),
    "auroc/per_unit": (0.10, 0.08, 0.01),
    "area/standardized": (0.91, 0.65, 0.9),
    "odds/count": (-0.6, -0.2, 0.0),
    "odds/log_area": (1.5, 0.8, 0.3),
    "odds_matched/count": (-0.6, -0.25, 0.0),
    "odds_matched/log_area": (1.5, 0.9, 0.3),
    "odds_p/count": (-0.5, -0.2, 0.0),
    "odds_p/log_area": (1.4, 0.8, 0.3),
    "odds_same_size/count": (0.1, 0.3, 0.1),
}
PAIR = {
    "imbalance/boxes_to_labels": 0.13,
    "imbalance/labels_to_boxes": 0.22,
    "imbalance_k50/boxes_to_labels": 0.20,
    "imbalance_k50/labels_to_boxes": 0.28,
    "imbalance_raw/boxes_to_labels": 0.18,
    "imbalance_raw/labels_to_boxes": 0.23,
    "imbalance_pca/boxes_to_labels": 0.14,
    "imbalance_pca/labels_to_boxes": 0.21,
    "imbalance/early_to_labels": 0.06,
    "imbalance/labels_to_early": 0.08,
    "imbalance_noisy/noisy_to_clean": 0.30,
    "imbalance_noisy/clean_to_noisy": 0.33,
    "imbalance/random_to_labels": 0.62,
    "imbalance/labels_to_random": 0.60,
}


def rows(levels, seeds, spread, rng):
    values, replicates = {}, {}
    for name, level in levels.items():
        values[name] = level * (1 + spread * rng.standard_normal(seeds))
        # Noise of the images is shared by the seeds.
        replicates[name] = values[name][:, None] + 0.01 * abs(level) * rng.standard_normal((1, 200))
    return Measured(values, replicates)


def study(seeds=4, spread=0.01, seed=0, levels=LEVELS, pair=PAIR):
    rng = np.random.default_rng(seed)
    roles = {
        arm: rows({name: three[i] for name, three in levels.items()}, seeds, spread, rng)
        for i, arm in enumerate(("boxes", "labels", "random"))
    }
    roles["boxes"].values["auroc/n_images"] = np.full(seeds, 1900.0)
    both_ways = rows(pair, seeds, spread, rng)
    both_ways.values["imbalance/n_images"] = np.full(seeds, 2000.0)
    return roles | {"pair": both_ways}


def swapped(roles):
    """The same study with the two arms exchanged, per seed where a mask is given."""
    return exchanged(roles, np.ones(len(next(iter(roles["boxes"].values.values()))), dtype=bool))


def exchanged(roles, mask):
    def choose(a, b):
        return {k: np.where(mask.reshape(-1, *[1] * (np.ndim(v) - 1)), b[k], v) for k, v in a.items() if k in b}

    def merged(a, b):
        return Measured(choose(a.values, b.values), choose(a.replicates, b.replicates))

    pair = roles["pair"]
    mirror = {}
    for table_name in ("values", "replicates"):
        table = getattr(pair, table_name)
        turned = {}
        for name, value in table.items():
            prefix, _, end = name.partition("/")
            other = {"boxes_to_labels": "labels_to_boxes", "labels_to_boxes": "boxes_to_labels"}.get(end)
            turned[name] = table[f"{prefix}/{other}"] if other else value
        mirror[table_name] = turned
    arms = {"boxes": merged(roles["boxes"], roles["labels"]), "labels": merged(roles["labels"], roles["boxes"])}
    return roles | arms | {"pair": merged(pair, Measured(**mirror))}


def by_id(roles, tasks=TASKS, origins=4):
    return {finding["id"]: finding for finding in findings(roles, tasks, origins)}
