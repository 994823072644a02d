"""One file per annotation format on disk."""
