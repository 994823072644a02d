"""What the finished jobs of a study come to, part by part of its `metrics.json`."""
