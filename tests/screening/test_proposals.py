"""Which public weights are proposed where none are named: of one architecture, the best of each kind."""

from pathlib import Path

import pytest

from headstart.errors import UsageError
from headstart.screening.proposals import KINDS, proposals
from headstart.weights.cards import resolve
from headstart.weights.catalogue import find


def test_the_first_has_one_of_each_kind_and_random_values() -> None:
    first = proposals()[0]
    assert first.uris == [
        "timm:resnet50.a1_in1k",
        "tv:FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1",
        "dino-r50",  # as good as SwAV by the same measure, and its license is known
        "random:resnet50",
    ]
    assert first.missing == []
    lines = first.lines()
    assert lines[0] == "no weights named; proposed, all resnet50:"
    assert "       published 46.7 box AP, COCO val2017" in lines
    assert lines[lines.index("  -w dino-r50") + 4] == "       no real file of it was ever tried"


@pytest.mark.parametrize("licence", [None, "commercial", "mit", "cc-by-nc-4.0"])
def test_all_are_allowed_known_and_of_one_architecture(licence: str | None) -> None:
    found = proposals(licence)
    assert found and [len(one.by_kind) for one in found] == sorted((len(one.by_kind) for one in found), reverse=True)
    for one in found:
        assert set(one.by_kind) | set(one.missing) == set(KINDS)
        for entry in one.by_kind.values():
            assert entry.backbone == one.backbone and find(entry.address) is entry
            assert licence is None or entry.licence == licence or (licence == "commercial" and entry.is_commercial)
        specs = [resolve(uri, Path(), offline=True) for uri in one.uris]
        assert {spec.backbone for spec in specs} == {one.backbone}


def test_what_there_is_none_of_is_said() -> None:
    mit = proposals("MIT")[0]
    assert mit.uris == ["timm:swin_tiny_patch4_window7_224.ms_in1k", "random:swin_tiny_patch4_window7_224"]
    assert mit.lines()[-1].endswith("with such terms: a detector, self-supervised")


def test_a_license_that_none_has() -> None:
    with pytest.raises(UsageError, match=r"no weights have the license 'gpl'. Give commercial, or one of apache-2.0"):
        proposals("gpl")
