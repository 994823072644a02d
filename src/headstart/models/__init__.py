"""Backbones and the heads that tasks put on them."""
