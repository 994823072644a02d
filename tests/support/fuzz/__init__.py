"""Readers fed with changed files: valid ones are made, changed in thousands of ways, and read as commands read them.

Input k of a target with a seed is always the same bytes. `campaign` runs a target, `targets` lists them all.
"""
