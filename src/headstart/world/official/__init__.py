"""Drawn images in the official layouts of public data sets, small enough to run a study on in minutes."""
