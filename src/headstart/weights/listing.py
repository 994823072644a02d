"""The catalogue as rows for a terminal, as JSON, and as `docs/weights.md`. Imports no torch."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import UsageError
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.places.times import Timed, listed
from headstart.store.files import write_text
from headstart.weights.catalogue import ARCHITECTURES, CATALOGUE, COMMERCIAL, UNKNOWN, PublicWeights, find

if TYPE_CHECKING:
    from headstart.weights.load_report import LoadReport

SUPERVISIONS = ("boxes", "labels", "masks", "self", "none")

_CHECKED = {
    "library": "the library's own model, in the tests",
    "file": "a public file",
    "unverified": "unverified: never tried on a real file",
}


def rows(supervision: str | None = None, licence: str | None = None) -> list[dict[str, Any]]:
    """One dict an entry, for printing. supervision: of the last training; "none" for random weights. licence: a
    license's name, or "commercial" for those that allow commercial use as they stand. Raises UsageError.
    """
    if supervision is not None and supervision not in SUPERVISIONS:
        raise UsageError(f"supervision {supervision!r} is unknown. Give one of {', '.join(SUPERVISIONS)}.")
    require_licence(licence)
    times = listed()
    if supervision == "none":
        return [_random_row(name) | _time_of(name, times) for name in ARCHITECTURES]
    return [
        _row(entry) | _time_of(entry.backbone, times)
        for entry in CATALOGUE
        if (supervision is None or supervision in entry.supervision) and has_licence(entry, licence)
    ]


def require_licence(licence: str | None) -> None:
    """Raises UsageError for a license that no weights have."""
    licenses = sorted({entry.licence for entry in CATALOGUE})
    if licence is not None and licence != "commercial" and licence.lower() not in licenses:
        raise UsageError(f"no weights have the license {licence!r}. Give commercial, or one of {', '.join(licenses)}.")


def has_licence(entry: PublicWeights, licence: str | None) -> bool:
    """Whether weights have the license of this name, one that allows commercial use ("commercial"), or any (None)."""
    if licence is None:
        return True
    return entry.is_commercial if licence == "commercial" else entry.licence == licence.lower()


def _time_of(backbone: str, times: Mapping[str, Timed]) -> dict[str, Any]:
    return {"ms": times[backbone].milliseconds if backbone in times else None}


def how_timed() -> str:
    """What the column of milliseconds is of; "" where nothing was measured here yet."""
    timed = next(iter(listed().values()), None)
    return f"ms: an image of {timed.words()}, in a study on this machine" if timed else ""


def narrow(rows: list[dict[str, Any]], width: int = 80) -> list[dict[str, Any]]:
    """The rows with what chooses weights, in lines of `width` characters: name, what they learned from, license,
    milliseconds an image where known, and the published number."""
    short = [
        {
            "weights": row["weights"],
            "lineage": _short_lineage(row["lineage"]),
            "license": _short(row["license"], 12),
            "ms": _milliseconds(row),
            "published": _score(row["published"]),
        }
        for row in rows
    ]
    if not any(row["ms"] for row in short):  # none was measured here
        short = [{key: value for key, value in row.items() if key != "ms"} for row in short]
    kept = [key for key in (short[0] if short else ()) if key not in ("weights", "lineage")]
    room = width - sum(2 + max(len(key), *(len(row[key]) for row in short)) for key in kept) - 2
    name = min(max((len(row["weights"]) for row in short), default=0), room - 12)
    return [
        {**row, "weights": _short(row["weights"], name), "lineage": _short(row["lineage"], room - name)}
        for row in short
    ]


def _score(published: str) -> str:
    """Such as "37.0 AP" of "37.0 box AP, COCO val2017"; "" where it is not known."""
    words = published.partition(",")[0].split()
    return (
        f"{words[0]} {next((word for word in words if word in ('AP', 'top-1', 'mIoU')), '')}" if len(words) > 1 else ""
    )


def _milliseconds(row: dict[str, Any]) -> str:
    """As measured on this machine, where it was."""
    value = row.get("ms")
    return value if isinstance(value, str) else ""


_SHORTER = (("ImageNet-1k labels", "IN-1k"), ("ImageNet", "IN"), ("OpenImages", "OI"), (" -> ", ">"), (" and ", "+"))


def _short_lineage(lineage: str) -> str:
    for long, short in _SHORTER:
        lineage = lineage.replace(long, short)
    return lineage


def _short(text: str, room: int) -> str:
    """The text, its middle left out where it is too long."""
    if len(text) <= room:
        return text
    keep = max(2, room - 2)
    return f"{text[: keep - keep // 2]}..{text[len(text) - keep // 2 :]}"


def _row(entry: PublicWeights) -> dict[str, Any]:
    return {
        "weights": entry.address,
        "backbone": entry.backbone,
        "lineage": " -> ".join(entry.lineage),
        "parameters": entry.parameters,
        "gflops": entry.gflops,
        "license": entry.licence,
        "published": str(entry.published or UNKNOWN),
        "checked": entry.checked,
    }


def _random_row(backbone: str) -> dict[str, Any]:
    facts = PublicWeights(f"random-{backbone}", "", backbone, ())
    return _row(facts) | {"weights": f"random:{backbone}", "lineage": "random", "license": "", "published": ""}


def full_rows(supervision: str | None = None, licence: str | None = None) -> list[dict[str, Any]]:
    """The rows with every fact, for `--json`."""
    entries = {entry.address: entry for entry in CATALOGUE}
    return [
        row | facts(entries[row["weights"]]) if row["weights"] in entries else row for row in rows(supervision, licence)
    ]


def facts(entry: PublicWeights) -> dict[str, Any]:
    """What the row leaves out."""
    number = entry.published
    return {
        "name": entry.name,
        "uri": entry.uri,
        "lineage": list(entry.lineage),
        "supervision": list(entry.supervision),
        "published": {"metric": number.metric, "data": number.data, "value": number.value} if number else None,
        "preprocessing": entry.preprocessing.to_json(),
        "norm_eps": entry.norm_eps,
        "url": entry.url,
        "where": entry.where,
        "sha256": entry.sha256,
        "md5": entry.md5,
        "license_note": entry.licence_note,
        "source": entry.source,
    }


def entry_lines(entry: PublicWeights) -> list[str]:
    """Every fact of an entry, one a line, for `weights show`."""
    eps, timed = entry.norm_eps, listed().get(entry.backbone)
    cost = [
        f"{entry.parameters:,} parameters" if entry.parameters else "parameters unknown",
        f"{entry.gflops} GFLOPs at 224x224" if entry.gflops else "GFLOPs unknown",
    ]
    return [
        entry.name,
        f"  URI            {entry.address}",
        f"  lineage        {' -> '.join(entry.lineage)}",
        f"  license        {entry.licence}" + (f" ({entry.licence_note})" if entry.licence_note else ""),
        f"  backbone       {entry.backbone}" + ("" if eps is None else f"; batch norm's epsilon {eps:g}"),
        f"  cost           {', '.join(cost)}",
        *([f"  ms an image    {timed.milliseconds}: {timed.words()}"] if timed else ()),
        f"  preprocessing  {input_words(entry.preprocessing)}",
        f"  published      {entry.published or UNKNOWN}",
        f"  fetched from   {entry.url or entry.where or entry.uri}",
        f"  digest         {_digest(entry)}",
        f"  checked with   {_CHECKED[entry.checked]}",
        f"  source         {entry.source}",
        "  not loaded here: it may have to be downloaded first",
    ]


@dataclass(frozen=True, repr=False)
class Described:
    """What some weights are. lineage: what they learned from, oldest first. license: "" where it is not known.

    report: how they fit their backbone; None where they would have to be downloaded first.
    """

    name: str
    backbone: str
    lineage: tuple[str, ...]
    license: str
    preprocessing: Preprocessing
    report: LoadReport | None
    lines: list[str]

    def __repr__(self) -> str:
        return f"<weights {self.name}: {self.backbone}, {' -> '.join(self.lineage) or 'random values'}>"

    def text(self) -> str:
        """As `headstart weights show` prints it."""
        return "\n".join(self.lines)


def described(uri: str, base: Path) -> Described:
    """Facts of some weights and how they fit their backbone. base: for relative paths. Downloads nothing."""
    from headstart.weights.cards import resolve

    entry = find(uri.removesuffix("#backbone"))
    if entry is not None:
        return Described(
            entry.name,
            entry.backbone,
            tuple(entry.lineage),
            entry.licence,
            preprocessing=entry.preprocessing,
            report=None,
            lines=entry_lines(entry),
        )
    spec = resolve(uri, base, offline=True)
    lines = [
        spec.name,
        f"  lineage        {' -> '.join(spec.lineage) or 'none: random values'}",
        f"  license        {spec.licence or 'none'}",
        f"  backbone       {spec.backbone}",
        f"  digest         {spec.digest or 'none: values are drawn from the seed'}",
        f"  preprocessing  {input_words(spec.preprocessing)}",
    ]
    report = None
    if spec.kind in ("tv", "timm"):
        lines.append("  not loaded here: it may have to be downloaded first")
    else:
        from headstart.weights.checkpoint import load

        report = load(spec, 0, offline=True).report
        lines += ["  " + line for line in report.text().splitlines()]
    return Described(
        spec.name,
        spec.backbone,
        tuple(spec.lineage),
        spec.licence or "",
        preprocessing=spec.preprocessing,
        report=report,
        lines=lines,
    )


def input_words(preprocessing: Preprocessing) -> str:
    """What a network takes, on one line."""
    mean, std = preprocessing.mean, preprocessing.std
    return f"{preprocessing.channel_order}, scale {preprocessing.scale:.4g}, mean {mean}, std {std}"


def _digest(entry: PublicWeights) -> str:
    if entry.sha256:
        return f"SHA-256 {entry.sha256}.."
    if entry.md5:
        return f"MD5 {entry.md5}.."
    return UNKNOWN + ("; its commit is recorded when it is fetched" if entry.uri.startswith("hf:") else "")


_HEAD = """# Public weights

Written by `make docs` from `src/headstart/weights/public/*.toml`; do not edit. `headstart weights list` prints the
same, `headstart weights show NAME` one entry with where its facts come from.

What stands under "weights" is what `-w` of `headstart compare`, a study file and the commands below take. Files are
fetched on first use, which is said before, into the cache of torch or of the Hugging Face hub; `--offline` forbids it.

    headstart weights verify openimages-faster-rcnn-r50     load it, and say how it was loaded
    headstart weights import my-detector.pth kept/          keep its backbone; then it is file:kept
    headstart weights verify hf:org/name@revision           a checkpoint on the Hugging Face hub
    headstart weights verify run:runs/mine#boxes            what a pre-training of your own made
    headstart weights verify "file:kept@resnet50[deformable=C3+C4+C5]"  plain weights in a deformable ResNet

`file:PATH` takes a checkpoint file of a usual library or a native checkpoint (what `weights import` and pre-trainings
write: a backbone with its facts in the header), `run:RUN#NAME` what a pre-training of a run made
([pretraining.md](pretraining.md)).

A file may hold weights twice, as trained and averaged (EMA): the averaged ones are taken, as timm, Ultralytics, D-FINE
and DINO do, and it is said; `file:PATH#raw` and `#ema` choose. A first convolution that takes no three channels is
refused unless `#repeat` or `#sum` says what becomes of it. What stands before all names (`module.`, `_orig_mod.`,
`backbone.`, ..) is taken off part by part. Every tensor of the backbone is filled, or the file is refused with the
names of those that are not; and so it is where it has parts of the network that the backbone lacks. Parts of a head of
your own are named by `ignore = ["arcface."]` in a weights card, which may also say `variant` and `first_convolution`.

- **Parameters and GFLOPs** are of the backbone alone, for one image of 224x224 pixels; a multiply-add counts as two.
- **Published** is what the makers of the weights state, in percent; tests compare it with torchvision's own metadata
  for torchvision's weights. "unknown": no source states it.
- **License** is that of the weights where their makers state one. Torchvision states none: given is that of its code.
  `--license commercial` lists those under {commercial}.
  Whatever the license of the weights, the images that they were trained on have terms of their own.
- **Checked**: *library*: the tests read the backbone back from the library's own model, with random values.
  *unverified*: no file in this layout was ever tried; loading such weights says so.
"""

_TITLES = {
    "boxes": "Detectors",
    "masks": "Segmenters",
    "labels": "Classifiers",
    "self": "Self-supervised",
}


def markdown() -> str:
    """The text of `docs/weights.md`."""
    parts = [_HEAD.format(commercial=", ".join(sorted(COMMERCIAL)))]
    for kind, title in _TITLES.items():
        chosen = [e for e in CATALOGUE if e.supervision[0] == kind]
        parts.append(
            f"\n## {title}\n\n| weights | backbone | trained on | parameters | GFLOPs | license | published | "
            "checked |\n|---|---|---|---:|---:|---|---|---|\n"
        )
        for entry in chosen:
            million = f"{entry.parameters / 1e6:.1f} M" if entry.parameters else UNKNOWN
            gflops = f"{entry.gflops:.1f}" if entry.gflops else UNKNOWN
            cells = [
                f"`{entry.address}`",
                entry.backbone,
                " → ".join(entry.lineage),
                million,
                gflops,
                entry.licence,
                str(entry.published or UNKNOWN),
                entry.checked,
            ]
            parts.append(f"| {' | '.join(cells)} |\n")
    return "".join(
        [
            *parts,
            _LAYOUTS,
            _table("layouts.md"),
            _CONSISTENCY.format(moved=0.42, spread=0.21, better=1.3),
            _table("consistency.md"),
        ]
    )


_LAYOUTS = """
## Files that are recognized

Made by `benchmarks/weights_layouts.py` from the installed libraries: each network with random weights, saved as its
library saves it (transformers under the names of the hub, and under those in memory), given as `file:PATH` without a
hint, and compared with the library's own stages through the preprocessing that was found. "no" is a refusal, with its
first words. Networks that differ only in what no tensor shows are refused with their names, except where the others
merely pool otherwise, which batch norms tell: then `weights verify` compares them all, and a file whose norms were
never trained, or fit another network better, does not pass until it is named (`file:PATH@resnetblur50`). Mean and
deviation of the input, where no file states them, are those of timm's published weights of the network, and it is
said.

"""
_CONSISTENCY = """
## What batch norms tell

Names and shapes cannot tell channels in another order or blurred pooling. Batch norms can: `weights verify` and the
load proof pass drawn scenes through the network and compare what the norms see with what they remember: the median
over norms of |mean - remembered| / sigma, and of |log(sigma / remembered sigma)|. Above {moved} or {spread} the
network contradicts its norms. Made by `benchmarks/weights_consistency.py`; "trained" are public files, all others
random networks whose statistics were set on photographs, then broken. **Where a block has its stride is not told by
it**, as the table shows. `weights verify` looks for that where padding shows it, in the norms of the first blocks of
layer3 and layer4, and computes both placements on scenes of 224 pixels (`benchmarks/weights_strides.py`, statistics
set on drawn scenes): four networks with the stride in the first 1x1 convolution (ResNet-26 and 50, ResNeXt-50, Wide
ResNet-50) were all told, the other placement 1.6 to 1.7 times as far; the same four and a ResNet-101 with it in the
3x3 were not (0.92 to 1.15 times). The limit is {better}. So a file taken for a usual ResNet that is none is found;
else the usual placement is assumed, and it is said. No really trained ResNet of bottlenecks was at hand. Colors in
another order are hardly seen, either; the color test is for those. A network whose norms were never trained (means 0,
variances 1) is not judged.

"""


def _table(name: str) -> str:
    return (Path(__file__).parent / "public" / name).read_text(encoding="utf-8")


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), markdown())
