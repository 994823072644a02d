"""Drawings in COCO's layout, for all that pre-trains on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.drawn_layouts import as_coco, drawn_images


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    return as_coco(drawn_images(folder / "images", 12), folder / "coco")
