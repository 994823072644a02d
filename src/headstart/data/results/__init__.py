"""COCO's results: JSON files of detections, as columns."""
