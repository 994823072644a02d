"""Whole detectors for tests."""
