"""The one training loop, its schedule, its state and its batches."""
