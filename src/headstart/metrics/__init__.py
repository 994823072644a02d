"""Average precision, IoU and accuracy: arrays in, frozen dataclasses out; knows no model."""
