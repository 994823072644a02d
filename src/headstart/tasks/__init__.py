"""Detection, segmentation, classification and probes: losses and evaluation."""
