"""What is checked of weights: that all tensors are accounted for, and that batch norms fit what is computed."""
