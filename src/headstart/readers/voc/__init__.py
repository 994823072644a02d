"""PASCAL VOC: boxes and segmentation."""
