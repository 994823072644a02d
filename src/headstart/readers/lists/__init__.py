"""Lists of files with labels or boxes."""
