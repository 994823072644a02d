"""Finished jobs on disk: written under a temporary name, sealed, renamed; never read half-written."""
