"""Jobs of a study: which there are, in which order, on which processes."""
