"""Curves of the report: accuracy by images and stages of probes, scores along the axes of a study."""
