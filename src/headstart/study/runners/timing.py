"""Jobs that time a network: once for an architecture and size, while nothing else runs."""

from __future__ import annotations

import statistics
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.places.times import LISTED_HW, Timed, keep, known
from headstart.progress import Progress
from headstart.store.files import write_json
from headstart.study.runners.shared import Inputs, Metrics
from headstart.study.settings import TimePlace, TimeSettings
from headstart.train.devices import seat
from headstart.weights.catalogue import CATALOGUE

if TYPE_CHECKING:
    from torch import nn


def timed(settings: TimeSettings, place: TimePlace, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """Writes `time.json`; there are no metrics, since times are no results. What was measured on this machine before
    is not measured again. Of a network that `weights list` shows, its time at that list's size is kept, too."""
    import torch

    from headstart.models.backbones.building import build_backbone

    device = seat().device
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    asked = Timed(settings.backbone, settings.backbone_digest, settings.size_hw, name, settings.threads)
    wanted = [asked]
    if settings.backbone in {entry.backbone for entry in CATALOGUE}:
        wanted.append(replace(asked, size_hw=LISTED_HW))
    found = {each: known(each) for each in wanted}
    if not all(found.values()):
        torch.manual_seed(0)
        backbone = build_backbone(place.backbone, Path(place.base)).to(device).to(memory_format=torch.channels_last)
        for each, before in found.items():
            if before is None:
                found[each] = _measured(each, backbone)
    answer = found[asked]
    assert answer
    write_json(out / "time.json", asdict(answer))
    return {}


def _measured(asked: Timed, backbone: nn.Module) -> Timed:
    from headstart.models.backbones.timing import BATCH_SIZE, milliseconds
    from headstart.train.memory import memory_for_images

    with memory_for_images("timing a network on images", asked.size_hw):
        runs = milliseconds(backbone, asked.size_hw)
    answer = replace(
        asked,
        batch_size=BATCH_SIZE,
        runs=len(runs),
        ms_per_image=statistics.median(runs),
        lowest=min(runs),
        highest=max(runs),
    )
    keep(answer)
    return answer
