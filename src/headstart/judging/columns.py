"""Which column of a table is what: told by its name, by likeness, or said by the user."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from headstart.errors import DataError, UsageError

ROLES: dict[str, tuple[str, ...]] = {
    role: tuple(words.split())
    for role, words in {
        "dataset": "dataset datasets data task benchmark testset evalset corpus",
        "model": "model models method weights backbone checkpoint algorithm detector network arch architecture "
        "pretraining system approach",
        "seed": "seed seeds run trial repeat repetition replicate",
        "score": "score scores value result performance map map50 map5095 ap ap50 accuracy acc top1 top1accuracy miou "
        "meaniou iou dice f1 auc auroc pq error errorrate loss mae rmse mse fid perplexity nll",
        "images": "images nimages numimages numberofimages testimages ntest n samples numsamples",
        "group": "group domain category family kind type area",
    }.items()
}
"""What each role is usually called, letters and digits alone. The first word is the role's own."""
NEEDED = ("dataset", "model", "score")
SHARE = ("accuracy", "acc", "top1", "top1accuracy")
"""Names of scores that are the share of images answered rightly."""
LOWER = ("error", "errorrate", "loss", "mae", "rmse", "mse", "fid", "perplexity", "nll")
"""Names of scores of which less is better."""
ALIKE = 0.86
"""A name at least so like a known one (difflib's ratio) is taken for it, and said."""
AVERAGES = ("avg", "average", "mean", "overall", "macroaverage", "averagescore", "meanscore", "avgscore")
"""Names of rows and columns that average the others."""
EXPECTED = "data set, model, score, and if you have them seed, images (how many were scored), group (such as a domain)"


def plain(name: str) -> str:
    """Letters and digits of a name, in lower case: "mAP@50 (%)" -> map50."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def given_roles(columns: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    """role -> name of a column, from a mapping or from words ROLE=NAME. Raises UsageError for a role that is none."""
    words = columns if isinstance(columns, Mapping) else dict(_split(word) for word in columns)
    for role in words:
        if role not in ROLES:
            near = difflib.get_close_matches(plain(role), ROLES, 1, 0.5)
            meant = f" Did you mean {near[0]}?" if near else ""
            raise UsageError(f"--columns: {role!r} is no column that judge reads.{meant} Known: {', '.join(ROLES)}.")
    return dict(words)


def find_roles(header: Sequence[str], given: Mapping[str, str], path: str) -> tuple[dict[str, int], list[str]]:
    """role -> place in the header, and notes on what was told by likeness alone. Roles may be missing.

    Raises DataError where a given name is not there or where two columns could be the same.
    """
    found, notes = {}, []
    for role, name in given.items():
        places = [k for k, h in enumerate(header) if h == name] or [
            k for k, h in enumerate(header) if plain(h) == plain(name)
        ]
        if not places:
            near = difflib.get_close_matches(name, header, 1, 0.4)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            raise DataError(f"{path}: no column {name!r} (--columns {role}={name}).{meant} Columns: {_listed(header)}.")
        found[role] = places[0]
    for role, words in ROLES.items():
        if role in found:
            continue
        free = [k for k in range(len(header)) if k not in found.values()]
        exact = [k for k in free if plain(header[k]) in words]
        like = [k for k in free if difflib.get_close_matches(plain(header[k]), words, 1, ALIKE)]
        own = [k for k in exact if plain(header[k]) == words[0]]
        places = own if len(own) == 1 else exact or [k for k in like if not _named(header[k])]
        if len(places) > 1:
            raise DataError(
                f"{path}: {_listed([header[k] for k in places])} could each be the {_words(role)}. Say which: "
                f"--columns {role}={header[places[0]]}"
            )
        if places:
            found[role] = places[0]
            if not exact:
                notes.append(f"column {header[places[0]]!r} is taken for the {_words(role)}")
    return found, notes


def missing(header: Sequence[str], found: Mapping[str, int], path: str) -> DataError:
    """What to say where a table is neither long nor wide."""
    absent = [role for role in NEEDED if role not in found]
    free = [h for k, h in enumerate(header) if k not in found.values()]
    example = " ".join(f"--columns {role}={free[k] if k < len(free) else 'NAME'}" for k, role in enumerate(absent))
    near = [n for role in absent for n in difflib.get_close_matches(role, free, 1, 0.5)]
    meant = f" Nearest: {_listed(near)}." if near else ""
    return DataError(
        f"{path}: no column for the {' and the '.join(map(_words, absent))}. Expected are: {EXPECTED}; or a first "
        "column "
        f"called 'data set' and a column of numbers for each model. Columns found: {_listed(header)}.{meant} Name "
        f"them: {example}"
    )


def is_lower_better(name: str) -> bool:
    """Whether a score of this name is one of which less is better."""
    return plain(name) in LOWER


def _named(name: str) -> bool:
    return any(plain(name) in words for words in ROLES.values())


def _words(role: str) -> str:
    return {"dataset": "data set", "images": "number of images"}.get(role, role)


def _split(word: str) -> tuple[str, str]:
    role, equals, name = word.partition("=")
    if not equals or not name:
        raise UsageError(f"--columns {word!r}: write ROLE=NAME, such as score=mAP. Roles: {', '.join(ROLES)}.")
    return role.strip(), name.strip()


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:12])
    return shown + (f" and {len(names) - 12} more" if len(names) > 12 else "")
