"""Data sets on disk, each layout read into one table."""
