"""Public layouts of checkpoints: one file each, chosen by looking at a file. `layouts` has the list."""
