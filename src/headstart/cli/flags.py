"""Options that several commands share, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from headstart.errors import UsageError

OnBad = Literal["error", "skip"]
"""What happens to what is wrong in the data."""
Budget = Literal["quick", "normal"]
"""How much `compare` may spend."""

DataArgument = Annotated[str, typer.Argument(help="Folder, archive or URL of a data set; its format is recognized.")]
StudyArgument = Annotated[
    str,
    typer.Argument(
        help="A study file (TOML), a run directory, or a built-in study: shapes, tiny-imagenet, paper, paper-small."
    ),
]
Format = Annotated[str | None, typer.Option("--format", help="Format of the data; by default it is recognized.")]
OnBadBox = Annotated[
    OnBad, typer.Option("--on-bad-box", help="A box that cannot be: stop, or leave it out and list it.")
]
OnBadRecord = Annotated[
    OnBad, typer.Option("--on-bad-record", help="Another fault in an image's annotation: stop, or leave out and list.")
]
Read = Annotated[
    list[str] | None, typer.Option("--read", help="An option of the reader, such as zero_based=true. Repeat it.")
]
Device = Annotated[
    str,
    typer.Option(
        help="Where networks run: auto (every GPU that is there, else the CPU), cpu, cuda, or some GPUs: cuda:0,1."
    ),
]
Noise = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Share of the images that exchange their boxes and labels in pre-training: effects must go away with it.",
    ),
]
Data = Annotated[
    list[str] | None,
    typer.Option("--data", metavar="NAME=PATH", help="Where a data set lies that the study only names. Repeat it."),
]
DataRoot = Annotated[
    Path | None, typer.Option("--data-root", help="A folder with a folder for each data set that the study names.")
]
Miniature = Annotated[
    bool,
    typer.Option(
        "--miniature", help="The same study on drawn data, with a small network and few steps; says how it differs."
    ),
]
TrustCode = Annotated[
    bool,
    typer.Option(
        "--trust-code",
        help="Run the Python files that a study, card, checkpoint or model names as backbones. Remembered by digest.",
    ),
]
SharedStore = Annotated[
    Path | None,
    typer.Option(
        "--store",
        help="Folder where several runs keep their jobs, each done once; also HEADSTART_STORE.",
    ),
]
Keep = Annotated[
    Literal["needed", "winner", "all"] | None,
    typer.Option(
        help="What stays once all is done: needed (the best model of each task, and what --extend would go on from), "
        "winner (without that), all. What was dropped is made again where it is needed. By default as before, or "
        "needed."
    ),
]
Executor = Annotated[
    Literal["local", "ray"],
    typer.Option("--executor", help="Who runs jobs: processes of this machine, or a Ray cluster."),
]
Address = Annotated[
    str | None,
    typer.Option("--address", help="Of the Ray cluster: auto, or ray://HOST:PORT; by default one is started here."),
]
Events = Annotated[
    Path | None, typer.Option("--events", help="Add what happens to this file, a line of JSON each (docs/events.md).")
]
Tensorboard = Annotated[
    bool,
    typer.Option("--tensorboard", help="Write the curves of trainings into tensorboard/ of the run directory."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


Out = Annotated[Path | None, typer.Option("--out", help="Run directory; the same study continues there.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes on the CPU; by default all CPUs are used.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never reach for the network; fail instead.")]
Size = Annotated[
    str | None,
    typer.Option(
        metavar="SIDE|HEIGHTxWIDTH",
        help="Bring images to this size; by default as suits the images, the weights and the budget.",
    ),
]
Resize = Annotated[
    Literal["stretch", "crop", "letterbox"] | None,
    typer.Option(help="How: to any aspect, the center, or aspect kept. By default crop to classify, else stretch."),
]
Starts = Annotated[
    str | None,
    typer.Option(
        metavar="backbone,detector,..",
        help="What is copied of each -w: random, backbone, backbone+neck, detector; each is a candidate. A -w may "
        "name its own: W#detector.",
    ),
]
Extend = Annotated[
    bool, typer.Option("--extend", help="Train on where a comparison has not converged: as many updates again.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Delete results of another study there.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show only faults.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show more of what happens.")]
OnBadImage = Annotated[
    OnBad, typer.Option("--on-bad-image", help="An image that cannot be decoded: stop, or leave it out and list it.")
]


def words_of(listed: str | None) -> tuple[str, ...]:
    """Of an option with words between commas; none where it was not given."""
    return tuple(word.strip() for word in listed.split(",")) if listed else ()


def size_hw(size: str | None) -> tuple[int, int] | None:
    """`96` is 96 x 96, `96x128` 96 high and 128 wide."""
    if size is None:
        return None
    words = size.lower().split("x")
    if len(words) > 2 or not all(word.isdigit() and 32 <= int(word) <= 4096 for word in words):
        raise UsageError(f"--size {size}: write a side such as 224, or HEIGHTxWIDTH such as 240x320, from 32 to 4096.")
    return int(words[0]), int(words[-1])
