"""The command line. Everything slow is imported inside the command that needs it: `--help` answers at once."""

from __future__ import annotations

import logging
import os
import sys
from copy import copy
from pathlib import Path
from typing import Annotated

import typer

from headstart.cli import check, compare, evaluate, explain, judge, pretrain, report, suite, weights
from headstart.cli import screen as screening
from headstart.cli import store as stores
from headstart.cli.finish import end_with_failures, finish, print_lines
from headstart.cli.flags import AsJson, Device, Extend, Keep, Out, SharedStore, StudyArgument, TrustCode, Verbose
from headstart.cli.groups import Running, Study, with_groups
from headstart.cli.show import print_mapping
from headstart.errors import HeadstartError
from headstart.store.files import UNWRITABLE, unwritable
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
@with_groups
def run(
    study: StudyArgument,
    *,
    out: Out = None,
    asked: Study,
    extend: Extend = False,
    running: Running,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Run a study, or go on with it: only what is not finished yet is done."""
    from headstart import api

    if verbose:
        logging.getLogger("headstart").setLevel(logging.INFO)
    summary = api.run_study(study, out, extend=extend, **asked.keywords(), **running.keywords())
    finish(summary, running.quiet, as_json)


@app.command()
@with_groups
def plan(
    study: StudyArgument,
    *,
    out: Out = None,
    device: Device = "auto",
    asked: Study,
    store: SharedStore = None,
    keep: Keep = None,
    tree: Annotated[
        bool, typer.Option("--tree", help="Show each job, and what has changed where it is not done.")
    ] = False,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Time a few updates of each kind of training here first.")
    ] = False,
) -> None:
    """Say what `run` would do: jobs, what is finished, expected time. Runs nothing."""
    from headstart import api

    say(
        api.plan_study(
            study, out, device, **asked.keywords(), store=store, keep=keep, tree=tree, calibrate=calibrate
        ).text()
    )


app.command()(compare.compare)
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
