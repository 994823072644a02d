"""Images in, weights out: one pre-training."""
