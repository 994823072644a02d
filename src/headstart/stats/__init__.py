"""Intervals, contrasts, multiplicity and detectable effects."""
