"""Detectors on backbones."""
