"""The command line. Everything slow is imported inside the command that needs it: `--help` answers at once."""

from __future__ import annotations

import logging
import os
import sys
from copy import copy
from pathlib import Path
from typing import Annotated

import typer

from headstart.cli import check, evaluate, explain, judge, pretrain, report, suite, weights
from headstart.cli import screen as screening
from headstart.cli import store as stores
from headstart.cli.finish import end_with_failures, finish, print_lines
from headstart.cli.flags import (
    Address,
    AsJson,
    Budget,
    Data,
    DataRoot,
    Device,
    Events,
    Executor,
    Executors,
    Extend,
    Format,
    Miniature,
    Noise,
    Offline,
    OnBad,
    OnBadBox,
    OnBadImage,
    OnBadRecord,
    Out,
    Overwrite,
    Pairs,
    Quiet,
    Read,
    SharedStore,
    TrustCode,
    Verbose,
    Workers,
    read_options,
)
from headstart.cli.show import print_mapping
from headstart.errors import HeadstartError
from headstart.store.files import UNWRITABLE, unwritable
from headstart.tasks.table import trained_tasks
from headstart.terminal import OutputClosed, flush, say, tell

app = typer.Typer(
    help="Which pre-training should a vision model start from, what does it buy, and why?",
    epilog="Ends with 0: done; 1: done, with failures; 2: wrong usage or unreadable input; 130: stopped, the same "
    "command goes on.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(weights.app, name="weights")
app.add_typer(stores.app, name="store")

CLOSED = 141
"""Status of a command whose output nobody reads any more: the shell's own for what SIGPIPE ends."""


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        say(f"headstart {version('headstart')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The text of `headstart --help` stands with the app above."""


@app.command()
def run(
    study: Annotated[
        str,
        typer.Argument(help="A study file (TOML), a run directory, or a built-in study: shapes, paper, paper-small."),
    ],
    out: Out = None,
    workers: Workers = None,
    device: Device = "auto",
    noise: Noise = None,
    data: Data = None,
    data_root: DataRoot = None,
    miniature: Miniature = False,
    trust_code: TrustCode = False,
    offline: Offline = False,
    overwrite: Overwrite = False,
    extend: Extend = False,
    quiet: Quiet = False,
    store: SharedStore = None,
    executor: Executor = Executors.local,
    address: Address = None,
    events: Events = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Run a study, or go on with it: only what is not finished yet is done."""
    from headstart import api
    from headstart.study.planning.given_data import assigned

    if verbose:
        logging.getLogger("headstart").setLevel(logging.INFO)
    finish(
        api.run_study(
            study,
            out,
            workers,
            device,
            noise=noise,
            data=assigned(data) if data else None,
            data_root=data_root,
            miniature=miniature,
            trust_code=trust_code,
            offline=offline,
            overwrite=overwrite,
            extend=extend,
            quiet=quiet,
            store=store,
            executor=executor.value,
            address=address,
            events=events,
        ),
        quiet,
        as_json,
    )


@app.command()
def plan(
    study: Annotated[
        str,
        typer.Argument(help="A study file (TOML), a run directory, or a built-in study: shapes, paper, paper-small."),
    ],
    out: Out = None,
    device: Device = "auto",
    noise: Noise = None,
    store: SharedStore = None,
    data: Data = None,
    data_root: DataRoot = None,
    miniature: Miniature = False,
    tree: Annotated[
        bool, typer.Option("--tree", help="Show each job, and what has changed where it is not done.")
    ] = False,
) -> None:
    """Say what `run` would do: jobs, what is finished, expected time. Runs nothing."""
    from headstart import api
    from headstart.study.planning.given_data import assigned

    places = assigned(data) if data else None
    planned = api.plan_study(
        study, out, device, noise=noise, store=store, data=places, data_root=data_root, miniature=miniature, tree=tree
    )
    say(planned.text())


@app.command()
def compare(
    data: Annotated[str, typer.Argument(help="Folder, archive or URL of a data set; its format is recognized.")],
    weights: Annotated[
        list[str],
        typer.Option(
            "--weights", "-w", help="A candidate, such as timm:resnet50.a1_in1k; `weights list` shows some. Repeat it."
        ),
    ],
    task: Annotated[
        str | None,
        typer.Option(metavar="|".join(trained_tasks()), help="Only this task; by default all that the data serve."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Trainings of each candidate; by default what the budget allows.")
    ] = None,
    starts: Annotated[
        str | None,
        typer.Option(
            metavar="backbone,detector,..",
            help="What is copied of each -w: random, backbone, backbone+neck, detector; each is a candidate. A -w may "
            "name its own: W#detector.",
        ),
    ] = None,
    screen: Annotated[
        int | None,
        typer.Option(
            min=2, help="Of eight candidates or more, train only so many: the most promising by their features."
        ),
    ] = None,
    budget: Annotated[Budget, typer.Option(help="How long each training is.")] = Budget.normal,
    out: Out = None,
    workers: Workers = None,
    device: Device = "auto",
    format: Format = None,
    on_bad_box: OnBadBox = OnBad.error,
    on_bad_record: OnBadRecord = OnBad.error,
    on_bad_image: OnBadImage = OnBad.error,
    read: Read = None,
    trust_code: TrustCode = False,
    offline: Offline = False,
    overwrite: Overwrite = False,
    extend: Extend = False,
    explain: Annotated[
        bool, typer.Option(help="Say why: the best candidate against the default one, on held-out images.")
    ] = True,
    pairs: Annotated[Pairs, typer.Option(help="Which candidates are explained: the best, or all, two by two.")] = (
        Pairs.best
    ),
    quiet: Quiet = False,
    store: SharedStore = None,
    executor: Executor = Executors.local,
    address: Address = None,
    events: Events = None,
    as_json: AsJson = False,
) -> None:
    """Which of these weights should I start from for this data?"""
    from headstart import api

    summary = api.compare(
        data,
        weights,
        task,
        seeds,
        starts=[word.strip() for word in starts.split(",")] if starts else (),
        screen=screen,
        budget=budget.value,
        out=out,
        workers=workers,
        device=device,
        format=format,
        on_bad_image=on_bad_image.value,
        read=read_options(on_bad_box, on_bad_record, read),
        trust_code=trust_code,
        offline=offline,
        overwrite=overwrite,
        extend=extend,
        explain=explain,
        pairs=pairs.value,
        quiet=quiet,
        store=store,
        executor=executor.value,
        address=address,
        events=events,
    )
    finish(summary, quiet, as_json)


app.command()(check.check)
app.command(cls=evaluate.ListingCommand)(evaluate.evaluate)
app.command()(explain.explain)
app.command()(judge.judge)
app.command()(suite.suite)
app.command()(screening.screen)
app.command()(pretrain.pretrain)


@app.command()
def predict(
    model: Annotated[
        str,
        typer.Argument(
            help="A run directory, for its best model; or a trained model: a transfer-... folder of a store."
        ),
    ],
    images: Annotated[Path, typer.Argument(help="An image or a folder of images.")],
    out: Annotated[Path | None, typer.Option("--out", help="Where predictions are written.")] = None,
    threshold: Annotated[float, typer.Option(min=0.0, max=1.0, help="Lowest score of a detection that is kept.")] = 0.5,
    task: Annotated[str | None, typer.Option(help="Of a run that trained several tasks: whose best model.")] = None,
    trust_code: TrustCode = False,
) -> None:
    """Use a task model of a run on other images."""
    from headstart import api

    summary = api.predict(model, images, out, threshold, task=task, trust_code=trust_code)
    print_lines(summary.lines)
    end_with_failures(summary.failed)


app.command()(report.report)


@app.command()
def env(as_json: AsJson = False) -> None:
    """Show versions, devices and where caches are."""
    from headstart import api

    print_mapping(api.environment(), as_json)


def main() -> None:
    """Entry point: faults that a user can act on end in one line and their exit code."""
    logging.basicConfig(handlers=[_Told()])
    try:
        try:
            _app_for(sys.argv[1:])()
        except SystemExit as end:
            if end.code == 1 and {"-h", "--help"} & set(sys.argv):  # rich's own word for a closed output
                raise OutputClosed from None
            flush()
            raise
    except OutputClosed:
        _end(CLOSED)
    except HeadstartError as fault:
        stopped = fault.exit_code == 130
        tell(str(fault) if stopped else f"error: {fault}")
        sys.exit(fault.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as fault:
        if fault.errno is None:
            raise
        tell(f"error: {_of_system(fault)}")
        _end(2)


def _end(status: int) -> None:
    """End, and write what can be written: Python would tell of the rest once more, with a status of its own."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def _of_system(fault: OSError) -> str:
    if fault.errno in UNWRITABLE and isinstance(fault.filename, str):
        return str(unwritable(Path(fault.filename), fault))
    where = f"{fault.filename}: " if fault.filename is not None else ""
    return f"{where}{fault.strerror}. Check the path, its permissions and the disk."


class _Told(logging.Handler):
    """Warnings, where no display of a run shows them."""

    def emit(self, record: logging.LogRecord) -> None:
        tell(record.getMessage())


def _app_for(words: list[str]) -> typer.Typer:
    """The app with the one command that is named: making all of them ready takes a twentieth of a second."""
    named = [c for c in app.registered_commands if c.callback is not None and c.callback.__name__ == "".join(words[:1])]
    if not named:
        return app
    chosen = copy(app)
    chosen.registered_commands, chosen.registered_groups = named, []
    return chosen


if __name__ == "__main__":
    main()
