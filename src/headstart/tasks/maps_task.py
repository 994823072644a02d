"""What tasks have in common whose heads read several stages as maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.tasks.protocol import TrainedTask

if TYPE_CHECKING:
    from headstart.recipes.schema import Recipe


class MapsTask(TrainedTask):
    """`compare` trains the first of its heads."""

    def recipe_for(self, updates: int, name: str) -> Recipe:
        from headstart.recipes.schema import recipe_of

        return recipe_of(
            {
                "name": name,
                "updates": updates,
                "batch_size": 8,
                "rates": (1.5e-3, 5e-3, 1.5e-2),
                "head": self.heads[0],
                "levels": ("C3", "C4", "C5"),
                "channels": 48,
            }
        )
