"""The drawn world of the study `shapes`."""
