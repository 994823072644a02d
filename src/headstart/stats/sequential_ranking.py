"""Rankings of arms that a sequential study (`headstart.stats.sequential`) has given unlike numbers of seeds.

What is said of an arm is what the look said that it was trained up to: of the first seeds of all arms that were left
then, at that look's level. So all statements hold together at all looks (repeated confidence intervals).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from headstart.stats.contrasts import cheapest, ranking
from headstart.stats.intervals import LEVEL
from headstart.stats.sequential import levels


def sequential_ranking(
    values: Mapping[str, NDArray[Any]],
    replicates: Mapping[str, NDArray[Any]],
    margin: float,
    costs: Mapping[str, float],
    *,
    seeds: int,
    default: str | None = None,
    higher_is_better: bool = True,
) -> dict[str, Any]:
    """As `headstart.stats.contrasts.ranking`; values: name -> (S,) with S of each arm from 2 to `seeds`.

    Arms that were left at the last look come first, and the best is one of them. `best_set` also has arms that were not
    shown to be worse than the best of their own last look. Adjusted p-values are those of a look times the level of the
    whole study over the look's. Rows have `seeds`, too; `sequential`: `most` seeds, the `levels` of the looks, and
    `spent`, the seeds of each arm.
    """
    counts = {name: len(column) for name, column in values.items()}
    nominal, last = levels(seeds), max(counts.values())

    def at(look: int, against: str | None = None) -> dict[str, Any]:
        names = [name for name, count in counts.items() if count >= look]
        return ranking(
            {name: values[name][:look] for name in names},
            {name: replicates[name][:look] for name in names},
            margin,
            costs,
            default=default if default in names else None,
            higher_is_better=higher_is_better,
            level=1 - nominal[look],
            against=against,
        )

    final = at(last)
    looks = {look: at(look) for look in sorted({*counts.values()} - {last})} | {last: final}
    to_best = {
        look: found if found["best"] == final["best"] else at(look, final["best"]) for look, found in looks.items()
    }
    by_look = {look: {row["weights"]: row for row in found["rows"]} for look, found in to_best.items()}
    rows = []
    for look in sorted(looks, reverse=True):
        for name in [row["weights"] for row in looks[look]["rows"] if counts[row["weights"]] == look]:
            row = by_look[look][name]
            of_default = min(look, counts[default]) if default else look
            row |= {"seeds": look, "to_best": _adjusted(row["to_best"], nominal[look])}
            row["to_default"] = _adjusted(by_look[of_default][name]["to_default"], nominal[of_default])
            rows.append(row)
    in_set = [row["weights"] for row in rows if row["weights"] in looks[row["seeds"]]["best_set"]]
    adequate = [r["weights"] for r in rows if r["behind_at_most"] is not None and r["behind_at_most"] <= margin]
    few = min(counts.values())
    return final | {
        "default": default,
        "rows": rows,
        "best_set": in_set,
        "cheapest_adequate": cheapest(adequate, costs),
        "cheapest_not_worse": cheapest(in_set, costs),
        "scope": f"these weights, over {last if few == last else f'{few} to {last}'} seeds",
        "sequential": {
            "most": seeds,
            "levels": {f"{look}": level for look, level in nominal.items()},
            "spent": counts,
        },
    }


def _adjusted(effect: dict[str, Any] | None, nominal: float) -> dict[str, Any] | None:
    """With its adjusted p-value that of the whole study."""
    if effect is None or effect["p_adjusted"] is None:
        return effect
    return effect | {"p_adjusted": min(1.0, effect["p_adjusted"] * (1 - LEVEL) / nominal)}
