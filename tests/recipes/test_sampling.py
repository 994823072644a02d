"""What a layout does not read is refused by name, with the layouts that have it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from headstart.recipes.sampling import Sampling
from headstart.recipes.settings import faults_of

SCALE = {"kind": "factor", "value": 1.0}
NEEDED: dict[str, dict[str, Any]] = {
    "chips": {"scales": [SCALE]},
    "whole": {"scales": [SCALE]},
    "pyramid": {"scales": [SCALE, SCALE]},
    "crops": {},
    "fixed": {},
}
EVERY = {name for kind in Sampling.family.values() for name in kind.model_fields}
OTHERS = [(kind, name) for kind, own in Sampling.family.items() for name in sorted(EVERY - set(own.model_fields))]


def faults(values: dict[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as refused:
        Sampling.model_validate(values)
    return faults_of(refused.value)


def test_every_layout_is_walked() -> None:
    assert set(NEEDED) == set(Sampling.family)


@pytest.mark.parametrize("layout, name", OTHERS)
def test_every_field_of_every_other_layout_is_refused_by_name(layout: str, name: str) -> None:
    (line,) = faults({"layout": layout, **NEEDED[layout], name: 1})
    assert line.startswith(f'{name}: layout "{layout}" has no such setting; layout')
    assert all(f'"{kind}"' in line for kind, other in Sampling.family.items() if name in other.model_fields)


@pytest.mark.parametrize(
    "values, said",
    [
        ({"layout": "chip"}, 'layout: there is no layout "chip", only "chips" or .*did you mean "chips"?'),
        ({"layout": "whole"}, "scales: at least one scale is needed"),
        ({"layout": "whole", "scales": [SCALE, SCALE]}, 'scales: layout "whole" reads one scale; layout "pyramid"'),
        ({"layout": "chips", "scales": [SCALE], "proposal_epochs": 1}, "proposal_epochs: not read: it needs `negative"),
        ({"layout": "chips", "scales": [SCALE], "small": {"share": 0.3}}, "small.share: not read: it needs `copies`"),
        ({"layout": "whole", "scales": [SCALE | {"limit": 9}]}, 'scales.0.limit: not read: it needs `kind = "resolu'),
        ({"layout": "fixed", "quarter_turn": True}, "quarter_turn: .*no such setting; did you mean `quarter_turns`"),
    ],
)
def test_what_cannot_be_is_told(values: dict[str, Any], said: str) -> None:
    (line,) = faults(values)
    assert all(part in line for part in said.split(".*"))


@pytest.mark.parametrize("layout", Sampling.family)
def test_what_is_written_out_is_read_again(layout: str) -> None:
    sampling = Sampling.model_validate({"layout": layout, **NEEDED[layout]})
    assert type(sampling) is Sampling.family[layout]
    for mode in ("python", "json"):
        assert Sampling.model_validate(sampling.model_dump(mode=mode)) == sampling
