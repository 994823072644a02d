"""Trainings for the sentinel to judge."""
