"""What settings files have in common: frozen, unknown keys refused, names that can be folders."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Supervision = Literal["boxes", "labels"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=60)]


class Settings(BaseModel):
    """Frozen; unknown keys are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True)
