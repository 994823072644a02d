"""From files to arrays: annotations, splits, prepared images, the embedded world."""
