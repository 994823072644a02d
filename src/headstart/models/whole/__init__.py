"""Whole detectors of transformers, trained as they are: only their class layers are made for other classes."""
