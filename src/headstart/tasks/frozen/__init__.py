"""Probes of frozen features: solvers, nearest neighbors, and what is measured with them."""
