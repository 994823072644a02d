"""Which weights `compare` takes where none are named, and whether named ones are within what its user can spend."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import UsageError
from headstart.terminal import tell

if TYPE_CHECKING:
    from headstart.config.study import Study
    from headstart.train.devices import Devices
    from headstart.weights.cards import WeightsSpec

Compared = Callable[[Sequence[str]], "Study"]
"""The comparison of weights, by their URIs."""


@dataclass(frozen=True)
class Limits:
    """What a user allows; None: anything. licence: of public weights, a name or "commercial". ms: of an image of 224 x
    224 pixels. hours: of a whole comparison, at most, if no training goes on for longer. devices: where networks run;
    workers: processes at once on the CPU."""

    licence: str | None
    ms: float | None
    hours: float | None
    devices: Devices
    workers: int | None

    def too_slow(self, backbone: str) -> str:
        """Why a backbone is; "": it is not. Timed now, where it was not before on this machine."""
        if self.ms is None:
            return ""
        from headstart.study.runners.timing import at_listed_size

        timed = at_listed_size(backbone, (*self.devices.names, "cpu")[0])
        return f"{timed.milliseconds} ms: an image of {timed.words()}" if timed.ms_per_image > self.ms else ""

    def too_long(self, study: Callable[[], Study]) -> str:
        """Why a comparison is; "": it is not."""
        if self.hours is None:
            return ""
        hours = self.hours_of(study())
        return f"the comparison takes up to about {hours:.2g} hours" if hours > self.hours else ""

    def hours_of(self, study: Study) -> float:
        """At most, as `headstart plan --calibrate` estimates it: what was not timed here before is timed now."""
        from headstart.study.executors.pools import default_workers
        from headstart.study.plan import Planner
        from headstart.study.plan_summary import plan_summary
        from headstart.study.planning.calibrating import calibrate

        asked, planner = (Planner(study, Path.cwd(), device=self.devices.kind, without_data=True) for _ in range(2))
        asked.expand(lambda job: None)
        calibrate(asked, self.devices, again=False)
        expansion = planner.expand(lambda job: None)
        timed = max(planner.speeds.used, default="")
        plan = plan_summary(study, Path(), expansion, self.devices, explaining=planner.pairs.cost(), calibrated=timed)
        at_once = len(self.devices.names) or self.workers or default_workers(study.threads)
        return plan.most_seconds / at_once / 3600


def proposed(limits: Limits, study: Compared, *, quiet: bool) -> list[str]:
    """URIs of the first proposal (`headstart.screening.proposals`) within the limits.

    Says what is proposed, and which ones were too slow; after one of them only smaller networks are tried. Raises
    UsageError where none is within the limits.
    """
    from headstart.screening.proposals import proposals

    beyond: list[str] = []
    smallest = math.inf
    for proposal in proposals(limits.licence):
        if proposal.gflops >= smallest:
            continue
        fault = limits.too_slow(proposal.backbone) or limits.too_long(partial(study, proposal.uris))
        if not fault:
            if not quiet:
                tell("\n".join([*proposal.lines(), *(f"  not {line}" for line in beyond)]))
            return proposal.uris
        beyond.append(f"{proposal.backbone}: {fault}")
        smallest = proposal.gflops
    raise UsageError(
        "no public weights are within these limits. Widen them, take --budget quick or fewer --seeds, or name weights "
        "of a smaller network with -w.\n" + "\n".join(beyond)
    )


def require_within(limits: Limits, specs: Sequence[WeightsSpec], study: Callable[[], Study]) -> None:
    """Raises UsageError for named weights that are beyond the limits; names all whose license is another."""
    from headstart.weights.catalogue import COMMERCIAL
    from headstart.weights.listing import require_licence

    require_licence(limits.licence)
    allowed = COMMERCIAL if limits.licence == "commercial" else {(limits.licence or "").lower()}
    given = [spec for spec in specs if spec.kind != "random"] if limits.licence else []
    if others := [spec for spec in given if spec.licence.lower() not in allowed]:
        told = ", ".join(f"{spec.uri} ({spec.licence or 'not stated'})" for spec in others)
        raise UsageError(f"--license {limits.licence} forbids {told}. Leave these out, or the option")
    for backbone in dict.fromkeys(spec.backbone for spec in specs):
        if fault := limits.too_slow(backbone):
            raise UsageError(f"--max-ms {limits.ms:g}: {backbone} takes {fault}. Allow more, or name smaller networks")
    if fault := limits.too_long(study):
        raise UsageError(f"--max-hours {limits.hours:g}: {fault}. Allow more, take --budget quick, or fewer --seeds")
