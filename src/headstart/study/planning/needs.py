"""What a planned study needs and rests on, in lines: data, weights, GPU-hours, disk; sources and published numbers.

Only studies that declare their data, sources or published numbers have such lines. Imports no torch.
"""

from __future__ import annotations

from headstart.config.data import Origin, data_name
from headstart.config.sets import FolderSet, TableSet
from headstart.config.study import Study
from headstart.study.jobs import Expansion
from headstart.study.plan import Planner
from headstart.study.planning.estimates import estimate
from headstart.study.planning.given_data import missing_line, named

LIBRARIES = {"tv:": "torchvision", "timm:": "timm"}
"""Who fetches weights with such URIs."""


def needs(planner: Planner, declared: Study, expansion: Expansion) -> tuple[str, ...]:
    """declared: the study as its file has it, before its data were given places."""
    if not declared.data and not declared.sources and not declared.published:
        return ()
    waiting = [job for job in expansion.known if job.key not in expansion.done]
    lines = estimate(planner.origins, waiting, len(expansion.trials)).lines()
    lines += [*_of_data(declared, planner.study), *_of_weights(declared)]
    lines += [*([""] if declared.sources else []), *source_lines(declared.sources)]
    lines += [*([""] if declared.published else []), *(number.words() for number in declared.published)]
    return tuple(lines)


def _of_data(declared: Study, placed: Study) -> list[str]:
    """What each data set is, and whether it is there."""
    there: dict[str, str] = {}
    for name, images in declared.sets.items():
        now = placed.sets.get(name)
        of = data_name(images.path) if isinstance(images, FolderSet | TableSet) else None
        if of and isinstance(now, FolderSet | TableSet) and not data_name(now.path):
            there[of[0]] = now.path.removesuffix(f"/{of[1]}") if of[1] else now.path
    needed = named(declared)
    total = sum(declared.data[name].gigabytes for name in needed)
    lines = [f"data, about {total:,.0f} GB in all, given with --data NAME=PATH or --data-root PATH:"]
    for name in needed:
        lines.append(
            f"  {missing_line(declared, name)}" + (f" [at {there[name]}]" if name in there else " [no place given]")
        )
    return lines


def _of_weights(study: Study) -> list[str]:
    """Files of weights, fetched by their library into its cache where they are not there."""
    files = {w.uri: w.megabytes for w in study.weights if w.uri and not w.uri.startswith("random:")}
    lines = []
    for uri, size in files.items():
        by = next((library for scheme, library in LIBRARIES.items() if uri.startswith(scheme)), "its own site")
        lines.append(f"  {uri}" + (f", {size:g} MB" if size else "") + f", through {by}")
    heading = ["weights, fetched when they are first used and not in the cache:"] if lines else []
    stands = [
        f"  {uri} stands in for recipe {wanted.recipe.name} on {wanted.images}"
        for uri, wanted in study.stand_ins.items()
    ]
    return [*heading, *lines, *stands]


def source_lines(sources: tuple[Origin, ...]) -> list[str]:
    """Settings with where they are from."""
    return ["settings and where they are from:", *(f"  {s.setting}: {s.source}" for s in sources)] if sources else []
