"""From tables to training batches: image sets, order, augmentation, chips, labels."""
