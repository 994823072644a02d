"""What `headstart pretrain --dry-run` says: lays the chips of the first epoch, trains nothing."""

from __future__ import annotations

from pathlib import Path

from headstart.config.sets import TableSet
from headstart.recipes.pretraining import PretrainingRecipe
from headstart.recipes.sampling import ChipSampling
from headstart.study.jobs import Job
from headstart.study.plan import Planner


def planned_lines(planner: Planner, job: Job, recipe: PretrainingRecipe, out: Path, *, processes: int) -> list[str]:
    """What would be done; lays the chips of the first epoch, trains nothing."""
    from headstart.batches.chips.batches import ChipBatches
    from headstart.pretraining.images import chosen_images, updates_in
    from headstart.pretraining.sources import source_of
    from headstart.progress import silent

    more: list[str] = []
    wanted = planner.study.pretraining[recipe.name]
    data = planner.study.sets[wanted.images]
    assert isinstance(data, TableSet)
    if recipe.sampling.layout == "fixed":
        table = planner.sets.annotations(data)
        images = chosen_images(
            table,
            recipe.supervision,
            data.splits,
            wanted.validation,
            on_empty_class=wanted.on_empty_class,
            progress=silent,
        )
        classes: tuple[str, ...] = images.classes or table.image_classes
        updates = updates_in(len(images.train) / recipe.training.batch_size, recipe.epochs)
    else:
        source = source_of(job.settings, job.place, {}, None, progress=silent)
        assert source.images
        images, classes, updates = source.images, source.classes, source.updates
        if isinstance(source.batches, ChipBatches):
            more.append(f"inputs of the first epoch: {source.batches.summary()}")
            if isinstance(recipe.sampling, ChipSampling) and recipe.sampling.negatives:
                made = f"made first, in {recipe.sampling.proposal_epochs:g} epochs"
                more.append(f"proposals: {job.place.proposals or made}")
    held = f"{len(images.validation)} to evaluate on" if images.validation is not None else "none to evaluate on"
    count = max(processes, job.place.processes)
    start = planner.origins.start_uri(recipe.name)
    return [
        f"recipe: {recipe.name} version {recipe.version}, by {recipe.supervision}: {recipe.about}",
        f"data: {data.path.removeprefix(f'{Path.cwd()}/')}, {len(images.train)} images, {len(classes)} classes; {held}",
        f"start: {planner.origins.spec(start).name}; backbone {planner.origins.backbone(recipe.name)}",
        f"training: {updates} updates of {recipe.training.batch_size} in {count} process"
        f"{'es' if count > 1 else ''}; {recipe.epochs:g} epochs",
        *more,
        f"written to: {out}",
        f"numbers from: {recipe.source}",
        f"expected: {recipe.expected.words()}",
    ]
