"""What a pre-training leaves: a native checkpoint with its facts, models with their heads, the curve, the metrics."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from headstart.models.backbones.naming import trained_by
from headstart.names import COUNT
from headstart.pretraining.images import facts_of, inference_scales
from headstart.pretraining.settings import PretrainPlace, PretrainSettings
from headstart.pretraining.sources import Source
from headstart.recipes.schema import Recipe
from headstart.tasks.transfer import Start, save_curve, save_model
from headstart.train.loop import LossCurve
from headstart.weights import native
from headstart.weights.cards import WeightsSpec
from headstart.weights.export import canonical_state
from headstart.weights.proof import fingerprint
from headstart.weights.starts import lineage_entry


@dataclass(frozen=True, eq=False)
class Result:
    """One pre-training, as far as its result has to say."""

    settings: PretrainSettings
    place: PretrainPlace
    start: Start
    spec: WeightsSpec
    """What it started from."""
    source: Source
    training: Recipe

    @property
    def backbone_name(self) -> str:
        """Of the backbone as it was trained."""
        return trained_by(self.training, self.spec.backbone, "the recipe")

    @property
    def images_seen(self) -> int:
        """Inputs of all updates."""
        return self.training.updates * self.training.batch_size

    def save_model(self, model: nn.Module, out: Path) -> None:
        """The model with its head, as `headstart predict` takes it."""
        out.mkdir(parents=True, exist_ok=True)
        recipe = self.settings.recipe
        fixed = self.source.images is None
        scales = () if fixed or recipe.supervision == "labels" else inference_scales(recipe)
        facts = {
            "backbone": self.spec.backbone,
            "base": self.place.start.base,
            "preprocessing": self.start.preprocessing.to_json(),
            "task": self.source.kind,
            "recipe": self.training.identity(),
            "classes": list(self.source.classes),
            "size_hw": list(self.source.size_hw),
            "resize": "stretch",
            "scales": [{k: v for k, v in asdict(s).items() if v != float("inf")} for s in scales],
            "several": self.source.several,
        }
        save_model(out, model, facts)

    def save_backbone(self, model: nn.Module, file: Path) -> None:
        """The backbone as a native checkpoint; the model goes on as it is."""
        backbone: Any = deepcopy(model.backbone).cpu().float().eval()  # type: ignore[union-attr]
        tensors = canonical_state(backbone)
        recipe, size = self.settings.recipe, max(self.source.size_hw)
        noise = self.settings.noise
        step = lineage_entry(self.place.data_name, recipe.supervision, size, self.images_seen, noise=noise)
        table = self.source.images.train if self.source.images else None
        facts = native.CheckpointFacts(
            name=self.place.name,
            backbone=self.backbone_name,
            preprocessing=self.start.preprocessing.to_json(),
            lineage=[*self.spec.lineage, step],
            licence=self.spec.licence,
            source=f"Headstart, recipe {recipe.name} version {recipe.version}, seed {self.settings.seed}",
            digest=native.tensor_digest(tensors),
            provenance={
                "recipe": recipe.model_dump(mode="json") | {"training": recipe.training.identity()},
                "seed": self.settings.seed,
                **({"noise": noise} if noise else {}),
                "started from": {"name": self.spec.name, "digest": self.spec.digest, "backbone": self.spec.backbone},
                "training images": facts_of(table) if table is not None else self.place.data_name,
                "classes": list(self.source.classes),
            },
            fingerprint={stage: list(v) for stage, v in fingerprint(backbone, self.start.preprocessing).items()},
        )
        native.write(file, tensors, facts)

    def metrics(self, curve: LossCurve) -> dict[str, float]:
        """Of the training itself."""
        tenth = max(1, len(curve.total) // 10)
        counts = {f"train/{n}": float(curve.of(n).mean()) for n in curve.names if n.startswith(COUNT)}
        return {
            "train/updates": float(self.training.updates),
            "train/images_seen": float(self.images_seen),
            **({"train/noise": self.settings.noise} if self.settings.noise else {}),
            "train/loss_first": float(curve.total[:tenth].mean()),
            "train/loss_last": float(curve.total[-tenth:].mean()),
            "train/not_converged": float(curve.still_falling()),
            **counts,
        }

    def write(self, out: Path, model: nn.Module, curve: LossCurve) -> None:
        """All files of the finished training."""
        self.save_model(model, out / "model")
        save_curve(out / "curve.npz", curve)
        self.save_backbone(model, out / native.FILE)
