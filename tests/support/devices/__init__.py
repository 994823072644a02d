"""Pretended devices, and what is run on them."""
