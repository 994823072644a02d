"""ImageNet in its layouts."""
