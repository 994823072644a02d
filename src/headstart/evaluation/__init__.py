"""Anyone's detections, scored."""
