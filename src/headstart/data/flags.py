"""Marks that a data set gives to boxes, pixels and images."""

from __future__ import annotations

from typing import Literal

DIFFICULT, CROWD, GROUP_OF, OCCLUDED, TRUNCATED, DEPICTION, INSIDE = 1, 2, 4, 8, 16, 32, 64
UNKNOWN_FLAGS = 128
"""The source does not say for this box (-1 in OpenImages)."""
IGNORED = 255
"""Value of a prepared mask that is neither trained on nor scored."""
SPLITS = ("train", "val", "trainval", "test", "")
Target = Literal["detect", "segment", "classify"]
