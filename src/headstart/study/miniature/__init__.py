"""Studies in miniature."""
