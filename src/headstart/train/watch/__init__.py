"""What the sentinel measures in the first updates of a training, each measure with its limit."""
