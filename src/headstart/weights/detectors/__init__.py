"""Whole detectors: what of them a file or a pre-training gives, by the names of our own."""
