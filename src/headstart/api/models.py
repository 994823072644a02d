"""Networks: pre-trained here, loaded, used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.api.paths import PathLike, as_path
from headstart.errors import UsageError
from headstart.places.trust import trusting
from headstart.progress import Progress, silent
from headstart.recipes.changes import changed_recipe
from headstart.recipes.pretraining import PretrainingOptions
from headstart.recipes.settings import Supervision
from headstart.terminal import tell

if TYPE_CHECKING:
    from headstart.study.executors.local import Event
    from headstart.study.finished.pretraining import Pretrained
    from headstart.tasks.predict import Predicted
    from headstart.tasks.trained import TaskModel


def pretrain(
    data: PathLike,
    recipe: PathLike,
    options: PretrainingOptions | None = None,
    supervision: Supervision | None = None,
    *,
    changes: Sequence[str] = (),
    progress: Progress = silent,
    quiet: bool = False,
) -> Pretrained:
    """Pre-train a backbone by boxes or by labels, or go on with it: a study of this one job, in this process.

    recipe: built-in name or TOML file; changes: `KEY=VALUE` of it. progress: told what the job says; quiet: no display.
    Asked to stop (`headstart.processes.ask_to_stop`, SIGTERM, Ctrl-C), it saves its state and raises Interrupted.
    Raises UsageError when the place holds a pre-training with other settings, and names them.
    """
    from headstart.study.executors.telling import told_to
    from headstart.study.pretrain import run_pretraining
    from headstart.study.progress import ProgressDisplay
    from headstart.weights.cards import code_named

    asked, options = changed_recipe(str(recipe), supervision, changes), options or PretrainingOptions()

    def without_failures(event: Event) -> None:
        if event.what != "failed":  # it is raised
            display(event)

    with (
        ProgressDisplay(1, quiet) as display,
        told_to(without_failures, as_path(options.events)) as on_event,
        trusting(options.trust_code, code_named(options.weights)),
    ):

        def tell(event: Event) -> None:
            on_event(event)
            if event.what == "progress":
                progress(event.fraction, event.message)

        return run_pretraining(str(data), asked, options, tell)


def show_chips(
    data: PathLike,
    recipe: PathLike,
    out: PathLike,
    options: PretrainingOptions | None = None,
    *,
    supervision: Supervision | None = None,
    changes: Sequence[str] = (),
    progress: Progress = silent,
) -> Path:
    """Write a page of the chips that a recipe lays on a data set; trains nothing. Arguments as in `pretrain`."""
    from headstart.report.chips import write_page
    from headstart.study.chips_page import chips_to_show, require_page

    page = Path(out)
    require_page(page)
    changed = changed_recipe(str(recipe), supervision, changes)
    return write_page(chips_to_show(str(data), changed, options or PretrainingOptions(), progress), page)


def predict(
    model: PathLike,
    images: PathLike,
    out: PathLike | None = None,
    threshold: float = 0.5,
    *,
    task: str | None = None,
    trust_code: bool = False,
) -> Predicted:
    """Run a task model on an image or a folder: pictures and `predictions.json` in `out`.

    model: a run, for the model of its best candidate; folder of a trial's model or of a pre-training; or
    `run:RUN#NAME` for what a run pre-trained. task: of a run that trained several. trust_code: let the Python file run
    that the model names as its backbone.
    """
    from headstart.tasks.predict import predict_folder

    where = as_path(out) or Path("predictions")
    with trusting(trust_code):
        return predict_folder(model_folder(model, task, tell), Path(images), where, threshold, say=tell)


def load_model(model: PathLike, device: str = "cpu", *, task: str | None = None, trust_code: bool = False) -> TaskModel:
    """A trained model of a task, to predict with: its network, preprocessing, classes, size of inputs.

    model, task, trust_code: as in `predict`. device: "cpu", "cuda", "cuda:1". Raises WeightsError where there is none.
    """
    import torch

    from headstart.tasks.transfer import load_model as load

    with trusting(trust_code):
        return load(model_folder(model, task), torch.device(device))


def model_folder(model: PathLike, task: str | None = None, say: Callable[[str], None] = lambda line: None) -> Path:
    """The folder of a model that is named by its folder, by a run (of `task`, where it has several), or as
    `run:RUN#NAME`. say: told which model of a run it is."""
    from headstart.study.winners import winning_model
    from headstart.weights.cards import resolve, uri_of

    uri = uri_of(str(model))
    if uri == f"run:{model}" and (best := winning_model(Path(model), task)):
        say(f"model: {best.words()}")
        return best.folder
    if task is not None:
        raise UsageError(f"{model}: is one model; --task chooses among those of a run directory.")
    return Path(resolve(uri).file or "").parent if uri.startswith("run:") else Path(model)
