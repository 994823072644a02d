"""The settings that differ between the candidates of a task, and none that do not."""

from __future__ import annotations

from typing import Any

from headstart.page.numbers import NO_VALUE, listed, significant
from headstart.report.run_dir import RunDir
from headstart.weights.starts import supervisions

WORDS = {
    "recipe.lr": "Learning rate",
    "recipe.updates": "Updates",
    "weights.identity.backbone": "Backbone",
    "weights.identity.kind": "Kind of weights",
    "weights.identity.preprocessing.channel_order": "Order of colors",
    "weights.identity.preprocessing.mean": "Mean of the input",
    "weights.identity.preprocessing.std": "Deviation of the input",
    "weights.identity.preprocessing.scale": "Scale of the input",
}
LEFT_OUT = ("seed", "weights.seed", "digest", "checkpoint_key", "key_prefix")
"""Ends of names that say nothing to a reader, or stand elsewhere in the report."""


def of_task(run: RunDir, task: str) -> dict[str, Any] | None:
    """`weights`: the candidates; `rows`: (what, values of each); `same`: how many settings of a training are equal.
    None where there is one candidate only, or nothing is known of them. Facts of weights stand there only where all
    have them: those that the study pre-trains come from a job."""
    entries = {entry["name"]: entry for entry in run.metrics.get("weights") or []}
    names = [name for name in run.weights if run.trials(task, name)]
    if len(names) < 2:
        return None
    rows = [(what, cells) for what, cells in _facts(entries, names) if len(set(cells)) > 1]
    told = _told(run, task, names)
    keys = list(dict.fromkeys(key for of in told.values() for key in of)) if len(told) == len(names) else []
    keys = [key for key in keys if not key.startswith("weights.") or all(key in of for of in told.values())]
    differ = [key for key in keys if len({_text(told[name].get(key)) for name in names}) > 1]
    rows += [
        (WORDS.get(key, key.replace("_", " ")), [_text(told[name].get(key)) for name in names])
        for key in differ
        if not key.endswith(LEFT_OUT)
    ]
    return {"weights": names, "rows": rows, "same": len(keys) - len(differ)} if rows else None


def _facts(entries: dict[str, dict[str, Any]], names: list[str]) -> list[tuple[str, list[str]]]:
    lineages = [[str(step) for step in entries.get(name, {}).get("lineage") or []] for name in names]
    return [
        ("Learned from", [", then ".join(steps) or NO_VALUE for steps in lineages]),
        ("Kind of supervision", [supervisions(steps) or NO_VALUE for steps in lineages]),
        ("License", [str(entries.get(name, {}).get("licence") or NO_VALUE) for name in names]),
    ]


def _told(run: RunDir, task: str, names: list[str]) -> dict[str, dict[str, Any]]:
    """What the first seed's first training of each was told, flat; rates of all its trainings."""
    records = {record["dir"]: record for record in run.job_records()}
    told = {}
    for name in names:
        keys = [key for trial in run.trials(task, name) for key in trial["transfer_keys"]]
        settings = [of for key in keys if (of := records.get(key, {}).get("settings"))]
        if settings:
            told[name] = _flat(settings[0])
            recipes = [of["recipe"] for of in settings if of.get("recipe")]
            rates = [significant((recipe.get("training") or recipe)["lr"]) for recipe in recipes]
            told[name]["recipe.lr"] = listed(list(dict.fromkeys(rates)))
    return told


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{prefix}{key}.") if isinstance(item, dict) else {f"{prefix}{key}": item}
    return flat


def _text(value: Any) -> str:
    if value is None or value == [] or value == "":
        return NO_VALUE
    if isinstance(value, float):
        return significant(value)
    return ", ".join(map(_text, value)) if isinstance(value, list) else str(value)
