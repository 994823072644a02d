"""What trainers and models put before all names of a network: taken off one part at a time, until a layout fits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from headstart.errors import WeightsError
from headstart.weights import wrappers
from headstart.weights.importers.imported import CheckpointView, Imported

DEEPEST = 6
"""Most parts of a prefix, as in `model.pixel_level_module.encoder.swin.`."""
FEWEST = 4
"""Fewest tensors of what is looked at."""
AVERAGED = re.compile(r"(^|[._])(ema|teacher|averaged|avg|swa)([._]|$)")
"""In a prefix: averaged over the training."""
SLOW = re.compile(r"(^|[._])(momentum|target|encoder_k|key|k)([._]|$)")
"""In a prefix: a copy that only training needs."""

Fitting = Callable[[CheckpointView], list[Imported]]


def below(file: CheckpointView, fitting: Fitting) -> list[Imported]:
    """What fits below the shortest prefixes at which anything does. Raises WeightsError for two that both could be."""
    for views in _levels(file):
        found = {prefix: ones for prefix, view in views.items() if (ones := fitting(view))}
        if found:
            prefix, notes = choose(list(found), file.path, file.variant) if len(found) > 1 else (next(iter(found)), ())
            return [_put_back(one, prefix, file.under, notes) for one in found[prefix]]
    return []


def _levels(file: CheckpointView) -> Iterator[dict[str, CheckpointView]]:
    """Views by prefix, first those of one part, then of two, .."""
    views = {"": file}
    for _ in range(DEEPEST):
        deeper: dict[str, CheckpointView] = {}
        for prefix, view in views.items():
            groups: dict[str, dict[str, object]] = {}
            for name, value in view.tensors.items():
                first, dot, rest = name.partition(".")
                if dot:
                    groups.setdefault(first, {})[rest] = value
            for first, inner in groups.items():
                if len(inner) >= FEWEST:
                    deeper[f"{prefix}{first}."] = replace(file, tree={"state_dict": inner}, variant="")
        yield deeper
        views = deeper


def choose(found: list[str], where: str | Path, variant: wrappers.Variant) -> tuple[str, tuple[str, ...]]:
    """(the prefix that is meant of several with the same network, what to say of the choice). Raises WeightsError."""
    averaged = [prefix for prefix in found if AVERAGED.search(prefix)]
    raw = [prefix for prefix in found if prefix not in averaged and not SLOW.search(prefix)]
    chosen = raw if not averaged or variant == "raw" else averaged
    chosen = chosen or found
    if len(chosen) > 1:
        raise WeightsError(
            f"{where} holds the backbone more than once, under {', '.join(map(repr, chosen[:6]))}. Write a "
            "weights card whose `key_prefix` says which one is meant."
        )
    if not averaged or not raw:
        return chosen[0], ()
    others, word = (raw, "raw") if chosen == averaged else (averaged, "ema")
    kinds = {"raw": "those as trained", "ema": "the averaged ones (EMA)"}
    taken = "averaged weights (EMA)" if chosen == averaged else "weights as trained"
    return chosen[0], (f"{taken} were taken, under {chosen[0]!r}; #{word} takes {kinds[word]}, under {others[0]!r}",)


def _put_back(one: Imported, prefix: str, under: tuple[str, ...], notes: tuple[str, ...]) -> Imported:
    return replace(
        one,
        under=under,
        names={name: f"{prefix}{source}" for name, source in one.names.items()},
        joined={name: tuple(f"{prefix}{source}" for source in sources) for name, sources in one.joined.items()},
        evidence=f"{one.evidence}, all under {prefix!r}",
        reasons=tuple((f"{prefix}{start}", why) for start, why in one.reasons),
        notes=one.notes + notes,
    )
