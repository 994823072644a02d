"""Runs written by hand for the report, and a browser to look at it."""
