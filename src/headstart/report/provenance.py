"""What was run: settings, weights and their histories, data, software, time, and how to run it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.page.numbers import NO_VALUE, finite, fixed, significant
from headstart.page.numbers import count as count_text
from headstart.report.run_dir import RunDir
from headstart.report.section import Section, render
from headstart.report.words import set_words
from headstart.study.executors.warned import kept_warnings
from headstart.weights.starts import supervisions


def section(run: RunDir) -> Section:
    """Always there. Built last: it lists what the sections before it looked for and did not find."""
    body = render(
        "provenance",
        settings=_settings(run),
        weights=[_weights(entry) for entry in run.metrics.get("weights") or []],
        starts=[row for entry in run.metrics.get("starts") or [] for row in _start(entry)],
        pretrainings=[
            _pretraining(run, name, p)
            for name, p in (run.study.get("pretraining") or {}).items()
            if (p.get("recipe") or {}).get("training")
        ],
        transfers=[_transfer(run, t) for t in run.study.get("tasks") or [] if t.get("recipe") or t.get("own_sizes")],
        sources=[(s["setting"], s["source"]) for s in run.study.get("sources") or []],
        sets=_sets(run),
        jobs=_jobs(run),
        environment=_pairs(run.env),
        warnings=kept_warnings(run.path),
        notes=list(dict.fromkeys(run.notes)),
    )
    return Section("provenance", "What was run", body)


def _settings(run: RunDir) -> list[tuple[str, str]]:
    study, metrics = run.study, run.metrics
    margin = finite(study.get("margin"))
    pairs = [
        ("Study", metrics.get("study")),
        ("Study key", str(metrics.get("digest") or "")[:16]),
        ("Seeds", ", ".join(map(str, run.seeds)) + (", at most" if study.get("adaptive") else "")),
        (
            "Bootstrap",
            f"{count_text(metrics['bootstrap'])} resamples of the test images" if metrics.get("bootstrap") else "",
        ),
        ("Practical margin", f"{fixed(margin * 100)} points" if margin is not None else ""),
        ("Backbone", study.get("backbone")),
        ("Threads of each job", study.get("threads")),
    ]
    return [(name, str(value)) for name, value in pairs if value not in (None, "")]


def _pretraining(run: RunDir, name: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """A pre-training, with the updates that it took where one was finished."""
    made: dict[str, Any] = next((row for row in run.metrics.get("pretrainings") or [] if row["name"] == name), {})
    recipe, facts = wanted["recipe"], made.get("metrics") or {}
    values = {**recipe["training"], "name": recipe["name"], "version": recipe.get("version", 1)}
    values["updates"] = int(facts["train/updates"]) if "train/updates" in facts else None
    values["quarter_turns"] = (recipe.get("sampling") or {}).get("quarter_turns")
    start = f", from {wanted['start']}" if wanted.get("start") else ""
    return _training(name, values, f"{wanted['images']}, {wanted['supervision']}{start}")


def _transfer(run: RunDir, task: dict[str, Any]) -> dict[str, Any]:
    """The training of a task, on images of one size or of their own."""
    if task.get("recipe"):
        return _training(task["name"], task["recipe"], _train_sets(task))
    recipe = task["own_sizes"]
    trials = [t for t in run.metrics.get("trials") or [] if t["task"] == task["name"] and t.get("transfer_keys")]
    facts = (run.json(trials[0]["transfer_keys"][0], "metrics.json") if trials else None) or {}
    values = {**recipe["training"], "name": recipe["name"], "version": recipe.get("version", 1)}
    values["updates"] = int(facts["train/updates"]) if "train/updates" in facts else None
    return _training(task["name"], values, f"{_train_sets(task)}, {recipe['sampling']['layout']}")


def _lineage(steps: list[str]) -> str:
    """What was learned from, and then every step: "labels, then boxes: ..."; one step alone as it is."""
    whole = ", then ".join(steps)
    return f"{supervisions(steps)}: {whole}" if len(steps) > 1 and supervisions(steps) else whole


def _weights(entry: dict[str, Any]) -> dict[str, Any]:
    load = entry.get("load") or {}
    return {
        "name": entry["name"],
        "source": entry.get("uri")
        or (f"pre-trained here ({entry['pretraining']})" if entry.get("pretraining") else ""),
        "lineage": _lineage([str(step) for step in entry.get("lineage") or []]),
        "licence": entry.get("licence"),
        "digest": str(entry.get("digest") or "")[:12],
        "load": _load(load),
        "stages": _stages(load),
    }


def _load(load: Mapping[str, Any]) -> str:
    """The load report in a few words; empty where there is none."""
    coverage = finite(load.get("coverage"))
    if coverage is None:
        return ""
    if coverage == 0:
        return str(load.get("source") or "nothing loaded")
    missing = load.get("missing") or []
    words = [f"{fixed(coverage * 100)} % of the backbone’s tensors"]
    words += [f"missing: {', '.join(map(str, missing[:4]))}{' …' if len(missing) > 4 else ''}"] if missing else []
    warnings = [f"Warning: {text}" for text in load.get("warnings") or []]
    return "; ".join([*words, *map(str, load.get("notes") or []), *warnings])


def _start(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was copied into a candidate's models of a task: a row a part, and one for all."""
    parts = {str(name): [int(n) for n in row] for name, row in (entry.get("parts") or {}).items()}
    parts["all"] = [sum(row[k] for row in parts.values()) for k in range(3)]
    said = [*(entry.get("resized") or ()), *(entry.get("fresh") or ()), *(entry.get("notes") or ())]
    first = {"weights": entry["weights"], "task": entry["task"], "start": entry["start"]}
    blank = {"weights": "", "task": "", "start": "", "said": ""}
    rows: list[dict[str, Any]] = [{**blank, "part": name, "counts": row} for name, row in parts.items()]
    rows[0] |= first
    rows[-1] |= {"said": "; ".join([*filter(None, [str(entry.get("source") or "")]), *map(str, said)])}
    return rows


def _stages(load: Mapping[str, Any]) -> list[tuple[str, int, int, int]]:
    """(stage, matched, missing, left over), numbers of tensors; empty where nothing came from a file."""
    stages = load.get("stages")
    if not isinstance(stages, dict) or not finite(load.get("coverage")):
        return []
    return [(str(name), int(row[0]), int(row[1]), int(row[2])) for name, row in stages.items() if len(row) == 3]


def _train_sets(task: dict[str, Any]) -> str:
    sets = ", ".join(task.get("train") or ())
    limit = task.get("limit") or 0
    return f"{sets}, {f'{100 * limit:g} %' if limit < 1 else f'{limit} images'} of each" if limit else sets


def _training(name: str, recipe: dict[str, Any], what: str) -> dict[str, str]:
    rates = recipe.get("rates") or []
    rate = (
        significant(recipe["lr"]) + ", fixed" if recipe.get("lr") else ", ".join(map(significant, rates)) + ", searched"
    )
    fraction = finite(recipe.get("backbone_rate"))
    flips = [words for key, words in (("flip", "flips"), ("quarter_turns", "quarter turns")) if recipe.get(key)]
    jitter = finite(recipe.get("scale_jitter"))
    norm, frozen = recipe.get("batch_norm", ""), recipe.get("freeze") or []
    return {
        "name": name,
        "what": what,
        "recipe": f"{recipe.get('name')} v{recipe.get('version', 1)}",
        "head": " + ".join([str(recipe.get("head")), ", ".join(recipe.get("levels") or ())]).rstrip(" +"),
        "steps": f"{recipe.get('updates') or NO_VALUE} × {recipe.get('batch_size')}",
        "rate": rate if fraction in (None, 1.0) else f"{rate}; backbone × {significant(fraction)}",
        "augmentation": ", ".join([*flips, *([f"scale up to +{jitter:.0%}"] if jitter else [])]) or "none",
        "norm": norm + (", re-estimated first" if recipe.get("reestimate_batch_norm") and norm != "frozen" else ""),
        "trainable": str(recipe.get("trainable", "all")) + (f" but {', '.join(frozen)}" if frozen else ""),
    }


def _sets(run: RunDir) -> list[dict[str, str]]:
    counts = _image_counts(run)
    rows = []
    for name, settings in (run.study.get("sets") or run.metrics.get("sets") or {}).items():
        if "world" in settings:
            first = int(settings.get("first") or 0)
            size, count = settings.get("size"), int(settings.get("count") or 0)
            rows.append(
                {
                    "name": name,
                    "source": set_words(settings),
                    "part": f"images {first} to {first + count - 1}",
                    "images": str(count),
                    "size": f"{size} × {size}",
                }
            )
            continue
        if "size_hw" not in settings:
            part = ", ".join(settings.get("splits") or ()) or "train, or all"
            row = {"name": name, "source": str(settings.get("path", "")), "part": part, "images": ""}
            rows.append(row | {"size": "as they are"})
            continue
        height, width = settings["size_hw"]
        fold = f", fold {settings['fold'] + 1} of {settings['folds']}" if settings.get("fold") is not None else ""
        rows.append(
            {
                "name": name,
                "source": str(settings.get("path", "")),
                "images": counts.get(name, ""),
                "part": f"{settings.get('role', '')}{fold}",
                "size": f"{height} × {width}, {settings.get('resize', '')}",
            }
        )
    return rows


def _image_counts(run: RunDir) -> dict[str, str]:
    """Numbers of images of prepared sets, by the names that their jobs' labels end with."""
    counts = {}
    for record in run.job_records():
        if record.get("kind") == "prepare":
            facts = run.json(record["dir"], "metrics.json") or {}
            counts[str(record.get("label", "")).removeprefix("prepare ")] = count_text(facts.get("images"))
    return counts


def _jobs(run: RunDir) -> list[tuple[str, int, float]]:
    """(kind, number of jobs, seconds) of everything in the store."""
    totals: dict[str, list[float]] = {}
    for record in run.job_records():
        totals.setdefault(str(record.get("kind")), []).append(finite(record.get("seconds")) or 0.0)
    return [(kind, len(seconds), sum(seconds)) for kind, seconds in totals.items()]


def _pairs(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as flat (name, text) pairs."""
    pairs: list[tuple[str, str]] = []
    for name, item in value.items():
        if isinstance(item, dict):
            pairs += _pairs(item, "" if name in ("packages", "versions") else f"{prefix}{name} ")
        elif item not in (None, "", []):
            text = ", ".join(map(str, item)) if isinstance(item, list) else str(item)
            pairs.append((f"{prefix}{name}".replace("_", " "), text))
    return pairs
