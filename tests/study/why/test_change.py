"""What would change an answer, from arms whose variance is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headstart.stats.contrasts import ranking
from headstart.study.why.change import change


def arms(seeds: int, lead: float, of_seeds: float, of_images: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two arms whose seeds spread alike, and whose difference is moved by images only where `of_images` says."""
    rng = np.random.default_rng(0)
    spread = np.linspace(-1, 1, seeds) * of_seeds
    values = {"a": 0.5 + lead + spread, "b": 0.5 + spread}
    noise = rng.normal(size=400)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    draws = {"a": values["a"][:, None] + of_images * noise, "b": np.repeat(values["b"][:, None], 400, axis=1)}
    return values, draws


def changed(seeds: int, lead: float, of_seeds: float, of_images: float) -> dict[str, Any]:
    values, draws = arms(seeds, lead, of_seeds, of_images)
    found = change(values, draws, ranking(values, draws, 0.01, {}))
    assert found and found["rival"] == "b" and found["effect"] == pytest.approx(lead)
    return found


def test_where_images_are_all_only_images_help() -> None:
    """A standard error of 0.01 from images alone: 80 % power at 5 % needs (1.96 + 0.8416) of them."""
    found = changed(5, 0.02, 0.0, 0.01)
    assert found["share"] == {"images": 1.0, "seeds": 0.0, "both": 0.0}
    assert found["detectable"] == pytest.approx(0.01 * (1.95996 + 0.84162), rel=1e-3)
    assert found["twice_seeds"] == pytest.approx(found["detectable"])
    assert found["twice_images"] == pytest.approx(found["detectable"] / 2**0.5, rel=1e-3)
    assert found["images"] == pytest.approx((found["detectable"] / 0.02) ** 2, rel=0.06)
    assert found["seeds"] is None, "no seeds find less than the images let them"


def test_where_seeds_are_all_only_seeds_help() -> None:
    found = changed(4, 0.02, 0.01, 0.0)
    assert found["share"]["seeds"] == pytest.approx(1)
    assert found["twice_seeds"] < 0.75 * found["detectable"] and found["twice_images"] == found["detectable"]
    assert found["images"] is None or found["images"] == 1
    assert found["seeds"] and found["seeds"] >= 4
    assert changed(4, 0.2, 0.01, 0.0)["seeds"] == 4, "what is found already needs no more"


def test_several_others_are_corrected_for_and_nothing_known_is_nothing_said() -> None:
    values, draws = arms(5, 0.02, 0.0, 0.01)
    values["c"], draws["c"] = values["b"] - 0.3, draws["b"] - 0.3
    found = change(values, draws, ranking(values, draws, 0.01, {}))
    assert found and found["rival"] == "b" and found["detectable"] > 0.01 * (1.95996 + 0.84162)
    one = {name: column[:1] for name, column in values.items()}
    drawn = {name: table[:1] for name, table in draws.items()}
    assert change(one, drawn, ranking(one, drawn, 0.01, {})) is None
    alone = {"a": values["a"]}
    assert change(alone, {"a": draws["a"]}, ranking(alone, {"a": draws["a"]}, 0.01, {})) is None
