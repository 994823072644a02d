"""Anyone's table of scores, models by data sets, read with care."""
