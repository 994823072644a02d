"""COCO instances, LVIS, Objects365 and panoptic masks."""
