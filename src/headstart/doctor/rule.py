"""What a rule of the doctor is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Rule:
    """`error`: training or scoring stops at it, or would be wrong. `warning`: results may mislead."""

    severity: Severity
    what: str
    why: str
    fix: str
