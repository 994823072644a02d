"""`headstart pretrain`."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from headstart.cli.flags import AsJson, DataArgument, Device, Noise, OnBad
from headstart.cli.groups import Group, OneJob, Reading, with_groups
from headstart.terminal import over, say, tell

TELL_SECONDS = 0.5
TELL_LOG_SECONDS = 30.0
"""Between two lines of progress where they are not written over each other."""


@dataclass(frozen=True, kw_only=True)
class Images(Group):
    """What is trained on and evaluated."""

    split: Annotated[
        list[str] | None, typer.Option("--split", help="Train on this split; by default train, or all. Repeat it.")
    ] = None
    val: Annotated[str | None, typer.Option("--val", help='Evaluate on this split; by default val; "" for none.')] = (
        None
    )
    proposals: Annotated[
        Path | None, typer.Option(help="Parquet of proposals for negative chips; by default they are made first.")
    ] = None
    on_empty_class: Annotated[
        OnBad, typer.Option("--on-empty-class", help="A class without examples: stop, or leave it out.")
    ] = "error"
    noise: Noise = None

    def keywords(self) -> dict[str, Any]:
        """`split` as a tuple."""
        return super().keywords() | {"split": tuple(self.split or ())}


@dataclass(frozen=True, kw_only=True)
class Machine(Group):
    """Who trains, and on what."""

    loaders: Annotated[
        int | None, typer.Option(min=0, help="Processes that make batches, for each that trains; default: by CPUs.")
    ] = None
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes that train together here; default: one a GPU, or one.")
    ] = None
    device: Device = "auto"
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of each process that trains on the CPU.")] = None


@with_groups
def pretrain(
    data: DataArgument,
    *,
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="A built-in recipe, or a TOML file of one.")],
    supervision: Annotated[
        Literal["boxes", "labels"] | None,
        typer.Option(help="Train by boxes or by image labels; by default as the recipe does."),
    ] = None,
    weights: Annotated[
        str, typer.Option("--weights", "-w", help="Where to start; by default as the recipe says.")
    ] = "",
    out: Annotated[Path | None, typer.Option("--out", help="Where to write; the same command goes on there.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    show_chips: Annotated[
        Path | None,
        typer.Option("--show-chips", help="Draw the recipe's chips into this HTML file, and do nothing else."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of random weights, order of images, and all that is drawn.")] = 0,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change the recipe, such as training.batch_size=16 or epochs=2. Repeat it."),
    ] = None,
    images: Images,
    reading: Reading,
    machine: Machine,
    jobs: OneJob,
    as_json: AsJson = False,
) -> None:
    """Pre-train a backbone by boxes (whole images or SNIPER chips) or by labels.

    Under torchrun several processes train together. Stopped by Ctrl-C or SIGTERM, it saves its state and ends with 130.
    """
    from headstart import api
    from headstart.recipes.pretraining import PretrainingOptions

    others = jobs.keywords()
    quiet = others.pop("quiet")
    options = PretrainingOptions(
        weights,
        out,
        dry_run,
        seed,
        **images.keywords(),
        **reading.keywords(),
        **machine.keywords(),
        **others,
    )
    if show_chips:
        from headstart.data.summaries import without_notes

        with without_notes(quiet):
            page = api.show_chips(
                data,
                recipe,
                show_chips,
                options,
                supervision=supervision,
                changes=change or (),
                progress=_Telling(quiet),
            )
        say(json.dumps({"page": str(page)}) if as_json else f"page: {page}")
        return
    summary = api.pretrain(data, recipe, options, supervision, changes=change or (), quiet=quiet)
    if as_json and summary.lines and not dry_run:
        say(json.dumps({"out": str(summary.out), "weights": str(summary.weights), **summary.metrics}, indent=1))
    elif not quiet:
        for line in summary.lines:
            say(line)


class _Telling:
    """Progress on standard error: one line written over on a terminal, else a line now and then."""

    def __init__(self, quiet: bool) -> None:
        self.quiet, self.live = quiet, sys.stderr.isatty()
        self.began, self.next, self.first = time.monotonic(), 0.0, -1.0

    def __call__(self, fraction: float, message: str) -> None:
        now = time.monotonic()
        if self.quiet or (now < self.next and fraction < 1):
            return
        self.next = now + (TELL_SECONDS if self.live else TELL_LOG_SECONDS)
        left = ""
        if self.first < 0 < fraction:
            self.began, self.first = now, fraction
        if 0 <= self.first < fraction < 1 and now - self.began > 10:
            minutes = (now - self.began) * (1 - fraction) / (fraction - self.first) / 60
            left = f", about {minutes:.0f} min left" if minutes < 120 else f", about {minutes / 60:.1f} h left"
        line = f"{fraction:4.0%} {message}{left}"
        if self.live:
            over(line, last=fraction >= 1)
        else:
            tell(line)
