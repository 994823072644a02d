"""`headstart pretrain --show-chips` from its words to its result: the same reading as a training's, and no training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headstart.data.summaries import tell, told_of
from headstart.errors import DataError, UsageError
from headstart.progress import Progress
from headstart.recipes.pretraining import PretrainingOptions, PretrainingRecipe
from headstart.store.store import Store
from headstart.study.plan import Planner
from headstart.study.pretrain import study_of

if TYPE_CHECKING:
    from headstart.pretraining.shown_chips import ShownChips


def require_page(out: Path) -> None:
    """Raises UsageError unless `out` can become an HTML file."""
    if out.suffix.lower() not in (".html", ".htm") or out.is_dir():
        raise UsageError(f"--show-chips {out}: name the HTML file to write, such as chips.html.")
    if not out.parent.is_dir():
        raise UsageError(f"--show-chips {out}: there is no folder {out.parent}. Make it first, or name another file.")


def chips_to_show(data: str, recipe: PretrainingRecipe, options: PretrainingOptions, progress: Progress) -> ShownChips:
    """The chips of the recipe's first epoch on this data. Proposals for negative chips are the given ones, or those
    that a pre-training in `options.out` made.

    Raises UsageError for a recipe without chips, DataError for data that it cannot be trained on.
    """
    from headstart.places.network import no_network
    from headstart.pretraining.images import chosen_images
    from headstart.pretraining.shown_chips import require_chips, shown_chips
    from headstart.readers.formats import open_dataset

    require_chips(recipe)
    with no_network(options.offline):
        progress(0.0, "reading the data set")
        table = open_dataset(data, options.format, **(options.read or {}))
        tell(told_of(table))
        if "detect" not in table.tasks:
            raise DataError(
                f"{table.root}: read as {table.format}, it has no boxes, and chips are laid around boxes. "
                f"`headstart check {data}` shows what it has."
            )
        images = chosen_images(
            table,
            recipe.supervision,
            options.split,
            options.val,
            on_empty_class=options.on_empty_class,
            progress=progress,
        )
        proposals = options.proposals or _made(data, recipe, options)
        return shown_chips(images, recipe, options.seed, proposals, progress=progress)


def _made(data: str, recipe: PretrainingRecipe, options: PretrainingOptions) -> Path | None:
    """The proposals that a pre-training with these settings made in `options.out`."""
    if options.out is None or not recipe.negatives:
        return None
    job = Planner(study_of(data, recipe, options), Path.cwd(), options.offline).origins.job(recipe.name, options.seed)
    proposing = job.inputs["proposals"]
    folder = Store(options.out).find(proposing.name, proposing.key)
    return folder / "proposals.parquet" if folder else None
