"""Images with index or color masks."""
